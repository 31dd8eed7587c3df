"""Missing, damaged and wrong embedding models: each has its error, and none shows what it read."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from edgeperso.embedding import OnnxEmbedder, load_embedder
from edgeperso.errors import ModelCorrupt, ModelNotFound, ModelUnsupported


class Folder:
    def locate(self, name: str) -> Path:
        return Path(name)


@pytest.fixture
def copy(models_dir: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(models_dir / "minilm-int8", tmp_path / "minilm-int8"))


def onnx_of(folder: Path) -> Path:
    (path,) = folder.glob("*.onnx")
    return path


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x07" + bytes(range(256)) * 40])
def test_garbage_is_corrupt(copy: Path, content: bytes) -> None:
    onnx_of(copy).write_bytes(content)
    with pytest.raises(ModelCorrupt) as caught:
        load_embedder(Folder(), str(copy))
    assert "pull" in caught.value.hint


def test_a_truncated_model_is_corrupt(copy: Path) -> None:
    path = onnx_of(copy)
    path.write_bytes(path.read_bytes()[:1_000_000])
    with pytest.raises(ModelCorrupt):
        load_embedder(Folder(), str(copy))


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff\xfe", b'{"version": "1.0"}'])
def test_a_damaged_tokenizer_is_corrupt(copy: Path, content: bytes) -> None:
    (copy / "tokenizer.json").write_bytes(content)
    with pytest.raises(ModelCorrupt):
        load_embedder(Folder(), str(copy))


def test_a_missing_tokenizer_is_not_found(copy: Path) -> None:
    (copy / "tokenizer.json").unlink()
    with pytest.raises(ModelNotFound):
        load_embedder(Folder(), str(copy))


def test_a_missing_model_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        OnnxEmbedder(tmp_path / "none.onnx", tmp_path / "tokenizer.json", name="none")


def test_a_folder_with_two_models_wants_a_name(copy: Path) -> None:
    shutil.copy(onnx_of(copy), copy / "second.onnx")
    with pytest.raises(ModelNotFound) as caught:
        load_embedder(Folder(), str(copy))
    assert "model.onnx" in caught.value.hint


def test_an_empty_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound):
        load_embedder(Folder(), str(tmp_path))


def field(number: int, value: bytes | int) -> bytes:
    """One protobuf field; lengths and numbers here stay below 128."""
    if isinstance(value, int):
        return bytes([number << 3, value])
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def identity_model(name: bytes) -> bytes:
    """ONNX that gives back its one input, int64[n, m]."""
    shape = field(2, field(1, field(2, b"n")) + field(1, field(2, b"m")))
    tensor = field(2, field(1, field(1, 7) + shape))
    node = field(1, name) + field(2, b"out") + field(4, b"Identity")
    graph = field(1, node) + field(2, b"g") + field(11, field(1, name) + tensor) + field(12, field(1, b"out") + tensor)
    head = field(1, 8) + field(8, field(2, 13))
    return head + bytes([7 << 3 | 2, len(graph) & 127 | 128, len(graph) >> 7]) + graph


@pytest.mark.parametrize("name", [b"pixels", b"input_ids"])
def test_a_model_for_something_else_is_unsupported(copy: Path, name: bytes) -> None:
    onnx_of(copy).write_bytes(identity_model(name))
    with pytest.raises(ModelUnsupported) as caught:
        load_embedder(Folder(), str(copy))
    assert caught.value.hint
