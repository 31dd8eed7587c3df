"""What experiments run on in tests: a model of 500 kB with random weights, and an embedder that loads nothing."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.evals.setup import Setup
from edgeperso.types import Embedder

MAKERS = Path(__file__).parents[2] / "engine" / "gguf_files.py"


@pytest.fixture(scope="session")
def tiny_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Engine]:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(runpy.run_path(str(MAKERS))["tiny_model"](llama__context_length=4096))
    with Engine.open(path, n_threads=1) as engine:
        yield engine


@pytest.fixture
def setup(tiny_engine: Engine, fake_embedder: Embedder, tmp_path: Path) -> Setup:
    """Keeps raw outputs in ``tmp_path / "out"``."""
    return Setup(tiny_engine, Catalogue(tmp_path), fake_embedder, folder=tmp_path / "out")
