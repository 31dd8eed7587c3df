"""Changing the master key: the whole vault is encrypted anew, and what opened it before opens nothing any more.

Promise: at every moment, crash included, the vault is whole and opens with the old credentials or with the new ones.
The order of the steps, and what a crash after each leaves, is in `header`. Call `rotate` again to go on.

Backups written before keep opening with the credentials of their time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeperso.errors import VaultBusy, VaultDamaged
from edgeperso.vault.credentials import Credential
from edgeperso.vault.database import Database
from edgeperso.vault.guard import HomeLock, private_folder, publish
from edgeperso.vault.header import Header, Rotated
from edgeperso.vault.keys import MasterKey, Purpose
from edgeperso.vault.vault import DATABASE_NAME, database_master, tidy

__all__ = ["rotate"]


def rotate(home: Path, credential: Credential, credentials: Sequence[Credential] | None = None) -> Rotated:
    """Give the vault a new master key and a new recovery key. Nobody may have it open, this process included.

    Args:
        home: the vault's home.
        credential: opens the vault now.
        credentials: what opens it afterwards; ``credential`` alone when None. Any other credential is dropped. To
            rotate with a recovery key, at least one has to be given.

    Raises:
        VaultBusy: somebody has the vault open; nothing was changed.
        UnlockError, UsageError: a credential can't be used.
        VaultDamaged: the database fails its checks; nothing was changed.
        DiskFull, ReadOnly, VaultError: the old key is still the vault's.
    """
    lock = HomeLock(home)
    try:
        lock.alone()
        header = Header.load(home)
        old = header.unlock(credential)
        tidy(home, header, old)
        new = header.begin_rotation(old)
        if not database_master(home, header, old).matches(new):
            _encrypt_anew(home, old, new)
        return header.finish_rotation(old, new, (credential,) if credentials is None else credentials)
    finally:
        lock.release()


def _encrypt_anew(home: Path, old: MasterKey, new: MasterKey) -> None:
    path, key = home / DATABASE_NAME, new.derive(Purpose.DATABASE)
    with private_folder(home) as folder:
        staged = folder / DATABASE_NAME
        database = Database.open(path, old.derive(Purpose.DATABASE))
        try:
            database.check()
            database.export(staged, key)
            before = database.counts()
            if not database.checkpoint():
                raise VaultBusy("Another process keeps the vault locked.")
        finally:
            database.close()
        copy = Database.open(staged, key)
        try:
            copy.check()
            if copy.counts() != before:
                raise VaultDamaged("The copy under the new key isn't complete.")
        finally:
            copy.close()
        publish(staged, path)
