"""How well each of several given texts fits the person, by a model's own probabilities: the ways of asking.

A small model that is asked for the letter of the best option mostly gives its favourite letter. How it is asked matters
more than what it is told, so the ways are named, and measured in `docs/explanation/asking.md`.

Sources: a letter's bias and rotation: Pezeshkpour and Hruschka, 2023 (arXiv:2308.11483); gain: Holtzman et al.,
"Surface Form Competition", 2021 (arXiv:2104.08315); channel: Min et al., "Noisy Channel Language Model Prompting", 2022
(arXiv:2108.04106).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeperso.engine import Engine
from edgeperso.errors import UsageError
from edgeperso.prompting import Layout, OpenTurn, yes_no_tokens
from edgeperso.types import Asking, Float32, Hit

__all__ = ["Asking", "Weighed", "Weigher"]

_LETTERS: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_SPARE: Final = 48
"""Tokens kept free for our own words around the options."""
_REASON_TOKENS: Final = 48
_EACH: Final = 3
"""So many memories are reasoned from one by one, and an option fits as far as it fits the one that it fits least."""
_CRITERION: Final = "In one short sentence: what must a suggestion have or avoid to fit this person?"


@dataclass(frozen=True, slots=True)
class Weighed:
    """``scores``, one an option, in the options' order: higher fits better, comparable within one call. ``sources`` are
    the memories that the model read."""

    scores: tuple[float, ...]
    sources: tuple[int, ...]

    @property
    def order(self) -> list[int]:
        """Places of the options, best first; of equals the first."""
        return sorted(range(len(self.scores)), key=lambda place: (-self.scores[place], place))

    @property
    def shares(self) -> list[float]:
        """The scores as probabilities that sum to 1 (softmax): of use where the scores are log-probabilities."""
        weights = np.exp(np.array(self.scores) - max(self.scores))
        return [float(weight) for weight in weights / weights.sum()]


_Way = Callable[[str, list[str], Sequence[Hit]], tuple[list[float], OpenTurn]]


class Weigher:
    """Weighs options with one engine and one layout; ``most`` as in `Layout.open_turn`."""

    def __init__(self, engine: Engine, layout: Layout, *, most: int | None) -> None:
        self._engine = engine
        self._layout = layout
        self._most = most
        self._ways: dict[Asking, _Way] = {
            Asking.LETTER: self._letter,
            Asking.ROTATED: self._rotated,
            Asking.LIKELIHOOD: self._likelihood,
            Asking.GAIN: self._gain,
            Asking.APART: self._apart,
            Asking.APART_GAIN: self._apart_gain,
            Asking.REASONED: self._reasoned,
        }

    def weigh(self, question: str, options: Sequence[str], hits: Sequence[Hit], asking: Asking) -> Weighed:
        """How well each of ``options`` fits as an answer to ``question``, given ``hits`` (best first).

        Raises:
            UsageError: fewer than two options, an empty one, or more than there are letters.
            QuestionTooLong: question and options don't fit the context.
        """
        cleaned = [" ".join(option.split()) for option in options]
        if len(cleaned) < 2 or not all(cleaned):
            raise UsageError("There must be two options or more, and none may be empty.")
        if len(cleaned) > len(_LETTERS) and asking in (Asking.LETTER, Asking.ROTATED):
            raise UsageError(f"At most {len(_LETTERS)} options can be asked for by letter.", hint="Ask apart.")
        scores, turn = self._ways[asking](" ".join(question.split()), cleaned, hits)
        return Weighed(tuple(scores), turn.included)

    def label(self, question: str, labels: Sequence[str], hits: Sequence[Hit], *, cue: str) -> Weighed:
        """The log-probability of each of ``labels`` right after ``cue``, with which the answer begins."""
        words = [self._engine.tokenize(label) for label in labels]
        tokens, turn = self._before_label(question, words, hits, cue)
        scores = self._engine.score(tokens, words)
        return Weighed(tuple(score.log_likelihood for score in scores), turn.included)

    def before_label(self, question: str, labels: Sequence[str], hits: Sequence[Hit], *, cue: str) -> list[int]:
        """The tokens after which `label` looks for one of ``labels``: what a model can be trained to go on from."""
        return self._before_label(question, [self._engine.tokenize(label) for label in labels], hits, cue)[0]

    def written(self, words: str, *, max_tokens: int, hits: Sequence[Hit] = ()) -> str:
        """The first line that the model writes to ``words``, greedily."""
        turn = self._open(words, hits, [0] * max_tokens)
        said = self._engine.generate([*turn.tokens, *turn.closing], max_tokens=max_tokens, stop=("\n",))
        return "".join(said).strip()

    # ---- the ways ------------------------------------------------------------------------------------------------

    def _letter(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        return self._by_letter(question, options, hits, rotations=1)

    def _rotated(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        return self._by_letter(question, options, hits, rotations=len(options))

    def _by_letter(
        self, question: str, options: list[str], hits: Sequence[Hit], *, rotations: int
    ) -> tuple[list[float], OpenTurn]:
        count = len(options)
        letters = [self._engine.tokenize(letter)[-1] for letter in _LETTERS[:count]]
        lists = []
        for shift in range(rotations):
            lines = "".join(f"{_LETTERS[at]}. {options[(at + shift) % count]}\n" for at in range(count))
            lists.append(self._engine.tokenize(f"{lines}Which one suits the person best? Answer with the letter."))
        turn = self._open(f"The person asks: {question}\n", hits, max(lists, key=len))
        totals = np.zeros(count)
        for shift, words in enumerate(lists):
            (after,) = self._after(turn, [words])
            for at, letter in enumerate(letters):
                totals[(at + shift) % count] += after[letter] / rotations
        return totals.tolist(), turn

    def _likelihood(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        words = [self._engine.tokenize(option) for option in options]
        turn = self._open(question, hits, *words)
        scores = self._engine.score([*turn.tokens, *turn.closing], words)
        return [score.mean for score in scores], turn

    def _gain(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        return self._less_without_notes(self._likelihood, question, options, hits)

    def _apart(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        ask = "Does the suggestion respect what the person said?" if hits else "Is this a good suggestion?"
        words = [self._engine.tokenize(f'Suggestion: "{option}"\n{ask} Answer Yes or No.') for option in options]
        turn = self._open(f'The person asks: "{question}"\n', hits, max(words, key=len))
        return [self._odds(after) for after in self._after(turn, words)], turn

    def _apart_gain(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        return self._less_without_notes(self._apart, question, options, hits)

    def _reasoned(self, question: str, options: list[str], hits: Sequence[Hit]) -> tuple[list[float], OpenTurn]:
        asked = f'The person asks: "{question}"\n'
        turn = self._open(f"{asked}{_CRITERION}", hits, [0] * _REASON_TOKENS)
        notes = [hit for hit in hits if hit.memory.id in turn.included]
        groups = [[note] for note in notes] if 0 < len(notes) <= _EACH else [notes]
        fitting = [self._fitting(asked, options, group) for group in groups]
        return np.min(fitting, axis=0).tolist(), turn

    def _fitting(self, asked: str, options: list[str], hits: Sequence[Hit]) -> list[float]:
        """How far each option fits what the model, in a sentence of its own, takes ``hits`` to ask for."""
        criterion = self.written(f"{asked}{_CRITERION}", max_tokens=_REASON_TOKENS, hits=hits)
        ask = "Does this suggestion fit the person? Answer Yes or No."
        words = [self._engine.tokenize(f'Suggestion: "{option}"\n{ask}') for option in options]
        # The notes aren't before the model again, unless it wrote nothing: they only blur its Yes and No (asking.md).
        turn = self._open(f"{asked}What fits: {criterion}\n", [] if criterion else hits, max(words, key=len))
        return [self._odds(after) for after in self._after(turn, words)]

    # ---- what they share -----------------------------------------------------------------------------------------

    def _less_without_notes(
        self,
        way: _Way,
        question: str,
        options: list[str],
        hits: Sequence[Hit],
    ) -> tuple[list[float], OpenTurn]:
        scores, turn = way(question, options, hits)
        if not turn.included:
            return scores, turn
        without, _ = way(question, options, [])
        return [one - other for one, other in zip(scores, without, strict=True)], turn

    def _before_label(
        self, question: str, words: Sequence[Sequence[int]], hits: Sequence[Hit], cue: str
    ) -> tuple[list[int], OpenTurn]:
        begun = self._engine.tokenize(cue)
        turn = self._open(question, hits, [*begun, *max(words, key=len)])
        return [*turn.tokens, *turn.closing, *begun], turn

    def _open(self, words: str, hits: Sequence[Hit], *following: Sequence[int]) -> OpenTurn:
        return self._layout.open_turn(words, hits, kept_free=max(map(len, following)) + _SPARE, most=self._most)

    def _after(self, turn: OpenTurn, words: Sequence[Sequence[int]]) -> list[Float32]:
        """Log-probabilities of the answer's first token, for each way in which the turn may go on."""
        return self._engine.branch_log_probs(turn.tokens, [[*one, *turn.closing] for one in words])

    def _odds(self, log_probs: Float32) -> float:
        """Log-odds of Yes against No."""
        yes, no = yes_no_tokens(self._engine)
        return float(np.logaddexp.reduce(log_probs[yes]) - np.logaddexp.reduce(log_probs[no]))
