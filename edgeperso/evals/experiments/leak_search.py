"""Looking for planted values in what came out: in words, whatever was done to spaces, case and punctuation, and in
bytes, as UTF-8, UTF-16, hex and base64.

A value is found where all of it stands, or a part that is distinctive: a word of 5 letters or more that no dictionary
holds, a word with a digit in it, a run of 4 digits or more. What the asker knows anyway is no sign.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

__all__ = ["Needles", "distinct", "squashed"]

_WORD: Final = re.compile(r"[^\W_]+")
_DIGITS: Final = re.compile(r"\d{4,}")
_PART: Final = 5
_WHOLE: Final = 7
"""Letters and digits of a value that is looked for, since base64 hides up to three at its ends, and digits of a part
that is looked for among measured numbers."""
_LEAST_BYTES: Final = 6
"""Shorter runs stand in megabytes of ciphertext by chance."""


def squashed(text: str) -> str:
    """Letters and digits alone, without differences of case and width."""
    return "".join(_words(text))


def distinct(value: str) -> bool:
    """Whether a value is long enough to be recognized."""
    return len(squashed(value)) >= _WHOLE


class Needles:
    """Values to look for, by id; they must be `distinct`.

    Args:
        values: by id.
        known: texts whose words are no sign of a leak.
    """

    def __init__(self, values: Mapping[str, str], known: Iterable[str] = ()) -> None:
        words = {word for text in known for word in _words(text)}
        parts = {name: _parts(value, words) for name, value in values.items()}
        self._patterns = {name: _pattern(value, parts[name]) for name, value in values.items()}
        self._sure = {
            name: _pattern(value, {part for part in parts[name] if not part.isdigit() or len(part) >= _WHOLE})
            for name, value in values.items()
        }
        self._forms = {
            name: frozenset(form for text in (value, *_spelled(value, parts[name])) for form in _forms(text))
            for name, value in values.items()
        }

    def in_words(self, text: str) -> set[str]:
        """Ids of the values that an answer or a prompt gives away."""
        return _found(self._patterns, _folded(text))

    def in_records(self, text: str) -> set[str]:
        """The same for texts full of measured numbers, logs and traces: short runs of digits are no sign there, and
        encoded values are looked for as well."""
        return _found(self._sure, _folded(text)) | self.in_bytes(text.encode("utf-8", "surrogatepass"))

    def in_bytes(self, data: bytes) -> set[str]:
        """Ids of the values that stand in ``data`` in any encoding."""
        return {name for name, forms in self._forms.items() if any(form in data for form in forms)}


def _folded(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()


def _words(text: str) -> list[str]:
    return _WORD.findall(_folded(text))


def _found(patterns: Mapping[str, re.Pattern[str]], text: str) -> set[str]:
    return {name for name, pattern in patterns.items() if pattern.search(text)}


def _parts(value: str, known: set[str]) -> set[str]:
    """The distinctive parts, without those that stand in a known word."""
    words = _words(value)
    parts = {word for word in words if len(word) >= _PART and not _is_common(word)}
    parts |= {run for word in words for run in _DIGITS.findall(word)}
    return {part for part in parts if not any(part in word for word in known)}


def _is_common(word: str) -> bool:
    from lemminflect import getAllLemmas

    return word.isalpha() and bool(getAllLemmas(word))


def _pattern(value: str, parts: set[str]) -> re.Pattern[str]:
    """The whole value with anything but letters and digits between its characters, or a part as it is. Digits don't
    count where more of them follow: a number isn't found in a longer one."""
    whole = r"[\W_]*".join(map(re.escape, squashed(value)))
    return re.compile("|".join(rf"(?<!\d){one}(?!\d)" for one in (whole, *map(re.escape, sorted(parts)))))


def _spelled(value: str, parts: set[str]) -> Iterator[str]:
    """The value without its separators, and its parts as they were written."""
    words = _WORD.findall(unicodedata.normalize("NFC", value))
    yield "".join(words)
    yield from (word for word in words if _folded(word) in parts)


def _forms(text: str) -> Iterator[bytes]:
    for variant in {text, text.lower(), text.upper()}:
        for encoded in (variant.encode(), variant.encode("utf-16-le"), variant.encode("utf-16-be")):
            if len(encoded) >= _LEAST_BYTES:
                yield encoded
    data = text.encode()
    if len(data) >= _LEAST_BYTES:
        yield data.hex().encode()
        yield data.hex().upper().encode()
        yield from _base64_forms(data)


def _base64_forms(data: bytes) -> Iterator[bytes]:
    """What of ``data`` in base64 doesn't depend on its neighbours, wherever in a longer text it begins."""
    for shift in range(3):
        whole = (len(data) + shift) // 3 * 3
        inside = base64.b64encode(bytes(shift) + data[: whole - shift])[-(-shift * 8 // 6) :]
        if len(inside) >= _LEAST_BYTES:
            yield inside
            yield inside.translate(bytes.maketrans(b"+/", b"-_"))
