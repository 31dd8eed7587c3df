"""Markdown and plain text: notes, diaries, documents."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

from edgeperso.importers.clean import clean, one_line
from edgeperso.importers.dates import When, date_only, entry_date, leading_date, moment_ms, path_date
from edgeperso.importers.decode import encoding_of, refuse_binary, text_lines
from edgeperso.importers.source import Context, SourceFile
from edgeperso.importers.split import pack
from edgeperso.types import Kind, Record

__all__ = ["DocumentImporter"]

SUFFIXES: Final = frozenset({".md", ".markdown", ".txt", ".text"})
_ATX: Final = re.compile(r"^ {0,3}(#{1,6})(?=[ \t]|$)")
_SETEXT: Final = re.compile(r"^ {0,3}(=+|-{2,})[ \t]*$")
_FENCE: Final = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_RULE: Final = re.compile(r"^ {0,3}(?:(?:\*[ \t]*){3,}|(?:-[ \t]*){3,}|(?:_[ \t]*){3,})$")
_FIELD: Final = re.compile(r"^([A-Za-z_]+)[ \t]*:[ \t]*(.*)$")
_ITEM: Final = re.compile(r"^[ \t]*-[ \t]+(.+)$")
_MAX_PARAGRAPH_CHARS: Final = 16_384
_MAX_HEADING_CHARS: Final = 200
"""What is longer is a paragraph, whatever its marks say."""
_MAX_TITLE_CHARS: Final = 1_500
_MAX_FRONT_LINES: Final = 100
_DATE_LINE_LEVEL: Final = 7
"""A line that is only a date ranks below every Markdown heading."""


@dataclass(slots=True)
class _Heading:
    level: int
    text: str
    written: str
    when: When | None
    is_date: bool
    used: bool = False


@dataclass(slots=True)
class _FrontMatter:
    title: str = ""
    at_ms: int | None = None
    tags: tuple[str, ...] = ()


class DocumentImporter:
    """One memory for each stretch of text under a heading, in order, at most 1,000 characters each."""

    name = "documents"
    version = 1

    def accepts(self, file: SourceFile) -> bool:
        if file.suffix not in SUFFIXES:
            return False
        refuse_binary(file)
        return True

    def read(self, file: SourceFile, context: Context) -> Iterator[Record]:
        encoding = encoding_of(file, context.check)
        return _Reader(file, context).records(text_lines(file, encoding, context.check))


class _Reader:
    """Lines in, records out; holds one paragraph and the headings above it."""

    def __init__(self, file: SourceFile, context: Context) -> None:
        self._file = file
        self._context = context
        self._markdown = file.suffix in {".md", ".markdown"}
        self._path_when = path_date(file.source)
        self._front = _FrontMatter()
        self._headings: list[_Heading] = []
        self._entry: When | None = None
        self._paragraph: list[str] = []
        self._paragraph_chars = 0
        self._paragraphs: list[str] = []
        self._section_chars = 0
        self._fence = ""
        self._position = 0

    def records(self, lines: Iterator[str]) -> Iterator[Record]:
        rest = self._read_front_matter(lines)
        for raw in rest:
            for line in clean(raw).split("\n"):
                yield from self._take(line)
        yield from self._end_section()
        yield from self._pop_headings(0)

    def _take(self, line: str) -> Iterator[Record]:
        if self._in_fence(line):
            self._add_line(line)
        elif not line.strip():
            yield from self._blank()
        elif heading := self._heading(line):
            yield from self._open_heading(heading)
        elif (when := entry_date(line)) and (self._entry or not self._paragraph):
            yield from self._end_section()
            self._entry = when
            self._add_line(line)
        elif self._markdown and _RULE.match(line):
            self._end_paragraph()
        else:
            self._add_line(line)
        if self._paragraph_chars > _MAX_PARAGRAPH_CHARS:
            self._end_paragraph()
        if self._section_chars > _MAX_PARAGRAPH_CHARS:
            yield from self._flush()

    def _blank(self) -> Iterator[Record]:
        """An empty line ends a paragraph, and a log's dated entry with it."""
        if self._entry:
            yield from self._end_section()
            self._entry = None
        else:
            self._end_paragraph()

    def _in_fence(self, line: str) -> bool:
        """Whether the line belongs to a fenced block, where ``#`` is no heading."""
        if not self._markdown:
            return False
        match = _FENCE.match(line)
        if self._fence:
            if match and match[1].startswith(self._fence) and not line.strip().strip(self._fence[0]):
                self._fence = ""
            return True
        if match:
            self._fence = match[1]
        return bool(match)

    def _heading(self, line: str) -> _Heading | None:
        if self._markdown:
            if match := _ATX.match(line):
                text = line[match.end() :].strip()
                opened = text.rstrip("#")
                text = opened.rstrip() if opened.endswith((" ", "\t")) or not opened else text
                return self._dated(len(match[1]), text) if len(text) <= _MAX_HEADING_CHARS else None
            setext = _SETEXT.match(line)
            if setext and len(self._paragraph) == 1 and self._paragraph_chars <= _MAX_HEADING_CHARS:
                text = self._paragraph.pop().strip()
                self._paragraph_chars = 0
                return self._dated(1 if setext[1][0] == "=" else 2, text)
        if not self._paragraph and date_only(line, self._known_when(_DATE_LINE_LEVEL)):
            return self._dated(_DATE_LINE_LEVEL, line.strip())
        return None

    def _dated(self, level: int, text: str) -> _Heading:
        found = leading_date(text, self._known_when(level))
        when, rest = found or (None, text)
        is_date = when is not None and when.month is not None and not rest
        title = rest if when and when.month and rest else text
        return _Heading(level, one_line(title), one_line(text), when, is_date)

    def _known_when(self, level: int) -> When | None:
        """The date that a heading of ``level`` stands under."""
        for heading in reversed(self._headings):
            if heading.level < level and heading.when:
                return heading.when
        return self._path_when

    def _open_heading(self, heading: _Heading) -> Iterator[Record]:
        yield from self._end_section()
        yield from self._pop_headings(heading.level)
        self._entry = None
        self._headings.append(heading)

    def _pop_headings(self, level: int) -> Iterator[Record]:
        """Close headings of ``level`` and deeper. One that nothing stood under is a note by itself."""
        while self._headings and self._headings[-1].level >= level:
            heading = self._headings[-1]
            if not heading.used and not heading.is_date and heading.text:
                at_ms = self._at_ms()
                self._headings.pop()
                yield self._record(heading.text, at_ms)
            else:
                self._headings.pop()

    def _add_line(self, line: str) -> None:
        self._paragraph.append(line)
        self._paragraph_chars += len(line) + 1

    def _end_paragraph(self) -> None:
        if self._paragraph:
            text = "\n".join(self._paragraph)
            self._paragraphs.append(text)
            self._section_chars += len(text)
            self._paragraph = []
            self._paragraph_chars = 0

    def _end_section(self) -> Iterator[Record]:
        self._end_paragraph()
        yield from self._flush()

    def _flush(self) -> Iterator[Record]:
        at_ms = self._at_ms()
        for piece in pack(self._paragraphs):
            yield self._record(piece, at_ms)
        self._paragraphs = []
        self._section_chars = 0

    def _record(self, text: str, at_ms: int | None) -> Record:
        for heading in self._headings:
            heading.used = True
        self._position += 1
        return Record(
            text=text,
            kind=Kind.NOTE,
            source=self._file.source,
            locator=self._headings[-1].written if self._headings else "",
            title=self._title(),
            thread=self._file.source,
            position=self._position - 1,
            occurred_ms=at_ms,
            scope=self._context.scope,
        )

    def _title(self) -> str:
        parts = [heading.text for heading in self._headings if not heading.is_date and heading.text]
        if self._front.title and self._front.title not in parts:
            parts.insert(0, self._front.title)
        if not parts:
            stem = PurePosixPath(self._file.source).stem
            parts = [stem] if path_date(self._file.source) is None and any(map(str.isalpha, stem)) else []
        tags = " ".join(f"#{tag}" for tag in self._front.tags)
        return one_line(" › ".join(parts) + (f" {tags}" if tags else ""), _MAX_TITLE_CHARS)

    def _at_ms(self) -> int | None:
        """From the nearest place that knows: the line, the headings upward, the front matter, the file's name."""
        if self._entry:
            return self._entry.at_ms
        for heading in reversed(self._headings):
            if heading.when and heading.when.at_ms is not None:
                return heading.when.at_ms
            if heading.when and self._path_when and heading.when.year != self._path_when.year:
                return None
        if self._front.at_ms is not None:
            return self._front.at_ms
        return self._path_when.at_ms if self._path_when else None

    def _read_front_matter(self, lines: Iterator[str]) -> Iterator[str]:
        """Read ``---`` … ``---`` at the top; what turns out to be no front matter is given back as text."""
        head: list[str] = []
        for line in lines:
            head.append(line)
            if head[0].lstrip("\ufeff").rstrip() != "---" or len(head) > _MAX_FRONT_LINES:
                break
            if len(head) > 1 and line.rstrip() in {"---", "..."}:
                front = _front_matter([clean(entry) for entry in head[1:-1]])
                if front:
                    self._front = front
                    head = []
                break
        yield from head
        yield from lines


def _front_matter(lines: list[str]) -> _FrontMatter | None:
    """``title``, ``date`` (or ``created``) and ``tags``; None if a line is neither a field nor part of one."""
    front = _FrontMatter()
    tags: list[str] = []
    name = ""
    for line in lines:
        field = _FIELD.match(line)
        if field:
            name, value = field[1].lower(), field[2].strip()
            if name == "title":
                front.title = one_line(value.strip("\"'"))
            elif name == "date" or (name in {"created", "day"} and front.at_ms is None):
                front.at_ms = moment_ms(value)
            elif name in {"tags", "tag"} and value:
                tags += value.strip("[]").split(",") if "," in value or "[" in value else value.split()
        elif name in {"tags", "tag"} and (item := _ITEM.match(line)):
            tags.append(item[1])
        elif name == "" and line.strip() and not line.startswith("#"):
            return None
    front.tags = tuple(one_line(tag.strip().strip("\"'#"), 40).replace(" ", "-") for tag in tags[:20] if tag.strip())
    return front if name else None
