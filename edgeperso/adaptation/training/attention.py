"""Causal attention of packed sequences, forward and backward, and the turning of positions.

Sources: Su et al., "RoFormer", 2021 (arXiv:2104.09864) for the positions; Dao, "FlashAttention-2", 2023
(arXiv:2307.08691) for torch's kernel, which never holds the matrix of all weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from edgeperso.adaptation.training.architecture import Architecture
from edgeperso.adaptation.training.tape import Kept

__all__ = ["Turns", "attend", "attend_back"]

_forward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu  # noqa: SLF001  the public name keeps no sums
_backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward  # noqa: SLF001


class Turns:
    """By how much each token's query and key are turned.

    Args:
        sizes: of the model.
        bounds: where the sequences start; in each, positions count from 0.
        length: of the step with what fills it up after the sequences.
        factors: ``float32[head_size / 2]`` that frequencies are divided by (Llama 3.1's), or None.
    """

    def __init__(self, sizes: Architecture, bounds: Sequence[int], length: int, factors: Tensor | None) -> None:
        sizes_of = [stop - start for start, stop in pairwise((*bounds, length))]
        half = torch.arange(0, sizes.head_size, 2, dtype=torch.float64) / sizes.head_size
        frequencies = sizes.rope_base**-half
        if factors is not None:
            frequencies = frequencies / factors
        angles = torch.outer(torch.arange(max(sizes_of), dtype=torch.float64), frequencies)[:, None]
        cos, sin = angles.cos().float(), angles.sin().float()
        self._cos, self._sin = (torch.cat([each[:size] for size in sizes_of]) for each in (cos, sin))
        self._complex = torch.complex(self._cos, self._sin)
        self._halves = sizes.halves

    def turn_(self, x: Tensor, *, back: bool = False) -> None:
        """Turn ``float32[n, heads, head_size]`` in place by each token's position, or back by as much."""
        if not self._halves:
            torch.view_as_complex(x.view(*x.shape[:-1], -1, 2)).mul_(self._complex.conj() if back else self._complex)
            return
        first, second = x.chunk(2, dim=-1)
        sin = -self._sin if back else self._sin
        turned = (first * self._cos).addcmul_(second, sin, value=-1)
        second.mul_(self._cos).addcmul_(first, sin)
        first.copy_(turned)


def attend(kept: Kept, bounds: Sequence[int]) -> None:
    """Fill ``kept.attended`` and its sums: every token looks at its own sequence up to itself."""
    kept.sums.clear()
    kept.attended[bounds[-1] :] = 0
    for start, stop in pairwise(bounds):
        queries, keys, values = _heads(kept, start, stop)
        result, sums = _forward(queries, keys.expand_as(queries), values.expand_as(queries), 0.0, True)
        _by_group(kept.attended[start:stop], len(keys)).copy_(result)
        kept.sums.append(sums)


def attend_back(gradient: Tensor, kept: Kept, bounds: Sequence[int]) -> Tensor:
    """The gradient of ``kept.qkv``, in its shape, from that of ``kept.attended``."""
    into = torch.empty_like(kept.qkv)
    into[bounds[-1] :] = 0
    for (start, stop), sums in zip(pairwise(bounds), kept.sums, strict=True):
        queries, keys, values = _heads(kept, start, stop)
        groups = len(keys)
        of_queries, of_keys, of_values = _backward(
            _by_group(gradient[start:stop], groups),
            queries,
            keys.expand_as(queries),
            values.expand_as(queries),
            _by_group(kept.attended[start:stop], groups),
            sums,
            0.0,
            True,
        )
        heads = gradient.shape[1]
        part = into[start:stop]
        _by_group(part[:, :heads], groups).copy_(of_queries)
        torch.sum(of_keys, 1, out=part[:, heads : heads + groups].transpose(0, 1))
        torch.sum(of_values, 1, out=part[:, heads + groups :].transpose(0, 1))
    return into


def _heads(kept: Kept, start: int, stop: int) -> tuple[Tensor, Tensor, Tensor]:
    """One sequence as the kernel reads it, without a copy: queries ``[kv_heads, group, length, head_size]``, keys and
    values ``[kv_heads, 1, length, head_size]``; the heads of a group share theirs."""
    part, heads = kept.qkv[start:stop], kept.attended.shape[1]
    groups = (part.shape[1] - heads) // 2
    keys, values = part[:, heads : heads + groups], part[:, heads + groups :]
    return _by_group(part[:, :heads], groups), _by_group(keys, groups), _by_group(values, groups)


def _by_group(x: Tensor, groups: int) -> Tensor:
    """``[length, heads, head_size]`` seen as ``[groups, heads / groups, length, head_size]``."""
    return x.unflatten(1, (groups, -1)).permute(1, 2, 0, 3)
