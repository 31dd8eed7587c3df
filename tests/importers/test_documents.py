"""Markdown and text become memories that know where, when and under which heading they stood."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.importers import ImportReport
from edgeperso.times import day_of
from edgeperso.types import Kind, Record, Trust

if TYPE_CHECKING:
    from conftest import FakeVault

Load = Callable[..., tuple[list[Record], ImportReport]]


def ink(text: str) -> str:
    return "".join(text.split())


def test_a_diary(load: Load) -> None:
    records, report = load(
        "diary.md",
        "# March 2024\n\n## 2024-03-12\nDinner with Ana.\n\nShe cooked.\n\n## 13 March\nRain.\n\n### Evening\nTea.\n",
    )
    assert [(one.text, one.title, one.occurred_ms and day_of(one.occurred_ms)) for one in records] == [
        ("Dinner with Ana.\n\nShe cooked.", "diary", "12 March 2024"),
        ("Rain.", "diary", "13 March 2024"),
        ("Tea.", "Evening", "13 March 2024"),
    ]
    assert [one.position for one in records] == [0, 1, 2]
    assert [one.locator for one in records] == ["2024-03-12", "13 March", "Evening"]
    assert {(one.source, one.thread, one.kind, one.trust) for one in records} == {
        ("diary.md", "diary.md", Kind.NOTE, Trust.SELF)
    }
    assert (report.files_imported, report.added, report.skipped) == (1, 3, ())


def test_headings_nest_and_name(load: Load) -> None:
    records, _ = load("n.md", "# House\n\nOld.\n\n## Roof ##\n\nLeaks.\n\n# Garden\n\nGreen.\n\nBed\n---\nRoses.\n")
    assert [(one.title, one.text) for one in records] == [
        ("House", "Old."), ("House › Roof", "Leaks."), ("Garden", "Green."), ("Garden › Bed", "Roses."),
    ]  # fmt: skip


def test_a_heading_may_be_closed_and_a_long_one_is_text(load: Load) -> None:
    long_ = "# " + "word " * 60
    records, _ = load("n.md", f"## C# ##\n\nSharp.\n\n# F#\n\nFlat.\n\n#\n\nBare.\n\n{long_}\n")
    assert [one.title for one in records[:3]] == ["C#", "F#", "n"]
    assert records[-1].text.endswith(long_.strip())


def test_a_heading_without_text_is_a_note(load: Load) -> None:
    records, _ = load("n.md", "# Lists\n## Buy milk\n## 2024-03-12\n# Call Ana\n")
    assert [(one.title, one.text) for one in records] == [("Lists", "Buy milk"), ("n", "Call Ana")]


def test_front_matter(load: Load) -> None:
    records, _ = load(
        "n.md", "---\ntitle: 'Trip'\ndate: 2024-03-12\ntags: [travel, \"sea side\"]\nx: y\n---\nLisbon!\n"
    )
    assert [(one.text, one.title) for one in records] == [("Lisbon!", "Trip #travel #sea-side")]
    assert records[0].occurred_ms is not None
    assert day_of(records[0].occurred_ms) == "12 March 2024"


def test_a_rule_is_no_front_matter(load: Load) -> None:
    records, _ = load("n.md", "---\nDear diary,\n---\nmore\n")
    assert "Dear diary," in " ".join(one.title + one.text for one in records)
    assert records[-1].text == "more"


def test_the_nearest_date_wins(load: Load) -> None:
    records, _ = load(
        "2024-03.md", "---\ndate: 2024-03-20\n---\nFront.\n\n# 2024-03-12\nHeading.\n\n- 2024-03-13: line\n"
    )
    assert [one.occurred_ms and day_of(one.occurred_ms) for one in records] == [
        "20 March 2024", "12 March 2024", "13 March 2024",
    ]  # fmt: skip


def test_no_date_is_made_up(load: Load) -> None:
    records, _ = load("n.md", "Text.\n\n# 2019\n\nOld.\n")
    assert [one.occurred_ms for one in records] == [None, None]
    records, _ = load("2024-03-12.md", "# 2019\n\nOld.\n")
    assert [one.occurred_ms for one in records] == [None]


def test_a_log_of_dated_lines(load: Load) -> None:
    records, _ = load("log.txt", "Rent paid\n\n2024-03-12: boiler\n  serviced\n2024-03-13: rain\n\nA thought.\n")
    assert [(one.text, one.occurred_ms and day_of(one.occurred_ms)) for one in records] == [
        ("Rent paid", None), ("2024-03-12: boiler\n  serviced", "12 March 2024"),
        ("2024-03-13: rain", "13 March 2024"), ("A thought.", None),
    ]  # fmt: skip


def test_a_date_on_a_line_of_its_own_heads_plain_text(load: Load) -> None:
    records, _ = load("d.txt", "12 March 2024\nRain.\n\nStill rain.\n\nTue 13 March 2024\nSun.\n")
    assert [(one.text, one.occurred_ms and day_of(one.occurred_ms)) for one in records] == [
        ("Rain.\n\nStill rain.", "12 March 2024"), ("Sun.", "13 March 2024"),
    ]  # fmt: skip


def test_code_is_not_read_as_headings(load: Load) -> None:
    records, _ = load("n.md", "# Script\n```\n# comment\n\n2024-03-12: x\n```\n#tag line\n")
    assert [one.title for one in records] == ["Script"]
    assert "# comment\n\n2024-03-12: x" in records[0].text


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("Grüße aus Köln".encode("utf-8-sig"), "Grüße aus Köln"),
        ("Grüße aus Köln".encode("utf-16"), "Grüße aus Köln"),
        ("Gruss aus Bern, viel Regen".encode("utf-16-le"), "Gruss aus Bern, viel Regen"),
        ("Gruss aus Bern, viel Regen".encode("utf-16-be"), "Gruss aus Bern, viel Regen"),
        ("Grüße aus Köln, es regnet über den Dächern und wir trinken heißen Tee".encode("cp1252"),
         "Grüße aus Köln, es regnet über den Dächern und wir trinken heißen Tee"),
        ("I was at the café".encode("latin-1"), "I was at the café"),
        ("Привет из Москвы, сегодня идёт дождь, и мы пьём чай".encode("cp1251"),
         "Привет из Москвы, сегодня идёт дождь, и мы пьём чай"),
        ("今日は雨が降っています。お茶を飲んだ。".encode("shift_jis"), "今日は雨が降っています。お茶を飲んだ。"),
        ("ééééééééééééééééééééé é".encode() + b"\xc3", "ééééééééééééééééééééé é\ufffd"),
    ],
)  # fmt: skip
def test_encodings(load: Load, data: bytes, expected: str) -> None:
    records, _ = load("n.txt", data)
    assert [one.text for one in records] == [expected]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(
            st.characters(categories=["L", "Nl"], exclude_characters="\u3164\uffa0\u115f\u1160"),
            min_size=1,
            max_size=12,
        ),
        max_size=300,
    ),
    st.randoms(),
)
def test_no_word_is_lost_and_none_moves(load: Load, vault: FakeVault, words: list[str], random: Random) -> None:
    vault.reset()
    gaps = [" ", " ", "\n", "\n\n", ". ", "\n\n\n"]
    text = "".join(word + gaps[random.randrange(len(gaps))] for word in words)
    records, _ = load("n.txt", text)
    assert ink("".join(one.text for one in records)) == ink(unicodedata.normalize("NFC", text))


def test_a_changed_file_adds_only_what_is_new(load: Load) -> None:
    paragraphs = [f"Paragraph {number} " + "word " * 60 for number in range(30)]
    load("n.md", "\n\n".join(paragraphs))
    paragraphs.insert(3, "A new thought " + "word " * 60)
    records, report = load("n.md", "\n\n".join(paragraphs))
    assert [one.text[:13] for one in records] == ["A new thought"]
    assert report.duplicates == 30


def test_blank_files_are_empty(load: Load) -> None:
    for name, content in (("a.md", b""), ("b.md", b" \n\n\t\n"), ("c.txt", "\ufeff".encode()), ("d.md", b"---\n---\n")):
        _, report = load(name, content)
        assert report.reasons == {"empty": 1}, name
