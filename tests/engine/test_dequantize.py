"""Weights read by ourselves against the same weights written as float32 by llama.cpp."""

from __future__ import annotations

import mmap
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.engine.dequantize import dequantize, dequantize_into
from edgeperso.engine.gguf import check_model_file
from edgeperso.engine.requantize import quantize_file
from edgeperso.errors import ModelUnsupported, UsageError

LAYOUTS = ["F16", "BF16", "Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q4_K_M", "Q6_K", "Q2_K", "IQ4_XS"]
NAME = "blk.0.attn_q.weight"


@pytest.fixture
def wide_path(gguf_files: SimpleNamespace, tmp_path: Path) -> Path:
    """A model with rows of 256, which the k-quants need."""
    path = tmp_path / "wide.gguf"
    shape = gguf_files.TinyShape(width=256, hidden=256)
    path.write_bytes(gguf_files.gguf(gguf_files.tiny_metadata(shape), gguf_files.tiny_tensors(0, shape)))
    return path


def tensor(path: Path, name: str, threads: int = 1) -> tuple[int, np.ndarray]:
    place = check_model_file(path).tensors[name]
    with path.open("rb") as file:
        file.seek(place.offset)
        data = file.read(place.size_bytes)
    return place.kind, dequantize(data, place.kind, int(np.prod(place.shape)), threads=threads)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_floats_as_llama(wide_path: Path, tmp_path: Path, layout: str) -> None:
    quantized, floats = tmp_path / "quantized.gguf", tmp_path / "floats.gguf"
    quantize_file(wide_path, quantized, layout)
    quantize_file(quantized, floats, "F32")
    kind, ours = tensor(quantized, NAME)
    assert kind != 0
    kind, theirs = tensor(floats, NAME)
    assert kind == 0
    np.testing.assert_array_equal(ours, theirs)


def test_places_are_those_of_the_tensors(gguf_files: SimpleNamespace, tiny_path: Path) -> None:
    places = check_model_file(tiny_path).tensors
    expected = gguf_files.tiny_tensors()
    assert list(places) == list(expected)
    for name, values in expected.items():
        assert places[name].shape == values.shape[::-1]
        np.testing.assert_array_equal(tensor(tiny_path, name)[1], values.ravel())


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["edgeperso.engine.dequantize"], "_THREAD_ELEMENTS", 64)
    random = np.random.default_rng(0)
    blocks = random.standard_normal((37, 17)).astype(np.float16)  # Q8_0: a float16 scale, 32 bytes
    one = dequantize(blocks.tobytes(), 8, 37 * 32)
    three = dequantize(blocks.tobytes(), 8, 37 * 32, threads=3)
    np.testing.assert_array_equal(one, three)
    assert np.any(one)


def test_a_mapped_file_is_read_into_an_array_in_place(tiny_path: Path) -> None:
    place = check_model_file(tiny_path).tensors["output.weight"]
    out = np.empty(place.shape[::-1], dtype=np.float32)
    with (
        tiny_path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
        memoryview(data) as view,
        view[place.offset : place.offset + place.size_bytes] as part,
    ):
        dequantize_into(part, place.kind, out)
    np.testing.assert_array_equal(out.ravel(), tensor(tiny_path, "output.weight")[1])


@pytest.mark.parametrize("kind", [4, 5, 24, 31, 36, 41, 43, 1000, -1])
def test_a_type_that_ggml_has_no_floats_of(kind: int) -> None:
    with pytest.raises(ModelUnsupported):
        dequantize(bytes(34), kind, 32)


@pytest.mark.parametrize(("count", "size"), [(32, 33), (31, 34), (64, 34), (32, 0)])
def test_a_size_that_does_not_fit(count: int, size: int) -> None:
    with pytest.raises(UsageError):
        dequantize(bytes(size), 8, count)


@pytest.mark.parametrize(
    "out",
    [np.zeros(32), np.zeros(64, np.float32)[::2], np.frombuffer(bytes(128), np.float32)],
    ids=["float64", "with gaps", "read-only"],
)
def test_an_array_that_can_not_take_floats(out: np.ndarray) -> None:
    with pytest.raises(UsageError):
        dequantize_into(bytes(34), 8, out)
