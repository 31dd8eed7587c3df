"""Model files that are not what they should be: each gets its error, and the process lives on."""

from __future__ import annotations

import contextlib
import runpy
import struct
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.engine import Engine
from edgeperso.engine.gguf import check_model_file
from edgeperso.errors import ModelCorrupt, ModelError, ModelNotFound, ModelUnsupported

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent.parent / "engine" / "gguf_files.py")))
TINY: bytes = MAKE.tiny_model()
HEADER = 8 * 1024


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def refuses(path: Path, data: bytes, error: type[ModelError] = ModelCorrupt) -> None:
    path.write_bytes(data)
    with pytest.raises(error) as caught:
        Engine.open(path, n_ctx=64, n_threads=1)
    assert str(path.name) in str(caught.value)


def test_missing(model: Path) -> None:
    with pytest.raises(ModelNotFound):
        Engine.open(model)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        Engine.open(tmp_path)


@pytest.mark.parametrize("data", [b"", b"G", b"GGUF", b"GGML" + TINY[4:], b"<html>", b"\0" * 4096, TINY[::-1]])
def test_not_gguf(model: Path, data: bytes) -> None:
    refuses(model, data)


@pytest.mark.parametrize("length", [5, 8, 23, 24, 25, 100, 1000, 5000, len(TINY) // 2, len(TINY) - 32, len(TINY) - 1])
def test_truncated(model: Path, length: int) -> None:
    refuses(model, TINY[:length])


def test_the_real_model_truncated(model: Path, models_dir: Path) -> None:
    whole = next((models_dir / "smollm2-135m").glob("*Q4_1.gguf"))
    with whole.open("rb") as file:
        refuses(model, file.read(3_000_000))


@pytest.mark.parametrize("version", [0, 1, 3 << 24, 2**32 - 1])
def test_versions_that_no_file_has(model: Path, version: int) -> None:
    model.write_bytes(b"GGUF" + struct.pack("<I", version) + TINY[8:])
    with pytest.raises((ModelCorrupt, ModelUnsupported)):
        Engine.open(model)


def test_a_version_to_come(model: Path) -> None:
    refuses(model, b"GGUF" + struct.pack("<I", 4) + TINY[8:], ModelUnsupported)


@pytest.mark.parametrize("count", [2**64 - 1, 2**63, 2**40, 70_000])
@pytest.mark.parametrize("field", [8, 16])
def test_huge_counts(model: Path, field: int, count: int) -> None:
    refuses(model, TINY[:field] + struct.pack("<Q", count) + TINY[field + 8 :])


def header(entries: int, body: bytes, tensors: int = 0) -> bytes:
    return b"GGUF" + struct.pack("<IQQ", 3, tensors, entries) + body


ARCHITECTURE = MAKE.text("general.architecture") + struct.pack("<I", 8) + MAKE.text("llama")


@pytest.mark.parametrize(
    "data",
    [
        header(1, struct.pack("<Q", 2**63) + b"x"),
        header(1, MAKE.text("k") + struct.pack("<IQ", 8, 2**62)),
        header(1, MAKE.text("k") + struct.pack("<IIQ", 9, 8, 2**61)),
        header(1, MAKE.text("k") + struct.pack("<IIQ", 9, 4, 2**61)),
        header(1, MAKE.text("k") + struct.pack("<IIQ", 9, 9, 1)),
        header(1, MAKE.text("k") + struct.pack("<IIQ", 9, 77, 1)),
        header(1, MAKE.text("k") + struct.pack("<II", 77, 1)),
        header(2, ARCHITECTURE * 2),
        header(0, b""),
        header(1, MAKE.text("general.architecture") + struct.pack("<I", 8) + MAKE.text("")),
        header(1, MAKE.text("general.architecture") + struct.pack("<II", 4, 7)),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<I", 5), tensors=1),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<IQIQ", 1, 0, 0, 0), tensors=1),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<IQQIQ", 2, 2**40, 2**40, 0, 0), tensors=1),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<IQIQ", 1, 8, 0, 2**63), tensors=1),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<IQIQ", 1, 8, 0, 3), tensors=1),
        header(1, ARCHITECTURE + MAKE.text("t") + struct.pack("<IQIQ", 1, 33, 2, 0), tensors=1),
    ],
)
def test_headers_that_contradict_themselves(model: Path, data: bytes) -> None:
    refuses(model, data + b"\0" * 256)


@pytest.mark.parametrize(
    "changes",
    [
        {"llama__attention__head_count": 0},
        {"llama__attention__head_count": 2**31},
        {"llama__attention__head_count_kv": 0},
        {"llama__attention__head_count_kv": 3},
        {"llama__embedding_length": 0},
        {"llama__block_count": 2**31},
        {"llama__block_count": 513},
        {"llama__context_length": 0},
        {"llama__feed_forward_length": "wide"},
        {"llama__embedding_length": 65},
        {"llama__block_count": 5},
        {"general__alignment": 0},
        {"general__alignment": 33},
        {"tokenizer__ggml__scores": [0.0] * 3},
        {"tokenizer__ggml__token_type": [1] * 9},
        {"tokenizer__ggml__tokens": ["same"] * 354},
        {"tokenizer__ggml__tokens": [f"a\0{number}" for number in range(354)]},
        {"tokenizer__ggml__model": "nonsense"},
    ],
)
def test_numbers_that_llama_would_stumble_over(model: Path, changes: dict[str, object]) -> None:
    refuses(model, MAKE.tiny_model(**changes))


def test_an_architecture_that_llama_does_not_know(model: Path) -> None:
    refuses(model, MAKE.tiny_model(general__architecture="perceptron"), ModelUnsupported)


def test_a_missing_tensor(model: Path) -> None:
    tensors = MAKE.tiny_tensors()
    del tensors["blk.1.ffn_down.weight"]
    refuses(model, MAKE.gguf(MAKE.tiny_metadata(), tensors))


def test_weights_that_are_not_numbers(model: Path) -> None:
    tensors = MAKE.tiny_tensors()
    tensors["output_norm.weight"][:] = float("nan")
    model.write_bytes(MAKE.gguf(MAKE.tiny_metadata(), tensors))
    with Engine.open(model, n_ctx=64, n_threads=1) as engine, pytest.raises(ModelCorrupt):
        list(engine.generate([1, 2, 3], max_tokens=2))


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_the_reader_never_fails_in_another_way(model: Path, data: st.DataObject) -> None:
    """Any bytes changed anywhere in the header: it is read, or refused with an error of ours."""
    broken = bytearray(TINY)
    for _ in range(data.draw(st.integers(1, 4))):
        broken[data.draw(st.integers(4, HEADER))] = data.draw(st.integers(0, 255))
    model.write_bytes(broken[: data.draw(st.sampled_from([len(TINY), 9000, 2000]))])
    with contextlib.suppress(ModelError):
        check_model_file(model)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400))
def test_arbitrary_bytes_after_the_magic(model: Path, tail: bytes) -> None:
    model.write_bytes(b"GGUF\x03\0\0\0" + tail)
    with pytest.raises(ModelError):
        check_model_file(model)
