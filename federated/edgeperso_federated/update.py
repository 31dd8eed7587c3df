"""What a client sends: named tensors, a weight and a few metrics; and the schema that says what may be sent at all.

Tensors are changes against the round's global ones: what is clipped, masked, summed and averaged. Their names are
``blk.0.attn_q.b`` and ``blk.0.attn_q.a`` for a matrix's two factors, and ``soft`` for a soft prompt.

On the wire an update is a form of our own, since nothing from a stranger is unpickled or unzipped; all little endian:

    "EPFU", u16 version (1), u16 tensors, u16 metrics, u32 examples
    per tensor, names ascending:  u16 length, ASCII name, u8 axes, u32 per axis, float32 values in C order
    per metric, names ascending:  u16 length, ASCII name, float64

Nothing follows. Reading allocates no more than what was received.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso.types import Float32
from edgeperso_federated.errors import Fault, UpdateInvalid

__all__ = [
    "MAX_EXAMPLES",
    "MAX_UPDATE_BYTES",
    "Field",
    "Schema",
    "Tensors",
    "Update",
    "check_layout",
    "check_update",
    "encoded_bytes",
    "flatten",
    "norm",
    "read_update",
    "unflatten",
    "update_from_bytes",
    "update_to_bytes",
]

Tensors = dict[str, NDArray[np.float32]]

MAX_EXAMPLES: Final = 10_000
"""The greatest weight of a client in any schema: a client that claims more counts no more."""

MAX_UPDATE_BYTES: Final = 512 * 1024 * 1024
"""The largest update that is read under any schema; an adapter file has the same limit."""

_MAGIC: Final = b"EPFU"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<HHHI")
_LONGEST_NAME: Final = 128
_MOST_AXES: Final = 4
_SLACK: Final = 1e-6
"""Of the norm: an update that was clipped to the bound and rounded to float32 is not over it."""


@dataclass(frozen=True, slots=True)
class Field:
    """One tensor that is asked for: its name (printable ASCII, 1 to 128 characters) and its shape (1 to 4 axes)."""

    name: str
    shape: tuple[int, ...]

    def __post_init__(self) -> None:
        named = self.name.isascii() and self.name.isprintable() and 1 <= len(self.name) <= _LONGEST_NAME
        if not named or not 1 <= len(self.shape) <= _MOST_AXES or min(self.shape) < 1:
            raise UsageError("A tensor of the schema has no proper name or shape.")

    @property
    def size(self) -> int:
        return math.prod(self.shape)


@dataclass(frozen=True, slots=True)
class Schema:
    """All that an update may hold. What isn't named here doesn't leave a device and isn't taken by a server.

    Args:
        fields: the tensors, all of which must be there; their order is the order of `flatten`.
        max_norm: the greatest Euclidean norm of all values together, above 0.
        max_bytes: the greatest size on the wire.
        metrics: names of the metrics that may, but need not, be there.
        max_examples: the greatest weight, 1 to `MAX_EXAMPLES`.

    Raises:
        UsageError: no field, a name twice, or a bound out of its range.
    """

    fields: tuple[Field, ...]
    max_norm: float
    max_bytes: int
    metrics: frozenset[str] = field(default_factory=frozenset)
    max_examples: int = MAX_EXAMPLES

    def __post_init__(self) -> None:
        if not self.fields or len({one.name for one in self.fields}) < len(self.fields):
            raise UsageError("A schema names one tensor or more, each once.")
        fits = (
            math.isfinite(self.max_norm)
            and self.max_norm > 0
            and 1 <= self.max_bytes <= MAX_UPDATE_BYTES
            and 1 <= self.max_examples <= MAX_EXAMPLES
        )
        if not fits:
            raise UsageError("A bound of the schema is out of range.")

    @property
    def size(self) -> int:
        """How many values an update has."""
        return sum(one.size for one in self.fields)

    def digest(self) -> bytes:
        """32 bytes that name this schema: two devices that compute the same one mean the same update."""
        lines = [f"{one.name} {one.shape}" for one in self.fields]
        lines += [self.max_norm.hex(), str(self.max_bytes), str(self.max_examples), *sorted(self.metrics)]
        return hashlib.sha256("\n".join(["edgeperso schema 1", *lines]).encode()).digest()


@dataclass(frozen=True, slots=True, eq=False)
class Update:
    """What a client's training changed.

    Args:
        tensors: the changes, by name.
        examples: the client's weight in a mean by examples; 1 up to the schema's ``max_examples``.
        metrics: finite numbers, by name.
    """

    tensors: Tensors
    examples: int
    metrics: Mapping[str, float]


# ---- checks --------------------------------------------------------------------------------------------------------


def check_update(schema: Schema, update: Update) -> None:
    """Whether the update is what the schema asks for, and nothing else.

    Raises:
        UpdateInvalid: the first thing that is wrong, in this order: names, dtype, shape, values that are not finite,
            norm, bytes, metrics, examples.
    """
    check_layout(schema, update.tensors)
    if not all(np.isfinite(values).all() for values in update.tensors.values()):
        raise UpdateInvalid(Fault.NOT_FINITE)
    if norm(update.tensors) > schema.max_norm * (1 + _SLACK):
        raise UpdateInvalid(Fault.NORM)
    if encoded_bytes(update) > schema.max_bytes:
        raise UpdateInvalid(Fault.BYTES)
    for name, value in update.metrics.items():
        if name not in schema.metrics or not isinstance(value, float) or not math.isfinite(value):
            raise UpdateInvalid(Fault.METRICS)
    if type(update.examples) is not int or not 1 <= update.examples <= schema.max_examples:
        raise UpdateInvalid(Fault.EXAMPLES)


def norm(tensors: Mapping[str, Float32]) -> float:
    """The Euclidean norm of all values together, summed in float64 (no float32's square overflows there)."""
    return math.sqrt(sum(float(np.sum(np.square(values, dtype=np.float64))) for values in tensors.values()))


def check_layout(schema: Schema, tensors: Mapping[str, Float32]) -> None:
    """Whether names, dtype and shapes are the schema's.

    Raises:
        UpdateInvalid: they are not.
    """
    if tensors.keys() != {one.name for one in schema.fields}:
        raise UpdateInvalid(Fault.NAMES)
    arrays = [(one, tensors[one.name]) for one in schema.fields]
    if not all(type(values) is np.ndarray and values.dtype == np.float32 for _, values in arrays):
        raise UpdateInvalid(Fault.DTYPE)
    if any(values.shape != one.shape for one, values in arrays):
        raise UpdateInvalid(Fault.SHAPE)


# ---- vectors -------------------------------------------------------------------------------------------------------


def flatten(schema: Schema, tensors: Mapping[str, Float32]) -> Float32:
    """All values as ``float32[schema.size]``, in the order of the schema's fields; a new array.

    Raises:
        UpdateInvalid: names, dtype or shapes are not the schema's.
    """
    check_layout(schema, tensors)
    return np.concatenate([tensors[one.name].reshape(-1) for one in schema.fields])


def unflatten(schema: Schema, vector: NDArray[np.floating]) -> Tensors:
    """The tensors of `flatten`'s vector, rounded to float32; they share no memory with it.

    Raises:
        UpdateInvalid: the vector has another length.
    """
    if vector.shape != (schema.size,):
        raise UpdateInvalid(Fault.SHAPE)
    tensors: Tensors = {}
    start = 0
    for one in schema.fields:
        tensors[one.name] = np.array(vector[start : start + one.size], np.float32).reshape(one.shape)
        start += one.size
    return tensors


# ---- bytes ---------------------------------------------------------------------------------------------------------


def encoded_bytes(update: Update) -> int:
    """The size of `update_to_bytes`, without making it."""
    tensors = sum(3 + len(name) + 4 * values.ndim + 4 * values.size for name, values in update.tensors.items())
    return len(_MAGIC) + _HEAD.size + tensors + sum(10 + len(name) for name in update.metrics)


def update_to_bytes(update: Update) -> bytes:
    """The update on the wire; the same update gives the same bytes. It is one that passed `check_update`."""
    counts = len(update.tensors), len(update.metrics)
    parts = [_MAGIC, _HEAD.pack(_VERSION, *counts, update.examples)]
    for name in sorted(update.tensors):
        values = update.tensors[name]
        parts += [_name(name), struct.pack(f"<B{values.ndim}I", values.ndim, *values.shape)]
        parts.append(np.ascontiguousarray(values, "<f4").tobytes())
    parts += [_name(name) + struct.pack("<d", update.metrics[name]) for name in sorted(update.metrics)]
    return b"".join(parts)


def update_from_bytes(data: bytes, *, max_bytes: int = MAX_UPDATE_BYTES) -> Update:
    """The update that `update_to_bytes` wrote. Only its form was judged: `check_update` says whether it may count.

    Raises:
        UpdateInvalid: ``bytes`` where it is larger than ``max_bytes``; else ``garbage``.
    """
    if len(data) > max_bytes:
        raise UpdateInvalid(Fault.BYTES)
    reader = _Reader(data)
    magic = bytes(reader.take(len(_MAGIC)))
    version, tensors, metrics, examples = reader.numbers(_HEAD.format)
    if magic != _MAGIC or version != _VERSION:
        raise UpdateInvalid(Fault.GARBAGE)
    found = [(reader.name(), reader.array()) for _ in range(tensors)]
    numbers = [(reader.name(), reader.number()) for _ in range(metrics)]
    if not (reader.at_end and _ascending(name for name, _ in found) and _ascending(name for name, _ in numbers)):
        raise UpdateInvalid(Fault.GARBAGE)
    return Update(dict(found), examples, dict(numbers))


def read_update(schema: Schema, data: bytes) -> Update:
    """The update in bytes that a client sent, judged whole.

    Raises:
        UpdateInvalid: as `update_from_bytes` and `check_update`.
    """
    update = update_from_bytes(data, max_bytes=schema.max_bytes)
    check_update(schema, update)
    return update


class _Reader:
    """A walk through bytes that never steps past their end."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def at_end(self) -> bool:
        return self._at == len(self._data)

    def take(self, count: int) -> memoryview:
        if count > len(self._data) - self._at:
            raise UpdateInvalid(Fault.GARBAGE)
        self._at += count
        return memoryview(self._data)[self._at - count : self._at]

    def numbers(self, form: str) -> tuple[int, ...]:
        return struct.unpack(form, self.take(struct.calcsize(form)))

    def number(self) -> float:
        (value,) = struct.unpack("<d", self.take(8))
        return float(value)

    def name(self) -> str:
        data = bytes(self.take(self.numbers("<H")[0]))
        if not data.isascii():
            raise UpdateInvalid(Fault.GARBAGE)
        return data.decode("ascii")

    def array(self) -> Float32:
        (axes,) = self.numbers("<B")
        if not 1 <= axes <= _MOST_AXES:
            raise UpdateInvalid(Fault.GARBAGE)
        shape = self.numbers(f"<{axes}I")
        if min(shape) < 1:
            raise UpdateInvalid(Fault.GARBAGE)
        return np.frombuffer(self.take(4 * math.prod(shape)), "<f4").reshape(shape).astype(np.float32)


def _name(name: str) -> bytes:
    return struct.pack("<H", len(name)) + name.encode("ascii")


def _ascending(names: Iterable[str]) -> bool:
    return all(one < other for one, other in pairwise(names))
