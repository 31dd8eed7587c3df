"""Where a header lies: ``header.json`` and its identical copy ``header.backup.json``.

The primary is always written first, so where both are whole and differ (a crash between the two), the primary is the
newer one. A damaged or missing primary falls back to the copy, and the caller is told (`Condition`); a primary of a
newer version doesn't: the copy may be older than a change of keys.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from edgeperso.errors import HeaderDamaged, UsageError, VaultBusy, VaultError, VaultExists, VaultNotFound
from edgeperso.vault.header_format import MAX_HEADER_BYTES, Content, parse
from edgeperso.vault.key_storage import locked, make_folder, read_small, replace_files

__all__ = [
    "BACKUP_NAME",
    "PRIMARY_NAME",
    "Condition",
    "Stored",
    "read_stored",
    "refuse_existing",
    "replace_stored",
    "store_first",
]

PRIMARY_NAME: Final = "header.json"
BACKUP_NAME: Final = "header.backup.json"


class Condition(StrEnum):
    """The state in which a header's two files were found."""

    WHOLE = "whole"
    PRIMARY_LOST = "primary_lost"
    """``header.json`` is missing or damaged; the copy was read."""
    BACKUP_LOST = "backup_lost"
    """``header.backup.json`` is missing, damaged, or older than ``header.json``."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A header as it was read: ``primary`` is what ``header.json`` held, whole or not, None if it wasn't there."""

    content: Content
    mac: bytes
    condition: Condition
    primary: bytes | None


def read_stored(home: Path) -> Stored:
    """Read the header of ``home``.

    Raises:
        VaultNotFound: neither file is there.
        HeaderDamaged: neither can be used.
        VaultTooNew: a newer edgeperso wrote it.
        VaultError: this user may not read it.
    """
    primary, primary_there = _read(home / PRIMARY_NAME)
    backup, backup_there = _read(home / BACKUP_NAME)
    if not primary_there and not backup_there:
        raise VaultNotFound(f"There is no vault in {home}.")
    if primary is not None:
        try:
            content, mac = parse(primary)
        except HeaderDamaged:
            pass
        else:
            return Stored(content, mac, Condition.WHOLE if backup == primary else Condition.BACKUP_LOST, primary)
    if backup is None:
        raise HeaderDamaged(f"The key header in {home} is damaged, and so is its copy.")
    try:
        content, mac = parse(backup)
    except HeaderDamaged:
        raise HeaderDamaged(f"The key header in {home} is damaged, and so is its copy.") from None
    return Stored(content, mac, Condition.PRIMARY_LOST, primary)


def refuse_existing(home: Path) -> None:
    """Refuse a home that can't take a new header.

    Raises:
        VaultExists: a header lies in it, whole or not.
        UsageError: it is a file.
    """
    if any(os.path.lexists(home / name) for name in (PRIMARY_NAME, BACKUP_NAME)):
        raise VaultExists(f"There is a vault in {home} already.")
    if home.exists() and not home.is_dir():
        raise UsageError(f"{home} is not a folder.")


def store_first(home: Path, data: bytes) -> None:
    """Write both files where there are none; the folder is made if it is missing.

    Raises:
        VaultExists, UsageError: see `refuse_existing`.
        VaultError: it can't be written (`DiskFull`, `ReadOnly`), and nothing is left.
    """
    make_folder(home)
    with locked(home):
        refuse_existing(home)
        try:
            _write_both(home, data)
        except VaultError:
            for name in (PRIMARY_NAME, BACKUP_NAME):
                with suppress(OSError):
                    (home / name).unlink()
            raise


def replace_stored(home: Path, data: bytes, *, expected: bytes | None) -> None:
    """Write both files, if ``header.json`` still holds ``expected``.

    Raises:
        VaultBusy: another process wrote a header since.
        VaultError: it can't be written (`DiskFull`, `ReadOnly`).
    """
    with locked(home):
        current, _ = _read(home / PRIMARY_NAME)
        if current != expected:
            raise VaultBusy("The keys of this vault were changed by another process.", hint="Open it again.")
        _write_both(home, data)


def _write_both(home: Path, data: bytes) -> None:
    replace_files(home, {PRIMARY_NAME: data, BACKUP_NAME: data})


def _read(path: Path) -> tuple[bytes | None, bool]:
    """The file's bytes (None: unusable) and whether it is there at all."""
    try:
        data = read_small(path, MAX_HEADER_BYTES)
    except PermissionError:
        raise VaultError(f"{path} can't be read.", hint="Give this user the right to read it.") from None
    except OSError:
        return None, True
    return data, data is not None
