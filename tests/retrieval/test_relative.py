"""What relative times in a text mean on the day on which it was said."""

from __future__ import annotations

from datetime import date

import pytest

from edgeperso.retrieval.relative import relative_times
from edgeperso.times import date_ms

MONDAY = date_ms(date(2023, 5, 8))


@pytest.mark.parametrize(
    ("text", "times"),
    [
        ("I met her yesterday.", [("yesterday", "7 May 2023")]),
        ("Last night it rained.", [("last night", "7 May 2023")]),
        ("The day before yesterday!", [("the day before yesterday", "6 May 2023")]),
        ("See you tomorrow", [("tomorrow", "9 May 2023")]),
        ("Last Fri we danced", [("last fri", "5 May 2023")]),
        ("next Tuesday at ten", [("next tuesday", "9 May 2023")]),
        ("last weekend", [("last weekend", "6 May 2023 and 7 May 2023")]),
        ("We camped last week.", [("last week", "the week of 1 May 2023")]),
        ("next month", [("next month", "June 2023")]),
        ("last year, and last year again", [("last year", "2022")]),
        ("last summer", [("last summer", "summer 2022")]),
        ("last March", [("last march", "March 2023")]),
        ("five days ago", [("five days ago", "3 May 2023")]),
        ("a few days ago", [("a few days ago", "about 5 May 2023")]),
        ("two weeks ago", [("two weeks ago", "about 24 April 2023")]),
        ("3 months ago", [("3 months ago", "about February 2023")]),
        ("ten years ago", [("ten years ago", "about 2013")]),
        ("yesterday or last week", [("yesterday", "7 May 2023"), ("last week", "the week of 1 May 2023")]),
    ],
)
def test_counted_from_the_day(text: str, times: list[tuple[str, str]]) -> None:
    assert relative_times(text, MONDAY) == times


@pytest.mark.parametrize(
    "text",
    [
        "",
        "On 3 March 2021, in June, in 2019.",
        "Today, tonight, this week, on Monday.",
        "The last three weeks were long.",
        "At last it rained; next to the house, last but not least.",
        "I may march on, and the sun came last.",
        "five million years hence",
    ],
)
def test_what_its_own_date_tells_or_nobody_knows_is_left_out(text: str) -> None:
    assert relative_times(text, MONDAY) == []


def test_before_the_beginning_of_time() -> None:
    assert relative_times("999 years ago, and yesterday", date_ms(date(1, 1, 1))) == []


def test_three_at_most() -> None:
    text = "yesterday, last week, last month, last year"
    assert [said for said, _ in relative_times(text, MONDAY)] == ["yesterday", "last week", "last month"]
