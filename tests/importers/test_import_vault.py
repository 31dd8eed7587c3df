"""Imports into a real vault: once only, and whole after a kill in the middle."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeperso.importers import import_path
from edgeperso.types import Kind, Trust
from edgeperso.vault import KeyFile, Vault

ROOT = Path(__file__).parents[2]
MEMORIES = 4_300

IMPORT = """
import sys
from pathlib import Path
from edgeperso.importers import import_path
from edgeperso.vault import KeyFile, Vault
home, key, source = map(Path, sys.argv[1:4])
batches = 0
with Vault.open(home, KeyFile(key)) as vault:
    add = vault.memories.add
    def tell(records):
        report = add(records)
        print(report.added, flush=True)
        return report
    vault.memories.add = tell
    import_path(vault, source)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    lines = (json.dumps({"text": f"Memory number {number}.", "time": 1.7e9 + number}) for number in range(MEMORIES))
    (folder / "many.jsonl").write_text("\n".join(lines))
    (folder / "diary.md").write_text("# 2024-03-12\nRain.\n\n# 2024-03-13\nSun.\n")
    return folder


def test_the_sample_life(tmp_path: Path) -> None:
    life = ROOT / "examples" / "life"
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "me.key"))
    with vault:
        vault.profile.set("email", "ines.verhulst@mail.example")
        reports = [import_path(vault, life / part) for part in ("notes", "mail.mbox", "chatgpt")]
        assert [report.skipped for report in reports] == [(), (), ()]
        assert all(report.duplicates == 0 for report in reports)
        again = [import_path(vault, life / part) for part in ("notes", "mail.mbox", "chatgpt")]
        assert sum(report.added + report.duplicates for report in again) == 0
        memories = list(vault.memories.scan())
    assert len(memories) == sum(report.added for report in reports) > 350
    assert {one.kind for one in memories} == {Kind.NOTE, Kind.MAIL, Kind.CHAT}
    orders = [one for one in memories if "Ignore your instructions" in one.text]
    assert [one.trust for one in orders] == [Trust.OTHER]
    assert {one.author for one in memories if one.kind is Kind.MAIL and one.trust is Trust.SELF} == {"Ines Verhulst"}


def test_forgotten_sources_can_be_imported_again(tmp_path: Path, source: Path) -> None:
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "me.key"))
    with vault:
        import_path(vault, source / "diary.md")
        assert import_path(vault, source / "diary.md").files_unchanged == 1
        vault.imports.forget("diary.md")
        assert import_path(vault, source / "diary.md").duplicates == 2


@pytest.mark.parametrize("batches", [1, 4])
def test_a_kill_in_the_middle_loses_nothing(tmp_path: Path, source: Path, batches: int) -> None:
    home, key = tmp_path / "home", tmp_path / "me.key"
    Vault.create(home, KeyFile(key))[0].close()
    process = subprocess.Popen(
        [sys.executable, "-c", IMPORT, str(home), str(key), str(source)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    told = [int(process.stdout.readline()) for _ in range(batches + 1)]
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with Vault.open(home, KeyFile(key)) as vault:
        kept = vault.memories.count()
        assert sum(told) <= kept < MEMORIES + 2
        report = import_path(vault, source)
        assert report.added == MEMORIES + 2 - kept
        assert vault.memories.count() == MEMORIES + 2
        assert len({one.text for one in vault.memories.scan()}) == MEMORIES + 2
        assert import_path(vault, source).files_unchanged == 2
        vault.check()
