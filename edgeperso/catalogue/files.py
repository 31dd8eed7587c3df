"""Hashes of model files, remembered while a file stays as it is."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

from edgeperso.errors import ModelNotFound

__all__ = ["file_sha256"]


def file_sha256(path: Path) -> str:
    """The sha256 of ``path`` in hex. Within a process a file is read again only when its size or mtime changed.

    Raises:
        ModelNotFound: there is no such file, or it can't be read.
    """
    try:
        stat = path.stat()
        return _sha256(path.resolve(), stat.st_size, stat.st_mtime_ns)
    except OSError:
        raise ModelNotFound(f"The model file {path} can't be read.") from None


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
