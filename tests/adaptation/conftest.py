"""A vault to learn from, and an engine that costs nothing."""

from __future__ import annotations

import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.vault import KeyFile, Vault


@pytest.fixture(scope="session")
def toys() -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("toy.py"))))


@pytest.fixture
def toy(toys: SimpleNamespace, tmp_path: Path) -> Any:
    return toys.Toy(tmp_path / "toy.gguf")


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "me.key"))
    with vault:
        yield vault
