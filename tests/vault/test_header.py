"""The key header: making one, opening it, changing who opens it."""

from __future__ import annotations

import errno
import json
import logging
import os
from pathlib import Path

import keyring.core
import pytest

from edgeperso.errors import (
    DiskFull,
    HeaderDamaged,
    KeyFileInvalid,
    KeyringUnavailable,
    NotFound,
    RecoveryKeyMistyped,
    UsageError,
    VaultBusy,
    VaultExists,
    VaultNotFound,
    WrongKey,
)
from edgeperso.vault import keys
from edgeperso.vault.credentials import Credential, KeyFile, OsKeyring, Passphrase, RecoveryKey, WrapType
from edgeperso.vault.header import Condition, Header
from edgeperso.vault.keys import Argon2Cost, MasterKey
from edgeperso.vault.recovery import new_recovery_text

CHEAP = Argon2Cost(64, 1, 1, below_standard=True)
OLD = Passphrase("the old passphrase")
NEW = Passphrase("the new passphrase")


class SecretService:
    __module__ = "keyring.backends.SecretService"

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, user: str) -> str | None:
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, password: str) -> None:
        self.kept[service, user] = password

    def delete_password(self, service: str, user: str) -> None:
        del self.kept[service, user]


@pytest.fixture
def os_keyring(monkeypatch: pytest.MonkeyPatch) -> SecretService:
    backend = SecretService()
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)
    return backend


def create(home: Path, credential: Credential = OLD) -> tuple[Header, MasterKey, str]:
    return Header.create(home, credential, cost=CHEAP)


def files(home: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in home.iterdir() if path.name != ".header.lock"}


def test_a_new_header_lies_twice_private_and_alike(tmp_path: Path) -> None:
    home = tmp_path / "deep" / "home"
    header, _, _ = create(home)
    assert set(files(home)) == {"header.json", "header.backup.json"}
    assert len(set(files(home).values())) == 1
    assert home.stat().st_mode & 0o777 == 0o700
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in home.iterdir())
    assert header.condition is Condition.WHOLE
    assert header.generation == 1
    assert not header.rotating
    assert [wrap.type for wrap in header.wraps()] == [WrapType.PASSPHRASE, WrapType.RECOVERY]


def test_the_header_holds_no_secret(tmp_path: Path) -> None:
    header, master, recovery = create(tmp_path)
    text = (tmp_path / "header.json").read_text()
    derived = [master.derive(purpose).hex() for purpose in keys.Purpose]
    for secret in (OLD.text, recovery, recovery.replace("-", ""), master._key.hex(), *derived):
        assert secret.lower() not in text.lower()
    assert repr(header).count(header.vault_id) == 0


@pytest.mark.parametrize("kind", ["passphrase", "key_file", "os_keyring"])
def test_each_credential_and_the_recovery_key_open_it(tmp_path: Path, os_keyring: SecretService, kind: str) -> None:
    credential: Credential = {"passphrase": OLD, "key_file": KeyFile(tmp_path / "k"), "os_keyring": OsKeyring()}[kind]
    _, master, recovery = create(tmp_path / "home", credential)
    header = Header.load(tmp_path / "home")
    assert header.unlock(credential).matches(master)
    assert header.unlock(RecoveryKey(recovery.lower().replace("-", " "))).matches(master)
    with pytest.raises(WrongKey):
        header.unlock(RecoveryKey(new_recovery_text()))


def test_wrong_secrets_look_alike(tmp_path: Path) -> None:
    create(tmp_path)
    header = Header.load(tmp_path)
    messages = set()
    for wrong in (NEW, RecoveryKey(new_recovery_text())):
        with pytest.raises(WrongKey) as caught:
            header.unlock(wrong)
        assert type(caught.value) is WrongKey
        assert caught.value.__suppress_context__
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_a_missing_type_says_what_would_open(tmp_path: Path) -> None:
    create(tmp_path / "home")
    with pytest.raises(WrongKey, match="passphrase, recovery key"):
        Header.load(tmp_path / "home").unlock(KeyFile(tmp_path / "k"))
    assert not (tmp_path / "k").exists()


def test_unusable_credentials_say_so(tmp_path: Path, os_keyring: SecretService) -> None:
    header, master, recovery = create(tmp_path / "home")
    header.add(master, KeyFile(tmp_path / "k"))
    header.add(master, OsKeyring())
    (tmp_path / "k").write_bytes(b"overwritten")
    os_keyring.kept.clear()
    for credential, error in (
        (KeyFile(tmp_path / "k"), KeyFileInvalid),
        (OsKeyring(), KeyringUnavailable),
        (RecoveryKey(recovery[:-1]), RecoveryKeyMistyped),
        (Passphrase(""), UsageError),
    ):
        with pytest.raises(error):
            header.unlock(credential)
    assert header.unlock(RecoveryKey(recovery)).matches(master)


def test_creating_never_overwrites(tmp_path: Path) -> None:
    create(tmp_path / "home")
    before = files(tmp_path / "home")
    with pytest.raises(VaultExists):
        create(tmp_path / "home", KeyFile(tmp_path / "k"))
    assert files(tmp_path / "home") == before
    assert not (tmp_path / "k").exists()
    (tmp_path / "home" / "header.json").unlink()
    with pytest.raises(VaultExists):
        create(tmp_path / "home")
    (tmp_path / "home" / "header.backup.json").write_bytes(b"damaged")
    with pytest.raises(VaultExists):
        create(tmp_path / "home")


def test_a_header_isnt_made_from_a_recovery_key_or_nothing(tmp_path: Path) -> None:
    for credential in (RecoveryKey(new_recovery_text()), Passphrase(""), KeyFile(tmp_path / "no" / "folder")):
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the family is asserted
            create(tmp_path / "home", credential)
        assert caught.type.__module__ == "edgeperso.errors"
    assert not (tmp_path / "home" / "header.json").exists()


def test_a_failed_creation_leaves_nothing_in_the_keyring(
    tmp_path: Path, os_keyring: SecretService, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "full")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(DiskFull):
            create(tmp_path / "home", OsKeyring())
    assert not os_keyring.kept
    create(tmp_path / "home")


def test_a_home_that_is_a_file(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.write_bytes(b"")
    with pytest.raises(UsageError):
        create(home)
    with pytest.raises(VaultNotFound):
        Header.load(home)
    with pytest.raises(VaultNotFound):
        Header.load(tmp_path / "nowhere")


def test_changing_the_passphrase_leaves_the_master_and_the_other_credentials(tmp_path: Path) -> None:
    header, master, recovery = create(tmp_path / "home")
    header.add(master, KeyFile(tmp_path / "k"))
    header.change_passphrase(master, NEW)
    for opened in (header, Header.load(tmp_path / "home")):
        for credential in (NEW, KeyFile(tmp_path / "k"), RecoveryKey(recovery)):
            assert opened.unlock(credential).matches(master)
        with pytest.raises(WrongKey):
            opened.unlock(OLD)
        assert [wrap.type.value for wrap in opened.wraps()] == ["passphrase", "key_file", "recovery"]


def test_a_second_passphrase_replaces_the_first(tmp_path: Path) -> None:
    header, master, _ = create(tmp_path)
    info = header.add(master, NEW)
    assert info in header.wraps()
    assert len(header.wraps()) == 2
    with pytest.raises(WrongKey):
        Header.load(tmp_path).unlock(OLD)


def test_there_has_to_be_a_passphrase_to_change(tmp_path: Path) -> None:
    header, master, _ = create(tmp_path / "home", KeyFile(tmp_path / "k"))
    with pytest.raises(NotFound):
        header.change_passphrase(master, NEW)


def test_a_new_recovery_key_kills_the_old(tmp_path: Path) -> None:
    header, master, first = create(tmp_path)
    second = header.new_recovery(master)
    assert Header.load(tmp_path).unlock(RecoveryKey(second)).matches(master)
    with pytest.raises(WrongKey):
        Header.load(tmp_path).unlock(RecoveryKey(first))
    with pytest.raises(UsageError):
        header.add(master, RecoveryKey(first))


def test_removing_keeps_a_way_in(tmp_path: Path, os_keyring: SecretService) -> None:
    header, master, recovery = create(tmp_path)
    with pytest.raises(UsageError):
        header.remove(master, WrapType.PASSPHRASE)
    with pytest.raises(UsageError):
        header.remove(master, WrapType.RECOVERY)
    with pytest.raises(NotFound):
        header.remove(master, WrapType.KEY_FILE)
    header.add(master, OsKeyring())
    header.remove(master, WrapType.PASSPHRASE)
    with pytest.raises(WrongKey):
        Header.load(tmp_path).unlock(OLD)
    with pytest.raises(UsageError):
        header.remove(master, WrapType.OS_KEYRING)
    header.add(master, NEW)
    header.remove(master, WrapType.OS_KEYRING)
    assert not os_keyring.kept
    assert Header.load(tmp_path).unlock(RecoveryKey(recovery)).matches(master)


def test_another_vaults_master_changes_nothing(tmp_path: Path) -> None:
    header, _, _ = create(tmp_path / "a")
    _, other, _ = create(tmp_path / "b")
    before = files(tmp_path / "a")
    for attempt in (
        lambda: header.add(other, NEW),
        lambda: header.remove(other, WrapType.PASSPHRASE),
        lambda: header.new_recovery(other),
        lambda: header.repair(other),
        lambda: header.begin_rotation(other),
        lambda: header.pending(other),
        lambda: header.abort_rotation(other),
    ):
        with pytest.raises(WrongKey):
            attempt()
    assert files(tmp_path / "a") == before


def test_another_vaults_wrap_doesnt_open_this_one(tmp_path: Path) -> None:
    create(tmp_path / "a", KeyFile(tmp_path / "k"))
    create(tmp_path / "b", KeyFile(tmp_path / "k"))
    ours, theirs = (json.loads((tmp_path / name / "header.json").read_text()) for name in "ab")
    assert ours["vault_id"] != theirs["vault_id"]
    assert ours["wraps"][0]["sealed"] != theirs["wraps"][0]["sealed"]
    assert (
        not Header.load(tmp_path / "a")
        .unlock(KeyFile(tmp_path / "k"))
        .matches(Header.load(tmp_path / "b").unlock(KeyFile(tmp_path / "k")))
    )


def test_a_header_travels_in_a_backup(tmp_path: Path) -> None:
    header, master, recovery = create(tmp_path / "a")
    carried = Header.from_bytes(header.to_bytes(), cost=CHEAP)
    assert header.to_bytes() == files(tmp_path / "a")["header.json"]
    assert carried.unlock(OLD).matches(master)
    with pytest.raises(UsageError):
        carried.add(master, NEW)
    installed = carried.install(tmp_path / "b")
    assert files(tmp_path / "b") == files(tmp_path / "a")
    installed.add(master, NEW)
    assert Header.load(tmp_path / "b").unlock(RecoveryKey(recovery)).matches(master)
    with pytest.raises(VaultExists):
        carried.install(tmp_path / "b")
    with pytest.raises(HeaderDamaged):
        Header.from_bytes(b"{}")


def test_two_processes_dont_overwrite_each_others_change(tmp_path: Path) -> None:
    _, master, _ = create(tmp_path)
    mine, theirs = Header.load(tmp_path, cost=CHEAP), Header.load(tmp_path, cost=CHEAP)
    mine.change_passphrase(master, NEW)
    with pytest.raises(VaultBusy):
        theirs.new_recovery(master)
    assert Header.load(tmp_path).unlock(NEW).matches(master)
    Header.load(tmp_path, cost=CHEAP).new_recovery(master)


def test_new_passphrases_get_the_standard_cost_and_old_wraps_keep_theirs(tmp_path: Path) -> None:
    _, master, _ = create(tmp_path)
    assert _argon2(tmp_path)["memory_kib"] == 64
    header = Header.load(tmp_path)
    header.new_recovery(master)
    assert _argon2(tmp_path)["memory_kib"] == 64
    header.change_passphrase(master, NEW)
    assert (_argon2(tmp_path)["memory_kib"], _argon2(tmp_path)["iterations"]) == (65_536, 3)


def _argon2(home: Path) -> dict[str, int]:
    fields = json.loads((home / "header.json").read_text())
    kdf: dict[str, int] = fields["wraps"][0]["kdf"]
    return kdf


def test_salts_nonces_and_ids_are_fresh(tmp_path: Path) -> None:
    header, master, _ = create(tmp_path)
    seen = []
    for _ in range(5):
        header.change_passphrase(master, OLD)
        wrap = json.loads(header.to_bytes())["wraps"][0]
        seen += [wrap["id"], wrap["nonce"], wrap["kdf"]["salt"], wrap["sealed"]]
    assert len(set(seen)) == len(seen)


def test_logs_say_numbers_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    header, master, recovery = create(tmp_path)
    header.change_passphrase(master, NEW)
    new = header.begin_rotation(master)
    rotated = header.finish_rotation(master, new, [NEW])
    assert "key.changed generation=1 wraps=2" in caplog.text
    assert "key.rotated generation=2 wraps=2" in caplog.text
    for secret in (OLD.text, NEW.text, recovery, rotated.recovery_key, header.vault_id):
        assert secret not in caplog.text
    assert rotated.recovery_key not in repr(rotated)
