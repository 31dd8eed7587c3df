"""What an ONNX file holds, as far as the encoder asks: nodes and stored tensors. A strict reader without dependencies.

Nothing is copied: tensors are views of the file's bytes. Every length is checked against what is there.
Source: the protobuf encoding (https://protobuf.dev/programming-guides/encoding/) and onnx.proto of ONNX 1.18.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["Graph", "Malformed", "Node", "Tensor", "read_graph"]

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_LONGEST_VARINT = 10
_MOST_DIMS = 8
_DTYPES: Final = {1: "<f4", 3: "i1", 7: "<i8", 9: "?"}

# What each message may hold; anything else could change what the file computes.
_MODEL: Final = {1, 2, 3, 4, 5, 6, 7, 8, 14}
_GRAPH: Final = {1, 2, 5, 10, 11, 12, 13, 16}
_NODE: Final = {1, 2, 3, 4, 5, 6, 7, 9}
_TENSOR: Final = {1, 2, 8, 9, 12, 16}


class Malformed(ValueError):
    """The bytes are no ONNX file, or one with parts that this reader doesn't know."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """A stored tensor; ``kind`` is ONNX's number of the data type."""

    name: str
    kind: int
    shape: tuple[int, ...]
    raw: memoryview

    def array(self) -> NDArray[Any]:
        """The values, read-only, without a copy where the processor is little-endian.

        Raises:
            Malformed: another type than float32, int8, int64 or bool, or another number of bytes than the shape says.
        """
        dtype = _DTYPES.get(self.kind)
        if dtype is None or prod(self.shape) * np.dtype(dtype).itemsize != len(self.raw):
            raise Malformed("a tensor's bytes don't fit its type and shape")
        return np.frombuffer(self.raw, dtype=dtype).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Node:
    """One operation. ``attributes`` are the messages as they are stored."""

    op: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Graph:
    """``opsets`` are the messages as they are stored; tensors go by their names."""

    opsets: tuple[bytes, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    tensors: dict[str, Tensor]


def read_graph(model: bytes) -> Graph:
    """The graph of an ONNX file.

    Raises:
        Malformed: see there.
    """
    fields = list(_fields(memoryview(model), _MODEL))
    graphs = [_bytes(value) for number, value in fields if number == 7]
    if len(graphs) != 1:
        raise Malformed("a file holds one graph")
    nodes: list[Node] = []
    tensors: dict[str, Tensor] = {}
    ends: dict[int, list[str]] = {11: [], 12: []}
    for number, value in _fields(graphs[0], _GRAPH):
        if number == 1:
            nodes.append(_node(_bytes(value)))
        elif number == 5:
            tensor = _tensor(_bytes(value))
            if tensor.name in tensors:
                raise Malformed("two tensors have one name")
            tensors[tensor.name] = tensor
        elif number in ends:
            ends[number] += [_text(part) for at, part in _fields(_bytes(value)) if at == 1]
    opsets = tuple(bytes(_bytes(value)) for number, value in fields if number == 8)
    return Graph(opsets, tuple(ends[11]), tuple(ends[12]), tuple(nodes), tensors)


def _node(message: memoryview) -> Node:
    op = ""
    inputs: list[str] = []
    outputs: list[str] = []
    attributes: list[bytes] = []
    for number, value in _fields(message, _NODE):
        if number == 1:
            inputs.append(_text(value))
        elif number == 2:
            outputs.append(_text(value))
        elif number == 4:
            op = _text(value)
        elif number == 5:
            attributes.append(bytes(_bytes(value)))
        elif number == 7 and _text(value):
            raise Malformed("an operation of another domain")
    return Node(op, tuple(inputs), tuple(outputs), tuple(attributes))


def _tensor(message: memoryview) -> Tensor:
    name, kind, raw = "", 0, memoryview(b"")
    shape: list[int] = []
    for number, value in _fields(message, _TENSOR):
        if number == 1:
            shape += [value] if isinstance(value, int) else list(_varints(value))
        elif number == 2 and isinstance(value, int):
            kind = value
        elif number == 8:
            name = _text(value)
        elif number == 9:
            raw = _bytes(value)
    if len(shape) > _MOST_DIMS or any(one >= 1 << 40 for one in shape):
        raise Malformed("a tensor of no possible shape")
    return Tensor(name, kind, tuple(shape), raw)


def _fields(message: memoryview, known: set[int] | None = None) -> Iterator[tuple[int, int | memoryview]]:
    """Each field's number, with a whole number or the bytes it holds."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if number == 0 or (known is not None and number not in known):
            raise Malformed("an unknown field")
        if wire == _VARINT:
            value, at = _varint(message, at)
            yield number, value
            continue
        if wire == _BYTES:
            length, at = _varint(message, at)
        elif wire in (_FIXED64, _FIXED32):
            length = 8 if wire == _FIXED64 else 4
        else:
            raise Malformed("an unknown kind of field")
        if length > len(message) - at:
            raise Malformed("a field ends beyond its message")
        yield number, message[at : at + length]
        at += length


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place, byte in enumerate(message[at : at + _LONGEST_VARINT]):
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise Malformed("a number that doesn't end")


def _varints(message: memoryview) -> Iterator[int]:
    at = 0
    while at < len(message):
        value, at = _varint(message, at)
        yield value


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise Malformed("a number where bytes belong")
    return value


def _text(value: int | memoryview) -> str:
    try:
        return bytes(_bytes(value)).decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("a name that is no text") from None
