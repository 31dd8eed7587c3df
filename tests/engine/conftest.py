"""One loaded model for all tests of the engine, and GGUF files small enough to be made on the spot."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from edgeperso.engine import Engine

MODEL = "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def model_path(models_dir: Path) -> Path:
    return models_dir / MODEL


@pytest.fixture(scope="session")
def loaded_engine(model_path: Path) -> Iterator[Engine]:
    # One thread: two that have to meet hundreds of times a token crawl when other tests want the cores.
    with Engine.open(model_path, n_ctx=2048, n_threads=1) as engine:
        yield engine


@pytest.fixture
def engine(loaded_engine: Engine) -> Engine:
    """The model with nothing in its context."""
    loaded_engine.clear()
    return loaded_engine


def gguf_string(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def gguf(
    metadata: Mapping[str, str | int], tensors: Mapping[str, tuple[int, ...]] | None = None, *, version: int = 3
) -> bytes:
    """A GGUF file with string and uint32 metadata, and float32 tensors of zeros."""
    tensors = tensors or {}
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, value in metadata.items():
        out += gguf_string(key)
        out += struct.pack("<I", 8) + gguf_string(value) if isinstance(value, str) else struct.pack("<II", 4, value)
    offset = 0
    for name, shape in tensors.items():
        out += gguf_string(name) + struct.pack(f"<I{len(shape)}Q", len(shape), *shape) + struct.pack("<IQ", 0, offset)
        count = 1
        for size in shape:
            count *= size
        offset += -(-count * 4 // 32) * 32
    out += b"\0" * (-len(out) % 32)
    return out + b"\0" * offset


@pytest.fixture
def write_gguf(tmp_path: Path) -> Callable[..., Path]:
    def write(*args: object, name: str = "model.gguf", **options: object) -> Path:
        path = tmp_path / name
        path.write_bytes(gguf(*args, **options))  # type: ignore[arg-type]
        return path

    return write
