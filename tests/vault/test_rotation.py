from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from edgeperso.errors import DiskFull, UsageError, VaultBusy, WrongKey
from edgeperso.vault import KeyFile, RecoveryKey, Vault, backup, guard, rotation
from edgeperso.vault.header import Header
from edgeperso.vault.rotation import rotate
from edgeperso.vault.vault import DATABASE_NAME


@pytest.fixture
def filled(home: Path, key: KeyFile, note) -> str:
    vault, recovery = Vault.create(home, key)
    with vault:
        vault.memories.add([note(f"n{i}") for i in range(50)])
    return recovery


@pytest.fixture
def new_key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "new.key")


def count(home: Path, key: KeyFile) -> int:
    with Vault.open(home, key) as vault:
        vault.check()
        return vault.memories.count()


def test_rotate(filled: str, home: Path, key: KeyFile, new_key: KeyFile) -> None:
    before = (home / DATABASE_NAME).read_bytes()
    done = rotate(home, key, [new_key])
    assert count(home, new_key) == 50
    for old in (key, RecoveryKey(filled)):
        with pytest.raises(WrongKey):
            Vault.open(home, old)
    Vault.open(home, RecoveryKey(done.recovery_key)).close()
    after = (home / DATABASE_NAME).read_bytes()
    assert before[:16] != after[:16]
    with Vault.open(home, new_key) as vault:
        assert vault.memories.add([]).added == 0
        assert vault.header.generation == 2
    assert not list(home.glob(".edgeperso-*"))


def test_ids_are_not_used_again_after_a_rotation(filled: str, home: Path, key: KeyFile, note) -> None:
    from edgeperso.vault import erasure

    with Vault.open(home, key) as vault:
        erasure.erase(vault, erasure.plan(vault, ids=[50]))
    rotate(home, key)
    with Vault.open(home, key) as vault:
        assert vault.memories.add([note("next")]).ids == (51,)


def test_an_open_vault_is_in_the_way(filled: str, home: Path, key: KeyFile, monkeypatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.05)
    with Vault.open(home, key) as vault, pytest.raises(VaultBusy):
        rotate(home, key)
    assert vault.header.generation == 1
    assert not Header.load(home).rotating


def test_the_recovery_key_needs_another_beside_it(filled: str, home: Path, key: KeyFile, new_key: KeyFile) -> None:
    with pytest.raises(UsageError):
        rotate(home, RecoveryKey(filled))
    assert count(home, key) == 50
    rotate(home, RecoveryKey(filled), [new_key])
    assert count(home, new_key) == 50


POINTS = ["begin_rotation", "export", "publish", "after publish", "finish_rotation"]


def _break(monkeypatch, point: str) -> None:
    def fail(*_: object, **__: object) -> None:
        raise DiskFull("simulated")

    if point == "after publish":
        real = rotation.publish

        def publish_and_fail(*args: Path) -> None:
            real(*args)
            fail()

        monkeypatch.setattr(rotation, "publish", publish_and_fail)
    elif point == "publish":
        monkeypatch.setattr(rotation, "publish", fail)
    elif point == "export":
        monkeypatch.setattr("edgeperso.vault.database.Database.export", fail)
    else:
        monkeypatch.setattr(Header, point, fail)


@pytest.mark.parametrize("point", POINTS)
def test_a_failure_at_any_step(
    point: str, filled: str, home: Path, key: KeyFile, new_key: KeyFile, tmp_path: Path, monkeypatch, note
) -> None:
    _break(monkeypatch, point)
    with pytest.raises(DiskFull):
        rotate(home, key, [new_key])
    monkeypatch.undo()
    with Vault.open(home, key) as vault:
        assert vault.memories.count() == 50
        vault.memories.add([note("written in between")])
        backup.write(vault, tmp_path / "b")
    backup.restore(tmp_path / "b", tmp_path / "restored", key)
    assert count(tmp_path / "restored", key) == 51
    assert not list(home.glob(".edgeperso-*"))
    rotate(home, key, [new_key])
    assert count(home, new_key) == 51


KILLED = """
import os, signal, sys
from pathlib import Path
from edgeperso.vault import KeyFile, rotation
from edgeperso.vault.database import Database
from edgeperso.vault.header import Header
point = sys.argv[3]
def die(*_, **__): os.kill(os.getpid(), signal.SIGKILL)
def then_die(real):
    def run(*args, **kwargs):
        real(*args, **kwargs)
        die()
    return run
if point == "after export": Database.export = then_die(Database.export)
elif point == "publish": rotation.publish = die
elif point == "after publish": rotation.publish = then_die(rotation.publish)
elif point == "begin_rotation": Header.begin_rotation = then_die(Header.begin_rotation)
elif point == "finish_rotation": Header.finish_rotation = then_die(Header.finish_rotation)
rotation.rotate(Path(sys.argv[1]), KeyFile(sys.argv[2]), [KeyFile(sys.argv[4])])
"""


@pytest.mark.parametrize("point", ["begin_rotation", "after export", "publish", "after publish", "finish_rotation"])
def test_kill_at_any_step(point: str, filled: str, home: Path, key: KeyFile, new_key: KeyFile) -> None:
    child = subprocess.run([sys.executable, "-c", KILLED, str(home), str(key.path), point, str(new_key.path)])
    assert child.returncode == -9
    if point == "finish_rotation":
        assert count(home, new_key) == 50
        return
    assert count(home, key) == 50
    assert not list(home.glob(".edgeperso-*"))
    rotate(home, key, [new_key])
    assert count(home, new_key) == 50
