"""Columns changed in place are those that would be made of the same memories at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.index.attributes import attributes_of
from edgeperso.index.columns import Columns
from edgeperso.types import Kind, Memory, MemoryFilter, Trust

HOUR_MS = 3_600_000


def memory(id_: int, thread: str, position: int, hour: int) -> Memory:
    return Memory(
        id=id_, text=f"text {id_ % 3}", kind=Kind.NOTE, source=f"{thread}.md", locator="", title="",
        author=f"author {position}", thread=thread, position=position, occurred_ms=hour * HOUR_MS, recorded_ms=0,
        scope="personal", trust=Trust.SELF, language="en",
    )  # fmt: skip


def made_at_once(memories: list[Memory]) -> Columns:
    columns = Columns()
    columns.replace(0, 0, [(np.array([each.id for each in memories], dtype=np.int64), attributes_of(memories))])
    return columns


def assert_same(columns: Columns, expected: Columns) -> None:
    for name in ("ids", "when_ms", "position", "digest", "open", "previous", "next"):
        np.testing.assert_array_equal(getattr(columns, name), getattr(expected, name), err_msg=name)
    for name in ("kind", "source", "scope", "thread", "author", "language"):
        found, wanted = columns.strings(name), expected.strings(name)
        assert [found.values[code] for code in found.codes] == [wanted.values[code] for code in wanted.codes]
    # The numbers of occasions are any; who shares one is not.
    first = [np.unique(each.occasion, return_index=True, return_inverse=True)[1:] for each in (columns, expected)]
    (starts, inverse), (wanted_starts, wanted_inverse) = first
    np.testing.assert_array_equal(starts[inverse], wanted_starts[wanted_inverse])


CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["add", "remove", "replace"]),
        st.integers(0, 30),
        st.lists(st.tuples(st.sampled_from(["", "a", "b"]), st.integers(0, 5), st.integers(0, 40)), max_size=5),
    ),
    max_size=8,
)


@given(CHANGES)
def test_any_changes_leave_what_one_making_gives(changes: list) -> None:
    columns, memories, next_id = Columns(), [], 1
    for what, where, fields in changes:
        fresh = [memory(next_id + number, *each) for number, each in enumerate(fields)]
        block = [(np.array([each.id for each in fresh], dtype=np.int64), attributes_of(fresh))]
        start = where % (len(memories) + 1)
        stop = min(start + where % 4, len(memories))
        if what == "add":
            columns.replace(len(memories), len(memories), block)
            memories += fresh
        elif what == "remove":
            keep = np.array([number % 3 == where % 3 for number in range(stop - start)], dtype=np.bool_)
            columns.remove(start, keep)
            memories[start:stop] = [each for each, kept in zip(memories[start:stop], keep, strict=True) if kept]
        else:
            columns.replace(start, stop, block)
            memories[start:stop] = fresh
        next_id += len(fields)
    assert_same(columns, made_at_once(memories))


@pytest.mark.parametrize("gone", [0, 1, 3, 5], ids=["first", "near the beginning", "near the end", "last"])
def test_nothing_of_what_left_stays_in_memory(gone: int) -> None:
    memories = [replace(memory(number, "a", number, number), text=f"text {number}") for number in range(1, 7)]
    columns = made_at_once(memories)
    digest = columns.digest[gone]
    columns._room["digest"][6:] = 0  # what the spare room holds is anyone's
    columns.remove(0, np.arange(6) != gone)
    assert digest not in columns._room["digest"]
    assert_same(columns, made_at_once(memories[:gone] + memories[gone + 1 :]))


def test_what_is_open_stays_so_when_others_go() -> None:
    columns = made_at_once([memory(number, "a", number, 0) for number in range(1, 7)])
    columns.close(np.array([2, 5]))
    columns.remove(1, np.array([True, False, True, False]))
    assert columns.ids[columns.open].tolist() == [1, 4, 6]
    assert columns.ids[~columns.open].tolist() == [2]


def test_a_mask_that_was_asked_for_follows_the_changes() -> None:
    columns = made_at_once([memory(1, "a", 0, 0), memory(2, "b", 0, 0)])
    where = MemoryFilter(sources=("a.md",), include_closed=False)
    assert columns.mask(where).tolist() == [True, False]
    columns.close(np.array([1]))
    assert columns.mask(where).tolist() == [False, False]
    fresh = [memory(3, "a", 1, 0)]
    columns.replace(2, 2, [(np.array([3]), attributes_of(fresh))])
    assert columns.mask(where).tolist() == [False, False, True]


def test_columns_of_some_rows_are_those_of_their_memories() -> None:
    memories = [memory(number, "ab"[number % 2], number, 0) for number in range(1, 6)]
    columns = made_at_once(memories)
    found, expected = columns.attributes(np.array([3, 1])), attributes_of([memories[3], memories[1]])
    for name in ("when_ms", "position", "digest"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name))
        assert getattr(found, name).dtype == getattr(expected, name).dtype
    for name, column in found.strings.items():
        wanted = expected.strings[name]
        assert [column.values[code] for code in column.codes] == [wanted.values[code] for code in wanted.codes]
        assert set(column.values) == set(wanted.values), "no value of a memory that isn't there"


def test_numbers_of_any_size_are_kept() -> None:
    positions = [0, 1, -1, 127, 128, -129, 2**31 - 1, 2**31, -(2**31) - 1, 2**62]
    memories = [memory(number, "a", position, 0) for number, position in enumerate(positions, 1)]
    columns = made_at_once(memories[:3])
    assert columns.position.dtype == np.int8
    for each in memories[3:]:
        columns.replace(len(columns), len(columns), [(np.array([each.id]), attributes_of([each]))])
    assert columns.position.tolist() == positions
    assert_same(columns, made_at_once(memories))


def test_ids_of_any_size_are_kept() -> None:
    memories = [memory(id_, "a", 0, 0) for id_ in (1, 2**31 - 1, 2**31, 2**62)]
    columns = made_at_once(memories[:2])
    assert columns.ids.dtype == np.int32
    columns.replace(2, 2, [(np.array([each.id for each in memories[2:]]), attributes_of(memories[2:]))])
    assert columns.ids.tolist() == [each.id for each in memories]
    columns.remove(0, np.array([False, True]))
    assert columns.ids.tolist() == [each.id for each in memories[1:]]


def test_any_number_of_values_keeps_its_numbers() -> None:
    memories = [memory(number, f"thread {number}", 0, 0) for number in range(1, 33_001)]
    columns = made_at_once(memories[:100])
    assert columns.strings("thread").codes.dtype == np.int8
    rest = memories[100:]
    columns.replace(100, 100, [(np.array([each.id for each in rest]), attributes_of(rest))])
    assert columns.strings("thread").codes.dtype == np.int32
    assert columns.strings("kind").codes.dtype == np.int8
    assert_same(columns, made_at_once(memories))
