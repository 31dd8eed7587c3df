"""The fields of one record, checked as they are read."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Final

from edgeperso.errors import DataInvalid
from edgeperso.times import date_ms, datetime_ms

__all__ = ["Fields"]

_SHOWABLE: Final = re.compile(r"[\w.:-]{1,80}")
"""Only ids and field names of this form go into a message: anything else may be a person's text."""
_YEARS: Final = range(1900, 2200)
_FIRST_MS, _END_MS = date_ms(date(1900, 1, 1)), date_ms(date(2200, 1, 1))
_YEAR_OR_MONTH: Final = re.compile(r"(\d{4})(?:-(\d{2}))?")
_COUNT: Final = re.compile(r"[0-9]{9,300}")
"""A count written as text; fewer digits are a year, or a day as in ``20160131``."""
_SECONDS_BELOW: Final = 100_000_000_000
"""A moment below is in seconds since 1970 (until the year 5138), from here on in milliseconds (since 1973)."""
_EXACT_BELOW: Final = float(1 << 53)


@dataclass(frozen=True, slots=True)
class Fields:
    """An object of a file, and where it stands.

    Every method takes a field's name and raises `DataInvalid` if the field isn't what the method gives; those that
    may give None or nothing do so for a field that is missing or null.
    """

    problem: Callable[[str, str], DataInvalid]
    where: str
    values: Mapping[str, object]

    def named(self, record_id: str) -> Fields:
        """The same fields, with their id in messages."""
        return replace(self, where=f"{self.where} (id {record_id})") if _SHOWABLE.fullmatch(record_id) else self

    def has(self, name: str) -> bool:
        """Whether the field is there and isn't null."""
        return self.values.get(name) is not None

    def text(self, name: str) -> str:
        """A text, which may be empty."""
        value = self.values.get(name)
        if not isinstance(value, str):
            raise self.invalid(name, "a text")
        return _mended(value)

    def filled(self, name: str) -> str:
        """A text that isn't empty."""
        value = self.text(name)
        if not value.strip():
            raise self.invalid(name, "a text that says something")
        return value

    def scalar(self, name: str) -> str:
        """A text or a finite number, as text: the whole number 5 as ``5``."""
        value = self.values.get(name)
        if isinstance(value, str):
            return _mended(value)
        if isinstance(value, float) and math.isfinite(value):
            return str(int(value)) if value.is_integer() and abs(value) < _EXACT_BELOW else str(value)
        raise self.invalid(name, "a text or a finite number")

    def scalars(self, besides: Collection[str]) -> dict[str, str]:
        """All fields that are texts or numbers, as `scalar` gives them."""
        return {
            name: self.scalar(name)
            for name, value in self.values.items()
            if name not in besides and isinstance(value, (str, float))
        }

    def label(self, name: str) -> str:
        """An id: a text that isn't empty, or a whole number."""
        value = self.values.get(name)
        if isinstance(value, str) and value.strip():
            return _mended(value)
        if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT_BELOW:
            return str(int(value))
        raise self.invalid(name, "an id, which is a text or a whole number below 2^53")

    def number(self, name: str) -> float:
        """A finite number, also one written as text."""
        value = self.values.get(name)
        if isinstance(value, str):
            value = _as_number(value)
        if not isinstance(value, float) or not math.isfinite(value):
            raise self.invalid(name, "a finite number")
        return value

    def whole(self, name: str, below: int = 1 << 53) -> int:
        """A whole number from 0 on, also one written as text."""
        value = self.values.get(name)
        if isinstance(value, str):
            value = _as_number(value)
        if not isinstance(value, float) or not value.is_integer() or not 0 <= value < below:
            raise self.invalid(name, f"a whole number from 0 to {below - 1}" if below < 1 << 53 else "a whole number")
        return int(value)

    def flag(self, name: str) -> bool:
        """True or false; false where there is none."""
        value = self.values.get(name)
        if value is not None and not isinstance(value, bool):
            raise self.invalid(name, "true or false")
        return bool(value)

    def moment_ms(self, name: str) -> int | None:
        """A moment in ms: ISO 8601 (UTC where no offset is given), a year, or seconds or milliseconds since 1970.

        A day is its noon, a year or month the noon of its first day.
        """
        value = self.values.get(name)
        if value is None or value == "":
            return None
        if isinstance(value, str) and not _COUNT.fullmatch(value):
            at_ms = _written_ms(value.strip())
        else:
            at_ms = _counted_ms(float(value)) if isinstance(value, (str, float)) else None
        if at_ms is None:
            raise self.invalid(name, "a date from 1900 to 2199, as ISO 8601 or in milliseconds since 1970")
        return at_ms

    def sequence(self, name: str) -> list[object]:
        value = self.values.get(name)
        if not isinstance(value, list):
            raise self.invalid(name, "a list")
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        """A list of texts."""
        values = self.sequence(name)
        for number, value in enumerate(values):
            if not isinstance(value, str):
                raise self.problem(f"{self._place(name)} {number}", "a text")
        return tuple(_mended(value) for value in values if isinstance(value, str))

    def inner(self, name: str) -> Fields:
        """An object within."""
        value = self.values.get(name)
        if not isinstance(value, dict):
            raise self.invalid(name, "an object")
        return Fields(self.problem, self._place(name), value)

    def items(self, name: str) -> Iterator[Fields]:
        """A list of objects."""
        return self.each(self.sequence(name), name)

    def each(self, value: object, name: str) -> Iterator[Fields]:
        """The objects of the list ``value``, which stands in this record under ``name``."""
        if not isinstance(value, list):
            raise self.problem(self._place(name), "a list")
        for number, item in enumerate(value):
            place = f"{self._place(name)} {number}"
            if not isinstance(item, dict):
                raise self.problem(place, "an object")
            yield Fields(self.problem, place, item)

    def invalid(self, name: str, expected: str) -> DataInvalid:
        """The error for a field that isn't what is expected."""
        shown = f"field {name}" if _SHOWABLE.fullmatch(name) else "a field"
        if not self.has(name):
            shown += " (missing or null)"
        return self.problem(f"{self.where}, {shown}" if self.where else shown, expected)

    def _place(self, name: str) -> str:
        return f"{self.where}, {name}" if self.where else name


def _mended(text: str) -> str:
    """Half of a surrogate pair, as programs leave it that cut a text within an emoji, becomes U+FFFD."""
    if text.isascii():
        return text
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _as_number(text: str) -> float | None:
    # float() takes underscores, which no data set writes.
    try:
        return None if "_" in text else float(text)
    except ValueError:
        return None


def _counted_ms(number: float) -> int | None:
    """A year, seconds or milliseconds since 1970."""
    if not math.isfinite(number):
        return None
    if abs(number) < 10_000:
        return date_ms(date(int(number), 1, 1)) if number.is_integer() and int(number) in _YEARS else None
    at_ms = number * 1000 if abs(number) < _SECONDS_BELOW else number
    return round(at_ms) if _FIRST_MS <= at_ms < _END_MS else None


def _written_ms(text: str) -> int | None:
    try:
        if match := _YEAR_OR_MONTH.fullmatch(text):
            day = date(int(match[1]), int(match[2] or 1), 1)
            return date_ms(day) if day.year in _YEARS else None
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    if moment.year not in _YEARS:
        return None
    return datetime_ms(moment) if len(text) > 10 else date_ms(moment.date())
