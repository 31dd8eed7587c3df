"""What the readers share: opening, streaming and checking other people's files.

A download may be cut short, be another file than was meant, or be larger than memory, so nothing is taken on trust and
records come one at a time. Whatever is wrong is said by `SourceNotFound` or `DataInvalid`: the message names file,
record and field and what was expected, and never quotes what was read. Records of a JSON list count from 0, lines from
1. Whole numbers of JSON arrive as floats (see `edgeperso.importers.json_stream`).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import BinaryIO, Final, TextIO

from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.readers.fields import Fields
from edgeperso.importers.json_stream import BrokenJson, ElementTooLarge, array_elements

__all__ = ["MAX_DOCUMENT_CHARS", "MAX_LINE_CHARS", "DataFile", "Turn"]

MAX_LINE_CHARS: Final = 16 << 20
"""16 Mi characters, as for an element of a JSON list."""
MAX_DOCUMENT_CHARS: Final = 64 << 20
"""64 Mi characters for a file that can only be read as a whole."""

_DECODER: Final = json.JSONDecoder(parse_int=float)
_END: Final = object()
_EMPTY: Final = "the file is empty"
_BROKEN: Final = "is not JSON: it is broken, cut short or nested too deeply"


@dataclass(frozen=True, slots=True)
class Turn:
    """What one side says; ``role`` is ``user``, ``assistant`` or ``system``."""

    role: str
    text: str


@dataclass(frozen=True, slots=True)
class DataFile:
    """A file and what it should be (``LaMP's questions``), for the hint of an error."""

    path: Path
    wanted: str

    def objects(self) -> Iterator[Fields]:
        """The objects of a JSON list, in order.

        Raises:
            SourceNotFound: there is no such file.
            DataInvalid: not a JSON list of objects in UTF-8; the objects before are good.
        """
        with self.open() as stream:
            elements = array_elements(stream, _go_on)
            for number in count():
                where = f"record {number}"
                with self.reading(where):
                    element = next(elements, _END)
                if element is _END:
                    return
                yield self.fields(element, where)

    def json_lines(self) -> Iterator[Fields]:
        """The objects of a file with one a line; blank lines are skipped. Raises as `objects` does."""
        empty = True
        with self.open() as stream:
            for number, line in enumerate(self._lines(stream), start=1):
                if line.strip():
                    empty = False
                    where = f"line {number}"
                    yield self.fields(self.parsed(line, where), where)
        if empty:
            raise self._error(_EMPTY)

    def document(self) -> Fields:
        """A file that is one JSON object. Raises as `objects` does."""
        with self.open() as stream, self.reading("the file"):
            text = stream.read(MAX_DOCUMENT_CHARS + 1)
        if len(text) > MAX_DOCUMENT_CHARS:
            raise self.invalid("the file", f"at most {MAX_DOCUMENT_CHARS:,} characters long")
        return self.fields(self.parsed(text, "the file"), "")

    def rows(self, *required: str, backslash_with: str | None = None) -> Iterator[Fields]:
        """The rows of a table with a header, separated by tabs where the header is, else by commas.

        Args:
            required: columns that must be there.
            backslash_with: a column by which a table is told that has backslashes before its quotes.

        Raises:
            SourceNotFound: there is no such file.
            DataInvalid: not such a table in UTF-8; the rows before are good.
        """
        with self.open() as stream:
            lines = self._lines(stream)
            header = next(lines, "")
            if not header.strip():
                raise self._error(_EMPTY)
            delimiter = "\t" if "\t" in header else ","
            names = self._columns(header, delimiter)
            for name in required:
                if name not in names:
                    raise self._error(f"the header has no column {name}")
            reader = csv.reader(lines, delimiter=delimiter, escapechar="\\" if backslash_with in names else None)
            while True:
                try:
                    row = next(reader, None)
                except csv.Error:
                    raise self.invalid(f"line {reader.line_num + 1}", "a row of a table") from None
                if row is None:
                    return
                where = f"line {reader.line_num + 1}"
                if row and len(row) != len(names):
                    raise self.invalid(where, f"a row of {len(names)} columns")
                if row:
                    yield Fields(self.invalid, where, dict(zip(names, row, strict=True)))

    def _columns(self, header: str, delimiter: str) -> list[str]:
        try:
            return [name.strip() for name in next(csv.reader([header], delimiter=delimiter), [])]
        except csv.Error:
            raise self._error("the header is not a row of a table") from None

    def _lines(self, stream: TextIO) -> Iterator[str]:
        for number in count(1):
            with self.reading(f"line {number}"):
                line = stream.readline(MAX_LINE_CHARS)
            if not line:
                return
            if len(line) == MAX_LINE_CHARS and not line.endswith("\n"):
                raise self.invalid(f"line {number}", f"shorter than {MAX_LINE_CHARS:,} characters")
            yield line

    def open(self) -> TextIO:
        """The text of the file.

        Raises:
            SourceNotFound: it can't be opened.
        """
        return io.TextIOWrapper(self.open_bytes(), encoding="utf-8-sig", newline="")

    def open_bytes(self) -> BinaryIO:
        """Its bytes. Raises as `open` does."""
        try:
            return self.path.open("rb")
        except (OSError, ValueError):
            raise self._missing() from None

    @contextmanager
    def reading(self, where: str) -> Iterator[None]:
        """Turns what goes wrong on the way from the disk into our errors."""
        try:
            yield
        except UnicodeDecodeError:
            raise self._error(f"{where} or what follows is not UTF-8 text") from None
        except ElementTooLarge:
            raise self._error(f"{where} is too large") from None
        except BrokenJson as broken:
            if str(broken) == "array":
                raise self._error("the file is empty or not a JSON list") from None
            raise self._error(f"{where} {_BROKEN}") from None
        except OSError:
            raise self._missing() from None

    def parsed(self, text: str, where: str) -> object:
        """The JSON value that ``text`` is."""
        try:
            return _DECODER.decode(text)
        except (ValueError, RecursionError):
            raise self._error(f"{where} {_BROKEN}") from None

    def fields(self, value: object, where: str) -> Fields:
        """``value`` as an object with fields."""
        if not isinstance(value, dict):
            raise self.invalid(where or "the file", "an object")
        return Fields(self.invalid, where, value)

    def invalid(self, where: str, expected: str) -> DataInvalid:
        """The error for a place that isn't what it should be."""
        return self._error(f"{where} is not {expected}")

    def _missing(self) -> SourceNotFound:
        return SourceNotFound(f"There is no readable file {self.path.name}.", hint=f"Give {self.wanted}.")

    def _error(self, problem: str) -> DataInvalid:
        return DataInvalid(f"{self.path.name}: {problem}.", hint=f"Give {self.wanted}.")


def _go_on() -> None:
    """Nobody stops a reader from outside: whoever iterates stops."""
