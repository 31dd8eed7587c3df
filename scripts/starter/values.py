"""Values that notes are about, drawn at random: invented names, amounts, days, things.

Most names are put together from syllables, so that none can be learnt by heart: what is left to learn is to find the
value in the notes and to copy it.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import date, timedelta
from typing import Final

from scripts.starter.pools import POOLS

__all__ = ["MAKERS", "make", "month_name", "spelled"]

_CURRENCIES: Final = (("", " euros"), ("€", ""), ("£", ""), ("", " pounds"), ("$", ""), ("", " dollars"))
_SMALL: Final = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"),
    *("eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_WEEKDAYS: Final = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def month_name(day: date) -> str:
    """Such as ``May 2024``."""
    return f"{_MONTHS[day.month - 1]} {day.year}"


def spelled(day: date, *, year: bool) -> str:
    """Such as ``3 May 2024``, as the quoted notes write days."""
    return f"{day.day} {_MONTHS[day.month - 1]}" + (f" {day.year}" if year else "")


def _pool(name: str) -> Callable[[random.Random, str], str]:
    return lambda rng, _: rng.choice(POOLS[name])


def _word(rng: random.Random, least: int = 2) -> str:
    count = least + (rng.random() < 0.3)
    return "".join(rng.choice(POOLS["syllable"]) for _ in range(count)).capitalize()


def _first(rng: random.Random, _: str = "") -> str:
    return rng.choice(POOLS["first"])


def _last(rng: random.Random) -> str:
    return rng.choice(POOLS["last"]) if rng.random() < 0.6 else _word(rng) + rng.choice(POOLS["last_end"])


def _fullname(rng: random.Random, _: str = "") -> str:
    return f"{_first(rng)} {_last(rng)}"


def _doctor(rng: random.Random, _: str = "") -> str:
    if rng.random() < 0.3:
        return f"Dr {_fullname(rng)}"
    return f"{rng.choice(('Dr', 'Dr', 'Dr', 'Mrs', 'Mr', 'Ms'))} {_last(rng)}"


def _firstorrel(rng: random.Random, _: str = "") -> str:
    return _first(rng) if rng.random() < 0.7 else f"{rng.choice(POOLS['relation'])} {_first(rng)}"


def _town(rng: random.Random, _: str = "") -> str:
    if rng.random() < 0.35:
        return rng.choice(POOLS["town"])
    return _word(rng, rng.choice((1, 2))) + rng.choice(POOLS["town_end"])


def _street(rng: random.Random, _: str = "") -> str:
    return f"{_word(rng)} {rng.choice(POOLS['street_end'])}"


def _company(rng: random.Random, _: str = "") -> str:
    kind = rng.random()
    if kind < 0.4:
        return f"{_word(rng)} {rng.choice(POOLS['company_end'])}"
    if kind < 0.6:
        return _word(rng)
    if kind < 0.8:
        return f"{rng.choice(POOLS['adjective']).capitalize()} {rng.choice(POOLS['noun']).capitalize()}"
    return f"{_last(rng)} & {rng.choice(('Sons', 'Partners', _last(rng)))}"


def _venue(rng: random.Random, _: str = "") -> str:
    noun, other = (rng.choice(POOLS["noun"]).capitalize() for _ in range(2))
    made = rng.choice((f"the {rng.choice(POOLS['adjective']).capitalize()} {noun}", _word(rng), f"{noun} & {other}"))
    return made if rng.random() < 0.7 else f"{_word(rng)} {rng.choice(POOLS['venue_end'])}"


def _title(rng: random.Random, _: str = "") -> str:
    noun, other = (rng.choice(POOLS["noun"]).capitalize() for _ in range(2))
    adjective = rng.choice(POOLS["adjective"]).capitalize()
    return rng.choice((f"The {adjective} {noun}", f"{noun} and {other}", f"{adjective} {noun}", _word(rng), noun))


def _amount(rng: random.Random, span: str) -> str:
    low, high = map(int, span.split("-"))
    value = round(low * (high / low) ** rng.random())
    if value >= 200 and rng.random() < 0.7:
        value = round(value, -1)
    said = f"{value:,}" if value >= 1000 and rng.random() < 0.8 else str(value)
    if value < 60 and rng.random() < 0.5:
        said = f"{value}.{rng.choice((20, 40, 50, 75, 80, 90, 95))}"
    before, after = rng.choice(_CURRENCIES)
    return f"{before}{said}{after}"


def _number(rng: random.Random, span: str) -> str:
    low, high = map(int, span.split("-"))
    value = rng.randint(low, high)
    return _SMALL[value] if value < len(_SMALL) and rng.random() < 0.25 else f"{value}"


def _code(rng: random.Random, _: str = "") -> str:
    return "".join(rng.choice("0123456789") for _ in range(rng.choice((4, 4, 4, 5, 6))))


def _combo(rng: random.Random, _: str = "") -> str:
    return rng.choice("-. /").join(str(rng.randint(1, 39)) for _ in range(3))


def _phone(rng: random.Random, _: str = "") -> str:
    groups = rng.choice(((4, 3, 4), (4, 2, 2, 2), (3, 3, 4), (5, 6)))
    return rng.choice(" -  ").join("".join(rng.choice("0123456789") for _ in range(n)) for n in groups)


def _password(rng: random.Random, _: str = "") -> str:
    return f"{rng.choice(POOLS['adjective'])}{rng.choice(POOLS['noun'])}{rng.randint(1, 99)}"


def _clock(rng: random.Random, _: str = "") -> str:
    hour, minute = rng.randint(5, 22), rng.choice((0, 0, 10, 15, 20, 30, 40, 45, 50))
    if rng.random() < 0.2:
        return f"{(hour - 1) % 12 + 1} o'clock"
    return f"{hour}:{minute:02d}"


def _day(rng: random.Random, _: str = "") -> str:
    day = date(2024, 1, 1) + timedelta(days=rng.randint(0, 900))
    month = _MONTHS[day.month - 1]
    weekday = _WEEKDAYS[day.weekday()]
    short = spelled(day, year=False)
    return rng.choice((short, short, f"{weekday} {short}", spelled(day, year=True), f"{month} {day.day}"))


def _daymonth(rng: random.Random, _: str = "") -> str:
    day = date(2024, 1, 1) + timedelta(days=rng.randint(0, 365))
    month, end = _MONTHS[day.month - 1], {1: "st", 2: "nd", 3: "rd"}.get(day.day % 10, "th")
    ordinal = f"{day.day}{'th' if 11 <= day.day <= 13 else end}"
    return rng.choice((f"{day.day} {month}", f"the {ordinal} of {month}", f"{ordinal} {month}", f"{month} {day.day}"))


def _duration(rng: random.Random, _: str = "") -> str:
    return rng.choice((f"{rng.randint(38, 79)} minutes", f"{rng.randint(38, 59)}:{rng.randint(10, 59)}"))


def _pair(rng: random.Random, _: str = "") -> str:
    return " and ".join(rng.sample(POOLS["petname"], 2))


def _countof(rng: random.Random, _: str = "") -> str:
    return f"{_number(rng, '2-60')} {rng.choice(POOLS['plural'])}"


def _weight(rng: random.Random, _: str = "") -> str:
    return f"{_number(rng, '2-900')} {rng.choice(('grams', 'kilos', 'pounds', 'ounces'))}"


MAKERS: Final[dict[str, Callable[[random.Random, str], str]]] = {
    "amount": _amount,
    "amountof": _weight,
    "clock": _clock,
    "code": _code,
    "combo": _combo,
    "company": _company,
    "countof": _countof,
    "day": _day,
    "daymonth": _daymonth,
    "doctor": _doctor,
    "duration": _duration,
    "first": _first,
    "firstorrel": _firstorrel,
    "fullname": _fullname,
    "number": _number,
    "password": _password,
    "petpair": _pair,
    "phone": _phone,
    "street": _street,
    "team": _company,
    "title": _title,
    "town": _town,
    "venue": _venue,
    "weekday": lambda rng, _: rng.choice(_WEEKDAYS),
    "year": lambda rng, _: str(rng.randint(1961, 2024)),
    **{
        name: _pool(name)
        for name in (
            "allergen", "blood", "brand", "car", "collection", "colour", "diet", "drink", "fear", "food", "gadget",
            "gift", "hiding", "hobby", "illness", "instrument", "job", "language", "medicine", "petname", "place2",
            "seasons", "seat", "sport", "subject", "thing", "transport", "tree", "trigger",
        )
    },
}  # fmt: skip
"""A value's maker by its name in the topics, such as ``amount:380-1900``; what follows the colon is its argument."""


def make(rng: random.Random, maker: str) -> str:
    name, _, argument = maker.partition(":")
    return MAKERS[name](rng, argument)
