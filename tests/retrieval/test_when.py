"""Time expressions in questions, asked on Wednesday, 12 June 2024."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.retrieval.when import EventClause, find_event, find_span
from edgeperso.times import datetime_ms, to_datetime

NOW = datetime_ms(datetime(2024, 6, 12, 15, tzinfo=UTC))


def span(question: str, now_ms: int = NOW) -> tuple[str | None, str | None] | None:
    found = find_span(question, now_ms)
    if found is None:
        return None
    return tuple(None if at is None else to_datetime(at).date().isoformat() for at in (found.after_ms, found.before_ms))


@pytest.mark.parametrize(
    ("question", "after", "before"),
    [
        ("What did I do last March?", "2024-03-01", "2024-04-01"),
        ("What did I do last June?", "2023-06-01", "2023-07-01"),
        ("What did I plan in March?", "2024-03-01", "2024-04-01"),
        ("What did I do in August?", "2023-08-01", "2023-09-01"),
        ("What will I do next March?", "2025-03-01", "2025-04-01"),
        ("What may we eat in May?", "2024-05-01", "2024-06-01"),
        ("Sept. 2023", "2023-09-01", "2023-10-01"),
        ("Where was I in summer 2023?", "2023-06-01", "2023-09-01"),
        ("in the winter of 2023", "2023-12-01", "2024-03-01"),
        ("last summer", "2023-06-01", "2023-09-01"),
        ("last winter", "2023-12-01", "2024-03-01"),
        ("did I fall last fall?", "2023-09-01", "2023-12-01"),
        ("what happened two weeks ago", "2024-05-26", "2024-06-02"),
        ("a few days ago", "2024-06-09", "2024-06-10"),
        ("a couple of years ago", "2021-12-13", "2022-12-13"),
        ("on 12 May 2024", "2024-05-12", "2024-05-13"),
        ("on May 3rd", "2024-05-03", "2024-05-04"),
        ("on the 3rd of December", "2023-12-03", "2023-12-04"),
        ("on October 13, 2023", "2023-10-13", "2023-10-14"),
        ("on 2024-02-29", "2024-02-29", "2024-03-01"),
        ("yesterday", "2024-06-11", "2024-06-12"),
        ("the day before yesterday", "2024-06-10", "2024-06-11"),
        ("last night", "2024-06-11", "2024-06-12"),
        ("last Tuesday", "2024-06-11", "2024-06-12"),
        ("on Wednesday", "2024-06-05", "2024-06-06"),
        ("last Tues", "2024-06-11", "2024-06-12"),
        ("last Sun", "2024-06-09", "2024-06-10"),
        ("next Monday", "2024-06-17", "2024-06-18"),
        ("last week", "2024-06-03", "2024-06-10"),
        ("last weekend", "2024-06-08", "2024-06-10"),
        ("this month", "2024-06-01", "2024-07-01"),
        ("last month", "2024-05-01", "2024-06-01"),
        ("last year", "2023-01-01", "2024-01-01"),
        ("in the last three weeks", "2024-05-22", "2024-06-13"),
        ("in 2022", "2022-01-01", "2023-01-01"),
        ("since January", "2024-01-01", None),
        ("after 2021", "2022-01-01", None),
        ("before 2021", None, "2021-01-01"),
        ("until March", None, "2024-04-01"),
        ("between May 2023 and July 2023", "2023-05-01", "2023-08-01"),
        ("from January to March", "2024-01-01", "2024-04-01"),
    ],
)
def test_expressions(question: str, after: str | None, before: str | None) -> None:
    assert span(question) == (after, before)


@pytest.mark.parametrize(
    "question",
    [
        "I may go",
        "we march on",
        "What may I eat?",
        "Do I fall often?",
        "spring cleaning",
        "year 99999",
        "",
        "12",
        "Mayor",
    ],
)
def test_what_is_no_time(question: str) -> None:
    assert span(question) is None


def test_impossible_days_fall_back_to_what_is_possible() -> None:
    assert span("on 31 February 2024") == ("2024-02-01", "2024-03-01")
    assert span("on 2024-02-30") == ("2024-01-01", "2025-01-01")


def test_january_looks_back_over_the_new_year() -> None:
    january = datetime_ms(datetime(2024, 1, 5, tzinfo=UTC))
    assert span("last month", january) == ("2023-12-01", "2024-01-01")
    assert span("last December", january) == ("2023-12-01", "2024-01-01")


@pytest.mark.parametrize(
    ("question", "event"),
    [
        ("Where did I live before I moved to Lyon?", EventClause(before=True, text="I moved to Lyon")),
        ("What did I do after the wedding, and why?", EventClause(before=False, text="the wedding")),
        ("What changed since Rex came?", EventClause(before=False, text="Rex came")),
        ("since January", None),
        ("before the summer of 2023", None),
        ("Where do I live?", None),
    ],
)
def test_events(question: str, event: EventClause | None) -> None:
    assert find_event(question) == event


PIECES = ["last", "next", "in", "May", "march", "31", "30", "2024", "0", "ago", "weeks", "two", "year", "years",
          "summer", "between", "and", "999", "of", "Monday", "on", "since", "1900", "2099", "weekend"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=8), st.integers(-(10**12), 4 * 10**12))
def test_no_question_breaks_the_grammar(pieces: list[str], now_ms: int) -> None:
    found = find_span(" ".join(pieces), now_ms)
    if found and found.after_ms is not None and found.before_ms is not None and "between" not in pieces:
        assert found.after_ms < found.before_ms
