"""Several processes at one header, and a disk that really refuses."""

from __future__ import annotations

import fcntl
import os
import resource
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from edgeperso.errors import DiskFull, VaultBusy, VaultError, VaultExists
from edgeperso.vault import key_storage
from edgeperso.vault.credentials import KeyFile, Passphrase
from edgeperso.vault.header import Condition, Header
from edgeperso.vault.keys import Argon2Cost, MasterKey

CHEAP = Argon2Cost(64, 1, 1, below_standard=True)
OLD = Passphrase("the old passphrase")


def create(home: Path) -> tuple[Header, MasterKey, str]:
    return Header.create(home, OLD, cost=CHEAP)


def in_child(work: Callable[[], int]) -> int:
    """Start ``work`` in another process; its pid."""
    child = os.fork()
    if child == 0:
        try:
            os._exit(work())
        except BaseException:  # noqa: BLE001 - whatever it is, the parent shall know
            os._exit(99)
    return child


def exit_code(pid: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_changes_of_several_processes_all_take_place(tmp_path: Path) -> None:
    """Four processes renew the recovery key four times each while a fifth reads: refused or done, never half."""
    create(tmp_path)

    def work() -> int:
        master, done = Header.load(tmp_path, cost=CHEAP).unlock(OLD), 0
        while done < 4:
            try:
                Header.load(tmp_path, cost=CHEAP).new_recovery(master)
            except VaultBusy:
                continue
            done += 1
        return done

    children = [in_child(work) for _ in range(4)]
    for _ in range(200):
        Header.load(tmp_path).unlock(OLD)
    assert [exit_code(child) for child in children] == [4] * 4
    assert Header.load(tmp_path).condition is Condition.WHOLE


def test_only_one_of_several_creations_wins(tmp_path: Path) -> None:
    def work() -> int:
        try:
            create(tmp_path / "home")
        except VaultExists:
            return 1
        return 0

    children = [in_child(work) for _ in range(6)]
    assert sorted(exit_code(child) for child in children) == [0, 1, 1, 1, 1, 1]
    Header.load(tmp_path / "home").unlock(OLD)


def test_a_held_lock_is_a_busy_vault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    header, master, _ = create(tmp_path)
    monkeypatch.setattr(key_storage, "_LOCK_PATIENCE_S", 0.05)
    with (tmp_path / ".header.lock").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(VaultBusy):
            header.new_recovery(master)
    header.new_recovery(master)


def test_a_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    header, master, _ = create(tmp_path)
    (tmp_path / ".header.lock").unlink()
    (tmp_path / ".header.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(VaultError):
        header.new_recovery(master)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("limit_bytes", [0, 1, 100, 1000])
def test_a_disk_that_takes_no_more(tmp_path: Path, limit_bytes: int) -> None:
    header, _, _ = create(tmp_path / "home")
    before = header.to_bytes()

    def work() -> int:
        master = header.unlock(OLD)
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))
        for attempt in (lambda: header.new_recovery(master), lambda: create(tmp_path / "other")):
            try:
                attempt()
            except DiskFull:
                continue
            return 1
        return 0

    assert exit_code(in_child(work)) == 0
    assert Header.load(tmp_path / "home").to_bytes() == before
    assert {path.name for path in (tmp_path / "home").iterdir()} == {
        "header.json",
        "header.backup.json",
        ".header.lock",
    }
    assert {path.name for path in (tmp_path / "other").iterdir()} <= {".header.lock"}


def test_a_key_file_cut_by_a_full_disk_is_not_left_behind(tmp_path: Path) -> None:
    def work() -> int:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (10, 10))
        try:
            KeyFile(tmp_path / "k").enroll("00" * 16)
        except DiskFull:
            return 0
        return 1

    assert exit_code(in_child(work)) == 0
    assert list(tmp_path.iterdir()) == []
