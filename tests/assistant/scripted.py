"""An engine whose every word is scripted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace

import numpy as np

from edgeperso.engine import Score
from edgeperso.types import Float32

IMPOSSIBLE = -60.0

Says = Callable[[str], dict[str, float]]
Likely = Callable[[str, str], float]


class Scripted:
    """An engine with a token a character. ``says`` gives log-probabilities of the next character after all that was
    read, ``likely`` those of a whole text after it; ``writes`` is its only answer. It notes what it read."""

    bos = (0,)

    def __init__(
        self,
        says: Says = lambda _text: {},
        likely: Likely = lambda _read, text: -float(len(text)),
        writes: Sequence[str] = (),
        n_ctx: int = 4000,
    ) -> None:
        self.info = SimpleNamespace(chat_template=None, n_ctx=n_ctx, n_params=10**9)
        self.says, self.likely, self.writes = says, likely, writes
        self.read: list[str] = []
        self.stops: list[tuple[int, Sequence[str]]] = []

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(letter) for letter in text]

    def branch_log_probs(self, prefix: Sequence[int], branches: Sequence[Sequence[int]]) -> list[Float32]:
        out = np.full((len(branches), 128), IMPOSSIBLE, np.float32)
        for row, branch in zip(out, branches, strict=True):
            self.read.append("".join(map(chr, [*prefix, *branch])))
            for letter, value in self.says(self.read[-1]).items():
                row[ord(letter)] = value
        return list(out)

    def score(self, prefix: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[Score]:
        self.read.append("".join(map(chr, prefix)))
        return [Score(self.likely(self.read[-1], "".join(map(chr, one))), len(one)) for one in continuations]

    def generate(self, tokens: Sequence[int], *, max_tokens: int, stop: Sequence[str]) -> Iterator[str]:
        self.read.append("".join(map(chr, tokens)))
        self.stops.append((max_tokens, stop))
        return iter(self.writes)

    def close(self) -> None:
        pass
