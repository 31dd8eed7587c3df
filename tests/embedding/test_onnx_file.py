"""The reader of ONNX files: what it takes, and that what is cut or hostile is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.embedding.onnx_file import Malformed, Tensor, read_graph


def varint(value: int) -> bytes:
    out = b""
    while value > 127:
        out += bytes([value & 127 | 128])
        value >>= 7
    return out + bytes([value])


def field(number: int, value: bytes | int) -> bytes:
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def tensor(name: bytes, kind: int, shape: list[int], raw: bytes) -> bytes:
    return b"".join(field(1, one) for one in shape) + field(2, kind) + field(8, name) + field(9, raw)


def graph(*parts: bytes) -> bytes:
    node = field(1, b"x") + field(1, b"w") + field(2, b"y") + field(4, b"MatMul") + field(5, field(1, b"axis"))
    return b"".join((field(1, node), field(11, field(1, b"x")), field(12, field(1, b"y")), *parts))


def model(body: bytes) -> bytes:
    return field(1, 10) + field(8, field(1, b"") + field(2, 17)) + field(7, body)


WEIGHTS = np.arange(6, dtype=np.float32).reshape(2, 3)
WHOLE = model(graph(field(5, tensor(b"w", 1, [2, 3], WEIGHTS.tobytes()))))


def test_nodes_and_tensors_are_read() -> None:
    read = read_graph(WHOLE)
    (node,) = read.nodes
    assert (node.op, node.inputs, node.outputs) == ("MatMul", ("x", "w"), ("y",))
    assert (read.inputs, read.outputs) == (("x",), ("y",))
    np.testing.assert_array_equal(read.tensors["w"].array(), WEIGHTS)


def test_a_file_that_ends_early_is_refused() -> None:
    whole = read_graph(WHOLE)
    for end in range(len(WHOLE)):
        try:
            cut = read_graph(WHOLE[:end])
        except Malformed:
            continue
        assert cut == whole, "less was read without a word"


@pytest.mark.parametrize(
    "body",
    [
        field(5, tensor(b"w", 1, [2, 3], b"")) * 2,  # one name twice
        field(5, field(1, b"\xff" * 11)),  # a dimension that doesn't end
        field(5, field(1, 1) * 9),  # too many dimensions
        field(5, field(1, 1 << 60)),
        field(5, field(8, b"\xff\xfe")),
        field(5, field(13, b"elsewhere.bin")),  # bytes in another file
        field(15, b""),  # sparse
        field(1, field(7, b"com.example")),  # an operation of one's own
        field(1, field(4, 7)),  # a number where a name belongs
        varint(1 << 3 | 3),  # a group
        varint(1 << 3 | 2) + varint(1 << 50),
    ],
)
def test_what_the_reader_does_not_know_is_refused(body: bytes) -> None:
    with pytest.raises(Malformed):
        read_graph(model(graph(body)))


@pytest.mark.parametrize("content", [b"", b"\x00", field(7, b"") * 2, field(25, b"") + field(7, b"")])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(Malformed):
        read_graph(content)


@pytest.mark.parametrize(("kind", "shape", "size"), [(1, (2, 3), 23), (1, (1 << 39, 1 << 39), 0), (10, (2,), 4)])
def test_a_tensor_holds_what_its_shape_says(kind: int, shape: tuple[int, ...], size: int) -> None:
    with pytest.raises(Malformed):
        Tensor("w", kind, shape, memoryview(bytes(size))).array()


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_is_read_or_refused(data: st.DataObject) -> None:
    changed = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        changed[data.draw(st.integers(0, len(WHOLE) - 1))] = data.draw(st.integers(0, 255))
    try:
        for one in read_graph(bytes(changed)).tensors.values():
            one.array()
    except Malformed:
        pass
