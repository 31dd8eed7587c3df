"""A local model as judge: it reads a text and is asked about it, in several ways, by its own probabilities.

A judge never writes: a mark is the expected value of the model's distribution over the marks (Liu et al., "G-Eval",
2023, arXiv:2303.16634), a yes is the log-odds of Yes against No. So the same judge gives the same score each time, and
scores are fine enough to be ranked. Several questions about one text share its evaluation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeperso.engine import Engine, renderer
from edgeperso.prompting import choose_form, tokenize_pieces, yes_no_tokens
from edgeperso.types import Float32

__all__ = ["Judge", "Mark", "YesNo"]


@dataclass(frozen=True, slots=True)
class Mark:
    """A question that is answered by a mark from ``low`` to ``high``, both single digits."""

    name: str
    question: str
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class YesNo:
    """A question that is answered by Yes or No; ``sign`` -1 where No is what counts for the text."""

    name: str
    question: str
    sign: int = 1


class Judge:
    """One model with one instruction. What it reads is built up piece by piece, so that a dialogue is read once."""

    def __init__(self, engine: Engine, task: str) -> None:
        self._engine = engine
        form = choose_form(renderer(engine.info), begin=False)
        self._begin = [*engine.bos, *tokenize_pieces(engine, form.opening("", task))]
        self._close = tokenize_pieces(engine, form.close_turn())
        self._yes, self._no = yes_no_tokens(engine)

    def begin(self, text: str) -> list[int]:
        """The tokens of a fresh reading that begins with ``text``."""
        return [*self._begin, *self.words(text)]

    def words(self, text: str) -> list[int]:
        """``text`` as tokens to go on with."""
        return self._engine.tokenize(text)

    def ask(self, read: Sequence[int], questions: Sequence[Mark | YesNo]) -> dict[str, float]:
        """The answer to each question about what was ``read``, by name: marks in their own units, odds in nats."""
        branches = [[*self.words(question.question), *self._close] for question in questions]
        after = self._engine.branch_log_probs(read, branches)
        return {
            question.name: self._expected(log_probs, question)
            if isinstance(question, Mark)
            else question.sign * self._odds(log_probs)
            for question, log_probs in zip(questions, after, strict=True)
        }

    def goes_on(self, text: str, one: str, other: str) -> float:
        """How much likelier ``one`` is than ``other`` as what follows ``text``, in nats; no instruction is read."""
        context = self.words(text)
        start = self._engine.bos or self.words("\n")
        scores = self._engine.score_tails(start, [(context, self.words(one)), (context, self.words(other))])
        return scores[0].log_likelihood - scores[1].log_likelihood

    def continues_with_mark(self, read: Sequence[int], words: str, mark: Mark) -> float:
        """The expected mark right after ``words``, as the next of the examples that were ``read``."""
        (after,) = self._engine.branch_log_probs(read, [self.words(words)])
        return self._expected(after, mark)

    def first_of_two(self, read: Sequence[int], question: str) -> float:
        """Log-odds of ``A`` against ``B`` as the answer to ``question``."""
        (after,) = self._engine.branch_log_probs(read, [[*self.words(question), *self._close]])
        first, second = (self._engine.tokenize(letter)[-1] for letter in "AB")
        return float(after[first] - after[second])

    def _expected(self, log_probs: Float32, mark: Mark) -> float:
        marks = np.arange(mark.low, mark.high + 1)
        logits = np.array([log_probs[self._engine.tokenize(str(one))[-1]] for one in marks], dtype=np.float64)
        weights = np.exp(logits - logits.max())
        return float((weights * marks).sum() / weights.sum())

    def _odds(self, log_probs: Float32) -> float:
        return float(np.logaddexp.reduce(log_probs[self._yes]) - np.logaddexp.reduce(log_probs[self._no]))
