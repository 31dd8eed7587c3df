"""Passphrases, key files and the OS keyring."""

from __future__ import annotations

import errno
import hashlib
import os
from pathlib import Path

import keyring.backend
import keyring.core
import pytest
from keyring.backends.chainer import ChainerBackend
from keyring.backends.fail import Keyring as FailKeyring
from keyring.backends.null import Keyring as NullKeyring
from keyring.errors import KeyringLocked

from edgeperso.errors import DiskFull, KeyFileInvalid, KeyringUnavailable, ReadOnly, UsageError, VaultError
from edgeperso.vault import keyring_store
from edgeperso.vault.credentials import KeyFile, OsKeyring, Passphrase, RecoveryKey

VAULT_ID = "00112233445566778899aabbccddeeff"


class FakeKeyring:
    """Not a subclass of ``KeyringBackend``: those register themselves for the whole process."""

    priority = 5

    def __init__(self) -> None:
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, user: str) -> str | None:
        return self.kept.get((service, user))

    def set_password(self, service: str, user: str, password: str) -> None:
        self.kept[service, user] = password

    def delete_password(self, service: str, user: str) -> None:
        del self.kept[service, user]


class SecretService(FakeKeyring):
    __module__ = "keyring.backends.SecretService"


class PlaintextKeyring(FakeKeyring):
    __module__ = "keyrings.alt.file"
    priority = 9


def use(monkeypatch: pytest.MonkeyPatch, backend: object) -> None:
    monkeypatch.setattr(keyring.core, "_keyring_backend", backend)


def use_chain(monkeypatch: pytest.MonkeyPatch, *backends: FakeKeyring) -> None:
    monkeypatch.setattr(keyring.backend, "get_all_keyring", lambda: list(backends))
    use(monkeypatch, ChainerBackend())


# -- passphrases ---------------------------------------------------------------------------------------------------


def test_repr_shows_no_secret() -> None:
    assert "canary" not in repr([Passphrase("canary"), RecoveryKey("canary")])


@pytest.mark.parametrize("text", ["", "   ", "\n", "x" * 4097, "bad \ud800 half"])
def test_unusable_passphrases_are_refused_without_quoting_them(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Passphrase(text).enroll(VAULT_ID)
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "half" not in str(caught.value)


def test_accents_compare_however_they_are_composed() -> None:
    assert Passphrase("Zu\u0308rich").secret(VAULT_ID) == Passphrase("Z\u00fcrich").secret(VAULT_ID)
    assert Passphrase("Zurich").secret(VAULT_ID) != Passphrase("Z\u00fcrich").secret(VAULT_ID)


# -- key files -----------------------------------------------------------------------------------------------------


def test_enrolling_makes_a_private_key_file_and_uses_it_again(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    secret = KeyFile(path).enroll(VAULT_ID)
    assert len(secret) == 32
    assert path.stat().st_mode & 0o777 == 0o600
    assert KeyFile(str(path)).enroll(VAULT_ID) == secret == KeyFile(path).secret("ff" * 16)
    assert [entry.name for entry in tmp_path.iterdir()] == ["me.key"]


def test_creating_never_overwrites(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    path.write_bytes(b"holiday photos")
    with pytest.raises(FileExistsError):
        KeyFile(path).create()
    with pytest.raises(KeyFileInvalid):
        KeyFile(path).enroll(VAULT_ID)
    assert path.read_bytes() == b"holiday photos"


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyFileInvalid):
        KeyFile(path).enroll(VAULT_ID)
    assert not (tmp_path / "elsewhere").exists()


def test_a_key_file_tolerates_another_systems_line_end(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    secret = KeyFile(path).create()
    path.write_bytes(path.read_bytes().strip() + b"\r\n")
    assert KeyFile(path).secret(VAULT_ID) == secret


def test_every_flipped_bit_of_a_key_file_is_found(tmp_path: Path) -> None:
    path = tmp_path / "me.key"
    secret = KeyFile(path).create()
    data = path.read_bytes().rstrip()
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        path.write_bytes(flipped)
        with pytest.raises(KeyFileInvalid) as caught:
            KeyFile(path).secret(VAULT_ID)
        assert secret.hex()[:16] not in str(caught.value)


@pytest.mark.parametrize("cut", [0, 1, 20, 60, 100])
def test_a_cut_key_file_is_invalid(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "me.key"
    KeyFile(path).create()
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(KeyFileInvalid):
        KeyFile(path).secret(VAULT_ID)


def test_a_whole_key_file_of_a_later_form_says_so(tmp_path: Path) -> None:
    check = hashlib.sha256(b"edgeperso key file v2 " + bytes(32)).hexdigest()[:16]
    (tmp_path / "k").write_text(f"edgeperso-key-file 2 {bytes(32).hex()} {check}\n")
    with pytest.raises(KeyFileInvalid, match="newer"):
        KeyFile(tmp_path / "k").secret(VAULT_ID)


def test_things_that_are_no_key_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"x" * 2_000_000)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name in ("missing", "folder", "large", "pipe", "loop", "large/below"):
        with pytest.raises(KeyFileInvalid):
            KeyFile(tmp_path / name).secret(VAULT_ID)


@pytest.mark.parametrize(
    ("number", "error"),
    [(errno.ENOSPC, DiskFull), (errno.EROFS, ReadOnly), (errno.EACCES, ReadOnly), (errno.EIO, VaultError)],
)
def test_a_key_file_that_cant_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, error: type[VaultError]
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, "no")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(error):
        KeyFile(tmp_path / "me.key").enroll(VAULT_ID)
    assert list(tmp_path.iterdir()) == []


def test_a_key_file_in_a_folder_that_isnt_there(tmp_path: Path) -> None:
    with pytest.raises(VaultError):
        KeyFile(tmp_path / "usb" / "me.key").enroll(VAULT_ID)


# -- the OS keyring ------------------------------------------------------------------------------------------------


def test_the_keyring_keeps_one_secret_a_vault(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = SecretService()
    use(monkeypatch, backend)
    secret = OsKeyring().enroll(VAULT_ID)
    assert OsKeyring().enroll(VAULT_ID) == secret == OsKeyring().secret(VAULT_ID)
    assert list(backend.kept) == [("edgeperso", VAULT_ID)]
    assert OsKeyring().enroll("ff" * 16) != secret
    keyring_store.delete_secret(VAULT_ID)
    with pytest.raises(KeyringUnavailable):
        OsKeyring().secret(VAULT_ID)


def test_untrusted_keyrings_are_refused_and_given_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    plaintext, unknown = PlaintextKeyring(), FakeKeyring()
    for backend in (NullKeyring(), FailKeyring(), plaintext, unknown):
        use(monkeypatch, backend)
        for attempt in (OsKeyring().enroll, OsKeyring().secret):
            with pytest.raises(KeyringUnavailable):
                attempt(VAULT_ID)
    assert not plaintext.kept
    assert not unknown.kept


def test_a_subclass_of_a_trusted_keyring_is_not_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    class Leaky(SecretService):
        __module__ = "somewhere.else"

    backend = Leaky()
    use(monkeypatch, backend)
    with pytest.raises(KeyringUnavailable):
        OsKeyring().enroll(VAULT_ID)
    assert not backend.kept


def test_only_the_trusted_members_of_a_chain_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    plaintext, trusted = PlaintextKeyring(), SecretService()
    use_chain(monkeypatch, plaintext, trusted)
    secret = OsKeyring().enroll(VAULT_ID)
    assert not plaintext.kept
    assert list(trusted.kept) == [("edgeperso", VAULT_ID)]
    plaintext.kept["edgeperso", VAULT_ID] = "v1:" + "00" * 32
    assert OsKeyring().secret(VAULT_ID) == secret


def test_a_chain_of_untrusted_keyrings_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for members in ((), (PlaintextKeyring(),), (PlaintextKeyring(), FakeKeyring())):
        use_chain(monkeypatch, *members)
        with pytest.raises(KeyringUnavailable):
            OsKeyring().enroll(VAULT_ID)


@pytest.mark.parametrize("name", ["no.such.module.Keyring", "os.NoSuchClass", "keyring.backends.null.Keyring", "x"])
def test_a_keyring_named_in_the_environment_is_judged_alike(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    use(monkeypatch, None)
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", name)
    with pytest.raises(KeyringUnavailable):
        OsKeyring().enroll(VAULT_ID)


@pytest.mark.parametrize("verb", ["get_password", "set_password"])
@pytest.mark.parametrize("error", [KeyringLocked("canary"), RuntimeError("canary"), NotImplementedError("canary")])
def test_a_keyring_that_fails(monkeypatch: pytest.MonkeyPatch, verb: str, error: Exception) -> None:
    def fail(*_: str) -> None:
        raise error

    backend = SecretService()
    monkeypatch.setattr(backend, verb, fail)
    use(monkeypatch, backend)
    with pytest.raises(KeyringUnavailable) as caught:
        OsKeyring().enroll(VAULT_ID)
    assert "canary" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("answer", [None, "", "v1:", "v1:zz", "v1:" + "00" * 31, "v2:" + "00" * 32, "v1:" + "00" * 32])
def test_a_keyring_that_gives_back_something_else(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> None:
    backend = SecretService()
    use(monkeypatch, backend)
    monkeypatch.setattr(backend, "get_password", lambda *_: answer if backend.kept else None)
    with pytest.raises(KeyringUnavailable):
        OsKeyring().enroll(VAULT_ID)


def test_deleting_from_a_keyring_never_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, NullKeyring())
    keyring_store.delete_secret(VAULT_ID)
    backend = SecretService()
    backend.kept["edgeperso", VAULT_ID] = "v1:" + "00" * 32
    monkeypatch.setattr(backend, "delete_password", lambda *_: 1 / 0)
    use(monkeypatch, backend)
    keyring_store.delete_secret(VAULT_ID)
