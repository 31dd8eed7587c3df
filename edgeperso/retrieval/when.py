"""Time expressions in an English question: "last March", "in summer 2023", "two weeks ago", "before I moved".

A small grammar of its own: `dateparser`, tried first, takes "last March" for the coming one, drops the season from
"summer 2023" and reads "I may" as a month. Days are UTC. Expressions without a year mean the latest that has begun.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from edgeperso.times import DAY_MS, to_datetime

__all__ = ["Days", "EventClause", "TimeSpan", "expressions", "find_event", "find_span"]

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october",
           "november", "december")  # fmt: skip
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
            "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "couple of": 2, "a couple of": 2, "few": 3,
            "a few": 3}  # fmt: skip

_MONTH = "(?P<month>" + "|".join(f"{name}|{name[:3]}" for name in _MONTHS) + r"|sept)\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?"
_COUNT = r"(?P<count>\d{1,3}|" + "|".join(sorted(_NUMBERS, key=len, reverse=True)) + ")"
_UNIT = "(?P<unit>day|week|month|year)s?"
_SEASON = "(?P<season>spring|summer|autumn|fall|winter)"
_WHICH = r"(?:(?P<which>last|past|this|next)\s+)"
_WEEKDAY = "(?P<weekday>" + "|".join(_WEEKDAYS) + "|mon|tues?|weds?|thu(?:rs?)?|fri|sat|sun)"
_UNIT_DAYS = {"day": 1, "week": 7, "month": 30, "year": 365}

Days = tuple[date, date]
"""First day and the day after the last."""


@dataclass(frozen=True, slots=True)
class TimeSpan:
    """From ``after_ms`` (inclusive) to ``before_ms`` (exclusive); None is open."""

    after_ms: int | None
    before_ms: int | None


@dataclass(frozen=True, slots=True)
class EventClause:
    """``before I moved``: the time lies before, or after, whatever ``text`` tells of."""

    before: bool
    text: str


def find_span(question: str, now_ms: int) -> TimeSpan | None:
    """The span that ``question`` speaks of, None where it names no time.

    Several expressions make one span only after "between" or "from"; otherwise the first counts.
    """
    today = to_datetime(now_ms).date()
    found = sorted(expressions(question, today), key=lambda hit: (hit[0], -hit[1]))
    if not found:
        return None
    start, end, days = found[0]
    before = question[:start].lower().rstrip()
    second = next((hit for hit in found[1:] if hit[0] >= end), None)
    if second and re.search(r"\b(between|from)$", before) and re.fullmatch(
        r"\s*(and|to|until|till|through)\s+(the\s+)?", question[end : second[0]].lower()
    ):  # fmt: skip
        return TimeSpan(_ms(days[0]), _ms(second[2][1]))
    word = re.search(r"\b(since|after|before|until|till|by)(\s+the)?$", before)
    match word and word[1]:
        case "since":
            return TimeSpan(_ms(days[0]), None)
        case "after":
            return TimeSpan(_ms(days[1]), None)
        case "before":
            return TimeSpan(None, _ms(days[0]))
        case "until" | "till" | "by":
            return TimeSpan(None, _ms(days[1]))
        case _:
            return TimeSpan(_ms(days[0]), _ms(days[1]))


def find_event(question: str) -> EventClause | None:
    """The clause after ``before``, ``after`` or ``since``, where it tells of an event and isn't a date."""
    clause = re.search(
        r"\b(before|after|since)\s+((?:i|we|you|he|she|they|my|our|his|her|their|the|[A-Z]\w+)\b[^?.!,;]{2,})",
        question, re.IGNORECASE,
    )  # fmt: skip
    if clause is None or next(expressions(clause[2], date(2000, 1, 1)), None) is not None:
        return None
    return EventClause(before=clause[1].lower() == "before", text=clause[2].strip())


def expressions(text: str, today: date) -> Iterator[tuple[int, int, Days]]:
    """The times in ``text``, rule by rule, overlapping ones too: where each begins and ends, and its days."""
    for pattern, resolve in _GRAMMAR:
        for match in pattern.finditer(text):
            if _is_verb(match):
                continue
            try:
                days = resolve(match, today)
            except (ValueError, OverflowError):
                continue  # 31 February, or a year out of range
            yield match.start(), match.end(), days


def _is_verb(match: re.Match[str]) -> bool:
    """``may`` and ``march`` alone are months only in capitals or after a word that wants a time."""
    month = match.groupdict().get("month")
    if month not in ("may", "march", "mar") or any(match.groupdict().get(name) for name in ("day", "year", "which")):
        return False
    before = match.string[: match.start()]
    return not re.search(r"\b(in|since|until|till|before|after|during|by|of|from|between)\s+$", before, re.IGNORECASE)


def _full_date(match: re.Match[str], today: date) -> Days:
    month, day = _month_number(match["month"]), int(match["day"])
    if match["year"]:
        return _one_day(date(int(match["year"]), month, day))
    found = date(today.year, month, day)
    return _one_day(found if found <= today else date(today.year - 1, month, day))


def _iso_date(match: re.Match[str], _: date) -> Days:
    return _one_day(date.fromisoformat(match[0]))


def _month(match: re.Match[str], today: date) -> Days:
    month = _month_number(match["month"])
    if match["year"]:
        return _months(int(match["year"]), month, 1)
    return _months(_begun_year(month, today, match["which"]), month, 1)


def _season(match: re.Match[str], today: date) -> Days:
    month = _SEASONS[match["season"].lower()]
    named = match.groupdict()
    year = int(named["year"]) if named.get("year") else _begun_year(month, today, named["which"])
    return _months(year, month, 3)


def _begun_year(month: int, today: date, which: str | None) -> int:
    """The year of the latest such month that has begun; of the one now running, ``last`` means the one before."""
    which = (which or "").lower()
    if which == "next":
        return today.year + (today.month >= month)
    if which == "this":
        return today.year
    running = today.month == month and which in ("last", "past")
    return today.year - (today.month < month or running)


def _year(match: re.Match[str], _: date) -> Days:
    return _months(int(match["year"]), 1, 12)


def _ago(match: re.Match[str], today: date) -> Days:
    """N units back, give or take half a unit."""
    size = _UNIT_DAYS[match["unit"].lower()]
    there = today - timedelta(days=_count(match) * size)
    return there - timedelta(days=size // 2), there + timedelta(days=size // 2 + 1)


def _stretch(match: re.Match[str], today: date) -> Days:
    """``the last three weeks``, up to today."""
    return today - timedelta(days=_count(match) * _UNIT_DAYS[match["unit"].lower()]), today + timedelta(days=1)


def _unit(match: re.Match[str], today: date) -> Days:
    """``last week``, ``this month``, ``next year``: calendar units, weeks from Monday."""
    step = {"last": -1, "past": -1, "this": 0, "next": 1}[match["which"].lower()]
    match match["unit"].lower():
        case "week":
            monday = today - timedelta(days=today.weekday()) + timedelta(weeks=step)
            return monday, monday + timedelta(weeks=1)
        case "weekend":
            saturday = today - timedelta(days=today.weekday() - 5) + timedelta(weeks=step)
            return saturday, saturday + timedelta(days=2)
        case "month":
            number = today.year * 12 + today.month - 1 + step
            return _months(number // 12, number % 12 + 1, 1)
        case _:
            return _months(today.year + step, 1, 12)


def _weekday(match: re.Match[str], today: date) -> Days:
    """The latest such day before today; with ``next``, the coming one."""
    number = next(n for n, name in enumerate(_WEEKDAYS) if name.startswith(match["weekday"].lower()[:3]))
    if match["which"].lower() == "next":
        return _one_day(today + timedelta(days=(number - today.weekday() - 1) % 7 + 1))
    return _one_day(today - timedelta(days=(today.weekday() - number - 1) % 7 + 1))


def _near(match: re.Match[str], today: date) -> Days:
    back = {"today": 0, "tonight": 0, "yesterday": 1, "last night": 1, "the day before yesterday": 2, "tomorrow": -1}
    return _one_day(today - timedelta(days=back[" ".join(match[0].lower().split())]))


def _count(match: re.Match[str]) -> int:
    word = " ".join(match["count"].lower().split())
    return int(word) if word.isdigit() else _NUMBERS[word]


def _month_number(name: str) -> int:
    return next(number for number, month in enumerate(_MONTHS, 1) if month.startswith(name.lower()[:3]))


def _months(year: int, month: int, length: int) -> Days:
    last = year * 12 + month - 1 + length
    return date(year, month, 1), date(last // 12, last % 12 + 1, 1)


def _one_day(day: date) -> Days:
    return day, day + timedelta(days=1)


def _ms(day: date) -> int:
    return (day - date(1970, 1, 1)).days * DAY_MS


_Resolve = Callable[[re.Match[str], date], Days]


def _rule(pattern: str, resolve: _Resolve) -> tuple[re.Pattern[str], _Resolve]:
    return re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE), resolve


_GRAMMAR = (
    _rule(r"(?:19|20)\d\d-\d\d-\d\d", _iso_date),
    _rule(rf"{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _full_date),
    _rule(rf"{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?", _full_date),
    _rule(rf"{_WHICH}?{_MONTH}(?:,?\s+(?:of\s+)?{_YEAR})?", _month),
    _rule(rf"{_SEASON}\s+(?:of\s+)?{_YEAR}", _season),
    _rule(rf"(?:{_WHICH}|(?<=in )|(?<=the )|(?<=since )){_SEASON}", _season),
    _rule(_YEAR, _year),
    _rule(rf"{_COUNT}\s+{_UNIT}\s+ago", _ago),
    _rule(rf"(?:last|past)\s+{_COUNT}\s+{_UNIT}", _stretch),
    _rule(r"(?P<which>last|past|this|next)\s+(?P<unit>weekend|week|month|year)", _unit),
    _rule(rf"(?P<which>last|this|next|on)\s+{_WEEKDAY}", _weekday),
    _rule(r"the\s+day\s+before\s+yesterday|yesterday|last\s+night|today|tonight|tomorrow", _near),
)
