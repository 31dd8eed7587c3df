"""Segments as bytes: what was stored comes back, and nothing else is taken for it."""

from __future__ import annotations

import dataclasses
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.index import Analyzer
from edgeperso.index.attributes import attributes_of, decode_attributes, encode_attributes
from edgeperso.index.payload import SegmentInvalid, narrowed, pack_strings, seal
from edgeperso.index.segment import Segment, build_segment, decode, encode, joined, term_hash
from edgeperso.types import Kind, Memory, Trust


def memory(id_: int, text: str, **changes: object) -> Memory:
    fields: dict[str, object] = {
        "id": id_, "text": text, "kind": Kind.NOTE, "source": "a.md", "locator": "", "title": "", "author": "",
        "thread": "", "position": 0, "occurred_ms": None, "recorded_ms": 5, "scope": "personal", "trust": Trust.SELF,
        "language": "en",
    }  # fmt: skip
    return Memory(**{**fields, **changes})  # type: ignore[arg-type]


MEMORIES = [
    memory(3, "tea and more tea", author="Ann", thread="talk", position=2),
    memory(4, "coffee", source="b/c.md", occurred_ms=7),
    memory(9, "Tea  AND more tea", scope="work"),
]


def sample() -> Segment:
    return build_segment(MEMORIES, Analyzer())


def assert_equal(left: Segment, right: Segment) -> None:
    for name in ("ids", "hashes", "starts", "rows", "counts", "lengths"):
        np.testing.assert_array_equal(getattr(left, name), getattr(right, name))
        assert getattr(left, name).dtype == getattr(right, name).dtype


def test_postings_hold_rows_and_counts() -> None:
    rows, counts = sample().postings("tea")
    assert rows.tolist() == [0, 2]
    assert counts.tolist() == [2, 2]
    assert len(sample().postings("absent")[0]) == 0


def test_round_trip() -> None:
    segment = sample()
    assert_equal(segment, decode(encode(segment, "s"), "s", segment.ids))


@given(st.lists(st.text(max_size=60), min_size=1, max_size=12))
def test_round_trip_of_any_text(texts: list[str]) -> None:
    segment = build_segment([memory(row + 1, text, author=text) for row, text in enumerate(texts)], Analyzer())
    assert_equal(segment, decode(encode(segment, "s"), "s", segment.ids))


@given(st.lists(st.sampled_from(["tea", "tea tea milk", "", "coffee with milk"]), min_size=2, max_size=9), st.data())
def test_what_is_taken_out_or_put_together_is_as_if_built_so(texts: list[str], data: st.DataObject) -> None:
    memories = [memory(row + 1, text) for row, text in enumerate(texts)]
    keep = np.array(data.draw(st.lists(st.booleans(), min_size=len(texts), max_size=len(texts))))
    chosen = [each for each, kept in zip(memories, keep, strict=True) if kept]
    others = [each for each, kept in zip(memories, keep, strict=True) if not kept]
    whole, rest = build_segment(memories, Analyzer()), build_segment(chosen, Analyzer())
    assert_equal(whole.kept(keep), rest)
    assert_equal(joined([build_segment(others, Analyzer()), rest]), whole)


def test_words_of_what_was_taken_out_are_gone() -> None:
    cut = sample().kept(np.array([True, False, True]))
    assert term_hash("coffe") in sample().hashes
    assert term_hash("coffe") not in cut.hashes


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


def test_columns_say_what_the_memories_say() -> None:
    attributes = attributes_of(MEMORIES)
    assert attributes.when_ms.tolist() == [5, 7, 5]
    assert attributes.position.tolist() == [2, 0, 0]
    source = attributes.strings["source"]
    assert [source.values[code] for code in source.codes] == ["a.md", "b/c.md", "a.md"]
    assert attributes.digest[0] == attributes.digest[2] != attributes.digest[1]


@given(st.lists(st.text(max_size=20), min_size=1, max_size=12))
def test_columns_come_back(texts: list[str]) -> None:
    memories = [memory(row + 1, text, author=text, thread=text[:1], position=row) for row, text in enumerate(texts)]
    ids, attributes = np.arange(1, len(texts) + 1), attributes_of(memories)
    found = decode_attributes(encode_attributes(attributes, "s", ids), "s", ids)
    for name in ("when_ms", "position", "digest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(attributes, name))
    for name, column in attributes.strings.items():
        assert list(found.strings[name].values) == list(column.values)
        np.testing.assert_array_equal(found.strings[name].codes, column.codes)


@pytest.mark.parametrize("width", ["<i1", "<i2", "<i4", "<i8"])
def test_columns_of_any_width_are_read(width: str) -> None:
    ids, attributes = np.array([3, 4, 9]), attributes_of(MEMORIES)
    columns = [(*pack_strings(column.values), column.codes.astype(width)) for column in attributes.strings.values()]
    arrays = [attributes.when_ms, attributes.position.astype(width), attributes.digest, *chain(*columns)]
    found = decode_attributes(seal("attributes", "s", ids, arrays), "s", ids)
    assert found.position.tolist() == [2, 0, 0]
    for name, column in attributes.strings.items():
        assert found.strings[name].codes.tolist() == column.codes.tolist()


@pytest.mark.parametrize(
    ("numbers", "width"),
    [
        ([], 1), ([127, -128], 1), ([128], 2), ([-129], 2), ([2**15], 4), ([-(2**31)], 4), ([2**31], 8),
        ([-(2**63)], 8),
    ],
)  # fmt: skip
def test_numbers_take_as_little_room_as_they_can(numbers: list[int], width: int) -> None:
    kept = narrowed(np.array(numbers, dtype=np.int64))
    assert kept.itemsize == width
    assert kept.tolist() == numbers


@pytest.mark.parametrize("size", [0, 2, 4, 9, 15, 48])
def test_columns_of_no_width_are_refused(size: int) -> None:
    ids, attributes = np.array([3, 4, 9]), attributes_of(MEMORIES)
    columns = [(*pack_strings(column.values), column.codes) for column in attributes.strings.values()]
    arrays = [attributes.when_ms, np.zeros(size, np.uint8), attributes.digest, *chain(*columns)]
    with pytest.raises(SegmentInvalid):
        decode_attributes(seal("attributes", "s", ids, arrays), "s", ids)


def test_damaged_columns_are_refused() -> None:
    ids = np.array([3, 4, 9])
    payload = encode_attributes(attributes_of(MEMORIES), "s", ids)
    for at in [*range(6), *range(8, len(payload), 31)]:
        broken = bytearray(payload)
        broken[at] ^= 0x10
        with pytest.raises(SegmentInvalid):
            decode_attributes(bytes(broken), "s", ids)


def test_rows_beyond_the_segment_are_refused() -> None:
    segment = sample()
    far = dataclasses.replace(segment, rows=segment.rows + np.uint16(3))
    with pytest.raises(SegmentInvalid):
        decode(encode(far, "s"), "s", segment.ids)
