"""Dates as people write them in headings, front matter and file names.

Only what can't be read two ways counts: ``03/04/2024`` is no date here, ``13/04/2024`` and ``03.04.2024`` (always day
first) are. No date is better than a wrong one, so a file's modification time is never used: a copy, a sync or a
checkout changes it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Final

from edgeperso.times import date_ms, datetime_ms

__all__ = ["When", "date_only", "entry_date", "leading_date", "moment_ms", "path_date"]

_MONTHS: Final = {
    name: number
    for number, names in enumerate(
        (
            "january jan januar jänner janvier enero gennaio janeiro januari",
            "february feb februar février febrero febbraio fevereiro februari",
            "march mar märz mars marzo março maart",
            "april apr avril abril aprile",
            "may mai mayo maggio maio mei",
            "june jun juni juin junio giugno junho",
            "july jul juli juillet julio luglio julho",
            "august aug août agosto augustus",
            "september sep sept septembre septiembre settembre setembro",
            "october oct oktober okt octobre octubre ottobre outubro",
            "november nov novembre noviembre novembro",
            "december dec dezember dez décembre diciembre dicembre dezembro",
        ),
        start=1,
    )
    for name in names.split()
}
_WEEKDAYS: Final = (
    "mon|tue|tues|wed|thu|thur|thurs|fri|sat|sun|monday|tuesday|wednesday|thursday|friday|saturday|sunday|"
    "mo|di|mi|do|fr|sa|so|montag|dienstag|mittwoch|donnerstag|freitag|samstag|sonntag|"
    "lundi|mardi|mercredi|jeudi|vendredi|samedi|dimanche|lunes|martes|miércoles|jueves|viernes|sábado|domingo|"
    "lunedì|martedì|mercoledì|giovedì|venerdì|sabato|domenica|segunda|terça|quarta|quinta|sexta|"
    "maandag|dinsdag|woensdag|donderdag|vrijdag|zaterdag|zondag"
)
_DAY: Final = r"(?P<d>\d{1,2})(?:st|nd|rd|th|er|º|ª)?\.?"
_MONTH: Final = r"(?P<name>" + "|".join(sorted(_MONTHS, key=len, reverse=True)) + r")\.?"
_YEAR: Final = r"(?P<y>(?:19|20)\d\d)"
_OF: Final = r"(?:\s+|\s+(?:of|de|di)\s+)"
_END: Final = r"(?=\s*(?:$|[-:,;–—|(\[]))"
"""Without a year, "May 5 people come" is no date and "May 5: people come" is one."""
_FORMS: Final = (
    _YEAR + r"(?P<sep>[-/._])(?P<m>\d{1,2})(?P=sep)(?P<d>\d{1,2})(?!\d)",
    r"(?P<d>\d{1,2})\.\s?(?P<m>\d{1,2})\.\s?" + _YEAR,
    r"(?P<d>1[3-9]|2\d|3[01])(?P<sep>[-/])(?P<m>\d{1,2})(?P=sep)" + _YEAR,
    r"(?P<m>0?\d|1[0-2])(?P<sep>[-/])(?P<d>1[3-9]|2\d|3[01])(?P=sep)" + _YEAR,
    _DAY + _OF + _MONTH + r",?" + _OF + _YEAR,
    r"(?P<d>\d{1,2})(?:st|nd|rd|th)?" + _OF + _MONTH + r"(?!\w)",
    _DAY + _OF + _MONTH + _END,
    _MONTH + r"\s+" + _DAY + r",?\s+" + _YEAR,
    _MONTH + r"\s+" + _DAY + _END,
    _MONTH + r",?" + _OF + _YEAR,
    _YEAR + r"[-/](?P<m>0[1-9]|1[0-2])(?![-/\d])",
    _MONTH + r"\s*$",
    _YEAR,
)
_LEAD: Final = rf"^\s*(?:(?:{_WEEKDAYS})\.?,?\s+)?(?:the\s+)?"
_STARTS: Final = tuple(re.compile(_LEAD + form + r"(?!\d)", re.IGNORECASE) for form in _FORMS)
_TIME: Final = re.compile(
    r"[\sT,]*(?:at\s+)?(?P<h>[01]?\d|2[0-3])[:h](?P<mi>[0-5]\d)(?::[0-5]\d)?(?!\d)", re.IGNORECASE
)
_TRAILING_WEEKDAY: Final = re.compile(rf"[\s,(]*(?:{_WEEKDAYS})\b\.?\)?", re.IGNORECASE)
_COMPACT: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)(0[1-9]|1[0-2])([0-2]\d|3[01])(?!\d)")
_DAY_IN_NAME: Final = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_. ])(\d\d)\2(\d\d)(?!\d)")
_MONTH_NAME: Final = re.compile(r"((?:19|20)\d\d)[-_. ](\d\d)")
_ENTRY: Final = re.compile(r"(?:[-*+]\s+)?(?:\*\*|__|\[)?((?:19|20)\d\d)-(\d\d)-(\d\d)(?!\d)")


@dataclass(frozen=True, slots=True)
class When:
    """A date as far as it is known: a year, perhaps a month, perhaps a day, perhaps a time of day in UTC."""

    year: int
    month: int | None = None
    day: int | None = None
    minutes: int | None = None

    @property
    def at_ms(self) -> int | None:
        """The moment: noon UTC of the day, a month's first day; None for a bare year."""
        if self.month is None:
            return None
        if self.minutes is not None and self.day is not None:
            hour, minute = divmod(self.minutes, 60)
            return datetime_ms(datetime(self.year, self.month, self.day, hour, minute, tzinfo=UTC))
        return date_ms(date(self.year, self.month, self.day or 1))


def leading_date(text: str, within: When | None = None) -> tuple[When, str] | None:
    """The date that ``text`` begins with and what stands behind it; a year that isn't written comes from ``within``.

    A bare year counts only if it is the whole text: "1984 was good" is a sentence.
    """
    for pattern in _STARTS:
        match = pattern.match(text)
        if match is None:
            continue
        when = _when(match, within)
        if when is None:
            continue
        rest = text[match.end() :]
        if when.day is not None and (clock := _TIME.match(rest)):
            when = When(when.year, when.month, when.day, int(clock["h"]) * 60 + int(clock["mi"]))
            rest = rest[clock.end() :]
        if weekday := _TRAILING_WEEKDAY.match(rest):
            rest = rest[weekday.end() :]
        rest = rest.strip(" \t:,.;-–—|/*_#()[]")
        if when.month is None and rest:
            return None
        return when, rest
    return None


def date_only(text: str, within: When | None = None) -> When | None:
    """The date if the text is nothing else, and has a month at least."""
    stripped = text.strip().strip("*_[]()# \t")
    if len(stripped) > 40:
        return None
    found = leading_date(stripped, within)
    if found is None or found[1] or found[0].month is None:
        return None
    return found[0]


def entry_date(line: str) -> When | None:
    """The day of a log's line: ``2024-03-12: …``, ``- 2024-03-12 …``, ``- **2024-03-12** …``."""
    match = _ENTRY.match(line)
    if match is None:
        return None
    return _checked(int(match[1]), int(match[2]), int(match[3]))


def path_date(source: str) -> When | None:
    """The date in a file's name (``2024-03-12.md``, ``20240312 trip.md``, ``2024-03.md``) or in the folders that lead
    to it (``2024/03/12.md``, ``2024/03.md``)."""
    path = PurePosixPath(source)
    stem = path.stem
    if match := _COMPACT.search(stem):
        return _checked(int(match[1]), int(match[2]), int(match[3]))
    if match := _DAY_IN_NAME.search(stem):
        return _checked(int(match[1]), int(match[3]), int(match[4]))
    if match := _MONTH_NAME.fullmatch(stem):
        return _checked(int(match[1]), int(match[2]), None)
    numbers: list[int] = []
    for part in (*path.parts[:-1], stem)[-3:]:
        if part.isdecimal() and part.isascii() and (len(part) <= 2 if numbers else len(part) == 4):
            numbers.append(int(part))
        elif numbers:
            break
    if len(numbers) >= 2 and 1900 <= numbers[0] < 2100:
        return _checked(numbers[0], numbers[1], numbers[2] if len(numbers) == 3 else None)
    return None


def moment_ms(text: str) -> int | None:
    """A written moment: ISO 8601 with or without time and zone (UTC where none is given), or a date as in headings."""
    value = text.strip().strip("\"'")
    found = leading_date(value)
    if found and not found[1]:
        return found[0].at_ms
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    if not 1900 <= moment.year < 2200:
        return None
    return datetime_ms(moment) if len(value) > 10 else date_ms(moment.date())


def _when(match: re.Match[str], within: When | None) -> When | None:
    groups = match.groupdict()
    year = int(groups["y"]) if groups.get("y") else (within.year if within else None)
    if year is None:
        return None
    month = _MONTHS.get((groups.get("name") or "").lower()) or (int(groups["m"]) if groups.get("m") else None)
    return _checked(year, month, int(groups["d"]) if groups.get("d") else None)


def _checked(year: int, month: int | None, day: int | None) -> When | None:
    """None for a day that isn't in the calendar."""
    try:
        date(year, 1 if month is None else month, 1 if day is None else day)
    except ValueError:
        return None
    return When(year, month, day)
