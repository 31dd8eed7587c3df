"""An engine of characters whose losses are made up, and adapters that are hardly any."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from edgeperso.engine import ModelInfo, Score
from edgeperso.engine.adapters.values import Lora, LoraPair, SoftPrompt, Worn

Nats = Callable[[str, str, Sequence[Worn]], float]
"""The loss a character of a text after a context, under what is worn."""


class Toy:
    """Tokens are characters (BOS 1, EOS 2); ``nats`` says how dear each text is. It notes what it wore."""

    bos = (1,)

    def __init__(
        self, path: Path, nats: Nats = lambda _context, _text, _worn: 3.0, template: str | None = None
    ) -> None:
        path.write_bytes(b"toy")
        self.info = ModelInfo("toy", path, "llama", 10**9, 600, 600, 0x110000, "F32", template, 1, 2)
        self.nats = nats
        self.worn: tuple[Worn, ...] = ()
        self.wore: list[tuple[tuple[str, float], ...]] = []
        self.read: list[tuple[str, str]] = []

    def wear(self, stack: Sequence[Worn]) -> None:
        self.worn = tuple(stack)
        self.wore.append(tuple((worn.key, worn.scale) for worn in stack))

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(letter) + 3 for letter in text]

    def score(self, prefix: Sequence[int], continuations: Sequence[Sequence[int]]) -> list[Score]:
        out = []
        for tokens in continuations:
            assert len(prefix) + len(tokens) <= self.info.n_ctx
            self.read.append((spoken(prefix), spoken(tokens)))
            out.append(Score(-self.nats(*self.read[-1], self.worn) * len(tokens), len(tokens)))
        return out

    def close(self) -> None:
        pass


def spoken(tokens: Sequence[int]) -> str:
    return "".join({1: "<", 2: ">"}.get(token) or chr(token - 3) for token in tokens)


def lora(base: str = hashlib.sha256(b"toy").hexdigest(), seed: int = 0) -> Lora:
    random = np.random.default_rng(seed)
    a, b = random.standard_normal((2, 4)), random.standard_normal((4, 2))
    return Lora(base, "llama", 4.0, {"blk.0.attn_q": LoraPair(a.astype(np.float32), b.astype(np.float32))})


def soft(base: str = hashlib.sha256(b"toy").hexdigest()) -> SoftPrompt:
    return SoftPrompt(base, "llama", np.ones((3, 4), np.float32))
