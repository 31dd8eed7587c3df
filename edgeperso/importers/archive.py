"""Zip archives that strangers may have made: looked through without unpacking anything to disk.

An archive is refused as a whole if any entry leads out of it (absolute, ``..``, a drive, a link), or if what would be
read unpacks to more than `MAX_UNPACKED_BYTES` or by more than `MAX_RATIO`. Archives inside are never opened.
"""

from __future__ import annotations

import re
import stat
import struct
import zipfile
from typing import BinaryIO, Final

from edgeperso.importers.report import Reason
from edgeperso.importers.source import FileRejected

__all__ = ["BROKEN_ZIP", "MAX_RATIO", "MAX_UNPACKED_BYTES", "open_zip", "select"]

BROKEN_ZIP: Final = (zipfile.BadZipFile, zipfile.LargeZipFile, EOFError, struct.error, NotImplementedError, ValueError)
"""What reading a damaged archive raises; zlib's own error is not among them, see `chatgpt`."""

MAX_UNPACKED_BYTES: Final = 4 << 30
MAX_RATIO: Final = 200
_RATIO_FREE_BYTES: Final = 16 << 20
_MAX_ENTRIES: Final = 200_000
_MAX_DIRECTORY_BYTES: Final = 64 << 20
_END_RECORD: Final = b"PK\x05\x06"
_END_64: Final = b"PK\x06\x06"
_ENCRYPTED: Final = 0x1
_METHODS: Final = frozenset({zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED})


def open_zip(stream: BinaryIO) -> zipfile.ZipFile:
    """Open an archive after checking its directory.

    Raises:
        FileRejected: damaged, or unsafe.
    """
    _check_directory_size(stream)
    try:
        archive = zipfile.ZipFile(stream)
    except BROKEN_ZIP:
        raise FileRejected(Reason.BROKEN_ARCHIVE) from None
    entries = archive.infolist()
    if len(entries) > _MAX_ENTRIES or any(_leads_out(entry) for entry in entries):
        archive.close()
        raise FileRejected(Reason.UNSAFE)
    return archive


def select(archive: zipfile.ZipFile, name: re.Pattern[str]) -> list[zipfile.ZipInfo]:
    """The entries whose base name matches ``name`` whole, in order of their path; see the module for what is refused.

    Raises:
        FileRejected: encrypted, compressed in a way that can't be bounded, or too much.
    """
    chosen = [
        entry for entry in archive.infolist() if not entry.is_dir() and name.fullmatch(entry.filename.rsplit("/")[-1])
    ]
    for entry in chosen:
        if entry.flag_bits & _ENCRYPTED:
            raise FileRejected(Reason.ENCRYPTED)
        if entry.compress_type not in _METHODS:
            raise FileRejected(Reason.UNSUPPORTED)
        if entry.file_size > _RATIO_FREE_BYTES and entry.file_size > MAX_RATIO * entry.compress_size:
            raise FileRejected(Reason.UNSAFE)
    if sum(entry.file_size for entry in chosen) > MAX_UNPACKED_BYTES:
        raise FileRejected(Reason.UNSAFE)
    return sorted(chosen, key=lambda entry: entry.filename)


def _leads_out(entry: zipfile.ZipInfo) -> bool:
    path = entry.orig_filename.replace("\\", "/")
    link = stat.S_ISLNK(entry.external_attr >> 16)
    return link or path.startswith("/") or ".." in path.split("/") or path[1:2] == ":" or "\x00" in path


def _check_directory_size(stream: BinaryIO) -> None:
    """Refuse a directory that would fill memory; zipfile reads it whole before it can be asked anything."""
    stream.seek(0, 2)
    size = stream.tell()
    stream.seek(max(0, size - 66_000))
    tail = stream.read()
    stream.seek(0)
    at = tail.rfind(_END_RECORD)
    if at < 0 or len(tail) - at < 22:
        raise FileRejected(Reason.BROKEN_ARCHIVE)
    (directory,) = struct.unpack_from("<L", tail, at + 12)
    wide = tail.rfind(_END_64, 0, at)
    if directory == 0xFFFFFFFF and wide >= 0 and len(tail) - wide >= 48:
        (directory,) = struct.unpack_from("<Q", tail, wide + 40)
    if directory > _MAX_DIRECTORY_BYTES:
        raise FileRejected(Reason.UNSAFE)
