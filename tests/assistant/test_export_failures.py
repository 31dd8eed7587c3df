"""An export that can't be finished leaves nothing readable behind, and says why."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgeperso.assistant import Assistant, export
from edgeperso.errors import DiskFull, ReadOnly
from edgeperso.vault import Vault


@pytest.mark.parametrize(
    ("number", "raised"), [(errno.ENOSPC, DiskFull), (errno.EDQUOT, DiskFull), (errno.EIO, ReadOnly)]
)
def test_a_disk_that_fails_on_the_way(
    plain: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: type[Exception]
) -> None:
    plain.remember("A canary sings.")
    lines = export._lines

    def failing(vault: Vault) -> Iterator[dict[str, object]]:
        yield from lines(vault)
        raise OSError(number, os.strerror(number), "canary")

    monkeypatch.setattr(export, "_lines", failing)
    with pytest.raises(raised) as caught:
        plain.export(tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()
    assert "canary" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_stopped_on_the_way(plain: Assistant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(vault: Vault) -> Iterator[dict[str, object]]:
        yield {"type": "memory"}
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_lines", stopped)
    with pytest.raises(KeyboardInterrupt):
        plain.export(tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_place_that_is_not_there(plain: Assistant, tmp_path: Path) -> None:
    with pytest.raises(ReadOnly):
        plain.export(tmp_path / "no/such/folder/out.jsonl")
