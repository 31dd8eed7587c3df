"""Moments as milliseconds since the Unix epoch, UTC."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime

__all__ = ["DAY_MS", "date_ms", "datetime_ms", "day_of", "now_ms", "to_datetime"]

DAY_MS = 86_400_000


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def datetime_ms(moment: datetime) -> int:
    """``moment`` in ms; a naive one is taken as UTC."""
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def date_ms(day: date) -> int:
    """Noon UTC of ``day``, so that it shows as the same day in nearly every time zone."""
    return datetime_ms(datetime(day.year, day.month, day.day, 12, tzinfo=UTC))


def to_datetime(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC)


def day_of(at_ms: int) -> str:
    """The day as a person reads it: ``3 March 2024``."""
    moment = to_datetime(at_ms)
    return f"{moment.day} {moment:%B %Y}"
