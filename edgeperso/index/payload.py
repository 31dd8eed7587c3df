"""A few arrays as the bytes that the vault keeps.

The vault encrypts what it stores and proves each page. The checksum here catches what that can't: a payload of an older
form, of other memories, of another embedder or another language's stemmer, or one that a defect wrote. Such a payload
is never used; what it held is built anew.

Layout, little-endian: magic ``EPSG``, version u16, number of arrays u16, BLAKE2b-128 of (kind, space, ids, length and
CRC-32 of the body); the body: the size of each array in bytes as u64, then the arrays, each filled up to 8 bytes. They
are used where they lie, without a copy.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Int64

__all__ = ["PER_ROW", "SegmentInvalid", "narrowed", "pack_strings", "seal", "unpack_strings", "unseal"]

_MAGIC = b"EPSG"
_VERSION = 2
_HEAD = struct.Struct("<4sHH16s")
_ALIGNMENT = 8
PER_ROW = "per row"
"""In place of a dtype: one signed number for each memory, as wide as the size of the array says."""


class SegmentInvalid(Exception):
    """A stored payload isn't this segment's; internal to the index, which then builds it anew."""


def seal(kind: str, space: str, ids: Int64, arrays: Sequence[NDArray[np.generic]]) -> bytes:
    """``arrays`` of the memories ``ids`` as one payload."""
    sizes = [array.nbytes for array in arrays]
    parts = [struct.pack(f"<{len(sizes)}Q", *sizes)]
    for array in arrays:
        parts += (array.tobytes(), bytes(-array.nbytes % _ALIGNMENT))
    body = b"".join(parts)
    return _HEAD.pack(_MAGIC, _VERSION, len(arrays), _checksum(kind, space, ids, memoryview(body))) + body


def unseal(
    payload: bytes | memoryview, kind: str, space: str, ids: Int64, dtypes: Sequence[str]
) -> list[NDArray[np.generic]]:
    """The arrays in ``payload``, flat and read-only, as ``dtypes`` (or `PER_ROW`).

    Raises:
        SegmentInvalid: of another form, of other memories, or damaged.
    """
    if len(payload) < _HEAD.size:
        raise SegmentInvalid
    magic, version, count, checksum = _HEAD.unpack_from(payload)
    if (magic, version, count) != (_MAGIC, _VERSION, len(dtypes)):
        raise SegmentInvalid
    if checksum != _checksum(kind, space, ids, memoryview(payload)[_HEAD.size :]):
        raise SegmentInvalid
    try:
        sizes = struct.unpack_from(f"<{count}Q", payload, _HEAD.size)
        at = _HEAD.size + 8 * count
        found = []
        for size, dtype in zip(sizes, dtypes, strict=True):
            kept = np.dtype(dtype if dtype != PER_ROW else f"<i{(size // max(len(ids), 1)) or 1}")
            found.append(np.frombuffer(payload, kept, size // kept.itemsize, at))
            at += size + -size % _ALIGNMENT
    except (ValueError, TypeError, OverflowError, struct.error):
        raise SegmentInvalid from None
    return found


def narrowed(numbers: NDArray[np.signedinteger[Any]]) -> NDArray[np.signedinteger[Any]]:
    """``numbers`` in as few bytes each as hold all of them, for `PER_ROW`."""
    least, most = int(numbers.min(initial=0)), int(numbers.max(initial=0))
    wide = next(bits for bits in (8, 16, 32, 64) if -(1 << bits - 1) <= least and most < 1 << bits - 1)
    return numbers.astype(f"<i{wide // 8}")


def _checksum(kind: str, space: str, ids: Int64, body: memoryview) -> bytes:
    digest = hashlib.blake2b(digest_size=16)
    for part in (kind.encode(), space.encode(), np.ascontiguousarray(ids).tobytes()):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    digest.update(struct.pack("<QI", len(body), zlib.crc32(body)))
    return digest.digest()


def pack_strings(values: Sequence[str]) -> list[NDArray[np.generic]]:
    """Strings as two arrays, for `unpack_strings`: int32 ends, uint8 UTF-8."""
    raw = [value.encode("utf-8", "surrogatepass") for value in values]
    ends = np.cumsum([len(part) for part in raw], dtype=np.int64).astype(np.int32)
    return [ends, np.frombuffer(b"".join(raw), dtype=np.uint8)]


def unpack_strings(ends: NDArray[np.generic], packed: NDArray[np.generic]) -> tuple[str, ...]:
    """Raises:
    SegmentInvalid: the bytes aren't those of strings.
    """
    raw, start, values = packed.tobytes(), 0, []
    try:
        for end in ends.tolist():
            values.append(raw[start:end].decode("utf-8", "surrogatepass"))
            start = end
    except UnicodeDecodeError:
        raise SegmentInvalid from None
    return tuple(values)
