"""Changing the master key: the states, and a crash at every write of every change."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable
from pathlib import Path

import keyring.core
import pytest

from edgeperso.errors import EdgepersoError, ReadOnly, UsageError, VaultError, WrongKey
from edgeperso.secrecy import SecretBytes
from edgeperso.vault.credentials import KeyFile, OsKeyring, Passphrase, RecoveryKey, WrapType
from edgeperso.vault.header import Condition, Header
from edgeperso.vault.keys import Argon2Cost, MasterKey

CHEAP = Argon2Cost(64, 1, 1, below_standard=True)
OLD = Passphrase("the old passphrase")
NEW = Passphrase("the new passphrase")


def create(home: Path) -> tuple[Header, MasterKey, str]:
    return Header.create(home, OLD, cost=CHEAP)


def load(home: Path) -> Header:
    return Header.load(home, cost=CHEAP)


def test_a_whole_rotation(tmp_path: Path) -> None:
    header, old, first_recovery = create(tmp_path)
    new = header.begin_rotation(old)
    assert not new.matches(old)
    assert header.rotating
    rotated = header.finish_rotation(old, new, [NEW])
    assert (rotated.generation, rotated.dropped) == (2, ())
    again = load(tmp_path)
    assert (again.generation, again.rotating, again.vault_id) == (2, False, header.vault_id)
    assert again.unlock(NEW).matches(new)
    assert again.unlock(RecoveryKey(rotated.recovery_key)).matches(new)
    for dead in (OLD, RecoveryKey(first_recovery)):
        with pytest.raises(WrongKey):
            again.unlock(dead)
    with pytest.raises(WrongKey):
        again.new_recovery(old)
    again.add(new, OLD)


def test_a_rotation_says_which_credentials_it_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backend = _SecretService()
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    header, old, _ = create(tmp_path / "home")
    header.add(old, KeyFile(tmp_path / "k"))
    header.add(old, OsKeyring())
    rotated = header.finish_rotation(old, header.begin_rotation(old), [KeyFile(tmp_path / "k")])
    assert rotated.dropped == (WrapType.PASSPHRASE, WrapType.OS_KEYRING)
    assert backend.kept == {}
    assert [wrap.type for wrap in load(tmp_path / "home").wraps()] == [WrapType.KEY_FILE, WrapType.RECOVERY]


class _SecretService:
    __module__ = "keyring.backends.SecretService"

    def __init__(self) -> None:
        self.kept: dict[str, str] = {}

    def get_password(self, _: str, user: str) -> str | None:
        return self.kept.get(user)

    def set_password(self, _: str, user: str, password: str) -> None:
        self.kept[user] = password

    def delete_password(self, _: str, user: str) -> None:
        del self.kept[user]


def test_a_rotation_that_was_begun_is_found_again(tmp_path: Path) -> None:
    header, old, recovery = create(tmp_path)
    assert header.pending(old) is None
    new = header.begin_rotation(old)
    assert header.begin_rotation(old).matches(new)
    again = load(tmp_path)
    for credential in (OLD, RecoveryKey(recovery)):
        pending = again.pending(again.unlock(credential))
        assert pending is not None
        assert pending.matches(new)
    assert again.begin_rotation(old).matches(new)


def test_credentials_may_change_while_a_rotation_is_under_way(tmp_path: Path) -> None:
    header, old, _ = create(tmp_path)
    new = header.begin_rotation(old)
    header.change_passphrase(old, NEW)
    again = load(tmp_path)
    pending = again.pending(again.unlock(NEW))
    assert pending is not None
    assert pending.matches(new)


def test_an_aborted_rotation_leaves_the_old_key(tmp_path: Path) -> None:
    header, old, _ = create(tmp_path)
    new = header.begin_rotation(old)
    header.abort_rotation(old)
    header.abort_rotation(old)
    assert not load(tmp_path).rotating
    assert load(tmp_path).unlock(OLD).matches(old)
    assert not header.begin_rotation(old).matches(new)


def test_what_finish_refuses(tmp_path: Path) -> None:
    header, old, recovery = create(tmp_path)
    with pytest.raises(UsageError):
        header.finish_rotation(old, MasterKey.random(header.vault_id), [NEW])
    new = header.begin_rotation(old)
    before = header.to_bytes()
    for wrong_old, wrong_new in ((new, new), (old, old), (old, MasterKey.random(header.vault_id)), (new, old)):
        with pytest.raises(WrongKey):
            header.finish_rotation(wrong_old, wrong_new, [NEW])
    for credentials in ([], [OLD, NEW], [RecoveryKey(recovery)], [NEW, RecoveryKey(recovery)]):
        with pytest.raises(UsageError):
            header.finish_rotation(old, new, credentials)
    assert header.to_bytes() == before == (tmp_path / "header.json").read_bytes()


def test_a_pending_key_from_another_moment_doesnt_fit(tmp_path: Path) -> None:
    header, old, _ = create(tmp_path)
    first = header.begin_rotation(old)
    header.abort_rotation(old)
    header.begin_rotation(old)
    with pytest.raises(WrongKey):
        header.finish_rotation(old, first, [NEW])


# -- a crash at every write ----------------------------------------------------------------------------------------

Step = Callable[[Header, MasterKey], object]


def _finish(header: Header, old: MasterKey) -> object:
    new = header.pending(old)
    assert new is not None
    return header.finish_rotation(old, new, [NEW])


CHANGES: dict[str, tuple[bool, Step]] = {
    "begin": (False, lambda header, old: header.begin_rotation(old)),
    "finish": (True, _finish),
    "abort": (True, lambda header, old: header.abort_rotation(old)),
    "passphrase": (False, lambda header, old: header.change_passphrase(old, NEW)),
    "recovery": (False, lambda header, old: header.new_recovery(old)),
}


def _killed_at(step: int, call: Callable[[], object]) -> bool:
    """Run ``call`` in a child that dies, without any cleaning up, just before its ``step``-th call that touches the
    disk; whether it died."""
    child = os.fork()
    if child == 0:
        left = [step]

        def counted(function: Callable[..., object]) -> Callable[..., object]:
            def run(*args: object, **kwargs: object) -> object:
                left[0] -= 1
                if left[0] < 0:
                    os._exit(9)
                return function(*args, **kwargs)

            return run

        for name in ("open", "fsync", "replace", "unlink", "close"):
            setattr(os, name, counted(getattr(os, name)))
        try:
            call()
        except BaseException:  # noqa: BLE001 - whatever it is, the parent shall know
            os._exit(1)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in {0, 9}
    return code == 9


@pytest.mark.parametrize("name", CHANGES)
def test_a_kill_at_any_write_leaves_the_old_or_the_new_state(tmp_path: Path, name: str) -> None:
    rotating, change = CHANGES[name]
    outcomes = set()
    step = 0
    while True:
        home = tmp_path / str(step)
        header, old, _ = create(home)
        new = header.begin_rotation(old) if rotating else None
        before = header.to_bytes()
        raw = bytes(old._key.view())
        died = _killed_at(step, lambda header=header, raw=raw: change(header, _again(raw, header)))  # type: ignore[misc]
        found = load(home)
        changed = found.to_bytes() != before
        if (home / "header.json").read_bytes() != (home / "header.backup.json").read_bytes():
            assert changed, "the primary has to be written first"
        master = found.unlock(NEW if changed and name in {"finish", "passphrase"} else OLD)
        assert master.matches(new if new is not None and changed and name == "finish" else old)
        _check_pending(found, master, rotating=(name == "begin") == changed and name in {"begin", "finish", "abort"})
        outcomes.add((changed, died))
        _check_clean_after_next_change(home, master)
        if not died:
            break
        step += 1
    assert outcomes == {(False, True), (True, True), (True, False)}
    assert step > 10


def _again(raw: bytes, header: Header) -> MasterKey:
    """The key in a forked process, into which it doesn't come along."""
    return MasterKey(SecretBytes.of(raw), header.vault_id)


def _check_pending(header: Header, master: MasterKey, *, rotating: bool) -> None:
    assert header.rotating is rotating
    assert (header.pending(master) is not None) is rotating


def _check_clean_after_next_change(home: Path, master: MasterKey) -> None:
    """Unlocking renewed the copy; the next change clears temporary files that the killed process left."""
    assert load(home).condition is Condition.WHOLE
    load(home).new_recovery(master)
    assert {path.name for path in home.iterdir()} == {"header.json", "header.backup.json", ".header.lock"}


def test_data_reaches_the_disk_before_its_name_and_each_name_before_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    header, old, _ = create(tmp_path)
    trace: list[str] = []
    fsync, replace = os.fsync, os.replace

    def traced_fsync(descriptor: int) -> None:
        trace.append("sync folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "sync file")
        fsync(descriptor)

    def traced_replace(source: Path, target: Path) -> None:
        trace.append(f"rename {Path(target).name}")
        replace(source, target)

    monkeypatch.setattr(os, "fsync", traced_fsync)
    monkeypatch.setattr(os, "replace", traced_replace)
    header.new_recovery(old)
    assert trace == [
        *("sync file", "sync file"),
        *("rename header.json", "sync folder"),
        *("rename header.backup.json", "sync folder"),
    ]


def test_a_kill_while_creating_leaves_a_whole_vault_or_none(tmp_path: Path) -> None:
    step, seen = 0, set()
    while True:
        home = tmp_path / str(step)
        died = _killed_at(step, lambda home=home: create(home))  # type: ignore[misc]
        if any((home / name).exists() for name in ("header.json", "header.backup.json")):
            load(home).unlock(OLD)
            seen.add("whole")
        else:
            create(home)
            seen.add("none")
        if not died:
            break
        step += 1
    assert seen == {"whole", "none"}


@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
def test_an_error_while_creating_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, function: str) -> None:
    real = getattr(os, function)
    for step in range(20):
        home = tmp_path / str(step)
        left = [step]

        def failing(*args: object, left: list[int] = left, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(30, "Read-only file system", "canary")
            return real(*args, **kwargs)

        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing)
            try:
                create(home)
            except ReadOnly:
                pass
            else:
                assert load(home).unlock(OLD)
                assert step > 1
                return
        create(home)
    pytest.fail("the vault was never made")


def test_a_lost_primary_after_a_killed_finish_still_leads_to_the_new_key(tmp_path: Path) -> None:
    header, old, _ = create(tmp_path)
    new = header.begin_rotation(old)
    before = header.to_bytes()
    header.finish_rotation(old, new, [NEW])
    (tmp_path / "header.backup.json").write_bytes(before)
    (tmp_path / "header.json").write_bytes(b"lost")
    found = load(tmp_path)
    assert found.condition is Condition.PRIMARY_LOST
    pending = found.pending(found.unlock(OLD))
    assert pending is not None
    assert pending.matches(new)


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("function", ["open", "fsync", "replace"])
def test_an_error_at_any_write_is_ours_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, function: str
) -> None:
    rotating, change = CHANGES[name]
    real = getattr(os, function)
    for step in range(20):
        home = tmp_path / str(step)
        header, old, _ = create(home)
        if rotating:
            header.begin_rotation(old)
        left = [step]

        def failing(*args: object, left: list[int] = left, **kwargs: object) -> object:
            left[0] -= 1
            if left[0] == -1:
                raise OSError(28, "No space left on device", "canary")
            return real(*args, **kwargs)

        before = header.to_bytes()
        with monkeypatch.context() as patch:
            patch.setattr(os, function, failing)
            try:
                change(header, old)
            except EdgepersoError as error:
                failed: EdgepersoError | None = error
            else:
                failed = None
        found = load(home)
        if found.to_bytes() == before:
            found.unlock(OLD)
        else:
            found.unlock(NEW if name in {"finish", "passphrase"} else OLD)
        assert not [path for path in home.iterdir() if path.name.endswith("tmp")]
        if failed is None:
            assert left[0] >= 0
            return
        assert isinstance(failed, VaultError)
        assert "canary" not in str(failed)
    pytest.fail("the change never got through")
