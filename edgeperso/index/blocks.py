"""Vectors of one segment as the index holds them: whole in a small vault, as short codes in a large one.

A million vectors of 384 dimensions take 768 MB as float16, more than all of the index may. Their codes take 48 MB (one
bit for each dimension) and 384 MB (one byte): the first finds a thousand candidates, the second ranks them, and the
vault has the exact vectors for the best.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index.codes import codes_of
from edgeperso.index.scoring import CodeBlock, VectorBlock
from edgeperso.secrecy import private, secret_array
from edgeperso.types import Float32, Int64

__all__ = [
    "BitStages",
    "Block",
    "block_of",
    "dim_of",
    "kept",
    "lacks_codes",
    "no_vectors",
    "unpacked",
]


Block = VectorBlock | CodeBlock


def block_of(ids: Int64, found: Int64, vectors: NDArray[np.float16], *, whole: bool) -> Block:
    """The vectors of ``ids`` out of ``found`` (ascending), ``whole`` or as codes."""
    out = secret_array((len(ids), vectors.shape[1]), np.float16)
    present = np.zeros(len(ids), dtype=np.bool_)
    if len(found):
        at = np.minimum(np.searchsorted(found, ids), len(found) - 1)
        present = found[at] == ids
        out[present] = vectors[at[present]]
    if whole:
        return VectorBlock(out, present)
    bits, codes, scales = codes_of(out)
    return CodeBlock(private(bits), private(codes), scales, present)


def kept(block: Block, keep: NDArray[np.bool_]) -> Block:
    """The rows where ``keep`` (bool[n]), copied: nothing of the others stays in memory."""
    if isinstance(block, VectorBlock):
        return VectorBlock(private(block.vectors[keep]), block.present[keep])
    return CodeBlock(private(block.bits[keep]), private(block.codes[keep]), block.scales[keep], block.present[keep])


def dim_of(block: Block) -> int:
    return int((block.vectors if isinstance(block, VectorBlock) else block.codes).shape[1])


def unpacked(blocks: Sequence[Block], rows: Sequence[int], dim: int) -> Float32:
    """float32[len(rows), dim]: the vector of a row of each of ``blocks``, of codes as near as they tell."""
    out = np.zeros((len(rows), dim), dtype=np.float32)
    scales = np.ones(len(rows), dtype=np.float32)
    # One by one: in a large vault hardly two of them are of one block.
    for place, (block, row) in enumerate(zip(blocks, rows, strict=True)):
        if isinstance(block, CodeBlock):
            out[place, : dim_of(block)] = block.codes[row]
            scales[place] = block.scales[row]
        else:
            out[place, : dim_of(block)] = block.vectors[row]
    return out * scales[:, np.newaxis]


def lacks_codes(block: Block) -> bool:
    """Whether only the bits are in memory yet."""
    return isinstance(block, CodeBlock) and block.codes.shape[1] == 0 and bool(block.present.any())


def no_vectors(ids: Int64) -> Block:
    return block_of(ids, ids[:0], np.zeros((0, 0), dtype=np.float16), whole=True)


class BitStages:
    """The stages of a search while codes are still being read: bits alone.

    The angle between two vectors is about the share of bits in which they differ times pi. Source: Charikar,
    "Similarity estimation techniques from rounding algorithms", 2002, with the axes as hyperplanes.
    """

    def __init__(self, blocks: Sequence[CodeBlock]) -> None:
        self._blocks = blocks
        self._starts = np.cumsum([0, *(len(block.present) for block in blocks)])

    def nearest(
        self,
        bits: NDArray[np.uint8],
        codes: NDArray[np.int8],
        candidates: int,  # noqa: ARG002 - nothing follows that could choose among more
        keep: int,
        mask: NDArray[np.bool_] | None = None,
    ) -> tuple[Int64, Float32]:
        far = 8 * len(bits) + 1
        distance = np.empty(int(self._starts[-1]), dtype=np.uint32)
        for block, start, end in zip(self._blocks, self._starts, self._starts[1:], strict=False):
            distance[start:end] = _distances(block.bits, bits)
            distance[start:end][~block.present] = far
        if mask is not None:
            distance[~mask] = far
        keep = min(keep, len(distance))
        rows = np.flatnonzero(distance <= np.partition(distance, keep - 1)[keep - 1]) if keep else np.zeros(0, np.int64)
        rows = rows[distance[rows] < far]
        rows = rows[np.lexsort((rows, distance[rows]))][:keep]
        return rows, _cosines(distance[rows], codes)

    def estimates(self, codes: NDArray[np.int8], rows: Int64) -> Float32:
        out = np.full(len(rows), np.nan, dtype=np.float32)
        bits = np.packbits(codes > 0)
        order = np.argsort(rows)
        bounds = np.searchsorted(rows[order], self._starts)
        for block, start, first, end in zip(self._blocks, self._starts, bounds, bounds[1:], strict=False):
            chosen = order[first:end]
            chosen = chosen[block.present[rows[chosen] - start]]
            if len(chosen):
                out[chosen] = _cosines(_distances(block.bits[rows[chosen] - start], bits), codes)
        return out

    def moments(self, codes: NDArray[np.int8], step: int) -> tuple[float, float]:
        estimates = self.estimates(codes, np.arange(0, self._starts[-1], step))
        known = estimates[~np.isnan(estimates)]
        return (float(known.mean()), float(known.std())) if len(known) else (0.0, 0.0)


def _distances(rows: NDArray[np.uint8], bits: NDArray[np.uint8]) -> NDArray[np.uint32]:
    """uint32[n]: in how many bits each of ``rows`` (uint8[n, width]) differs from ``bits``."""
    if kernels.AVAILABLE:
        from edgeperso._native import hamming

        return hamming(np.ascontiguousarray(rows), bits)
    return np.asarray(np.bitwise_count(rows ^ bits).sum(axis=1), dtype=np.uint32)


def _cosines(distances: NDArray[np.uint32], codes: NDArray[np.int8]) -> Float32:
    """Cosines as `Stages` gives them, without the question's scale: one over the length of its codes."""
    length = np.linalg.norm(codes.astype(np.float32))
    return np.asarray(length * np.cos(np.pi * distances / len(codes)), dtype=np.float32)
