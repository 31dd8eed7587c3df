"""Small files that must never be half there: the header, its copy, and key files.

A write goes to a temporary file (0600) in the same folder, is fsync'd, renamed over its target, and the folder is
fsync'd. What is written here holds wrapped keys or is a key file, so even the temporary ones are never readable by
others. A full disk is `DiskFull`, a home that can't be written `ReadOnly`, anything else `VaultError`.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from edgeperso.errors import DiskFull, ReadOnly, VaultBusy, VaultError

__all__ = ["locked", "make_folder", "put_new", "read_small", "replace_files", "storage_error", "sync_folder"]

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN: Final = {errno.EROFS, errno.EACCES, errno.EPERM}
_LOCK_NAME: Final = ".header.lock"
_LOCK_PATIENCE_S: Final = 5.0
_TEMP_PATTERN: Final = ".*.edgeperso-tmp"
_NEW_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


def storage_error(cause: OSError, path: Path) -> VaultError:
    """The error of ours for ``cause`` while ``path`` was being written."""
    if cause.errno in _FULL:
        return DiskFull(f"The disk is full: {path} wasn't written.")
    if cause.errno in _FORBIDDEN:
        return ReadOnly(f"{path} can't be written.")
    return VaultError(
        f"{path} can't be written ({errno.errorcode.get(cause.errno or 0, 'unknown error')}).",
        hint="Check the folder and the disk.",
    )


def read_small(path: Path, limit_bytes: int) -> bytes | None:
    """The whole file, cut after ``limit_bytes`` + 1 bytes so that one too large shows; None where there is none.

    Raises:
        OSError: it is there and can't be read, or isn't a regular file (``EINVAL``).
    """
    try:
        # Without O_NONBLOCK a pipe put in the file's place would make us wait for ever.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        return None
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "not a regular file")
        return file.read(limit_bytes + 1)


def make_folder(folder: Path) -> None:
    """Make ``folder`` and what leads to it, 0700, where it is missing.

    Raises:
        VaultError: it can't be made (`DiskFull`, `ReadOnly`).
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        sync_folder(folder.parent)
    except OSError as cause:
        raise storage_error(cause, folder) from None


def put_new(path: Path, data: bytes) -> None:
    """Write a file that must not be there yet, durably, 0600.

    Raises:
        FileExistsError: there is one.
        VaultError: it can't be written (`DiskFull`, `ReadOnly`); nothing is left behind.
    """
    try:
        _write(path, data)
        sync_folder(path.parent)
    except FileExistsError:
        raise
    except OSError as cause:
        raise storage_error(cause, path) from None


def replace_files(folder: Path, contents: dict[str, bytes]) -> None:
    """Replace the files of ``folder`` named in ``contents``, in that order, each atomically and durably.

    All data is on disk before the first name changes, so a full disk changes nothing; a crash in between leaves the
    first files new and the others old, each whole.

    Raises:
        VaultError: (`DiskFull`, `ReadOnly`).
    """
    prepared: list[tuple[Path, Path]] = []
    target = folder
    try:
        for name, data in contents.items():
            target = folder / name
            temporary = folder / f".{name}.{secrets.token_hex(8)}{_TEMP_PATTERN[2:]}"
            prepared.append((temporary, target))
            _write(temporary, data)
        for temporary, target in prepared:
            temporary.replace(target)
            sync_folder(folder)
    except OSError as cause:
        raise storage_error(cause, target) from None
    finally:
        for temporary, _ in prepared:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold ``folder`` against other writers of its header; also clears what a killed writer left half done.

    Raises:
        VaultBusy: another process holds it for more than a few seconds.
        VaultError: the lock file can't be made (`DiskFull`, `ReadOnly`).
    """
    path = folder / _LOCK_NAME
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as cause:
        raise storage_error(cause, path) from None
    try:
        try:
            _wait_for(descriptor)
        except OSError as cause:
            raise storage_error(cause, path) from None
        for left_over in folder.glob(_TEMP_PATTERN):
            with suppress(OSError):
                left_over.unlink()
        yield
    finally:
        os.close(descriptor)


def sync_folder(folder: Path) -> None:
    """Make renames and new names in ``folder`` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, data: bytes) -> None:
    descriptor = os.open(path, _NEW_FLAGS, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            _sync(file.fileno())
    except OSError:
        with suppress(OSError):
            path.unlink()
        raise


def _sync(descriptor: int) -> None:
    """To the medium itself: on macOS ``fsync`` alone stops at the drive's cache."""
    full_sync: int | None = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        os.fsync(descriptor)
    else:
        fcntl.fcntl(descriptor, full_sync)


def _wait_for(descriptor: int) -> None:
    give_up = time.monotonic() + _LOCK_PATIENCE_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up:
                raise VaultBusy("Another process is changing this vault's keys.") from None
            time.sleep(0.02)
        else:
            return
