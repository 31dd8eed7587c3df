"""The parts that an index is made of, and how they come out of the vault and go into it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from edgeperso.errors import DiskFull, ReadOnly, VaultBusy
from edgeperso.index.attributes import Attributes, attributes_of, decode_attributes, encode_attributes
from edgeperso.index.blocks import Block, no_vectors
from edgeperso.index.payload import SegmentInvalid
from edgeperso.index.segment import Segment, build_segment, decode, encode
from edgeperso.index.words import ANALYZER_VERSION, Analyzer
from edgeperso.types import Int64

if TYPE_CHECKING:
    from edgeperso.vault import Vault

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
        pieces: number to ids of the stored pieces that hold its codes.
    """

    segment: Segment
    block: Block
    number: int | None = None
    pieces: dict[int, Int64] = field(default_factory=dict)

    @property
    def ids(self) -> Int64:
        return self.segment.ids

    def __len__(self) -> int:
        return len(self.segment.ids)


class PartStore:
    """Parts of one vault. A part is stored as two segments of one number, words and attributes, so that forgetting a
    memory drops all that holds it."""

    def __init__(self, vault: Vault, analyzer: Analyzer) -> None:
        self._vault = vault
        self._analyzer = analyzer

    def numbers(self) -> set[int]:
        """Numbers of the stored parts."""
        return set(self._vault.segments.numbers(_WORDS, _SPACE))

    def load(self, number: int) -> tuple[Part, Attributes] | None:
        """The stored part and its columns, without vectors; None, and it is dropped, where it isn't sound."""
        words = self._vault.segments.one(_WORDS, _SPACE, number)
        attributes = self._vault.segments.one(_ATTRIBUTES, _SPACE, number)
        if words is None or attributes is None:
            self.drop(number)
            return None
        ids = np.asarray(words.ids, dtype=np.int64)
        try:
            segment = decode(words.payload, _SPACE_KEY, ids)
            columns = decode_attributes(attributes.payload, _SPACE_KEY, ids)
        except SegmentInvalid:
            self.drop(number)
            return None
        return Part(segment, no_vectors(ids), number), columns

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
