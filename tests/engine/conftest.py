"""One loaded model for all tests of the engine, and GGUF files small enough to be made on the spot."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.engine import Engine


@pytest.fixture(scope="session")
def model_path(models_dir: Path) -> Path:
    return models_dir / "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf"


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


@pytest.fixture(scope="session")
def gguf_files() -> SimpleNamespace:
    """The makers in ``gguf_files.py``."""
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("gguf_files.py"))))


@pytest.fixture
def tiny_path(gguf_files: SimpleNamespace, tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(gguf_files.tiny_model())
    return path
