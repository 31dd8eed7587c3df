"""A vault in memory, with the identity rule of the real one, and a way to import into it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from edgeperso.importers import ImportReport, import_path
from edgeperso.types import AddReport, Record


class FakeVault:
    """What importers use of a vault: `memories.add`, `imports`, `profile`, `home`."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.attributes: dict[str, str] = {}
        self.before_add: Callable[[], None] = lambda: None
        self.memories = self.imports = self.profile = self
        self.reset()

    def reset(self) -> None:
        self.records: list[Record] = []
        self.ledger: set[tuple[str, str]] = set()
        self._known: set[tuple[object, ...]] = set()

    def add(self, records: Iterable[Record], *, batch_size: int = 1000) -> AddReport:
        self.before_add()
        ids, duplicates = [], 0
        for one in records:
            one.text.encode(), one.source.encode(), one.title.encode(), one.thread.encode()
            key = (one.text.strip(), one.source, one.locator, one.thread, one.author, one.occurred_ms)
            if key in self._known:
                duplicates += 1
                continue
            self._known.add(key)
            self.records.append(one)
            ids.append(len(self.records))
        return AddReport(tuple(ids), duplicates)

    def seen(self, source: str, digest: str) -> bool:
        return (source, digest) in self.ledger

    def mark(self, source: str, digest: str) -> None:
        self.ledger.add((source, digest))

    def all(self) -> dict[str, str]:
        return self.attributes


@pytest.fixture
def vault(tmp_path: Path) -> FakeVault:
    return FakeVault(tmp_path / "home")


@pytest.fixture
def load(vault: FakeVault, tmp_path: Path) -> Callable[..., tuple[list[Record], ImportReport]]:
    """``load(name, content)`` writes one file and imports it; returns its records and the report."""

    def load(name: str, content: str | bytes, **options: object) -> tuple[list[Record], ImportReport]:
        folder = tmp_path / "in"
        folder.mkdir(exist_ok=True)
        path = folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        before = len(vault.records)
        report = import_path(vault, path, **options)  # type: ignore[arg-type]
        return vault.records[before:], report

    return load
