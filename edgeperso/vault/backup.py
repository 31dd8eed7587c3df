"""Backup and restore: the whole vault in one encrypted file.

A backup is opened by the credentials that the vault had when it was written: it carries the key header of that moment.
Changing a passphrase or the keys later doesn't reach it.

Layout, integers big-endian::

    database    the vault's content, exported by SQLCipher under the master key's "backup" key
    header      the key header, as header.json holds it
    manifest    JSON: what is inside, with the database's SHA-256
    trailer     database, header, manifest bytes (u64, u32, u32), SHA-256 of header, manifest and these lengths,
                HMAC-SHA256 of the same under a key of the master, and 16 bytes that say what the file is

Promises: a backup appears under its name whole or not at all, and never in the place of another file. A restore
believes nothing before it is authenticated, proves the whole database in a private folder, and only then lets a vault
appear. Nothing in a backup names a path.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import json
import os
import struct
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from edgeperso.errors import (
    BackupInvalid,
    HeaderDamaged,
    PlaintextRefused,
    SourceNotFound,
    UsageError,
    VaultDamaged,
    VaultExists,
)
from edgeperso.events import Event, emit
from edgeperso.secrecy import Secret
from edgeperso.times import now_ms
from edgeperso.vault.credentials import Credential
from edgeperso.vault.database import Database
from edgeperso.vault.database_files import sync_path
from edgeperso.vault.guard import LOCK_NAME, HomeLock, private_folder, sweep
from edgeperso.vault.header import Header
from edgeperso.vault.key_storage import make_folder, storage_error, sync_folder
from edgeperso.vault.keys import MasterKey, Purpose, authenticate
from edgeperso.vault.migrations import migrate
from edgeperso.vault.vault import DATABASE_NAME, Vault, move_in, refuse_taken

if TYPE_CHECKING:
    from edgeperso.types import Progress

__all__ = ["BackupReport", "restore", "write"]

_MAGIC: Final = b"edgeperso-backup"
_LENGTHS: Final = struct.Struct(">QII")
_TRAILER_BYTES: Final = _LENGTHS.size + 32 + 32 + len(_MAGIC)
_MAX_HEADER_BYTES: Final = 1 << 20
_MAX_MANIFEST_BYTES: Final = 1 << 16
_CHUNK_BYTES: Final = 1 << 20
_LABEL: Final = b"edgeperso/v1/backup-manifest"


@dataclass(frozen=True, slots=True)
class BackupReport:
    """What a backup holds: ``generation`` is the vault's, ``database_bytes`` of the encrypted content."""

    vault_id: str
    at_ms: int
    generation: int
    memories: int
    database_bytes: int


@dataclass(frozen=True, slots=True)
class _Parts:
    """A backup's parts as its trailer gives them, checked against accidents but not yet against forgery."""

    database_bytes: int
    header: bytes
    manifest: bytes
    signed: bytes
    mac: bytes


def write(vault: Vault, path: Path) -> BackupReport:
    """Write the vault as it is now to a new file at ``path``, readable by its owner alone. Others may go on working.

    Raises:
        VaultExists: there is something at ``path``; it stays as it is.
        UsageError: called within a transaction.
        DiskFull, ReadOnly, VaultError: it can't be written; nothing is left behind.
    """
    if vault.database.in_transaction:
        raise UsageError("A backup can't be part of a transaction.")
    _refuse_file(path)
    key = vault.master.derive(Purpose.BACKUP)
    with private_folder(path.parent) as folder:
        partial = folder / "backup.partial"
        vault.database.export(partial, key)
        report = _report(vault.id, partial, key)
        manifest = json.dumps({**asdict(report), "sha256": _sha256(partial)}).encode()
        header = vault.header.to_bytes()
        lengths = _LENGTHS.pack(report.database_bytes, len(header), len(manifest))
        signed = header + manifest + lengths
        mac = _mac(vault.master, signed)
        try:
            with partial.open("ab") as file:
                file.write(signed + hashlib.sha256(signed).digest() + mac + _MAGIC)
            sync_path(partial)
            _put(partial, path)
        except OSError as cause:
            raise storage_error(cause, path) from None
    emit(Event.BACKUP_WRITTEN, memories=report.memories, bytes=report.database_bytes)
    return report


def restore(path: Path, home: Path, credential: Credential, *, progress: Progress | None = None) -> BackupReport:
    """Make a vault in ``home`` out of the backup at ``path``. It opens with the credentials that it had at the time.

    Args:
        path: a file that `write` made.
        home: a folder without a vault.
        credential: opens the backup.
        progress: told how far the upgrade is of what an older version wrote.

    Raises:
        VaultExists: ``home`` holds a vault, or a part of one.
        SourceNotFound: there is no file at ``path``.
        BackupInvalid: it isn't a backup, or not a whole one, or was altered.
        WrongKey, UnlockError: the credential doesn't open it.
        VaultTooNew: a newer edgeperso wrote it.
        DiskFull, ReadOnly, VaultError: ``home`` can't be written.
    """
    refuse_taken(home)
    try:
        with path.open("rb") as file:
            parts = _parts(file)
            header, master = _unlock(parts, credential)
            report = _authentic(file, parts, header.vault_id)
            existed = home.exists()
            make_folder(home)
            lock = HomeLock(home)
            try:
                lock.alone()
                refuse_taken(home)
                sweep(home)
                with private_folder(home) as folder:
                    _rebuild(file, report, master, folder, progress)
                    move_in(folder, header, home)
            except BaseException:
                if not existed:
                    _abandon(home)
                raise
            finally:
                lock.release()
    except (FileNotFoundError, IsADirectoryError):
        raise SourceNotFound(f"There is no backup at {path}.") from None
    except OSError as cause:
        raise storage_error(cause, home) from None
    emit(Event.BACKUP_RESTORED, memories=report.memories, bytes=report.database_bytes)
    return report


def _rebuild(file: BinaryIO, report: BackupReport, master: MasterKey, folder: Path, progress: Progress | None) -> None:
    """The database of the backup, proven, under the vault's own key in ``folder``."""
    copy = folder / "backup.db"
    copy.touch(mode=0o600)
    file.seek(0)
    with copy.open("wb") as out:
        left = report.database_bytes
        while left:
            chunk = file.read(min(left, _CHUNK_BYTES))
            if not chunk:
                raise BackupInvalid("The backup was cut short while it was read.")
            out.write(chunk)
            left -= len(chunk)
    target = folder / DATABASE_NAME
    try:
        backup = Database.open(copy, master.derive(Purpose.BACKUP))
        try:
            backup.check()
            backup.export(target, master.derive(Purpose.DATABASE))
        finally:
            backup.close()
        database = Database.open(target, master.derive(Purpose.DATABASE))
        try:
            migrate(database, progress)
            database.check()
            count = database.row("SELECT count(*) FROM memories")
        finally:
            database.close()
    except (VaultDamaged, PlaintextRefused):
        raise BackupInvalid("The backup's database fails its checks.") from None
    if count != (report.memories,):
        raise BackupInvalid("The backup holds another number of memories than it says.")


def _parts(file: BinaryIO) -> _Parts:
    size = file.seek(0, os.SEEK_END)
    if size < _TRAILER_BYTES:
        raise BackupInvalid("This is not a backup, or it was cut short.")
    file.seek(size - _TRAILER_BYTES)
    trailer = file.read(_TRAILER_BYTES)
    if not trailer.endswith(_MAGIC):
        raise BackupInvalid("This is not a backup, or it was cut short.")
    lengths, rest = trailer[: _LENGTHS.size], trailer[_LENGTHS.size :]
    database_bytes, header_bytes, manifest_bytes = _LENGTHS.unpack(lengths)
    fits = (
        header_bytes <= _MAX_HEADER_BYTES
        and manifest_bytes <= _MAX_MANIFEST_BYTES
        and database_bytes + header_bytes + manifest_bytes + _TRAILER_BYTES == size
    )
    if not fits:
        raise BackupInvalid("The backup's lengths don't add up.")
    file.seek(database_bytes)
    header, manifest = file.read(header_bytes), file.read(manifest_bytes)
    signed = header + manifest + lengths
    if not hmac.compare_digest(hashlib.sha256(signed).digest(), rest[:32]):
        raise BackupInvalid("The backup is damaged.")
    return _Parts(database_bytes, header, manifest, signed, rest[32:64])


def _unlock(parts: _Parts, credential: Credential) -> tuple[Header, MasterKey]:
    """The backup's header and the master key that it was written with: the present one, or the pending one where a
    change of keys was under way."""
    try:
        header = Header.from_bytes(parts.header)
        master = header.unlock(credential)
        masters = [master, header.pending(master)]
    except HeaderDamaged:
        raise BackupInvalid("The backup's key header is damaged.") from None
    for candidate in masters:
        if candidate is not None and hmac.compare_digest(_mac(candidate, parts.signed), parts.mac):
            return header, candidate
    raise BackupInvalid("The backup was altered, or its parts come from different vaults.")


def _authentic(file: BinaryIO, parts: _Parts, vault_id: str) -> BackupReport:
    """What the manifest says, once the database is proven to be the one it speaks of. Its MAC was checked."""
    content = json.loads(parts.manifest)
    sha256 = content.pop("sha256")
    report = BackupReport(**content)
    file.seek(0)
    if report.database_bytes != parts.database_bytes or report.vault_id != vault_id:
        raise BackupInvalid("The backup was altered, or its parts come from different vaults.")
    if not hmac.compare_digest(_hash(file, parts.database_bytes), sha256):
        raise BackupInvalid("The backup's database is damaged.")
    return report


def _report(vault_id: str, path: Path, key: Secret) -> BackupReport:
    """Prove the exported copy and count what is in it."""
    database = Database.open(path, key)
    try:
        database.check()
        memories = database.row("SELECT count(*) FROM memories")
        generation = database.row("SELECT value FROM counters WHERE name = 'generation'")
    finally:
        database.close()
    return BackupReport(
        vault_id=vault_id,
        at_ms=now_ms(),
        generation=int(generation[0]) if generation else 0,
        memories=int(memories[0]) if memories else 0,
        database_bytes=path.stat().st_size,
    )


def _mac(master: MasterKey, data: bytes) -> bytes:
    """Under a key of its own: the backup key itself encrypts the database."""
    return authenticate(authenticate(master.derive(Purpose.BACKUP), _LABEL), data)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return _hash(file, path.stat().st_size)


def _hash(file: BinaryIO, length: int) -> str:
    digest = hashlib.sha256()
    while length:
        chunk = file.read(min(length, _CHUNK_BYTES))
        if not chunk:
            break
        digest.update(chunk)
        length -= len(chunk)
    return digest.hexdigest()


def _refuse_file(path: Path) -> None:
    if os.path.lexists(path):
        raise VaultExists(f"There is a file at {path}.", hint="Nothing was changed. Give the backup another name.")


def _put(partial: Path, path: Path) -> None:
    """Give the finished file its name, unless something took it meanwhile."""
    try:
        path.hardlink_to(partial)
    except FileExistsError:
        _refuse_file(path)
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            raise
        _refuse_file(path)
        partial.rename(path)
    sync_folder(path.parent)


def _abandon(home: Path) -> None:
    """Take away the home that this restore made, if nothing but its lock is in it."""
    with suppress(OSError):
        (home / LOCK_NAME).unlink(missing_ok=True)
        (home / ".header.lock").unlink(missing_ok=True)
        home.rmdir()
