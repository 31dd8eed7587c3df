"""What a segment knows of its memories beside their words, and its bytes in the vault."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edgeperso.index.payload import PER_ROW, SegmentInvalid, narrowed, pack_strings, seal, unpack_strings, unseal

if TYPE_CHECKING:
    from edgeperso.types import Int64, Memory

__all__ = ["STRING_COLUMNS", "Attributes", "Strings", "attributes_of", "decode_attributes", "encode_attributes"]

STRING_COLUMNS = ("kind", "source", "scope", "thread", "author", "language")
_KIND = "attributes"
_DTYPES = ("<i8", PER_ROW, "<u8", *("<i4", "u1", PER_ROW) * len(STRING_COLUMNS))


@dataclass(frozen=True, slots=True, eq=False)
class Strings:
    """A column of strings: ``values[codes[row]]``, the codes of any width."""

    values: Sequence[str]
    codes: NDArray[np.signedinteger[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Attributes:
    """Columns of ``n`` memories, by row.

    Attributes:
        when_ms: int64[n].
        position: int[n] of any width, the place in the thread.
        digest: uint64[n], of the text with case and spacing ignored: equal for what a person would call the same.
        strings: ``kind source scope thread author language``.
    """

    when_ms: Int64
    position: NDArray[np.signedinteger[Any]]
    digest: NDArray[np.uint64]
    strings: dict[str, Strings]


def attributes_of(memories: Sequence[Memory]) -> Attributes:
    return Attributes(
        when_ms=np.array([memory.when_ms for memory in memories], dtype=np.int64),
        position=np.array([memory.position for memory in memories], dtype=np.int64),
        digest=np.array([_digest(memory.text) for memory in memories], dtype=np.uint64),
        strings={name: _strings([str(getattr(memory, name)) for memory in memories]) for name in STRING_COLUMNS},
    )


def encode_attributes(attributes: Attributes, space: str, ids: Int64) -> bytes:
    """The columns of the memories ``ids`` as the vault keeps them."""
    arrays: list[NDArray[np.generic]] = [attributes.when_ms, narrowed(attributes.position), attributes.digest]
    for column in attributes.strings.values():
        arrays += (*pack_strings(column.values), narrowed(column.codes))
    return seal(_KIND, space, ids, arrays)


def decode_attributes(payload: bytes, space: str, ids: Int64) -> Attributes:
    """The columns of the memories ``ids`` in ``payload``.

    Raises:
        SegmentInvalid: of another form, of other memories, or damaged.
    """
    when_ms, position, digest, *rest = unseal(payload, _KIND, space, ids, _DTYPES)
    strings = {}
    for name, ends, packed, codes in zip(STRING_COLUMNS, rest[::3], rest[1::3], rest[2::3], strict=True):
        column = Strings(unpack_strings(ends, packed), codes)  # type: ignore[arg-type]
        known = column.codes
        if len(known) != len(ids) or (len(known) and not 0 <= int(known.min()) <= int(known.max()) < len(ends)):
            raise SegmentInvalid
        strings[name] = column
    if not len(when_ms) == len(position) == len(digest) == len(ids):
        raise SegmentInvalid
    return Attributes(when_ms, position, digest, strings)  # type: ignore[arg-type]


def _digest(text: str) -> int:
    normal = " ".join(text.casefold().split())
    return int.from_bytes(hashlib.blake2b(normal.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")


def _strings(values: list[str]) -> Strings:
    codes: dict[str, int] = {}
    column = np.array([codes.setdefault(value, len(codes)) for value in values], dtype=np.int32)
    return Strings(tuple(codes), column)
