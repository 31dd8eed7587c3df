"""Our own plain form: one JSON object a line, ``{"text": …}`` and what else is known about it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from edgeperso.importers.clean import clean, one_line
from edgeperso.importers.dates import moment_ms
from edgeperso.importers.decode import refuse_binary
from edgeperso.importers.report import Reason
from edgeperso.importers.source import Context, SourceFile
from edgeperso.importers.split import split_text
from edgeperso.types import Kind, Record, Trust

__all__ = ["MAX_LINE_BYTES", "JsonlImporter", "JsonlLine"]

MAX_LINE_BYTES: Final = 8 << 20
_SECONDS_BELOW: Final = 100_000_000_000
"""A ``time`` below is in seconds (until the year 5138), above in milliseconds (since 1973)."""
_LATEST_MS: Final = 7_258_118_400_000

Name = Annotated[str, Field(max_length=1_000)]


class JsonlLine(BaseModel):
    """One line. Unknown fields are ignored; ``time`` is ISO 8601 or seconds or milliseconds since 1970, UTC."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=False)

    text: str = Field(min_length=1)
    kind: Kind = Kind.NOTE
    source: Name | None = None
    time: str | int | float | None = None
    author: Name = ""
    thread: Name = ""
    title: Name = ""
    scope: Name | None = None
    trust: Trust = Trust.SELF

    def occurred_ms(self) -> int | None:
        """The time in ms.

        Raises:
            ValueError: it can't be read as one.
        """
        if self.time is None or self.time == "":
            return None
        if isinstance(self.time, str):
            at_ms = moment_ms(self.time)
            if at_ms is None:
                raise ValueError("time")
            return at_ms
        at_ms = round(self.time * 1000) if abs(self.time) < _SECONDS_BELOW else round(self.time)
        if abs(at_ms) > _LATEST_MS:
            raise ValueError("time")
        return at_ms


class JsonlImporter:
    """A line that isn't a valid object is skipped and reported by its number."""

    name = "jsonl"
    version = 1

    def accepts(self, file: SourceFile) -> bool:
        if file.suffix not in {".jsonl", ".ndjson"}:
            return False
        refuse_binary(file)
        return True

    def read(self, file: SourceFile, context: Context) -> Iterator[Record]:
        position = 0
        for number, line in _lines(file, context):
            try:
                parsed = _parse(line)
                occurred_ms = parsed.occurred_ms()
            except (ValueError, RecursionError, OverflowError):
                context.skip(Reason.BROKEN_RECORD, number)
                continue
            pieces = split_text(clean(parsed.text))
            if not pieces:
                context.skip(Reason.BROKEN_RECORD, number)
            source = one_line(parsed.source or "", 1_000) or file.source
            for piece in pieces:
                yield Record(
                    text=piece,
                    kind=parsed.kind,
                    source=source,
                    title=one_line(parsed.title),
                    author=one_line(parsed.author),
                    thread=one_line(parsed.thread, 1_000) or source,
                    position=position,
                    occurred_ms=occurred_ms,
                    scope=one_line(parsed.scope or "") or context.scope,
                    trust=parsed.trust,
                )
                position += 1


def _parse(line: bytes) -> JsonlLine:
    """
    Raises:
        ValueError: not UTF-8, not JSON, or not what the fields must be; its text is dropped, for it quotes the line.
    """
    try:
        fields = json.loads(line.decode("utf-8-sig"), parse_int=_number)
        if isinstance(fields, dict):
            fields = {name: _whole(value) if isinstance(value, str) else value for name, value in fields.items()}
        return JsonlLine.model_validate(fields)
    except (ValidationError, ValueError):
        raise ValueError("line") from None


def _whole(text: str) -> str:
    """Half of a surrogate pair, as programs leave it that cut a text within an emoji, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _number(digits: str) -> int:
    if len(digits) > 20:
        raise ValueError("number")
    return int(digits)


def _lines(file: SourceFile, context: Context) -> Iterator[tuple[int, bytes]]:
    """Numbered lines that aren't blank; one over `MAX_LINE_BYTES` is skipped without being held."""
    with file.open() as stream:
        number = 0
        while line := stream.readline(MAX_LINE_BYTES):
            context.check()
            number += 1
            if len(line) == MAX_LINE_BYTES and not line.endswith(b"\n"):
                context.skip(Reason.TOO_LARGE, number)
                while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
                    context.check()
                continue
            if line.strip():
                yield number, line
