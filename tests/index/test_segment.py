"""Segments as bytes: what was stored comes back, and nothing else is taken for it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.index import Analyzer
from edgeperso.index.segment import Segment, SegmentInvalid, build_segment, decode, encode
from edgeperso.types import Kind, Memory, Trust


def memory(id_: int, text: str, **changes: object) -> Memory:
    fields: dict[str, object] = {
        "id": id_, "text": text, "kind": Kind.NOTE, "source": "a.md", "locator": "", "title": "", "author": "",
        "thread": "", "position": 0, "occurred_ms": None, "recorded_ms": 5, "scope": "personal", "trust": Trust.SELF,
        "language": "en",
    }  # fmt: skip
    return Memory(**{**fields, **changes})  # type: ignore[arg-type]


def sample() -> Segment:
    return build_segment(
        [
            memory(3, "tea and more tea", author="Ann", thread="talk", position=2),
            memory(4, "coffee", source="b/c.md", occurred_ms=7),
            memory(9, "Tea  AND more tea", scope="work"),
        ],
        Analyzer(),
    )


def assert_equal(left: Segment, right: Segment) -> None:
    assert left.terms == right.terms
    assert {name: column.values for name, column in left.columns.items()} == {
        name: column.values for name, column in right.columns.items()
    }
    for name in ("ids", "starts", "rows", "counts", "lengths", "when_ms", "position", "digest"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert getattr(left, name).dtype == getattr(right, name).dtype
    for name, column in left.columns.items():
        np.testing.assert_array_equal(column.codes, right.columns[name].codes)


def test_postings_hold_rows_and_counts() -> None:
    rows, counts = sample().postings("tea")
    assert rows.tolist() == [0, 2]
    assert counts.tolist() == [2, 2]
    assert len(sample().postings("absent")[0]) == 0


def test_columns_say_what_the_memories_say() -> None:
    segment = sample()
    assert segment.when_ms.tolist() == [5, 7, 5]
    assert segment.position.tolist() == [2, 0, 0]
    source = segment.columns["source"]
    assert [source.values[code] for code in source.codes] == ["a.md", "b/c.md", "a.md"]
    assert segment.digest[0] == segment.digest[2] != segment.digest[1]


def test_round_trip() -> None:
    segment = sample()
    assert_equal(segment, decode(encode(segment, "s"), "s", segment.ids))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=12))
def test_round_trip_of_any_text(texts: list[str]) -> None:
    segment = build_segment([memory(row + 1, text, author=text) for row, text in enumerate(texts)], Analyzer())
    assert_equal(segment, decode(encode(segment, "s"), "s", segment.ids))


def test_foreign_payloads_are_refused() -> None:
    segment = sample()
    payload = encode(segment, "s")
    for space, ids in (("t", segment.ids), ("s", segment.ids + 1), ("s", segment.ids[:2])):
        with pytest.raises(SegmentInvalid):
            decode(payload, space, ids)


def test_every_damage_is_noticed() -> None:
    segment = sample()
    payload = encode(segment, "s")
    for size in (0, 1, 20, 24, 25, len(payload) // 2, len(payload) - 1):
        with pytest.raises(SegmentInvalid):
            decode(payload[:size], "s", segment.ids)
    for at in [*range(6), *range(8, len(payload), 97)]:
        broken = bytearray(payload)
        broken[at] ^= 0x10
        with pytest.raises(SegmentInvalid):
            decode(bytes(broken), "s", segment.ids)


def test_another_version_is_refused() -> None:
    segment = sample()
    payload = bytearray(encode(segment, "s"))
    payload[4] += 1
    with pytest.raises(SegmentInvalid):
        decode(bytes(payload), "s", segment.ids)
