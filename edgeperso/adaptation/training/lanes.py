"""A step shared out among threads that each compute their own examples.

Products of one step are small: threads that share each of them wait for one another more than a thousand times a step,
and one that the system holds up holds up all. With lanes they meet once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

import numpy as np
import torch

from edgeperso.adaptation.training.tape import Tape
from edgeperso.types import Float32

__all__ = ["LANE_TOKENS", "Lanes", "share_out"]

LANE_TOKENS: Final = 192
"""A lane has about so many tokens of a step, or more: with fewer, products don't fill a core's units."""

Work = Callable[[Sequence[int], Tape], tuple[float, Float32]]
"""The mean loss of some of a step's examples, by number, and its gradient, computed in the tape given."""


class Lanes:
    """``count`` lanes with ``threads`` of torch's each."""

    def __init__(self, count: int, threads: int) -> None:
        self.count = count
        self._pool = ThreadPoolExecutor(count, initializer=torch.set_num_threads, initargs=(threads,))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._pool.shutdown()

    def run(
        self, work: Work, shares: Sequence[Sequence[int]], tapes: Sequence[Tape], weights: Sequence[float]
    ) -> tuple[float, Float32]:
        """The whole step's mean loss and gradient: ``work`` on each of ``shares``, weighted by ``weights``."""
        jobs = [self._pool.submit(_work, work, share, tape) for share, tape in zip(shares, tapes, strict=True)]
        done = [job.result() for job in jobs]
        parts = [weight / sum(weights) for weight in weights]
        loss = sum(part * loss for part, (loss, _) in zip(parts, done, strict=True))
        gradient = sum((np.float32(part) * each for part, (_, each) in zip(parts, done, strict=True)), np.float32(0))
        return loss, np.asarray(gradient, np.float32)


def share_out(numbers: Sequence[int], lengths: Sequence[int], lanes: int) -> list[tuple[int, ...]]:
    """``numbers`` in up to ``lanes`` shares of about as many tokens: the longest first, each to the emptiest share."""
    shares: list[list[int]] = [[] for _ in range(min(lanes, len(numbers)))]
    tokens = [0] * len(shares)
    for number in sorted(numbers, key=lambda number: (-lengths[number], number)):
        emptiest = tokens.index(min(tokens))
        shares[emptiest].append(number)
        tokens[emptiest] += lengths[number]
    return [tuple(share) for share in shares]


def _work(work: Work, share: Sequence[int], tape: Tape) -> tuple[float, Float32]:
    with torch.inference_mode():  # a thread's own
        return work(share, tape)
