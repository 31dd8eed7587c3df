"""A bounded reader of GGUF headers: is this a whole model file, before llama.cpp is let near it?

llama.cpp may end the process on a damaged file, so magic, version, every count and length, and every tensor's place
are checked against the file's size here. Nothing is allocated by a number that the file claims. Tensor data is not
read: a flipped bit in the weights shows only in the sha256. Where each tensor lies is told to those who read weights
themselves.

Source: the GGUF specification, version 3 (ggml, docs/gguf.md).
"""

from __future__ import annotations

import math
import mmap
import struct
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

from edgeperso.errors import ModelCorrupt, ModelNotFound, ModelUnsupported

__all__ = ["TENSOR_BLOCKS", "GgufHeader", "TensorPlace", "check_model_file", "read_header"]

Scalar = int | float | bool | str

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_MAX_ENTRIES = 1 << 16
_MAX_NAME_BYTES = 1 << 16
_MAX_DIMENSIONS = 4
_STRING, _ARRAY = 8, 9
_SCALARS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
TENSOR_BLOCKS = {  # ggml tensor type: (elements in a block, bytes of a block)
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36),
    10: (256, 84), 11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66),
    17: (256, 74), 18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136),
    24: (1, 1), 25: (1, 2), 26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54),
    35: (256, 66), 39: (32, 17), 40: (64, 36),
}  # fmt: skip
_BOUNDS = {  # numbers that llama.cpp allocates by or asserts; models without attention have 0 heads
    "block_count": (1, 512),
    "context_length": (1, 1 << 30),
    "embedding_length": (1, 1 << 20),
    "attention.head_count": (0, 1 << 16),
    "feed_forward_length": (0, 1 << 24),
}
_TOKENS = "tokenizer.ggml.tokens"


@dataclass(frozen=True, slots=True)
class TensorPlace:
    """Where a tensor lies in its file. ``shape`` is in ggml's order, the row's length first; ``kind`` is ggml's tensor
    type (see `dequantize`), ``offset`` counts bytes from the file's start. A kind of which the size is not known here
    has ``size_bytes`` 0."""

    name: str
    shape: tuple[int, ...]
    kind: int
    offset: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class GgufHeader:
    """What a GGUF file says of itself. ``metadata`` holds scalars and strings, ``array_lengths`` the arrays' sizes,
    ``tensors`` the tensors by name, in the file's order."""

    version: int
    metadata: Mapping[str, Scalar]
    array_lengths: Mapping[str, int]
    tensors: Mapping[str, TensorPlace]

    @property
    def architecture(self) -> str:
        return str(self.metadata["general.architecture"])


def check_model_file(path: Path) -> GgufHeader:
    """Read and check the header of ``path``.

    Raises:
        ModelNotFound: no such file, or it can't be read.
        ModelCorrupt: not GGUF, truncated, or a header that contradicts itself or the file's size.
        ModelUnsupported: a GGUF version, or something other than a model, that llama.cpp doesn't load.
    """
    try:
        with path.open("rb") as file:
            if file.read(4) != _MAGIC:
                raise ModelCorrupt(f"{path.name} is not a GGUF file.", hint="Give the path of a model in GGUF format.")
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
                return _Reader(path.name, data).header()
    except OSError:
        raise ModelNotFound(f"The model file {path} is missing or can't be read.") from None


def read_header(name: str, data: bytes) -> GgufHeader:
    """Read and check the header of a GGUF file in memory, called ``name`` in messages.

    Raises:
        As `check_model_file`.
    """
    if data[: len(_MAGIC)] != _MAGIC:
        raise ModelCorrupt(f"{name} is not a GGUF file.")
    return _Reader(name, data).header()


class _Reader:
    """A cursor over the file; every read is checked against its end."""

    def __init__(self, name: str, data: mmap.mmap | bytes) -> None:
        self._name = name
        self._data = data
        self._at = len(_MAGIC)

    def header(self) -> GgufHeader:
        version = self._number("<I")
        if version not in _VERSIONS:
            if version == 1 or version in (2 << 24, 3 << 24) or version > 1 << 16:
                self._corrupt(f"has version {version}")
            raise ModelUnsupported(
                f"{self._name} is GGUF version {version}.", hint="Versions 2 and 3 are read; upgrade edgeperso."
            )
        tensors = self._count("tensors")
        entries = self._count("metadata entries")
        metadata: dict[str, Scalar] = {}
        lengths: dict[str, int] = {}
        for _ in range(entries):
            key = self._string(_MAX_NAME_BYTES)
            if key in metadata or key in lengths:
                self._corrupt("says the same thing twice")
            kind = self._number("<I")
            if kind == _ARRAY:
                lengths[key] = self._skip_array(unique=key == _TOKENS)
            else:
                metadata[key] = self._value(kind)
        self._check_metadata(metadata)
        self._check_vocabulary(lengths)
        return GgufHeader(version, metadata, lengths, self._tensors(tensors, metadata))

    def _value(self, kind: int) -> Scalar:
        if kind == _STRING:
            return self._string(len(self._data))
        if kind not in _SCALARS:
            self._corrupt(f"has a value of unknown type {kind}")
        value: Scalar = self._unpack(_SCALARS[kind])
        return value

    def _skip_array(self, *, unique: bool) -> int:
        kind = self._number("<I")
        length = self._number("<Q")
        if kind == _STRING:
            if length > (len(self._data) - self._at) // 8:
                self._corrupt("is cut off")
            seen: set[bytes] = set()
            for _ in range(length):
                size = self._number("<Q")
                start = self._at
                self._advance(size)
                if unique:
                    # llama.cpp reads up to a zero byte, names what is empty by its place, and aborts on a repetition.
                    seen.add(self._data[start : self._at].partition(b"\0")[0] or b"\0%d" % len(seen))
            if unique and len(seen) < length:
                self._corrupt("has the same token twice")
        elif kind in _SCALARS:
            self._advance(length * struct.calcsize(_SCALARS[kind]))
        else:
            self._corrupt(f"has an array of unknown type {kind}")
        return length

    def _check_vocabulary(self, lengths: Mapping[str, int]) -> None:
        """llama.cpp reads these side by side, by the first one's length."""
        tokens = lengths.get(_TOKENS)
        beside = [lengths.get(f"tokenizer.ggml.{name}", tokens) for name in ("scores", "token_type")]
        if any(length != tokens for length in beside):
            self._corrupt("has a vocabulary of two lengths")

    def _check_metadata(self, metadata: Mapping[str, Scalar]) -> None:
        """The numbers that llama.cpp divides and allocates by."""
        architecture = metadata.get("general.architecture")
        if not isinstance(architecture, str) or not architecture:
            self._corrupt("doesn't name its architecture")
        for name, (least, most) in _BOUNDS.items():
            value = metadata.get(f"{architecture}.{name}")
            if value is not None and (not isinstance(value, int) or not least <= value <= most):
                self._corrupt(f"has an impossible {name}")
        width, heads = (metadata.get(f"{architecture}.{name}") for name in ("embedding_length", "attention.head_count"))
        groups = metadata.get(f"{architecture}.attention.head_count_kv")
        if isinstance(heads, int) and isinstance(groups, int) and not 0 <= groups <= heads:
            self._corrupt("has an impossible attention.head_count_kv")
        if isinstance(width, int) and isinstance(heads, int) and heads > width:
            self._corrupt("has an impossible attention.head_count")
        alignment = metadata.get("general.alignment", 32)
        if not isinstance(alignment, int) or alignment < 8 or alignment > 1 << 20 or alignment & (alignment - 1):
            self._corrupt("has an impossible alignment")

    def _tensors(self, count: int, metadata: Mapping[str, Scalar]) -> dict[str, TensorPlace]:
        alignment = int(metadata.get("general.alignment", 32))
        places: dict[str, TensorPlace] = {}
        for _ in range(count):
            place = self._tensor(alignment)
            if place.name in places:
                self._corrupt("has the same tensor twice")
            places[place.name] = place
        start = -(-self._at // alignment) * alignment
        end = start + max((place.offset + place.size_bytes for place in places.values()), default=0)
        if end > len(self._data):
            self._corrupt(f"is cut off: {end} bytes are needed and {len(self._data)} are there")
        return {name: replace(place, offset=start + place.offset) for name, place in places.items()}

    def _tensor(self, alignment: int) -> TensorPlace:
        """The next tensor, its offset from the end of the header yet."""
        name = self._string(_MAX_NAME_BYTES)
        dimensions = self._number("<I")
        if not 0 < dimensions <= _MAX_DIMENSIONS:
            self._corrupt(f"has a tensor of {dimensions} dimensions")
        shape = tuple(self._number("<Q") for _ in range(dimensions))
        kind, offset = self._number("<I"), self._number("<Q")
        block, size = TENSOR_BLOCKS.get(kind, (1, 0))
        elements = math.prod(shape)
        if elements == 0 or elements % block or offset % alignment:
            self._corrupt("has a tensor of an impossible shape or place")
        return TensorPlace(name, shape, kind, offset, elements // block * size)

    def _count(self, what: str) -> int:
        count = self._number("<Q")
        if count > _MAX_ENTRIES:
            self._corrupt(f"claims {count} {what}")
        return count

    def _string(self, most: int) -> str:
        length = self._number("<Q")
        if length > most:
            self._corrupt("has an overlong name")
        start = self._at
        self._advance(length)
        return self._data[start : self._at].decode("utf-8", "replace")

    def _number(self, form: str) -> int:
        return int(self._unpack(form))

    def _unpack(self, form: str) -> int | float | bool:
        start = self._at
        self._advance(struct.calcsize(form))
        value: int | float | bool = struct.unpack_from(form, self._data, start)[0]
        return value

    def _advance(self, count: int) -> None:
        if count > len(self._data) - self._at:
            self._corrupt("is cut off")
        self._at += count

    def _corrupt(self, what: str) -> NoReturn:
        raise ModelCorrupt(f"{self._name} {what}.")
