"""What a person shows to open a vault: a passphrase, a key file, the OS keyring, or the printed recovery key.

Promises: ``repr`` never shows a secret, and no error here quotes one. A key file is 0600, is never overwritten, and one
that is damaged or not ours is told apart from another vault's. The OS keyring fails closed (see `keyring_store`).

A key file is one line of ASCII: ``edgeperso-key-file 1 SECRET CHECK``, where SECRET is 32 random bytes and CHECK the
first 8 bytes of a SHA-256 over form and secret, both in hex.
"""

from __future__ import annotations

import os
import re
import secrets
import unicodedata
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import ClassVar, Final

from edgeperso.errors import KeyFileInvalid, UsageError
from edgeperso.vault import keyring_store
from edgeperso.vault.key_storage import put_new, read_small
from edgeperso.vault.keys import KEY_BYTES, digest, same
from edgeperso.vault.recovery import recovery_secret

__all__ = ["Credential", "KeyFile", "OsKeyring", "Passphrase", "RecoveryKey", "WrapType"]

_MAX_PASSPHRASE: Final = 4096
_MAX_KEY_FILE_BYTES: Final = 1024
_KEY_FILE: Final = re.compile(rb"edgeperso-key-file ([0-9]{1,6}) ([0-9a-f]{64}) ([0-9a-f]{16})\s*\Z")


class WrapType(StrEnum):
    """What kind of credential opens a wrap of the master key."""

    PASSPHRASE = "passphrase"  # noqa: S105 - a name, not a passphrase
    KEY_FILE = "key_file"
    OS_KEYRING = "os_keyring"
    RECOVERY = "recovery"


@dataclass(frozen=True, slots=True, eq=False)
class Passphrase:
    """Words that the person remembers: 1 to 4096 characters, compared after Unicode's NFC, so that it doesn't matter
    how a keyboard composes its accents."""

    wrap_type: ClassVar = WrapType.PASSPHRASE
    text: str = field(repr=False)

    def secret(self, vault_id: str) -> bytes:  # noqa: ARG002 - all credentials are asked alike
        """The bytes that Argon2id stretches.

        Raises:
            UsageError: empty, longer than 4096 characters, or not valid Unicode.
        """
        if not self.text.strip():
            raise UsageError("The passphrase is empty.")
        if len(self.text) > _MAX_PASSPHRASE:
            raise UsageError(f"The passphrase is longer than {_MAX_PASSPHRASE} characters.")
        try:
            return unicodedata.normalize("NFC", self.text).encode()
        except UnicodeEncodeError:
            raise UsageError("The passphrase holds characters that are not valid Unicode.") from None

    def enroll(self, vault_id: str) -> bytes:
        return self.secret(vault_id)


@dataclass(frozen=True, slots=True, eq=False)
class KeyFile:
    """A file that opens the vault, kept apart from it (a USB stick). Enrolling one that doesn't exist creates it."""

    wrap_type: ClassVar = WrapType.KEY_FILE
    path: str | os.PathLike[str]

    def create(self) -> bytes:
        """Make the file, 0600 and durable, with a fresh secret, which is returned.

        Raises:
            FileExistsError: something is there already; it stays as it is.
            VaultError: it can't be written (`DiskFull`, `ReadOnly`).
        """
        secret = secrets.token_bytes(KEY_BYTES)
        put_new(self._place, b"edgeperso-key-file 1 %b %b\n" % (_hex(secret), _hex(_key_file_check(b"1", secret))))
        return secret

    def secret(self, vault_id: str) -> bytes:  # noqa: ARG002 - all credentials are asked alike
        """The file's 32 bytes.

        Raises:
            KeyFileInvalid: missing, unreadable, damaged, of a newer form, or not a key file.
        """
        try:
            data = read_small(self._place, _MAX_KEY_FILE_BYTES)
        except OSError:
            raise KeyFileInvalid(f"The key file {self._place} can't be read.") from None
        if data is None:
            raise KeyFileInvalid(f"There is no key file {self._place}.")
        return _parse_key_file(data, self._place)

    def enroll(self, vault_id: str) -> bytes:
        """The file's secret; the file is created where there is none.

        Raises:
            KeyFileInvalid: there is a file, and it isn't a whole key file. It stays as it is.
            VaultError: it can't be written (`DiskFull`, `ReadOnly`).
        """
        try:
            return self.create()
        except FileExistsError:
            return self.secret(vault_id)

    @property
    def _place(self) -> Path:
        return Path(self.path).expanduser()


@dataclass(frozen=True, slots=True, eq=False)
class OsKeyring:
    """A secret in the operating system's keyring, under the service ``edgeperso`` and the vault's id."""

    wrap_type: ClassVar = WrapType.OS_KEYRING

    def secret(self, vault_id: str) -> bytes:
        """The secret kept for this vault.

        Raises:
            KeyringUnavailable: no trusted keyring, or nothing in it for this vault.
        """
        return keyring_store.read_secret(vault_id)

    def enroll(self, vault_id: str) -> bytes:
        """The secret kept for this vault, made where there is none.

        Raises:
            KeyringUnavailable: no trusted keyring.
        """
        return keyring_store.ensure_secret(vault_id)


@dataclass(frozen=True, slots=True, eq=False)
class RecoveryKey:
    """The printed key, as typed: case, spaces and dashes don't matter."""

    wrap_type: ClassVar = WrapType.RECOVERY
    text: str = field(repr=False)

    def secret(self, vault_id: str) -> bytes:  # noqa: ARG002 - all credentials are asked alike
        """The printed 32 bytes.

        Raises:
            RecoveryKeyMistyped: not a whole recovery key.
        """
        return recovery_secret(self.text)

    def enroll(self, vault_id: str) -> bytes:  # noqa: ARG002 - all credentials are asked alike
        """Never: a recovery key is made by the vault, not chosen.

        Raises:
            UsageError: always.
        """
        raise UsageError("A recovery key can't be chosen.", hint="Make a new one with `edgeperso key recovery`.")


Credential = Passphrase | KeyFile | OsKeyring | RecoveryKey


def _parse_key_file(data: bytes, place: Path) -> bytes:
    match = _KEY_FILE.match(data) if len(data) <= _MAX_KEY_FILE_BYTES else None
    if match is None:
        raise KeyFileInvalid(f"{place} is not an edgeperso key file, or is damaged.")
    secret, check = bytes.fromhex(match[2].decode()), bytes.fromhex(match[3].decode())
    if not same(check, _key_file_check(match[1], secret)):
        raise KeyFileInvalid(f"The key file {place} is damaged.")
    if match[1] != b"1":
        raise KeyFileInvalid(f"The key file {place} was written by a newer edgeperso.", hint="Upgrade edgeperso.")
    return secret


def _key_file_check(version: bytes, secret: bytes) -> bytes:
    return digest(b"edgeperso key file v" + version + b" " + secret)[:8]


def _hex(data: bytes) -> bytes:
    return data.hex().encode()
