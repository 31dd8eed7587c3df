"""Codes of vectors as segments of the vault, bits apart from bytes, so that a search can start on the bits."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import DiskFull, ReadOnly, VaultBusy
from edgeperso.index.blocks import Block, block_of, lacks_codes
from edgeperso.index.parts import NUMBER_BITS, Part, number_of
from edgeperso.index.payload import SegmentInvalid, seal, unseal
from edgeperso.index.room import Room
from edgeperso.index.scoring import CodeBlock
from edgeperso.types import Int64

if TYPE_CHECKING:
    from edgeperso.vault import Vault
    from edgeperso.vault.segments import Segment

__all__ = ["CodeStore"]

_BITS = "bits"
_CODES = "codes"
_PIECE = 512
"""So many memories' codes are one piece: forgetting one of them drops 0.2 MB, not all that its part has."""
_LEAST = 256
"""Fewer aren't stored: reading their vectors is as quick."""


class CodeStore:
    """Stored codes in one embedder's space. A piece is two segments of one number, bits and codes, of memories that all
    have a vector."""

    def __init__(self, vault: Vault, embedder_id: str) -> None:
        self._vault = vault
        self._embedder_id = embedder_id
        self._rooms = Room(0, 0, np.uint8), Room(0, 0, np.int8)

    def expect(self, rows: int, dim: int) -> None:
        """Make room for the bits and codes of so many memories."""
        if rows > self._rooms[0].left:
            self._rooms = Room(rows, -(-dim // 8), np.uint8), Room(rows, dim, np.int8)

    def numbers(self, parts: Sequence[Part]) -> list[int]:
        """Numbers of the stored pieces that may be of ``parts``, ascending."""
        if not parts:
            return []
        first, last = min(int(part.ids[0]) for part in parts), max(int(part.ids[-1]) for part in parts)
        numbers = self._vault.segments.numbers
        return numbers(_BITS, self._embedder_id, first << NUMBER_BITS, ((last + 1) << NUMBER_BITS) - 1)

    def vectors(self, ids: Int64, *, whole: bool) -> Block:
        """The block of ``ids`` (ascending) from the vault's own vectors."""
        found, vectors = self._vault.vectors.load(self._embedder_id, int(ids[0]) - 1, int(ids[-1]))
        return block_of(ids, found, vectors, whole=whole)

    def bits(self, part: Part, numbers: list[int], dim: int) -> CodeBlock | None:
        """The stored bits of all of ``part``, None where they aren't whole; its ``pieces`` are set to the sound ones
        out of ``numbers``."""
        width = -(-dim // 8)
        bits = self._rooms[0].take(len(part), width)
        held = np.zeros(len(part), dtype=np.bool_)
        for number in _starting_in(part.ids, numbers):
            stored = self._vault.segments.one(_BITS, self._embedder_id, number)
            if stored is None:
                continue
            ids = np.asarray(stored.ids, dtype=np.int64)
            at = np.minimum(np.searchsorted(part.ids, ids), len(part) - 1)
            fits = bool((part.ids[at] == ids).all()) and not held[at].any()
            found = self._arrays(stored, _BITS, ("u1",)) if fits else None
            if found is None or found[0].size != len(ids) * width:
                self.drop(number)
                continue
            bits[at] = found[0].reshape(len(ids), width)
            held[at] = True
            part.pieces.add(number)
        if not held.all():
            return None
        codes, scales = np.zeros((len(part), 0), np.int8), np.zeros(len(part), np.float32)
        return CodeBlock(bits, codes, scales, held)

    def codes(self, part_ids: Int64, pieces: Iterable[int], block: CodeBlock, dim: int) -> CodeBlock:
        """``block`` with its codes: the stored ones, or all from the vectors where one isn't sound."""
        codes = self._rooms[1].take(len(part_ids), dim)
        scales = np.zeros(len(part_ids), dtype=np.float32)
        for number in pieces:
            stored = self._vault.segments.one(_CODES, self._embedder_id, number)
            found = self._arrays(stored, _CODES, ("i1", "<f4")) if stored is not None else None
            ids = part_ids[:0] if stored is None else np.asarray(stored.ids, dtype=np.int64)
            fits = found is not None and found[0].size == len(ids) * dim and found[1].size == len(ids)
            if found is None or not fits or not np.isfinite(found[1]).all():
                self.drop(number)
                made = self.vectors(part_ids, whole=False)
                assert isinstance(made, CodeBlock)
                return made
            at = np.searchsorted(part_ids, ids)
            codes[at] = found[0].reshape(len(ids), dim)
            scales[at] = found[1]
        return CodeBlock(block.bits, codes, scales, block.present)

    def _arrays(self, stored: Segment, kind: str, dtypes: Sequence[str]) -> list[NDArray[np.generic]] | None:
        try:
            return unseal(stored.payload, kind, self._embedder_id, np.asarray(stored.ids, dtype=np.int64), dtypes)
        except SegmentInvalid:
            return None

    def keep(self, part: Part, numbers: list[int], generation: int) -> None:
        """Store what of the codes of ``part`` isn't among the pieces ``numbers``, if the vault can be written and is
        still as it was at ``generation``."""
        block = part.block
        part.pieces.intersection_update(numbers)
        if not isinstance(block, CodeBlock) or lacks_codes(block):
            return
        pieces = [self._vault.segments.one(_BITS, self._embedder_id, number) for number in part.pieces]
        held = np.isin(part.ids, np.concatenate([part.ids[:0], *(piece.ids for piece in pieces if piece is not None)]))
        rows = np.flatnonzero(block.present & ~held)
        for start in range(0, len(rows), _PIECE):
            chosen = rows[start : start + _PIECE]
            if len(chosen) >= _LEAST:
                self._put(part, block, chosen, generation)

    def _put(self, part: Part, block: CodeBlock, rows: Int64, generation: int) -> None:
        ids = part.ids[rows]
        bits = seal(_BITS, self._embedder_id, ids, [block.bits[rows]])
        codes = seal(_CODES, self._embedder_id, ids, [block.codes[rows], block.scales[rows]])
        number = number_of(ids, generation)
        try:
            with self._vault.transaction():
                # A memory may have been edited or forgotten since: its old vector must not come back.
                if self._vault.generation != generation:
                    return
                self._vault.segments.put(_BITS, self._embedder_id, number, ids, bits)
                self._vault.segments.put(_CODES, self._embedder_id, number, ids, codes)
        except (ReadOnly, DiskFull, VaultBusy):
            return
        part.pieces.add(number)

    def drop(self, number: int) -> None:
        try:
            with self._vault.transaction():
                for kind in (_BITS, _CODES):
                    self._vault.segments.drop(kind, self._embedder_id, number)
        except (ReadOnly, DiskFull, VaultBusy):
            return


def _starting_in(ids: Int64, numbers: list[int]) -> list[int]:
    """Those of ``numbers`` (ascending) whose first memory is one of ``ids``."""
    first, last = int(ids[0]) << NUMBER_BITS, (int(ids[-1]) + 1) << NUMBER_BITS
    near = np.array(numbers[bisect_left(numbers, first) : bisect_right(numbers, last)], dtype=np.int64)
    return [int(number) for number in near[np.isin(near >> NUMBER_BITS, ids)]]
