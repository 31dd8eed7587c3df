"""One mail, however broken: its headers, and the text that its sender wrote."""

from __future__ import annotations

import email
import email.errors
import email.header
import email.policy
import re
from collections.abc import Iterable
from dataclasses import dataclass
from email.message import Message
from email.utils import parsedate_to_datetime
from typing import Final

from edgeperso.importers.clean import clean, one_line
from edgeperso.importers.decode import decode_loosely
from edgeperso.importers.html_text import MAX_HTML_CHARS, html_to_text
from edgeperso.importers.quoting import MailText, own_words
from edgeperso.times import datetime_ms

__all__ = ["BROKEN_MAIL", "Mail", "MailHead", "parse_mail", "read_head"]

BROKEN_MAIL: Final = (
    ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError, OverflowError,
    email.errors.MessageError,
)  # fmt: skip
"""What the standard library raises on mails that nobody should have sent."""

_MAX_HEADER_CHARS: Final = 8_192
_MAX_PARTS: Final = 500
_MAX_DEPTH: Final = 50
_ADDRESS: Final = re.compile(r"[^\s<>@,;:()\"\\]{1,64}@[^\s<>@,;:()\"\\]{1,255}")
_MESSAGE_ID: Final = re.compile(r"<([^<>\s]{1,500})>")
_REPLY_MARK: Final = re.compile(r"^(?:(?:re|aw|sv|antw|ref|fwd?|wg|tr|rv|i|r)(?:\[\d+\])?\s?:\s*)+", re.IGNORECASE)
_RECEIVED_MARKS: Final = frozenset(
    {"delivered-to", "x-original-to", "envelope-to", "x-delivered-to", "authentication-results", "received-spf"}
)


@dataclass(frozen=True, slots=True)
class MailHead:
    """The headers that matter. ``address`` is the sender's, lower case, and empty unless there is exactly one;
    ``received`` tells that a server delivered it, so that its From is only a claim."""

    subject: str
    author: str
    address: str
    recipients: frozenset[str]
    occurred_ms: int | None
    message_id: str
    references: tuple[str, ...]
    labels: frozenset[str]
    received: bool

    @property
    def topic(self) -> str:
        """The subject without "Re:" and its like, folded."""
        return _REPLY_MARK.sub("", self.subject).casefold()

    @property
    def is_reply(self) -> bool:
        return bool(_REPLY_MARK.match(self.subject))


@dataclass(frozen=True, slots=True)
class Mail:
    """``attachments`` counts the parts that were left out; ``cut`` says that a part of the text was, for its size."""

    head: MailHead
    text: MailText
    attachments: int
    cut: bool


def read_head(raw: bytes) -> MailHead:
    """The headers at the start of a raw mail.

    Raises:
        BROKEN_MAIL: any of them.
    """
    return _head(email.message_from_bytes(_header_bytes(raw), policy=email.policy.compat32))


def parse_mail(raw: bytes) -> Mail:
    """A raw mail. ``compat32`` reads headers as they are; the newer policies raise on ones that merely look odd.

    Raises:
        BROKEN_MAIL: any of them.
    """
    if raw.lower().count(b"boundary=") > _MAX_PARTS:
        raise ValueError("parts")
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    body = _Body()
    body.visit(message, 0)
    return Mail(_head(message), own_words(clean("\n\n".join(body.texts))), body.attachments, body.cut)


def _header_bytes(raw: bytes) -> bytes:
    ends = [at for mark in (b"\n\n", b"\r\n\r\n") if (at := raw.find(mark)) >= 0]
    return raw[: min(ends)] + b"\n\n" if ends else raw


def _head(message: Message) -> MailHead:
    fields: dict[str, list[str]] = {}
    for name, value in message.raw_items():
        fields.setdefault(name.lower(), []).append(str(value)[:_MAX_HEADER_CHARS])
    author, address = _sender(fields.get("from", []))
    identity = _ids(fields.get("message-id", [])[:1])
    references = _ids(fields.get("references", [])[:1]) or _ids(fields.get("in-reply-to", [])[:1])
    return MailHead(
        subject=_decoded(_first(fields, "subject")),
        author=author,
        address=address,
        recipients=frozenset(
            found.lower()
            for name in ("to", "cc", "delivered-to")
            for value in fields.get(name, [])[:3]
            for found in _ADDRESS.findall(value)[:100]
        ),
        occurred_ms=_date_ms(_first(fields, "date")),
        message_id=identity[0] if identity else "",
        references=references,
        labels=frozenset(label.strip().lower() for label in _decoded(_first(fields, "x-gmail-labels")).split(",")),
        received=not _RECEIVED_MARKS.isdisjoint(fields),
    )


def _first(fields: dict[str, list[str]], name: str) -> str:
    return fields.get(name, [""])[0]


def _ids(values: list[str]) -> tuple[str, ...]:
    return tuple(one_line(found, 500) for value in values for found in _MESSAGE_ID.findall(value))


def _sender(values: list[str]) -> tuple[str, str]:
    """Name and address of a From header. The address counts only where there is one beyond doubt."""
    if not values:
        return "", ""
    raw = " ".join(values[0].split())
    name, bracket, tail = raw.partition("<")
    inner, _, rest = tail.partition(">")
    address = inner.strip() if bracket else raw
    sure = len(values) == 1 and not rest.strip() and bool(_ADDRESS.fullmatch(address))
    shown = _decoded(name).strip("\"' ") if bracket else ""
    return shown or one_line(address), address.lower() if sure else ""


def _decoded(value: str) -> str:
    """A header's text: encoded words, or raw bytes of an unknown charset."""
    value = " ".join(value.split())
    if any("\udc80" <= character <= "\udcff" for character in value):
        value = decode_loosely(value.encode("utf-8", "surrogateescape"), None)
    if "=?" not in value:
        return one_line(value)
    try:
        parts = email.header.decode_header(value)
    except (ValueError, LookupError, email.errors.HeaderParseError):
        return one_line(value)
    return one_line(
        "".join(part if isinstance(part, str) else decode_loosely(part, charset) for part, charset in parts)
    )


def _date_ms(value: str) -> int | None:
    """None for a date that is missing, unreadable, or of no time when there was mail."""
    try:
        moment = parsedate_to_datetime(" ".join(value.split()))
        return datetime_ms(moment) if 1970 <= moment.year < 2200 else None
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


class _Body:
    """Collects the readable parts of a message: plain text where there is any, else HTML."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.attachments = 0
        self.cut = False

    def visit(self, part: Message, depth: int) -> None:
        if depth > _MAX_DEPTH:
            raise ValueError("depth")
        kind = part.get_content_type()
        if kind == "message/rfc822" or part.get_content_disposition() == "attachment":
            self.attachments += 1
        elif kind == "multipart/alternative":
            self._visit_best(_children(part), depth)
        elif part.is_multipart():
            for child in _children(part):
                self.visit(child, depth + 1)
        elif kind in {"text/plain", "text/html"} or kind.startswith("multipart/"):  # the latter without a boundary
            self.texts.append(self._text(part, kind))
        else:
            self.attachments += 1

    def _visit_best(self, children: list[Message], depth: int) -> None:
        """Of the same thing in several forms: the plain one, unless it is empty."""
        for wanted in ("text/plain", ""):
            for child in children:
                if wanted and child.get_content_type() != wanted:
                    continue
                before = len(self.texts)
                self.visit(child, depth + 1)
                if any(text.strip() for text in self.texts[before:]):
                    return

    def _text(self, part: Message, kind: str) -> str:
        data = part.get_payload(decode=True)
        text = decode_loosely(data, part.get_content_charset()) if isinstance(data, bytes) else ""
        if kind == "text/html":
            self.cut |= len(text) > MAX_HTML_CHARS
            return html_to_text(text)
        flowed = str(part.get_param("format", "")).lower() == "flowed"
        return _unflowed(text.splitlines()) if flowed else text


def _children(part: Message) -> list[Message]:
    payload = part.get_payload()
    return [child for child in payload if isinstance(child, Message)] if isinstance(payload, list) else []


def _unflowed(lines: Iterable[str]) -> str:
    """Lines that end in a space go on in the next (RFC 3676)."""
    out: list[str] = []
    joining = False
    for raw in lines:
        line = raw.removeprefix(" ")
        if joining and not line.startswith(">"):
            out[-1] += line
        else:
            out.append(line)
        joining = line.endswith(" ") and line != "-- " and not line.startswith(">")
    return "\n".join(out)
