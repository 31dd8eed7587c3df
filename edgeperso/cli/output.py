"""What the commands print, and where: answers to stdout, the rest to stderr, colours only on a terminal.

Promise: no text that a person or somebody else wrote reaches a terminal with its control characters.
"""

from __future__ import annotations

import json
import math
import os
import re
import sys
import time
from collections.abc import Iterable
from typing import Final, Self, TextIO

__all__ = ["Output", "ProgressLine", "clean", "encode"]

# C0 but tab and newline, DEL, C1, and the marks that reorder text: an escape sequence in a mail could otherwise rewrite
# the screen, and an override could make a command read as another one.
_CONTROL: Final = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}
_LINE_EVERY_S: Final = 3.0


def clean(text: str) -> str:
    """``text`` with everything that could steer a terminal shown as ``?``; carriage returns before newlines go."""
    return _CONTROL.sub("?", text.replace("\r\n", "\n"))


def encode(value: object) -> str:
    """``value`` as JSON on one line; non-ASCII stays readable, control characters are escaped, and a number that is
    none or infinite, which JSON doesn't have, becomes null."""
    text = json.dumps(_finite(value), ensure_ascii=False, allow_nan=False)
    return _CONTROL.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _finite(value: object) -> object:
    match value:
        case float():
            return value if math.isfinite(value) else None
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
    return value


class Output:
    """Both streams of a command. ``json`` says whether stdout belongs to one JSON object."""

    def __init__(self, *, json: bool = False) -> None:
        self.json = json

    def answer(self, text: str = "", *, end: str = "\n") -> None:
        """A part of what was asked for, at once. Nothing with ``--json``: there `result` speaks."""
        if not self.json:
            _write(sys.stdout, clean(text) + end)

    def result(self, value: object) -> None:
        """The whole answer, with ``--json``; nothing without."""
        if self.json:
            _write(sys.stdout, encode(value) + "\n")

    def rows(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Aligned columns on stdout, for people."""
        table = [tuple(clean(cell) for cell in row) for row in rows]
        if table and not self.json:
            widths = [max(map(len, column)) for column in zip(*table, strict=True)]
            lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in table)
            _write(sys.stdout, "".join(line.rstrip() + "\n" for line in lines))

    def note(self, text: str, style: str = "dim") -> None:
        """A remark on stderr, also with ``--json``."""
        _write(sys.stderr, paint(clean(text), style, sys.stderr) + "\n")

    def heading(self, text: str) -> None:
        """A heading on stdout, for people."""
        if not self.json:
            _write(sys.stdout, paint(clean(text), "bold", sys.stdout) + "\n")


class ProgressLine:
    """A `types.Progress` on stderr: one line that is rewritten on a terminal, else a line every few seconds.

    Use as a context manager, so that the line is finished when the work is.
    """

    def __init__(self) -> None:
        self._live = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._shown = time.monotonic()
        self._open = False

    def __call__(self, stage: str, done: int, total: int | None) -> None:
        now = time.monotonic()
        last = total is not None and done >= total
        if now - self._shown < (0.1 if self._live else _LINE_EVERY_S) and not (last and self._open):
            return
        self._shown = now
        text = f"{stage}: {_amount(done, total)}"
        if self._live:
            _write(sys.stderr, f"\r\x1b[K{text}")
            self._open = True
        else:
            _write(sys.stderr, text + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._open:
            _write(sys.stderr, "\r\x1b[K")
            self._open = False


def paint(text: str, style: str, stream: TextIO) -> str:
    """``text`` in a style, where ``stream`` is a terminal that wants colours (https://no-color.org)."""
    plain = not stream.isatty() or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
    return text if plain or not text else f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _amount(done: int, total: int | None) -> str:
    if total is None:
        return f"{done:,}"
    return f"{done:,} of {total:,} ({100 * done // total if total else 100} %)"


def _write(stream: TextIO, text: str) -> None:
    encoding = stream.encoding or "utf-8"
    stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    stream.flush()
