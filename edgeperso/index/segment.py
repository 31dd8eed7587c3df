"""A segment: up to 4,096 memories' postings and columns, and their bytes in the vault.

The vault encrypts what it stores. The checksum here catches what encryption can't: a payload of an older form, of other
memories, of another language's stemmer, or one that a defect wrote. Such a payload is never used; the segment is built
anew from the vault's memories.

Layout, little-endian: magic ``EPSG``, version u16, reserved u16, BLAKE2b-128 of (space, ids, body), body. The body is
numpy's uncompressed npz without pickles.
"""

from __future__ import annotations

import hashlib
import io
import struct
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.embedding import passage_text

if TYPE_CHECKING:
    from edgeperso.index.words import Analyzer
    from edgeperso.types import Int64, Memory

__all__ = ["MAX_MEMORIES", "Segment", "SegmentInvalid", "Strings", "build_segment", "decode", "encode"]

MAX_MEMORIES = 4096
_MAGIC = b"EPSG"
_VERSION = 1
_HEAD = struct.Struct("<4sHH16s")
_STRING_COLUMNS = ("kind", "source", "scope", "thread", "author", "language")


class SegmentInvalid(Exception):
    """A stored payload isn't this segment's; internal to the index, which then builds it anew."""


@dataclass(frozen=True, slots=True)
class Strings:
    """A column of strings: ``values[codes[row]]``."""

    values: tuple[str, ...]
    codes: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Segment:
    """Postings and columns of ``n`` memories, by row; rows are in the order of ``ids``, ascending.

    The postings of term ``t`` (a number from ``terms``) are ``rows[starts[t]:starts[t + 1]]``, ascending, with the
    term's count in each of them in ``counts``.

    Attributes:
        ids: int64[n].
        terms: term to number.
        starts: int64[len(terms) + 1].
        rows: uint16[postings].
        counts: uint16[postings], capped at 65,535.
        lengths: int32[n], terms in each memory.
        when_ms: int64[n].
        position: int64[n], the place in the thread.
        digest: uint64[n], of the text with case and spacing ignored: equal for what a person would call the same.
        columns: ``kind source scope thread author language``.
    """

    ids: Int64
    terms: dict[str, int]
    starts: Int64
    rows: NDArray[np.uint16]
    counts: NDArray[np.uint16]
    lengths: NDArray[np.int32]
    when_ms: Int64
    position: Int64
    digest: NDArray[np.uint64]
    columns: dict[str, Strings]

    def postings(self, term: str) -> tuple[NDArray[np.uint16], NDArray[np.uint16]]:
        """Rows that hold ``term``, and how often."""
        number = self.terms.get(term)
        if number is None:
            return self.rows[:0], self.counts[:0]
        span = slice(self.starts[number], self.starts[number + 1])
        return self.rows[span], self.counts[span]


def build_segment(memories: Sequence[Memory], analyzer: Analyzer) -> Segment:
    """The segment of ``memories``, which are at most `MAX_MEMORIES`, by ascending id."""
    terms: dict[str, int] = {}
    triples: list[tuple[int, int, int]] = []
    lengths = np.zeros(len(memories), dtype=np.int32)
    for row, memory in enumerate(memories):
        found = analyzer.terms(passage_text(memory), memory.language)
        lengths[row] = len(found)
        for term, count in Counter(found).items():
            triples.append((terms.setdefault(term, len(terms)), row, min(count, 65_535)))
    table = np.array(triples, dtype=np.int64).reshape(-1, 3)
    table = table[np.argsort(table[:, 0], kind="stable")]
    return Segment(
        ids=np.array([memory.id for memory in memories], dtype=np.int64),
        terms=terms,
        starts=np.searchsorted(table[:, 0], np.arange(len(terms) + 1)).astype(np.int64),
        rows=table[:, 1].astype(np.uint16),
        counts=table[:, 2].astype(np.uint16),
        lengths=lengths,
        when_ms=np.array([memory.when_ms for memory in memories], dtype=np.int64),
        position=np.array([memory.position for memory in memories], dtype=np.int64),
        digest=np.array([_digest(memory.text) for memory in memories], dtype=np.uint64),
        columns={name: _strings([str(getattr(memory, name)) for memory in memories]) for name in _STRING_COLUMNS},
    )


def encode(segment: Segment, space: str) -> bytes:
    """``segment`` as the vault keeps it."""
    arrays: dict[str, NDArray[np.generic]] = {
        "terms": _pack(tuple(segment.terms)),
        "starts": segment.starts,
        "rows": segment.rows,
        "counts": segment.counts,
        "lengths": segment.lengths,
        "when_ms": segment.when_ms,
        "position": segment.position,
        "digest": segment.digest,
    }
    for name, column in segment.columns.items():
        arrays[f"{name}_values"] = _pack(column.values)
        arrays[f"{name}_codes"] = column.codes
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    body = buffer.getvalue()
    return _HEAD.pack(_MAGIC, _VERSION, 0, _checksum(space, segment.ids, body)) + body


def decode(payload: bytes, space: str, ids: Int64) -> Segment:
    """The segment of ``ids`` in ``payload``.

    Raises:
        SegmentInvalid: of another form, of other memories, or damaged.
    """
    if len(payload) < _HEAD.size:
        raise SegmentInvalid
    magic, version, _, checksum = _HEAD.unpack_from(payload)
    body = payload[_HEAD.size :]
    if (magic, version) != (_MAGIC, _VERSION) or checksum != _checksum(space, ids, body):
        raise SegmentInvalid
    try:
        with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
            return Segment(
                ids=ids,
                terms={term: number for number, term in enumerate(_unpack(arrays["terms"]))},
                starts=arrays["starts"],
                rows=arrays["rows"],
                counts=arrays["counts"],
                lengths=arrays["lengths"],
                when_ms=arrays["when_ms"],
                position=arrays["position"],
                digest=arrays["digest"],
                columns={
                    name: Strings(_unpack(arrays[f"{name}_values"]), arrays[f"{name}_codes"])
                    for name in _STRING_COLUMNS
                },
            )
    except (KeyError, OSError, ValueError, zipfile.BadZipFile):
        raise SegmentInvalid from None


def _checksum(space: str, ids: Int64, body: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (space.encode(), np.ascontiguousarray(ids).tobytes(), body):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def _digest(text: str) -> int:
    normal = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _strings(values: list[str]) -> Strings:
    codes: dict[str, int] = {}
    column = np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int32)
    return Strings(tuple(codes), column)


def _pack(values: tuple[str, ...]) -> NDArray[np.uint8]:
    """Strings as one array: each UTF-8 text after its length as u32."""
    parts: list[bytes] = []
    for value in values:
        raw = value.encode("utf-8", "surrogatepass")
        parts += (len(raw).to_bytes(4, "little"), raw)
    return np.frombuffer(b"".join(parts), dtype=np.uint8)


def _unpack(packed: NDArray[np.uint8]) -> tuple[str, ...]:
    raw = packed.tobytes()
    values: list[str] = []
    at = 0
    while at < len(raw):
        size = int.from_bytes(raw[at : at + 4], "little")
        values.append(raw[at + 4 : at + 4 + size].decode("utf-8", "surrogatepass"))
        at += 4 + size
    return tuple(values)
