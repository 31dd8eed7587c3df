"""Which published file a model file was made from: the record that `optimize` writes beside its result."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgeperso.catalogue import file_sha256

__all__ = ["RECORD_VERSION", "base_sha256", "identity", "is_recorded", "read_record"]

RECORD_VERSION = 1
_OPTIMIZED = ".optimized-"


def base_sha256(path: Path) -> str:
    """The sha256 of the file as published: of the original for a file that `optimize` made, and of ``path`` itself for
    any other. Hashing is done once for a file that doesn't change.

    Raises:
        ModelNotFound: no such file.
    """
    if _OPTIMIZED in path.name:
        try:
            record = read_record(path.with_suffix(".json"))
            source = str(record["source"]["sha256"])
            if is_recorded(path, record["file"]) and re.fullmatch(r"[0-9a-f]{64}", source):
                return source
        except (OSError, ValueError, KeyError, TypeError):
            pass
    return file_sha256(path)


def read_record(path: Path) -> Mapping[str, Any]:
    """The record in ``path``.

    Raises:
        OSError, ValueError, KeyError, TypeError: missing, damaged, or of another version.
    """
    record: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if record["version"] != RECORD_VERSION:
        raise ValueError("a record of another version")
    return record


def identity(path: Path) -> dict[str, object]:
    """What a record says of a file."""
    stat = path.stat()
    return {"sha256": file_sha256(path), "size_bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def is_recorded(path: Path, recorded: Mapping[str, object]) -> bool:
    """Whether ``path`` is the very file that was recorded: by size and mtime, or else by content."""
    stat = path.stat()
    if stat.st_size != recorded["size_bytes"]:
        return False
    return stat.st_mtime_ns == recorded["mtime_ns"] or file_sha256(path) == recorded["sha256"]
