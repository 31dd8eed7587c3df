"""Causal attention of packed sequences, forward and backward, and the turning of positions.

Sources: Su et al., "RoFormer", 2021 (arXiv:2104.09864) for the positions; Dao, "FlashAttention-2", 2023
(arXiv:2307.08691) for torch's kernel, which never holds the matrix of all weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import Architecture

__all__ = ["Attended", "Turns", "attend", "attend_back"]

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001  the public name keeps no sums
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward  # noqa: SLF001


class Turns:
    """By how much each token's query and key are turned.

    Args:
        sizes: of the model.
        bounds: where the sequences start; in each, positions count from 0.
        factors: ``float32[head_size / 2]`` that frequencies are divided by (Llama 3.1's), or None.
    """

    def __init__(self, sizes: Architecture, bounds: Sequence[int], factors: Tensor | None) -> None:
        positions = torch.cat([torch.arange(stop - start, dtype=torch.float64) for start, stop in pairwise(bounds)])
        half = torch.arange(0, sizes.head_size, 2, dtype=torch.float64) / sizes.head_size
        frequencies = sizes.rope_base**-half
        if factors is not None:
            frequencies = frequencies / factors
        angles = torch.outer(positions, frequencies)[:, None]
        self._cos, self._sin = angles.cos().float(), angles.sin().float()
        self._complex = torch.complex(self._cos, self._sin)
        self._halves = sizes.halves

    def turn(self, x: Tensor, *, back: bool = False) -> Tensor:
        """``float32[n, heads, head_size]`` turned by each token's position, or back by as much."""
        if not self._halves:
            turns = self._complex.conj() if back else self._complex
            pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
            return torch.view_as_real(pairs * turns).flatten(-2)
        first, second = x.chunk(2, dim=-1)
        sin = -self._sin if back else self._sin
        return torch.cat((first * self._cos - second * sin, second * self._cos + first * sin), dim=-1)


class Attended(NamedTuple):
    """What the backward pass needs: queries, keys and values ``float32[n, heads, head_size]`` after turning, the result
    of the queries' shape, and the kernel's sums for each sequence."""

    queries: Tensor
    keys: Tensor
    values: Tensor
    out: Tensor
    sums: list[Tensor]


def attend(queries: Tensor, keys: Tensor, values: Tensor, bounds: Sequence[int]) -> Attended:
    """Every token looks at its own sequence up to itself; several query heads share a key head."""
    group = queries.shape[1] // keys.shape[1]
    wide_keys, wide_values = keys.repeat_interleave(group, 1), values.repeat_interleave(group, 1)
    out = torch.empty_like(queries)
    sums = []
    for start, stop in pairwise(bounds):
        result, total = _forward(*(_heads(x, start, stop) for x in (queries, wide_keys, wide_values)), 0.0, True)
        out[start:stop] = result[0].transpose(0, 1)
        sums.append(total)
    return Attended(queries, keys, values, out, sums)


def attend_back(gradient: Tensor, done: Attended, bounds: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of queries, keys and values from that of the result, ``float32[n, heads, head_size]``."""
    kv_heads = done.keys.shape[1]
    group = done.queries.shape[1] // kv_heads
    wide_keys, wide_values = done.keys.repeat_interleave(group, 1), done.values.repeat_interleave(group, 1)
    of_queries, of_keys, of_values = (torch.empty_like(gradient) for _ in range(3))
    for (start, stop), total in zip(pairwise(bounds), done.sums, strict=True):
        given, queries, keys, values, out = (
            _heads(x, start, stop) for x in (gradient, done.queries, wide_keys, wide_values, done.out)
        )
        results = _backward(given, queries, keys, values, out, total, 0.0, True)
        for into, result in zip((of_queries, of_keys, of_values), results, strict=True):
            into[start:stop] = result[0].transpose(0, 1)
    n, _, size = gradient.shape
    shared = (n, kv_heads, group, size)
    return of_queries, of_keys.view(shared).sum(2), of_values.view(shared).sum(2)


def _heads(x: Tensor, start: int, stop: int) -> Tensor:
    """``[1, heads, stop - start, head_size]``: one sequence as the kernel reads it, without a copy."""
    return x[start:stop].transpose(0, 1)[None]
