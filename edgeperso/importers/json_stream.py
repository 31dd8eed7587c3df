"""The elements of a JSON array, one at a time: the array may be far larger than memory, an element may not."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Final, TextIO

__all__ = ["MAX_ELEMENT_CHARS", "BrokenJson", "ElementTooLarge", "array_elements"]

MAX_ELEMENT_CHARS: Final = 16 << 20
"""16 Mi characters: parsed, such an element needs some 200 MB."""

_CHUNK: Final = 1 << 18
_SPACE: Final = " \t\r\n\ufeff"


class BrokenJson(ValueError):
    """What stands here is no JSON array, or no further element can be told from what follows."""


class ElementTooLarge(BrokenJson):
    """An element is over `MAX_ELEMENT_CHARS`."""


def array_elements(stream: TextIO, check: Callable[[], None]) -> Iterator[object]:
    """The elements in order. Whole numbers come as floats: no number is long enough to take time.

    Raises:
        BrokenJson: not an array, cut short, or malformed: the elements before are good.
        ElementTooLarge: likewise, for size.
    """
    decoder = json.JSONDecoder(parse_int=float)
    text = _Buffer(stream, check)
    if text.next_character() != "[":
        raise BrokenJson("array")
    text.at += 1
    if text.next_character() == "]":
        return
    while True:
        if text.next_character() == "":
            raise BrokenJson("end")
        yield _element(decoder, text)
        separator = text.next_character()
        text.at += 1
        if separator == "]":
            return
        if separator != ",":
            raise BrokenJson("separator")


class _Buffer:
    """A window on the stream; ``at`` is the next character's place in it."""

    def __init__(self, stream: TextIO, check: Callable[[], None]) -> None:
        self._stream = stream
        self._check = check
        self.text = ""
        self.at = 0

    def grow(self, chars: int) -> bool:
        """Read on, dropping what is done with; False at the end."""
        self._check()
        more = self._stream.read(chars)
        self.text = self.text[self.at :] + more
        self.at = 0
        return bool(more)

    def next_character(self) -> str:
        """The next character that isn't white space, without taking it; empty at the end."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in _SPACE:
                self.at += 1
            if self.at < len(self.text):
                return self.text[self.at]
            if not self.grow(_CHUNK):
                return ""


def _element(decoder: json.JSONDecoder, text: _Buffer) -> object:
    """Parse one element; when the window ends too early, double it and try again (at most twice the work in all)."""
    while True:
        try:
            element, text.at = decoder.raw_decode(text.text, text.at)
        except RecursionError:
            raise BrokenJson("depth") from None
        except ValueError:
            held = len(text.text) - text.at
            if held > MAX_ELEMENT_CHARS:
                raise ElementTooLarge("element") from None
            if not text.grow(max(_CHUNK, held)):
                raise BrokenJson("element") from None
        else:
            return element
