"""A world with a broker, and a cohort of three."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path

import pytest

from .broker_world import World

TINY = runpy.run_path(str(Path(__file__).parent.parent / "engine" / "gguf_files.py"))["tiny_model"]


@pytest.fixture(scope="session")
def tiny_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(TINY())
    return path


@pytest.fixture
def worlds(tmp_path: Path, tiny_path: Path) -> Iterator[list[World]]:
    made = []
    for number in range(3):
        (tmp_path / str(number)).mkdir()
        made.append(World(tmp_path / str(number), tiny_path))
    yield made
    for one in made:
        one.close()


@pytest.fixture
def world(tmp_path: Path, tiny_path: Path) -> Iterator[World]:
    made = World(tmp_path, tiny_path)
    yield made
    made.close()
