"""Reading and writing the files in which adapters come and go: bounded, owner-only, never over what is there.

An exported adapter is readable by whoever has the file: this is one of the few places where something learnt from a
person leaves the vault, and only because they asked for it.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from pathlib import Path

from edgeperso.engine.adapters.checks import MAX_BYTES
from edgeperso.errors import AdapterInvalid, DiskFull, ReadOnly, SourceNotFound, UsageError

__all__ = ["mapped", "read_bounded", "write_new"]


def read_bounded(path: Path, most: int = MAX_BYTES) -> bytes:
    """The bytes of a plain file of at most ``most``.

    Raises:
        SourceNotFound: it is missing, can't be read, or is no plain file.
        AdapterInvalid: it is larger.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SourceNotFound(f"{path.name} is not a plain file.")
            data = file.read(most + 1)
    except OSError:
        raise SourceNotFound(f"The adapter's file {path.name} is missing or can't be read.") from None
    if len(data) > most:
        raise AdapterInvalid(f"{path.name} is larger than the {most >> 20} MiB that are read.")
    return data


def write_new(path: Path, data: bytes) -> None:
    """Write a new file that only its owner can read.

    Raises:
        UsageError: something is there already.
        ReadOnly, DiskFull: it can't be written; nothing is left behind.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        raise UsageError(f"{path.name} exists already.", hint="Nothing was changed. Choose another name.") from None
    except OSError as error:
        raise mapped(error) from None
    try:
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
    except BaseException as error:
        with contextlib.suppress(OSError):
            path.unlink()
        if isinstance(error, OSError):
            raise mapped(error) from None
        raise


def mapped(error: OSError) -> DiskFull | ReadOnly:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk is full; the unfinished adapter was deleted.")
    return ReadOnly("The adapter can't be written there.")
