"""Mailboxes in mbox form, of any size: one mail in memory at a time.

A mail gets the trust SELF only when the person surely sent it: its From is one of their addresses, and it carries no
mark of having been delivered (a sender can write anything into From), or the mailbox's own label says that it was sent.
"""

from __future__ import annotations

import re
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final

from edgeperso.importers.clean import one_line
from edgeperso.importers.mail import BROKEN_MAIL, MailHead, parse_mail, read_head
from edgeperso.importers.report import Reason
from edgeperso.importers.source import Context, SourceFile
from edgeperso.importers.split import split_text
from edgeperso.types import Kind, Record, Trust

__all__ = ["MAX_MAIL_BYTES", "MboxImporter", "RawMail", "raw_mails"]

MAX_MAIL_BYTES: Final = 8 << 20
"""Of a longer mail only the beginning is read: text stands before attachments."""

_MAX_LINE_BYTES: Final = 1 << 20
_HEAD_BYTES: Final = 65_536
_POSTMARK: Final = re.compile(rb"^From .{0,300}\d{1,2}:\d{2}")
_HEADER: Final = re.compile(rb"^[!-9;-~]{1,100}:")
_ESCAPED: Final = re.compile(rb"^>+From ")
_SENT_WORDS: Final = frozenset({"sent", "gesendet", "envoyé", "envoyés", "enviado", "enviados", "inviata", "verzonden"})
_KNOWN_THREADS: Final = 100_000


@dataclass(frozen=True, slots=True)
class RawMail:
    """A mail's bytes without its postmark line; ``cut`` when it was over the bound. Numbers begin with 1."""

    number: int
    raw: bytes
    cut: bool


def raw_mails(stream: BinaryIO, check: Callable[[], None], limit: int = MAX_MAIL_BYTES) -> Iterator[RawMail]:
    """The mails of an mbox. A line "From …" begins one only after an empty line, and only with a time of day in it or
    a header below it: people begin sentences so, too."""
    number, size, kept = 0, 0, bytearray()
    blank, started = True, False
    line = stream.readline(_MAX_LINE_BYTES)
    while line:
        check()
        following = stream.readline(_MAX_LINE_BYTES)
        if blank and line.startswith(b"From ") and (_POSTMARK.match(line) or _HEADER.match(following)):
            if started:
                yield RawMail(number, bytes(kept), size > limit)
            number, size, kept, started = number + 1, 0, bytearray(), True
        elif started:
            size += len(line)
            if size <= limit:
                kept += line[1:] if _ESCAPED.match(line) else line
        blank = not line.strip()
        line = following
    if started:
        yield RawMail(number, bytes(kept), size > limit)


class MboxImporter:
    """Each mail's own words, split like a document's; its conversation is the thread."""

    name = "mbox"
    version = 1

    def accepts(self, file: SourceFile) -> bool:
        if file.suffix in {".mbox", ".mbx"}:
            return True
        first, _, rest = file.head.partition(b"\n")
        return file.suffix == "" and bool(_POSTMARK.match(first)) and bool(_HEADER.match(rest))

    def read(self, file: SourceFile, context: Context) -> Iterator[Record]:
        own = context.own_addresses or _guess_own(file, context.check)
        threads = _Threads()
        with file.open() as stream:
            for mail in raw_mails(stream, context.check):
                yield from _records(mail, file, context, own, threads)


def _records(
    raw: RawMail, file: SourceFile, context: Context, own: frozenset[str], threads: _Threads
) -> Iterator[Record]:
    try:
        mail = parse_mail(raw.raw)
    except BROKEN_MAIL:
        context.skip(Reason.BROKEN_RECORD, raw.number)
        return
    context.attachment(mail.attachments)
    if mail.cut or (raw.cut and not mail.attachments):
        context.skip(Reason.TOO_LARGE, raw.number)
    head = mail.head
    thread, position = threads.place(head, f"{file.source}#{raw.number}")
    trust = Trust.SELF if _is_own(head, own) else Trust.OTHER
    count = 0
    for text, author, whose in ((mail.text.own, head.author, trust), (mail.text.forwarded, "", Trust.OTHER)):
        for piece in split_text(text):
            yield Record(
                text=piece,
                kind=Kind.MAIL,
                source=file.source,
                locator=head.message_id,
                title=head.subject,
                author=author,
                thread=thread,
                position=position + count,
                occurred_ms=head.occurred_ms,
                scope=context.scope,
                trust=whose,
            )
            count += 1
    if count == 0:
        context.skip(Reason.EMPTY, raw.number)


def _is_own(head: MailHead, own: frozenset[str]) -> bool:
    if head.address not in own:
        return False
    return _is_sent(head.labels) or not head.received


def _is_sent(words: frozenset[str]) -> bool:
    return not _SENT_WORDS.isdisjoint(words)


def _guess_own(file: SourceFile, check: Callable[[], None]) -> frozenset[str]:
    """The person's address where nobody told: who wrote the sent mails (by label, or the file's name), or else the one
    address that nearly every mail goes from or to. None rather than a doubtful one."""
    sent_file = _is_sent(frozenset(re.findall(r"\w+", PurePosixPath(file.source).name.lower())))
    senders: Counter[str] = Counter()
    everyone: Counter[str] = Counter()
    writers: set[str] = set()
    mails = labelled = 0
    with file.open() as stream:
        for raw in raw_mails(stream, check, _HEAD_BYTES):
            try:
                head = read_head(raw.raw)
            except BROKEN_MAIL:
                continue
            mails += 1
            labelled += head.labels != {""}
            if head.address and (sent_file or _is_sent(head.labels)):
                senders[head.address] += 1
            everyone.update(head.recipients | ({head.address} - {""}))
            writers.add(head.address)
            if len(everyone) > _KNOWN_THREADS:
                everyone = Counter(dict(everyone.most_common(_KNOWN_THREADS // 10)))
    if senders and (sent_file or labelled >= 0.9 * mails):
        (address, count), *_ = senders.most_common(1)
        return frozenset({address}) if count > senders.total() / 2 else frozenset()
    near = [address for address, count in everyone.most_common(5) if count >= 0.5 * mails]
    if mails >= 5 and len(near) == 1 and everyone[near[0]] >= 0.9 * mails and near[0] in writers:
        return frozenset(near)
    return frozenset()


class _Threads:
    """Which conversation a mail belongs to, and where in it; remembers the last 100,000 mails."""

    def __init__(self) -> None:
        self._of: OrderedDict[str, str] = OrderedDict()

    def place(self, head: MailHead, fallback: str) -> tuple[str, int]:
        """Thread and position. The thread is named by the message id that began it; the position grows with the date,
        with room for the pieces of a mail, for mailboxes are often sorted backwards."""
        thread = self._thread(head, fallback)
        if head.message_id:
            self._remember(head.message_id, thread)
        if head.topic:
            self._remember(f"\n{head.topic}", thread)
        return thread, max(0, head.occurred_ms or 0) // 1000 * 1000

    def _thread(self, head: MailHead, fallback: str) -> str:
        for reference in reversed(head.references):
            if reference in self._of:
                return self._of[reference]
        if head.references:
            return head.references[0]
        if head.is_reply and (known := self._of.get(f"\n{head.topic}")):
            return known
        return head.message_id or one_line(fallback)

    def _remember(self, key: str, thread: str) -> None:
        self._of[key] = thread
        self._of.move_to_end(key)
        if len(self._of) > _KNOWN_THREADS:
            self._of.popitem(last=False)
