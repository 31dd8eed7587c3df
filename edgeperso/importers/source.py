"""The seam between the import run and the formats: a file opened safely, and what a reader may ask of the run."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from edgeperso.importers.report import Reason
from edgeperso.types import Record

__all__ = ["HEAD_BYTES", "Context", "FileRejected", "Importer", "SourceFile", "open_regular", "stamp"]

HEAD_BYTES: Final = 65_536

_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class FileRejected(Exception):
    """A reader gives the whole file up, for ``reason``."""

    def __init__(self, reason: Reason, detail: int = 0) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.detail = detail


def open_regular(path: Path) -> BinaryIO:
    """Open an ordinary file for reading; never follows a link in the last step and never blocks on a pipe.

    Raises:
        FileRejected: it can't be read, or is no ordinary file.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        looped = isinstance(error, OSError) and error.errno == errno.ELOOP
        raise FileRejected(Reason.SYMLINK_OUTSIDE if looped else Reason.UNREADABLE) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileRejected(Reason.SPECIAL_FILE)
    return os.fdopen(descriptor, "rb")


def stamp(stream: BinaryIO) -> tuple[int, int]:
    """Size and modification time of an open file, to see whether it changed while it was read."""
    status = os.fstat(stream.fileno())
    return status.st_size, status.st_mtime_ns


def _unwatched(_stream: BinaryIO) -> None:
    """Nobody wants to know how far the reading is."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A file to import. ``source`` is its name in the vault, ``head`` its first `HEAD_BYTES` bytes.
    ``on_open`` learns of each stream opened, so that the run can tell how far a reader is."""

    path: Path
    source: str
    size_bytes: int
    head: bytes
    on_open: Callable[[BinaryIO], None] = _unwatched

    @property
    def suffix(self) -> str:
        return self.path.suffix.lower()

    def open(self) -> BinaryIO:
        stream = open_regular(self.path)
        self.on_open(stream)
        return stream


@dataclass(frozen=True, slots=True)
class Context:
    """What a reader gets from the run. ``skip(reason, detail)`` reports a record that was left out, ``attachment(n)``
    counts what came beside the text, ``check()`` raises when the person asked to stop."""

    scope: str
    own_addresses: frozenset[str]
    skip: Callable[[Reason, int], None]
    attachment: Callable[[int], None]
    check: Callable[[], None]


class Importer(Protocol):
    """One format. ``version`` grows when the same file would yield other records than before."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> int: ...

    def accepts(self, file: SourceFile) -> bool:
        """Whether the file is of this format, by its name and first bytes.

        Raises:
            FileRejected: it claims to be, and its first bytes show already that it can't be read.
        """
        ...

    def read(self, file: SourceFile, context: Context) -> Iterator[Record]:
        """The file's records in order, in bounded memory.

        Raises:
            FileRejected: the file as a whole (or from here on) can't be read.
        """
        ...
