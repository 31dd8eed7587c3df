"""What became of an import: counts, and what was left out, by a closed set of reasons."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

__all__ = ["ImportReport", "Reason", "Skip", "Tally"]

MAX_SKIPS_KEPT: Final = 1_000
"""A report names that many skipped things; beyond, it only counts them."""


class Reason(StrEnum):
    """Why something was skipped. ``Skip.detail`` is a number whose meaning stands in `hint`."""

    BINARY = "binary"
    NOT_UTF8_GUESS_FAILED = "not_utf8_guess_failed"
    TOO_LARGE = "too_large"
    EMPTY = "empty"
    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    BROKEN_RECORD = "broken_record"
    BROKEN_ARCHIVE = "broken_archive"
    ENCRYPTED = "encrypted"
    UNSAFE = "unsafe"
    SYMLINK_OUTSIDE = "symlink_outside"
    SYMLINK_INSIDE = "symlink_inside"
    SPECIAL_FILE = "special_file"
    HIDDEN = "hidden"
    OWN_VAULT = "own_vault"
    CHANGED_WHILE_READ = "changed_while_read"

    @property
    def hint(self) -> str:
        """What it means and what to do, in a sentence."""
        return _HINTS[self]


_HINTS: Final = {
    Reason.BINARY: "Not text. Export it as Markdown or plain text and import that.",
    Reason.NOT_UTF8_GUESS_FAILED: "The text's encoding could not be told. Save it as UTF-8 and import it again.",
    Reason.TOO_LARGE: "A record (the number: line, mail or conversation; 0 the file) is over the limit. Split it.",
    Reason.EMPTY: "There is no text in it (the number: how many of its records; 0 the file).",
    Reason.UNREADABLE: "It could not be opened or read. Check its permissions and import it again.",
    Reason.UNSUPPORTED: "Not a format that can be imported, or a variant of one that can't be read.",
    Reason.BROKEN_RECORD: "The record with that number (line, mail or conversation) is malformed. Mend it.",
    Reason.BROKEN_ARCHIVE: "The archive is damaged or cut short. Download it again.",
    Reason.ENCRYPTED: "The archive is encrypted. Unpack it yourself and import the folder.",
    Reason.UNSAFE: "The archive unpacks to too much, or to paths outside it. Nothing was read from it.",
    Reason.SYMLINK_OUTSIDE: "A link that leads out of the folder, or nowhere. Import its target by its own path.",
    Reason.SYMLINK_INSIDE: "A link to something in the same folder, which is read at its own place.",
    Reason.SPECIAL_FILE: "A pipe, socket or device. Only ordinary files are read.",
    Reason.HIDDEN: "Its name begins with a dot. Import it by its own path if you want it.",
    Reason.OWN_VAULT: "The vault's own folder.",
    Reason.CHANGED_WHILE_READ: "It changed while it was read; what was read is kept. Import it again.",
}


@dataclass(frozen=True, slots=True)
class Skip:
    """One thing that was not imported: ``source`` as memories name theirs, ``detail`` a number (see `Reason.hint`)."""

    source: str
    reason: Reason
    detail: int = 0


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The outcome of `import_path`.

    ``files_seen`` = ``files_imported`` + ``files_unchanged`` + files that were skipped whole. ``added`` and
    ``duplicates`` count memories. ``attachments`` counts what mails and chats carried beside text. ``skipped`` holds
    the first 1,000 skips, ``skipped_total`` how many there were, ``reasons`` how many of each.
    """

    files_seen: int = 0
    files_imported: int = 0
    files_unchanged: int = 0
    added: int = 0
    duplicates: int = 0
    attachments: int = 0
    skipped: tuple[Skip, ...] = ()
    skipped_total: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


class Tally:
    """Counts while an import runs; `report` freezes them."""

    def __init__(self) -> None:
        self.files_seen = 0
        self.files_imported = 0
        self.files_unchanged = 0
        self.added = 0
        self.duplicates = 0
        self.attachments = 0
        self._skipped: list[Skip] = []
        self._reasons: Counter[str] = Counter()

    def skip(self, source: str, reason: Reason, detail: int = 0) -> None:
        self._reasons[reason.value] += 1
        if len(self._skipped) < MAX_SKIPS_KEPT:
            self._skipped.append(Skip(source, reason, detail))

    def report(self) -> ImportReport:
        return ImportReport(
            files_seen=self.files_seen,
            files_imported=self.files_imported,
            files_unchanged=self.files_unchanged,
            added=self.added,
            duplicates=self.duplicates,
            attachments=self.attachments,
            skipped=tuple(self._skipped),
            skipped_total=self._reasons.total(),
            reasons=dict(sorted(self._reasons.items())),
        )
