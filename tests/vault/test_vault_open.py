from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from edgeperso.errors import VaultBusy, VaultDamaged, VaultExists, VaultNotFound, WrongKey
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, RecoveryKey, Vault, guard
from edgeperso.vault.guard import HomeLock
from edgeperso.vault.vault import DATABASE_NAME


def test_create_close_open(home: Path, key: KeyFile, note) -> None:
    vault, recovery = Vault.create(home, key)
    vault.memories.add([note("hello")])
    id_ = vault.id
    vault.close()
    vault.close()
    with Vault.open(home, key) as again:
        assert again.id == id_
        assert [memory.text for memory in again.memories.scan()] == ["hello"]
        again.check()
    with Vault.open(home, RecoveryKey(recovery)) as again:
        assert again.memories.count() == 1


def test_home_and_files_are_the_owners_alone(home: Path, key: KeyFile, note) -> None:
    home.mkdir(mode=0o755)
    old = os.umask(0)
    try:
        vault, _ = Vault.create(home, key)
        with vault:
            vault.memories.add([note("x")])
            assert stat.S_IMODE(home.stat().st_mode) == 0o700
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in home.iterdir()}
    finally:
        os.umask(old)
    assert f"{DATABASE_NAME}-wal" in modes
    assert set(modes.values()) == {0o600}, modes


def test_create_refuses_a_home_in_use(home: Path, key: KeyFile) -> None:
    Vault.create(home, key)[0].close()
    before = {path.name: path.read_bytes() for path in home.iterdir()}
    with pytest.raises(VaultExists):
        Vault.create(home, key)
    for name in ("header.json", "header.backup.json"):
        (home / name).unlink()
    with pytest.raises(VaultExists):
        Vault.create(home, key)
    assert (home / DATABASE_NAME).read_bytes() == before[DATABASE_NAME]


def test_a_create_that_fails_leaves_no_vault(home: Path, key: KeyFile, monkeypatch) -> None:
    def fail(*_: object) -> None:
        raise VaultBusy("simulated")

    monkeypatch.setattr("edgeperso.vault.vault.move_in", fail)
    with pytest.raises(VaultBusy):
        Vault.create(home, key)
    assert {path.name for path in home.iterdir()} == {"vault.lock"}
    monkeypatch.undo()
    Vault.create(home, key)[0].close()


def test_nothing_there(home: Path, key: KeyFile, tmp_path: Path) -> None:
    with pytest.raises(VaultNotFound):
        Vault.open(home, key)
    Vault.create(home, key)[0].close()
    other = KeyFile(tmp_path / "other.key")
    other.create()
    with pytest.raises(WrongKey):
        Vault.open(home, other)
    (home / DATABASE_NAME).unlink()
    with pytest.raises(VaultDamaged):
        Vault.open(home, key)


def test_two_vaults_of_one_home_in_one_process(home: Path, key: KeyFile, note) -> None:
    one, _ = Vault.create(home, key)
    with one, Vault.open(home, key) as two:
        one.memories.add([note("from one")])
        two.memories.add([note("from two")])
        assert one.memories.count() == two.memories.count() == 2
        assert one.generation == two.generation


def test_threads_share_a_vault(vault: Vault, note) -> None:
    failures: list[BaseException] = []

    def work(name: int) -> None:
        try:
            for i in range(15):
                with vault.transaction():
                    before = vault.memories.count()
                    vault.memories.add([note(f"{name} {i} {j}") for j in range(3)])
                    assert vault.memories.count() == before + 3
        except BaseException as failure:  # noqa: BLE001
            failures.append(failure)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert vault.memories.count() == 180


WRITER = """
import sys
from pathlib import Path
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
with Vault.open(Path(sys.argv[1]), KeyFile(sys.argv[2])) as vault:
    for i in range(40):
        vault.memories.add([Record(f"{sys.argv[3]} {i}", Kind.NOTE, "p")])
"""


def test_several_processes_at_once(vault: Vault, home: Path, key: KeyFile) -> None:
    run = [sys.executable, "-c", WRITER, str(home), str(key.path)]
    children = [subprocess.Popen([*run, name]) for name in ("a", "b")]
    for i in range(40):
        vault.memories.add([Record(f"parent {i}", Kind.NOTE, "p")])
    assert [child.wait(60) for child in children] == [0, 0]
    assert vault.memories.count() == 120
    assert vault.generation == 120
    vault.check()


PROBE = """
import fcntl, sys
with open(sys.argv[1], "r+b") as file:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)  # SQLite's range of shared locks
    except OSError:
        print("held")
"""


def test_a_second_look_does_not_drop_sqlites_lock(vault: Vault, home: Path, key: KeyFile, note) -> None:
    """POSIX drops a process's locks on a file when it closes any descriptor of it. Without its lock another process
    would take itself for the last one, and fold in and delete a log that is still in use."""
    vault.memories.add([note("before")])
    Vault.open(home, key).close()
    probe = [sys.executable, "-c", PROBE, str(home / DATABASE_NAME)]
    assert subprocess.run(probe, capture_output=True, text=True, check=True).stdout == "held\n"
    vault.close()
    assert subprocess.run(probe, capture_output=True, text=True, check=True).stdout == ""


def test_lock_modes(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(guard, "PATIENCE_S", 0.05)
    one, two = HomeLock(tmp_path), HomeLock(tmp_path)
    assert one.try_alone()
    assert not two.try_alone()
    with pytest.raises(VaultBusy):
        two.share()
    one.share()
    two.share()
    with pytest.raises(VaultBusy):
        two.alone()
    one.release()
    two.alone()
    two.release()


def test_left_over_private_folders_are_swept(home: Path, key: KeyFile) -> None:
    Vault.create(home, key)[0].close()
    (home / ".edgeperso-left").mkdir()
    (home / ".edgeperso-left" / "x").write_bytes(b"ciphertext")
    with Vault.open(home, key):
        assert not (home / ".edgeperso-left").exists()
        (home / ".edgeperso-in-use").mkdir()
        Vault.open(home, key).close()
        assert (home / ".edgeperso-in-use").exists()
