"""The parts that an index is made of, and how they come out of the vault and go into it."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import DiskFull, ReadOnly, VaultBusy
from edgeperso.index.attributes import Attributes, attributes_of, decode_attributes, encode_attributes
from edgeperso.index.blocks import Block, no_vectors
from edgeperso.index.payload import SegmentInvalid
from edgeperso.index.segment import MAX_MEMORIES, Segment, build_segment, decode, encode
from edgeperso.index.words import ANALYZER_VERSION, Analyzer
from edgeperso.types import Int64

if TYPE_CHECKING:
    from edgeperso.vault import Vault
    from edgeperso.vault.segments import Segment as StoredSegment

__all__ = ["NUMBER_BITS", "Part", "PartStore", "number_of"]

_WORDS = "words"
_ATTRIBUTES = "attributes"
_SPACE = "default"
_SPACE_KEY = f"{_SPACE}:{ANALYZER_VERSION}"
NUMBER_BITS = 24


@dataclass(slots=True, eq=False)
class Part:
    """A segment of the index with its vectors.

    Attributes:
        segment: the words.
        block: the vectors.
        number: of the stored segments that hold its words, None for one that lives in memory alone.
        pieces: numbers of the stored pieces that hold its codes.
        complete: whether each memory has its vector.
    """

    segment: Segment
    block: Block
    number: int | None = None
    pieces: set[int] = field(default_factory=set)
    complete: bool = False

    @property
    def ids(self) -> Int64:
        return self.segment.ids

    def __len__(self) -> int:
        return len(self.segment.ids)

    def without(self, gone: Collection[int]) -> NDArray[np.bool_]:
        """bool[n]: which memories aren't among ``gone``."""
        keep = np.ones(len(self), dtype=np.bool_)
        ids = np.array(sorted(gone), dtype=np.int64)
        at = np.minimum(np.searchsorted(self.ids, ids), len(self) - 1)
        keep[at[self.ids[at] == ids]] = False
        return keep

    @property
    def is_small(self) -> bool:
        """Whether another one may be put together with it."""
        return len(self) < MAX_MEMORIES // 2


class PartStore:
    """Parts of one vault. A part is stored as two segments of one number, words and attributes, so that forgetting a
    memory drops all that holds it."""

    def __init__(self, vault: Vault, analyzer: Analyzer) -> None:
        self._vault = vault
        self._analyzer = analyzer

    def numbers(self) -> set[int]:
        """Numbers of the stored parts."""
        return set(self._vault.segments.numbers(_WORDS, _SPACE))

    def load(self, numbers: Sequence[int]) -> list[tuple[Part, Attributes]]:
        """The sound ones of the stored parts, with their columns, without vectors; others are dropped."""
        if self._vault.database.in_transaction:  # which another thread would wait for
            return [found for number in numbers if (found := self._decoded(*self._read(number))) is not None]
        with ThreadPoolExecutor(1) as reader:  # one is read and decrypted while another is decoded
            return [found for read in reader.map(self._read, numbers) if (found := self._decoded(*read)) is not None]

    def _read(self, number: int) -> tuple[int, StoredSegment | None, StoredSegment | None]:
        words = self._vault.segments.one(_WORDS, _SPACE, number)
        return number, words, self._vault.segments.one(_ATTRIBUTES, _SPACE, number)

    def _decoded(
        self, number: int, words: StoredSegment | None, attributes: StoredSegment | None
    ) -> tuple[Part, Attributes] | None:
        if words is not None and attributes is not None:
            ids = np.asarray(words.ids, dtype=np.int64)
            try:
                segment = decode(words.payload, _SPACE_KEY, ids)
                columns = decode_attributes(attributes.payload, _SPACE_KEY, ids)
            except SegmentInvalid:
                pass
            else:
                return Part(segment, no_vectors(ids), number), columns
        self.drop(number)
        return None

    def unchanged(self, part: Part, since: int) -> NDArray[np.bool_]:
        """bool[n]: which memories of ``part`` are as they were at the generation ``since``."""
        there = self._vault.segments.unchanged(int(part.ids[0]), int(part.ids[-1]), since)
        return np.asarray(np.append(there, -1)[np.searchsorted(there, part.ids)] == part.ids)

    def build(self, ids: Int64) -> tuple[Part, Attributes] | None:
        """A part of the memories ``ids``, by the texts that the vault has now; None where they are no more."""
        memories = self._vault.memories.get(ids.tolist())
        if not memories:
            return None
        segment = build_segment(memories, self._analyzer)
        return Part(segment, no_vectors(segment.ids)), attributes_of(memories)

    def keep(self, part: Part, attributes: Attributes, generation: int, replaced: Sequence[int] = ()) -> None:
        """Store the words and columns of ``part`` in the place of the parts ``replaced``, if the vault can be written
        and is still as it was at ``generation``."""
        words = encode(part.segment, _SPACE_KEY)
        columns = encode_attributes(attributes, _SPACE_KEY, part.ids)
        number = number_of(part.ids, generation)
        try:
            with self._vault.transaction():
                # A memory may have been edited or forgotten since it was read: its old words must not come back.
                if self._vault.generation != generation:
                    return
                for old in replaced:
                    self._drop(old)
                self._vault.segments.put(_WORDS, _SPACE, number, part.ids, words)
                self._vault.segments.put(_ATTRIBUTES, _SPACE, number, part.ids, columns)
        except (ReadOnly, DiskFull, VaultBusy):
            return
        part.number = number

    def drop(self, number: int) -> None:
        try:
            with self._vault.transaction():
                self._drop(number)
        except (ReadOnly, DiskFull, VaultBusy):
            return

    def _drop(self, number: int) -> None:
        self._vault.segments.drop(_WORDS, _SPACE, number)
        self._vault.segments.drop(_ATTRIBUTES, _SPACE, number)


def number_of(ids: Int64, generation: int) -> int:
    """A number for the stored segments of ``ids``: they sort by their first id, and no others, nor the same ones after
    a change, have the same number."""
    digest = hashlib.blake2b(ids.tobytes() + generation.to_bytes(8, "little"), digest_size=NUMBER_BITS // 8).digest()
    return (int(ids[0]) << NUMBER_BITS) | int.from_bytes(digest, "little")
