"""What stands between the files of a home and SQLite: the lock, and the proof of a write-ahead log.

Promises:

- Who holds the lock alone has no other edgeperso process in the home; everybody else shares it. SQLite's own locks
  rule reading and writing between those that share.
- A write-ahead log found by one who is alone was left by a crash, or put there by somebody. SQLite would write it into
  the database unseen, and a foreign one destroys it. So it is tried on a second name of the database first, opened
  for reading only, in a private folder that is gone afterwards; a log that doesn't fit is set aside under another
  name, never deleted and never shown to SQLite beside the database itself.

Only ciphertext is copied.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from edgeperso.errors import VaultBusy, VaultDamaged
from edgeperso.events import Event, emit
from edgeperso.secrecy import Secret
from edgeperso.times import now_ms
from edgeperso.vault.database import Database
from edgeperso.vault.key_storage import storage_error, sync_folder

__all__ = ["LOCK_NAME", "HomeLock", "private_folder", "prove_log", "publish", "sweep"]

LOCK_NAME: Final = "vault.lock"
PATIENCE_S: Final = 10.0
_PREFIX: Final = ".edgeperso-"
_PAUSE_S: Final = 0.02


class HomeLock:
    """The lock of one home, held by this object until `release`, or until the process ends in whatever way.

    Raises:
        ReadOnly, DiskFull, VaultError: the lock file can't be made.
    """

    def __init__(self, home: Path) -> None:
        path = home / LOCK_NAME
        try:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as cause:
            raise storage_error(cause, path) from None

    def try_alone(self) -> bool:
        """Take the lock for this object alone, if nobody else has a share; at once."""
        return self._take(fcntl.LOCK_EX)

    def alone(self) -> None:
        """Take the lock alone.

        Raises:
            VaultBusy: somebody else has a share of it, for longer than a few seconds.
        """
        self._wait(fcntl.LOCK_EX)

    def share(self) -> None:
        """Share the lock, or go back from holding it alone. In between, somebody else may hold it for a moment.

        Raises:
            VaultBusy: somebody else keeps it alone for longer than a few seconds.
        """
        self._wait(fcntl.LOCK_SH)

    def release(self) -> None:
        os.close(self._descriptor)

    def _wait(self, mode: int) -> None:
        give_up = time.monotonic() + PATIENCE_S
        while not self._take(mode):
            if time.monotonic() > give_up:
                raise VaultBusy("Another process keeps the vault locked.")
            time.sleep(_PAUSE_S)

    def _take(self, mode: int) -> bool:
        try:
            fcntl.flock(self._descriptor, mode | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def private_folder(parent: Path) -> Iterator[Path]:
    """A folder in ``parent`` that only this person may read, gone with all it holds afterwards."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    except OSError as cause:
        raise storage_error(cause, parent) from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def sweep(home: Path) -> None:
    """Remove the private folders that a killed process left. Only for one who holds the home's lock alone."""
    for folder in home.glob(f"{_PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


def prove_log(path: Path, key: Secret) -> bool:
    """Make sure that SQLite may be shown the write-ahead log beside the database ``path``. Only for one who holds the
    home's lock alone.

    Returns:
        Whether the log stays. One that doesn't fit the database was renamed.

    Raises:
        VaultDamaged: the database can't be read, with its log or without; nothing was changed.
        DiskFull, ReadOnly: there is no room for the trial.
    """
    log = path.with_name(f"{path.name}-wal")
    index = path.with_name(f"{path.name}-shm")
    if not log.exists() or log.stat().st_size == 0:
        return True
    try:
        if _fits(path, key, log):
            return True
        # A crash may have come while the log was being folded in: then the database is whole only together with it.
        if not _fits(path, key, None):
            raise VaultDamaged("The vault's database fails its checks, with its write-ahead log and without.")
    except OSError as cause:
        raise storage_error(cause, path) from None
    log.rename(path.with_name(f"{log.name}.rejected-{now_ms()}"))
    index.unlink(missing_ok=True)
    sync_folder(path.parent)
    emit(Event.WAL_REJECTED)
    return False


def _fits(path: Path, key: Secret, log: Path | None) -> bool:
    """Whether every page that the database reaches, with this log or without one, is authentic and in its place."""
    with private_folder(path.parent) as folder:
        trial = folder / path.name
        _link(path, trial)
        if log is not None:
            shutil.copyfile(log, trial.with_name(log.name))
        try:
            database = Database.open(trial, key, readonly=True)
        except VaultDamaged:
            return False
        try:
            database.check_quickly()
        except VaultDamaged:
            return False
        finally:
            database.close()
        return True


def _link(path: Path, trial: Path) -> None:
    """A second name for the database; a copy where the file system has no such thing."""
    try:
        trial.hardlink_to(path)
    except OSError as cause:
        if cause.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EMLINK, errno.ENOSYS):
            raise
        shutil.copyfile(path, trial)


def publish(path: Path, target: Path) -> None:
    """Move a finished file to its place, durably."""
    try:
        path.replace(target)
        sync_folder(target.parent)
    except OSError as cause:
        raise storage_error(cause, target) from None
