"""The files of a folder: ordinary ones only, in a fixed order, never beyond the folder, never by a link."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeperso.importers.report import Reason

__all__ = ["Found", "source_name", "walk"]


@dataclass(frozen=True, slots=True)
class Found:
    """A file to read, or the ``reason`` why it isn't."""

    path: Path
    source: str
    size_bytes: int
    reason: Reason | None = None


def source_name(parts: tuple[str, ...]) -> str:
    """Path parts as the vault names them: ``/`` between, NFC, and every byte or character that can't be shown written
    as its escape, so that the name can be stored and printed."""
    return "/".join(_shown(part) for part in parts)


def _shown(part: str) -> str:
    text = unicodedata.normalize("NFC", os.fsencode(part).decode("utf-8", "backslashreplace"))
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in _UNSHOWN else character
        for character in text
    )


_UNSHOWN = frozenset({"Cc", "Cf", "Co", "Cs", "Zl", "Zp"})


def walk(root: Path, own_vault: Path | None, check: Callable[[], None]) -> Iterator[Found]:
    """Everything under ``root`` that is no folder, by name order, folders after the files beside them.

    Links are not followed, hidden entries and the vault's own folder not entered.
    """
    base = Path(os.path.abspath(root))  # noqa: PTH100 - the name that was given, not a link's target
    real = os.path.realpath(base)
    pending: list[tuple[Path, tuple[str, ...]]] = [(base, (base.name,) if base.name else ())]
    while pending:
        folder, parts = pending.pop()
        check()
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: os.fsencode(entry.name))
        except OSError:
            yield Found(folder, source_name(parts), 0, Reason.UNREADABLE)
            continue
        folders: list[tuple[Path, tuple[str, ...]]] = []
        for entry in entries:
            found = _classify(entry, (*parts, entry.name), real, own_vault)
            if found is None:
                folders.append((Path(entry.path), (*parts, entry.name)))
            else:
                yield found
        pending.extend(reversed(folders))


def _classify(entry: os.DirEntry[str], parts: tuple[str, ...], root: str, own_vault: Path | None) -> Found | None:
    """None for a folder to enter."""
    path, source = Path(entry.path), source_name(parts)
    try:
        if entry.is_symlink():
            target = os.path.realpath(entry.path)
            inside = Path(target).exists() and os.path.commonpath([root, target]) == root
            return Found(path, source, 0, Reason.SYMLINK_INSIDE if inside else Reason.SYMLINK_OUTSIDE)
        if entry.name.startswith("."):
            return Found(path, source, 0, Reason.HIDDEN)
        if entry.is_dir(follow_symlinks=False):
            if own_vault is not None and own_vault.exists() and own_vault.samefile(path):
                return Found(path, source, 0, Reason.OWN_VAULT)
            return None
        if not entry.is_file(follow_symlinks=False):
            return Found(path, source, 0, Reason.SPECIAL_FILE)
        return Found(path, source, entry.stat(follow_symlinks=False).st_size)
    except (OSError, ValueError):
        return Found(path, source, 0, Reason.UNREADABLE)
