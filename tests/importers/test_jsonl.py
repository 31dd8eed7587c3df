"""The plain form: good lines in, bad lines named by their number."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from edgeperso.importers import ImportReport, Reason, Skip
from edgeperso.types import Kind, Record, Trust

Load = Callable[..., tuple[list[Record], ImportReport]]


def test_all_fields(load: Load) -> None:
    line = {
        "text": "Tea.", "kind": "preference", "source": "tea/log", "time": "2024-03-12T08:00:00Z", "author": "Ann",
        "thread": "t", "title": "Drinks", "scope": "work", "trust": "other", "unknown": [1],
    }  # fmt: skip
    records, _ = load("r.jsonl", json.dumps(line) + '\n\n{"text": "Only text"}')
    assert records == [
        Record("Tea.", Kind.PREFERENCE, "tea/log", "", "Drinks", "Ann", "t", 0, 1_710_230_400_000, "work", Trust.OTHER),
        Record("Only text", Kind.NOTE, "r.jsonl", thread="r.jsonl", position=1),
    ]


@pytest.mark.parametrize(
    ("time", "expected"),
    [
        (1_710_230_400, 1_710_230_400_000),
        (1_710_230_400.5, 1_710_230_400_500),
        (1_710_230_400_000, 1_710_230_400_000),
        ("2024-03-12", 1_710_244_800_000),
        (-86_400, -86_400_000),
        (None, None),
        ("", None),
    ],
)
def test_times(load: Load, time: object, expected: int | None) -> None:
    records, _ = load("r.jsonl", json.dumps({"text": "x", "time": time}))
    assert [one.occurred_ms for one in records] == [expected]


@pytest.mark.parametrize(
    "bad",
    [
        b"{", b"[]", b'"text"', b"null", b'{"text": ""}', b'{"text": " "}', b'{"text": 3}', b'{"txt": "x"}',
        b'{"text": "x", "kind": "poem"}', b'{"text": "x", "time": "soon"}', b'{"text": "x", "time": NaN}',
        b'{"text": "x", "time": 1e300}',
        b'{"text": "x", "trust": "god"}', b'{"text": "x", "time": ' + b"9" * 5000 + b"}",
        b"\xff\xfe", b'{"text": "\xff"}', b"[" * 100_000, b'{"text":' * 100_000, b'{"text": "x", "time": Infinity}',
        b'{"text": "x", "title": "' + b"t" * 2000 + b'"}',
    ],
)  # fmt: skip
def test_bad_lines_are_skipped_by_number(load: Load, bad: bytes) -> None:
    records, report = load("r.jsonl", b'{"text": "one"}\n' + bad + b'\n{"text": "three"}\n')
    assert [one.text for one in records] == ["one", "three"]
    assert report.skipped == (Skip("r.jsonl", Reason.BROKEN_RECORD, 2),)


def test_a_long_text_is_split(load: Load) -> None:
    records, _ = load("r.jsonl", json.dumps({"text": "".join(f"Sentence {n} says something. " for n in range(120))}))
    assert len(records) == 4


def test_lone_surrogates_can_be_stored(load: Load) -> None:
    records, _ = load("r.jsonl", '{"text": "a \\ud800 b", "title": "\\udfff", "thread": "\\ud800"}')
    assert records[0].text == "a \ufffd b"


def test_a_line_without_end_is_too_large(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeperso.importers.jsonl.MAX_LINE_BYTES", 1000)
    records, report = load("r.jsonl", '{"text": "' + "x" * 5000 + '"}\n{"text": "two"}\n')
    assert [one.text for one in records] == ["two"]
    assert report.skipped == (Skip("r.jsonl", Reason.TOO_LARGE, 1),)
