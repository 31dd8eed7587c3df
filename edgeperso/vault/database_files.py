"""A database as a file: what may be done to it without SQLite, and when."""

from __future__ import annotations

import errno
import math
import os
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from typing import Final

from edgeperso.errors import PlaintextRefused, VaultDamaged, VaultError
from edgeperso.vault.key_storage import storage_error

__all__ = ["PAGE_BYTES", "open_files", "refuse_plaintext", "refused_write", "remove_database", "sync_path"]

PAGE_BYTES: Final = 8192
_PROBE_BYTES: Final = 1 << 20
PLAIN_MAGIC: Final = b"SQLite format 3\x00"


class OpenFiles:
    """The database files that this process has open, by device and inode.

    POSIX drops all locks that a process has on a file as soon as it closes any descriptor of it. So a database that is
    open here must not be opened by anything but SQLite: another process would take itself for the last one.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._counts: Counter[tuple[int, int]] = Counter()

    def holds(self, path: Path) -> bool:
        return self._counts[_identity(path)] > 0

    def add(self, path: Path) -> tuple[int, int]:
        identity = _identity(path)
        self._counts[identity] += 1
        return identity

    def remove(self, identity: tuple[int, int]) -> None:
        with self.lock:
            self._counts[identity] -= 1


open_files = OpenFiles()


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def refuse_plaintext(path: Path) -> None:
    """Raise if the file at ``path`` is empty, or begins as an unencrypted database does.

    A file that this process has open was looked at when it was opened first.

    Raises:
        PlaintextRefused: the file is a plain SQLite database.
        VaultDamaged: the file is empty or shorter than a page.
        VaultError: the file is missing or can't be read.
    """
    with open_files.lock:
        try:
            if open_files.holds(path):
                return
            with path.open("rb") as file:
                head = file.read(PAGE_BYTES)
        except OSError:
            raise VaultDamaged(f"{path.name} is missing or can't be read.") from None
    if head.startswith(PLAIN_MAGIC):
        raise PlaintextRefused(f"{path.name} is an unencrypted database.")
    if len(head) < PAGE_BYTES:
        raise VaultDamaged(f"{path.name} is cut short.")


def refused_write(folder: Path) -> VaultError | None:
    """Why nothing can be written in ``folder`` now, or not beyond the end of its largest file (`DiskFull`, `ReadOnly`);
    None when it can."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
        largest = max((path.stat().st_size for path in folder.iterdir() if path.is_file()), default=0)
    except OSError as cause:
        return storage_error(cause, folder)
    may_grow = largest + PAGE_BYTES <= _largest_file()
    return None if may_grow else storage_error(OSError(errno.EFBIG, "may not grow"), folder)


def _largest_file() -> float:
    """To how many bytes this process may write a file (``ulimit -f``)."""
    if sys.platform == "win32":
        return math.inf
    import resource

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return math.inf if limit == resource.RLIM_INFINITY else limit


def sync_path(path: Path) -> None:
    """Make a finished file's content durable.

    Raises:
        VaultError: it can't be (`DiskFull`, `ReadOnly`).
    """
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as cause:
        raise storage_error(cause, path) from None


def remove_database(path: Path) -> None:
    """Remove a database that never became one, with what SQLite put beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
