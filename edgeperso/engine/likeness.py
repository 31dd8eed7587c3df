"""Does one file of a model answer like another file of it?

Two layouts of the same weights never compute the same bits, and neither does one layout twice: evaluated in one call
or token by token, its sums are rounded differently. So the yardstick is the original against itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeperso.engine.engine import Engine
from edgeperso.engine.texts import PROMPTS, SAMPLE_TEXT
from edgeperso.types import Float32

__all__ = ["Likeness", "Reference"]

_SKIP = 8
_TEXT_TOKENS = 160
_ANSWER_TOKENS = 24
_KL_FLOOR = 0.002
_KL_FACTOR = 2.0
_NEAR_TIE_NATS = 0.5


@dataclass(frozen=True, slots=True)
class Likeness:
    """How near a model is to the original.

    ``mean_kl`` is the mean Kullback–Leibler divergence (nats) of its next-token distributions from the original's
    over a text, ``noise_kl`` the original's from itself when evaluated in another way; ``top1`` is how often both
    find the same token likeliest. ``overruled`` counts tokens of the original's greedy answers where it would write
    another one although the original was sure (more than 0.5 nats apart), out of ``answer_tokens``.
    """

    mean_kl: float
    noise_kl: float
    top1: float
    overruled: int
    answer_tokens: int

    @property
    def unchanged(self) -> bool:
        """The rule: no further from the original than twice its own noise, and never overruling it."""
        return self.overruled == 0 and self.mean_kl <= _KL_FACTOR * max(self.noise_kl, _KL_FLOOR)


class Reference:
    """What the original says, for others to be compared with. ``engine`` may be closed afterwards."""

    def __init__(self, engine: Engine) -> None:
        self._text = engine.tokenize(SAMPLE_TEXT)[:_TEXT_TOKENS]
        self._rows = _text_rows(engine, self._text)
        self._noise_kl = _mean_kl(self._rows, _text_rows_singly(engine, self._text))
        self._answers: list[tuple[list[int], list[int], Float32]] = []
        for prompt in PROMPTS:
            tokens = engine.bos + engine.tokenize(prompt)
            engine.clear()
            generation = engine.generate(tokens, max_tokens=_ANSWER_TOKENS)
            for _ in generation:
                pass
            if generation.tokens:
                self._answers.append((tokens, generation.tokens, _answer_rows(engine, tokens, generation.tokens)))

    def compare(self, engine: Engine) -> Likeness:
        """Measure ``engine``, whose vocabulary must be the original's."""
        rows = _text_rows(engine, self._text)
        overruled = 0
        for prompt, answer, ours in self._answers:
            choices = _answer_rows(engine, prompt, answer).argmax(axis=1)
            at = np.arange(len(answer))
            overruled += int(np.count_nonzero(ours[at, answer] - ours[at, choices] > _NEAR_TIE_NATS))
        return Likeness(
            mean_kl=_mean_kl(self._rows, rows),
            noise_kl=self._noise_kl,
            top1=float(np.mean(self._rows.argmax(axis=1) == rows.argmax(axis=1))),
            overruled=overruled,
            answer_tokens=sum(len(answer) for _, answer, _ in self._answers),
        )


def _text_rows(engine: Engine, tokens: list[int]) -> Float32:
    engine.clear()
    return engine.log_probs(tokens[:_SKIP], tokens[_SKIP:])


def _text_rows_singly(engine: Engine, tokens: list[int]) -> Float32:
    engine.clear()
    return np.stack([engine.next_log_probs(tokens[:count]) for count in range(_SKIP, len(tokens))])


def _answer_rows(engine: Engine, prompt: list[int], answer: list[int]) -> Float32:
    engine.clear()
    return engine.log_probs(prompt, answer)


def _mean_kl(ours: Float32, theirs: Float32) -> float:
    """Source: Kullback and Leibler, On Information and Sufficiency, 1951."""
    return float(np.mean(np.sum(np.exp(ours) * (ours - theirs), axis=1, dtype=np.float64)))
