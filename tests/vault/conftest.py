"""Vaults to test with: opened by a key file, so that no test waits for Argon2."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "me.key")


@pytest.fixture
def vault(home: Path, key: KeyFile) -> Iterator[Vault]:
    vault, _ = Vault.create(home, key)
    with vault:
        yield vault


@pytest.fixture
def note() -> Callable[..., Record]:
    def make(text: str, source: str = "notes/a.md", **rest: object) -> Record:
        return Record(text=text, kind=Kind.NOTE, source=source, **rest)  # type: ignore[arg-type]

    return make
