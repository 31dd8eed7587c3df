"""Which examples are learnt in which step, laid end to end without padding.

Examples of one step share every matrix product but no attention: each is its own sequence, with its own positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgeperso.adaptation.plan import Example, Pair
from edgeperso.types import Int64

__all__ = ["Pack", "both", "cut", "cut_pair", "pack", "schedule"]


@dataclass(frozen=True, slots=True, eq=False)
class Pack:
    """Sequences end to end, n tokens in all.

    Args:
        tokens: ``int64[n]``.
        bounds: where each sequence starts, and n: one more than there are sequences.
        rows: ``int64[m]``, the places whose next token counts.
        targets: ``int64[m]``, those next tokens.
        owners: ``int64[m]``, the sequence that each of them belongs to.
    """

    tokens: Int64
    bounds: tuple[int, ...]
    rows: Int64
    targets: Int64
    owners: Int64

    @property
    def counted(self) -> Int64:
        """``int64[sequences]``: how many tokens count in each."""
        return np.bincount(self.owners, minlength=len(self.bounds) - 1)


def pack(examples: Sequence[Example]) -> Pack:
    """Lay ``examples`` end to end."""
    bounds = [0]
    rows: list[int] = []
    owners: list[int] = []
    for number, example in enumerate(examples):
        start = bounds[-1]
        counted = range(start + example.learn_from - 1, start + len(example.tokens) - 1)
        rows.extend(counted)
        owners.extend([number] * len(counted))
        bounds.append(start + len(example.tokens))
    tokens = np.array([token for example in examples for token in example.tokens], np.int64)
    places = np.array(rows, np.int64)
    return Pack(tokens, tuple(bounds), places, tokens[places + 1], np.array(owners, np.int64))


def cut(example: Example, most: int) -> Example:
    """``example`` in ``most`` tokens, 2 or more: what follows its first token goes first, as far as it is context; then
    the end. The first token stays: it is the BOS that every text starts with."""
    over = len(example.tokens) - most
    if over <= 0:
        return example
    context = min(over, max(0, example.learn_from - 1))
    tokens = example.tokens[:1] + example.tokens[1 + context :]
    return Example(tokens[:most], example.learn_from - context)


def cut_pair(pair: Pair, most: int) -> Pair:
    """``pair`` with both of its sequences in ``most`` tokens, after one and the same prompt."""
    answers = max(len(pair.chosen), len(pair.rejected))
    prompt = cut(Example(pair.prompt, len(pair.prompt)), max(1, most - answers)).tokens
    room = most - len(prompt)
    return Pair(prompt, pair.chosen[:room], pair.rejected[:room])


def both(pair: Pair) -> tuple[Example, Example]:
    """The chosen and the rejected sequence; their answers count."""
    return Example(pair.prompt + pair.chosen, len(pair.prompt)), Example(pair.prompt + pair.rejected, len(pair.prompt))


def schedule(lengths: Sequence[int], *, batch_tokens: int, epochs: int, seed: int) -> tuple[tuple[int, ...], ...]:
    """Which examples make up each step, by number.

    Every epoch has its own order; a step takes as many as fit in ``batch_tokens``, one at least.
    """
    random = np.random.default_rng(seed)
    steps: list[tuple[int, ...]] = []
    for _ in range(epochs):
        step: list[int] = []
        room = batch_tokens
        for number in random.permutation(len(lengths)).tolist():
            if step and lengths[number] > room:
                steps.append(tuple(step))
                step, room = [], batch_tokens
            step.append(number)
            room -= lengths[number]
        steps.append(tuple(step))
    return tuple(steps)
