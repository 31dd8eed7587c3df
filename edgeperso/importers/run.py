"""One import: every file in turn, batch by batch into the vault, each marked in the ledger once it is whole.

It promises that a second import adds nothing, that one which was stopped or killed goes on where it was, that no file
can end it, and that it reads nothing beyond the path given.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from edgeperso.errors import Cancelled, SourceNotFound, SourceUnsafe, SourceUnsupported
from edgeperso.events import Event, emit
from edgeperso.importers.chatgpt import ChatGptImporter
from edgeperso.importers.documents import DocumentImporter
from edgeperso.importers.jsonl import JsonlImporter
from edgeperso.importers.mbox import MboxImporter
from edgeperso.importers.report import ImportReport, Reason, Tally
from edgeperso.importers.source import HEAD_BYTES, Context, FileRejected, Importer, SourceFile, open_regular, stamp
from edgeperso.importers.walk import Found, source_name, walk
from edgeperso.types import Progress, Record

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["IMPORTERS", "Cancel", "import_path"]

Cancel = threading.Event | Callable[[], bool]
"""Set, or true when called: stop."""

IMPORTERS: Final[tuple[Importer, ...]] = (
    JsonlImporter(),
    DocumentImporter(),
    ChatGptImporter(),
    MboxImporter(),
)
"""The formats, asked in this order."""

_BATCH: Final = 500
_CHUNK: Final = 1 << 20


def import_path(
    vault: Vault,
    path: Path,
    *,
    scope: str = "personal",
    own_addresses: Iterable[str] = (),
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> ImportReport:
    """Import a file, or every file under a folder, into ``vault``.

    Args:
        scope: the scope of the new memories, where a record doesn't name its own.
        own_addresses: the person's mail addresses; without any, those in the profile's ``email``, or else the
            sender of the mails in a mailbox of sent mail.
        progress: called with the stage ``import``, bytes done and bytes in all.
        cancel: asked often.

    Raises:
        SourceNotFound: there is nothing at ``path``.
        SourceUnsupported: ``path`` is a single file of no known format.
        SourceUnsafe: ``path`` is an archive that must not be unpacked.
        Cancelled: by ``cancel`` or Ctrl-C; what was finished is in the vault, and the same call goes on from there.
    """
    run = _Run(vault, scope, own_addresses, progress, cancel)
    emit(Event.IMPORT_STARTED)
    try:
        run.all_of(Path(path).expanduser())
    except (KeyboardInterrupt, _Stopped):
        kept = run.tally
        raise Cancelled(
            f"The import was stopped: {kept.added} new memories are kept, {kept.files_imported} files are done.",
            hint="Run the same command again: it goes on from there.",
        ) from None
    finally:
        emit(Event.IMPORT_FINISHED, files=run.tally.files_seen, added=run.tally.added)
    return run.tally.report()


class _Stopped(Exception):
    """The person asked to stop."""


class _Run:
    def __init__(
        self, vault: Vault, scope: str, own_addresses: Iterable[str], progress: Progress | None, cancel: Cancel | None
    ) -> None:
        self._vault = vault
        self._scope = scope
        self._progress = progress
        self._cancelled = cancel.is_set if isinstance(cancel, threading.Event) else cancel
        given = [address for address in own_addresses if address]
        self._own = frozenset(
            address.strip().lower() for entry in given or self._profile_addresses() for address in entry.split(",")
        )
        self._done_bytes = 0
        self._total_bytes = 0
        self._stream: BinaryIO | None = None
        self.tally = Tally()

    def _profile_addresses(self) -> list[str]:
        return [address for address in [self._vault.profile.all().get("email", "")] if address]

    def _check(self) -> None:
        if self._cancelled is not None and self._cancelled():
            raise _Stopped

    def all_of(self, path: Path) -> None:
        if not os.path.lexists(path):
            raise SourceNotFound(f"There is nothing at {source_name(path.parts)}.", hint="Check the path.")
        if path.is_dir():
            found = list(walk(path, Path(self._vault.home), self._check))
            self._total_bytes = sum(one.size_bytes for one in found)
            for one in found:
                self._one(one)
            return
        target = path.resolve()
        single = Found(target, source_name((path.name,)), target.stat().st_size if target.is_file() else 0)
        self._total_bytes = single.size_bytes
        self._one(single, alone=True)

    def _one(self, found: Found, *, alone: bool = False) -> None:
        """One file. ``alone``: it was named by itself, so that a refusal is an error rather than a line in a report."""
        self._check()
        self.tally.files_seen += 1
        reason, detail = found.reason, 0
        if reason is None:
            try:
                self._read(found)
            except FileRejected as rejected:
                reason, detail = rejected.reason, rejected.detail
            except (OSError, RecursionError, MemoryError):
                reason = Reason.UNREADABLE
        if reason is not None:
            if alone and reason in {Reason.UNSUPPORTED, Reason.SPECIAL_FILE}:
                raise SourceUnsupported(f"{found.source} is not in a format that can be imported.")
            if alone and reason is Reason.UNSAFE:
                raise SourceUnsafe(f"{found.source} unpacks to too much, or to paths outside it.")
            self.tally.skip(found.source, reason, detail)
        self._done_bytes += found.size_bytes
        self._tell()

    def _read(self, found: Found) -> None:
        with open_regular(found.path) as stream:
            before = stamp(stream)
            file = SourceFile(found.path, found.source, before[0], stream.read(HEAD_BYTES), self._watch)
        if not file.head.strip():
            self._check_blank(file)
        importer = next((importer for importer in IMPORTERS if importer.accepts(file)), None)
        if importer is None:
            raise FileRejected(Reason.UNSUPPORTED)
        digest = self._digest(file, importer)
        if self._vault.imports.seen(file.source, digest):
            self.tally.files_unchanged += 1
            return
        records = self._add(importer.read(file, self._context(file)))
        with open_regular(found.path) as stream:
            if stamp(stream) != before:
                raise FileRejected(Reason.CHANGED_WHILE_READ)
        if records == 0:
            raise FileRejected(Reason.EMPTY)
        self._vault.imports.mark(file.source, digest)
        self.tally.files_imported += 1

    def _watch(self, stream: BinaryIO) -> None:
        self._stream = stream

    @staticmethod
    def _check_blank(file: SourceFile) -> None:
        if file.size_bytes == len(file.head):
            raise FileRejected(Reason.EMPTY)

    def _context(self, file: SourceFile) -> Context:
        def attachment(count: int) -> None:
            self.tally.attachments += count

        return Context(
            scope=self._scope,
            own_addresses=self._own,
            skip=lambda reason, detail: self.tally.skip(file.source, reason, detail),
            attachment=attachment,
            check=self._check,
        )

    def _add(self, records: Iterator[Record]) -> int:
        """Store ``records`` batch by batch; how many there were."""
        count = 0
        batch: list[Record] = []
        try:
            for record in records:
                batch.append(record)
                if len(batch) == _BATCH:
                    count += self._store(batch)
                    batch = []
        except FileRejected:
            self._store(batch)
            raise
        return count + self._store(batch)

    def _store(self, batch: list[Record]) -> int:
        self._check()
        if batch:
            report = self._vault.memories.add(batch)
            self.tally.added += report.added
            self.tally.duplicates += report.duplicates
            self._tell()
        return len(batch)

    def _digest(self, file: SourceFile, importer: Importer) -> str:
        """Over the file and what else decides which records it yields."""
        digest = hashlib.sha256(f"{importer.name} {importer.version} {self._scope} {sorted(self._own)}\n".encode())
        with file.open() as stream:
            while chunk := stream.read(_CHUNK):
                self._check()
                digest.update(chunk)
        return digest.hexdigest()

    def _tell(self) -> None:
        if self._progress is not None:
            within = 0 if self._stream is None or self._stream.closed else self._stream.tell()
            self._progress("import", min(self._done_bytes + within, self._total_bytes), self._total_bytes)
