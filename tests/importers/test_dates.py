"""Dates in headings and names: read where they can be read one way only."""

from __future__ import annotations

import pytest

from edgeperso.importers.dates import When, date_only, entry_date, leading_date, moment_ms, path_date

IN_2024 = When(2024)


@pytest.mark.parametrize(
    "text",
    [
        "2024-03-12", "2024/03/12", "2024.03.12", "12 March 2024", "12. März 2024", "12.03.2024", "12. 3. 2024",
        "March 12, 2024", "Mar 12th 2024", "Tue 12 Mar 2024", "Tuesday, 12 March 2024", "12th of March 2024",
        "Dienstag, 12. März 2024", "12 mars 2024", "12 de marzo de 2024", "2024-03-12 (Tue)", "2024-03-12, Tuesday",
        "**2024-03-12**", "[2024-03-12]", "2024-03-12:", "the 12th of March 2024",
    ],
)  # fmt: skip
def test_whole_dates(text: str) -> None:
    assert date_only(text) == When(2024, 3, 12)


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("March 2024", When(2024, 3)),
        ("2024-03", When(2024, 3)),
        ("13/04/2024", When(2024, 4, 13)),
        ("04/13/2024", When(2024, 4, 13)),
        ("2024-03-12 21:30", When(2024, 3, 12, 21 * 60 + 30)),
        ("29 February 2024", When(2024, 2, 29)),
    ],
)
def test_other_forms(text: str, when: When) -> None:
    assert date_only(text) == when


@pytest.mark.parametrize(
    "text",
    [
        "03/04/2024", "2024-13-01", "2024-02-30", "30 February 2024", "12 March", "March", "2024", "1984 was good",
        "Room 2024-03", "v2024.1", "may", "March of the penguins", "12345-03-12", "2024-03-123", "Mon", "12:30", "",
        "99 March 2024", "0 March 2024", "2024-00-10",
    ],
)  # fmt: skip
def test_no_date_is_better_than_a_wrong_one(text: str) -> None:
    assert date_only(text) is None


def test_the_year_may_come_from_above() -> None:
    assert date_only("12 March", IN_2024) == When(2024, 3, 12)
    assert date_only("Tue 12 Mar", IN_2024) == When(2024, 3, 12)
    assert date_only("May", IN_2024) == When(2024, 5)
    assert leading_date("May 5: people come", IN_2024) == (When(2024, 5, 5), "people come")
    assert leading_date("May 5 people come?", IN_2024) is None
    assert leading_date("1. May plans", IN_2024) is None
    assert leading_date("May I come in", IN_2024) is None


def test_what_follows_a_date_is_kept() -> None:
    assert leading_date("2024-03-12 – Dinner with Ana") == (When(2024, 3, 12), "Dinner with Ana")
    assert leading_date("12 March 2024: rain") == (When(2024, 3, 12), "rain")


@pytest.mark.parametrize(
    "line", ["2024-03-12: rain", "- 2024-03-12 rain", "* **2024-03-12** rain", "[2024-03-12] rain"]
)
def test_entries_of_a_log(line: str) -> None:
    assert entry_date(line) == When(2024, 3, 12)


@pytest.mark.parametrize("line", ["rain on 2024-03-12", "2024-03-123", "2024-13-12 x", "2024 was dry"])
def test_lines_that_are_no_entries(line: str) -> None:
    assert entry_date(line) is None


@pytest.mark.parametrize(
    ("source", "when"),
    [
        ("notes/2024-03-12.md", When(2024, 3, 12)),
        ("notes/2024_03_12 lunch.txt", When(2024, 3, 12)),
        ("IMG_20240312_101500.txt", When(2024, 3, 12)),
        ("notes/2024-03.md", When(2024, 3)),
        ("notes/2024/03.md", When(2024, 3)),
        ("notes/2024/03/12.md", When(2024, 3, 12)),
        ("2024/3/12.md", When(2024, 3, 12)),
        ("notes/2010-11 season.md", None),
        ("notes/2024.md", None),
        ("notes/2024-13-45.md", None),
        ("notes/12.md", None),
        ("ids/12345678901.md", None),
        ("a/b/c.md", None),
    ],
)
def test_dates_of_paths(source: str, when: When | None) -> None:
    assert path_date(source) == when


@pytest.mark.parametrize(
    ("text", "at_ms"),
    [
        ("2024-03-12", 1_710_244_800_000),
        ('"12 March 2024"', 1_710_244_800_000),
        ("20240312", 1_710_244_800_000),
        ("2024-03-12T10:00:00+02:00", 1_710_230_400_000),
        ("2024-03-12T08:00:00Z", 1_710_230_400_000),
        ("2024-03-12 08:00", 1_710_230_400_000),
        ("2024", None),
        ("soon", None),
        ("", None),
        ("0001-01-01T00:00:00", None),
        ("2024-99-99T00:00", None),
    ],
)
def test_moments(text: str, at_ms: int | None) -> None:
    assert moment_ms(text) == at_ms


def test_noon_and_first_of_month() -> None:
    assert When(2024, 3, 12).at_ms == 1_710_244_800_000
    assert When(2024, 3).at_ms == When(2024, 3, 1).at_ms
    assert When(2024).at_ms is None
