from __future__ import annotations

import unicodedata
from dataclasses import fields

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.errors import DataInvalid, NotFound
from edgeperso.types import Kind, Memory, MemoryFilter, Record, Trust
from edgeperso.vault import Vault
from edgeperso.vault.memory_rows import CHUNK_ROWS

TEXTS = st.text(st.characters(codec="utf-8"), max_size=60)
RECORDS = st.builds(
    Record,
    text=TEXTS,
    kind=st.sampled_from(Kind),
    source=TEXTS,
    locator=TEXTS,
    title=TEXTS,
    author=TEXTS,
    thread=TEXTS,
    position=st.integers(-(2**40), 2**40),
    occurred_ms=st.none() | st.integers(-(2**50), 2**50),
    scope=TEXTS,
    trust=st.sampled_from(Trust),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(record=RECORDS)
def test_what_goes_in_comes_out(vault: Vault, record: Record) -> None:
    report = vault.memories.add([record])
    if report.added:
        memory = vault.memories.one(report.ids[0])
        for field in fields(Record):
            assert getattr(memory, field.name) == getattr(record, field.name)
    assert vault.memories.add([record]).added == 0


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, max_size=12), batch_size=st.integers(1, 5))
def test_adding_twice_adds_nothing(vault: Vault, records: list[Record], batch_size: int) -> None:
    before = vault.memories.count()
    first = vault.memories.add(records, batch_size=batch_size)
    again = vault.memories.add(reversed(records), batch_size=batch_size + 1)
    assert first.added + first.duplicates == len(records)
    assert again.added == 0
    assert vault.memories.count() == before + first.added
    assert [memory.id for memory in vault.memories.get(first.ids)] == list(first.ids)


def test_ids_follow_the_order_given_around_duplicates(vault, note) -> None:
    vault.memories.add([note("b"), note("d")])
    report = vault.memories.add([note("a"), note("b"), note("c"), note("d"), note("c"), note("e")])
    assert [memory.text for memory in vault.memories.get(report.ids)] == ["a", "c", "e"]
    assert report.duplicates == 3


def test_many_more_than_one_statement_takes(vault, note) -> None:
    report = vault.memories.add((note(f"n{i}") for i in range(50 * CHUNK_ROWS + 7)), batch_size=10**6)
    assert report.added == 50 * CHUNK_ROWS + 7
    texts = [memory.text for memory in vault.memories.scan()]
    assert texts == [f"n{i}" for i in range(50 * CHUNK_ROWS + 7)]


@pytest.mark.parametrize(
    "change",
    [
        {"source": "b.md"},
        {"locator": "line 2"},
        {"author": "Mia"},
        {"thread": "t"},
        {"occurred_ms": 1},
        {"text": "hello"},
    ],
)
def test_what_makes_two_memories(vault, change) -> None:
    same = {"text": "hallo", "kind": Kind.NOTE, "source": "a.md"}
    assert vault.memories.add([Record(**same), Record(**{**same, **change})]).added == 2


def test_composition_and_outer_space_make_no_difference(vault, note) -> None:
    text = "café au lait"
    assert vault.memories.add([note(text), note(unicodedata.normalize("NFD", text)), note(f" {text}\n")]).added == 1


def test_ids_are_never_used_again(vault, note) -> None:
    (last,) = vault.memories.add([note("x")]).ids
    from edgeperso.vault import erasure

    erasure.erase(vault, erasure.plan(vault, ids=[last]))
    assert vault.memories.add([note("y")]).ids[0] > last


def test_a_text_without_utf8_form_is_refused_without_showing_it(vault, note) -> None:
    before = vault.generation
    with pytest.raises(DataInvalid) as caught:
        vault.memories.add([note("fine"), note("canary \ud800 text")])
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert vault.memories.count() == 0
    assert vault.generation == before


def test_a_failing_source_keeps_the_batches_before_it(vault, note) -> None:
    def broken():
        for i in range(25):
            yield note(f"n{i}")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        vault.memories.add(broken(), batch_size=10)
    assert vault.memories.count() == 20


FILTERS = [
    (MemoryFilter(), 6),
    (MemoryFilter(sources=("notes",)), 3),
    (MemoryFilter(sources=("notes/",)), 3),
    (MemoryFilter(sources=("notes/a.md",)), 1),
    (MemoryFilter(sources=("note",)), 0),
    (MemoryFilter(sources=("notes/", "mail.mbox")), 4),
    (MemoryFilter(sources=("50%_x",)), 1),
    (MemoryFilter(kinds=(Kind.MAIL, Kind.CHAT)), 1),
    (MemoryFilter(scopes=("work",)), 1),
    (MemoryFilter(after_ms=1000), 6),
    (MemoryFilter(after_ms=1001, before_ms=10_000), 1),
    (MemoryFilter(before_ms=1000), 0),
    (MemoryFilter(include_closed=False), 5),
    (MemoryFilter(sources=("notes/",), include_closed=False, scopes=("personal",)), 2),
]


@pytest.mark.parametrize(("where", "count"), FILTERS)
def test_filters(vault: Vault, note, where: MemoryFilter, count: int) -> None:
    ids = vault.memories.add(
        [
            note("1", "notes/a.md", occurred_ms=1000),
            note("2", "notes/b.md", occurred_ms=2000),
            note("3", "notes/deep/c.md"),
            note("4", "notes2/d.md"),
            Record("5", Kind.MAIL, "mail.mbox", scope="work"),
            note("6", "50%_x"),
        ]
    ).ids
    vault.memories.supersede(ids[0], by=ids[1], at_ms=5)
    assert vault.memories.count(where) == count
    assert len(vault.memories.ids(where)) == count
    assert [memory.id for memory in vault.memories.scan(where)] == vault.memories.ids(where).tolist()


def test_thread_is_by_position_and_the_empty_one_is_none(vault, note) -> None:
    vault.memories.add([note("b", thread="t", position=2), note("a", thread="t", position=1), note("x")])
    assert [memory.text for memory in vault.memories.thread("t")] == ["a", "b"]
    assert vault.memories.thread("") == []


def test_sources(vault, note) -> None:
    vault.memories.add([note("1", "b"), note("2", "a"), note("3", "b")])
    assert vault.memories.sources() == [("a", 1), ("b", 2)]


def test_scan_survives_changes_underneath(vault, note) -> None:
    ids = vault.memories.add([note(f"n{i}") for i in range(1200)]).ids
    seen: list[Memory] = []
    for memory in vault.memories.scan(after_id=ids[9]):
        if not seen:
            vault.memories.add([note("late")])
        seen.append(memory)
    assert seen[0].id == ids[10]
    assert seen[-1].text == "late"
    assert len(seen) == 1191


def test_get_keeps_order_and_leaves_out_the_unknown(vault, note) -> None:
    a, b = vault.memories.add([note("a"), note("b")]).ids
    assert [memory.id for memory in vault.memories.get([b, 99, a, b])] == [b, a, b]
    with pytest.raises(NotFound):
        vault.memories.one(99)


def test_edit_replaces_text_and_drops_what_came_of_it(vault, note) -> None:
    import numpy as np

    a, b = vault.memories.add([note("old", author="Mia"), note("other")]).ids
    vault.vectors.put("e", [a, b], np.eye(2, 4, dtype=np.float32))
    vault.segments.put("dense", "e", 0, np.array([a]), b"has a")
    vault.segments.put("dense", "e", 1, np.array([b]), b"has b")
    vault.facts.add(a, "me", "home", "Paris", 0)
    before = vault.generation
    edited = vault.memories.edit(a, "new")
    assert (edited.text, edited.author, edited.id) == ("new", "Mia", a)
    assert vault.generation > before
    assert vault.vectors.load("e")[0].tolist() == [b]
    assert [segment.number for segment in vault.segments.load("dense", "e")] == [1]
    assert vault.facts.of_memories([a]) == []
    assert vault.memories.add([note("new", author="Mia")]).added == 0
    assert vault.memories.add([note("old", author="Mia")]).added == 1


def test_edit_refuses_what_another_memory_says(vault, note) -> None:
    a, _ = vault.memories.add([note("one"), note("two")]).ids
    with pytest.raises(DataInvalid):
        vault.memories.edit(a, "two")
    assert vault.memories.one(a).text == "one"
    assert vault.memories.edit(a, "one ").text == "one "
    with pytest.raises(NotFound):
        vault.memories.edit(99, "x")


def test_supersede_closes_and_reopen_opens(vault, note) -> None:
    a, b, c = vault.memories.add([note("Paris"), note("Lyon"), note("Rome")]).ids
    vault.memories.supersede(a, by=b, at_ms=7)
    vault.memories.supersede(b, by=c, at_ms=8)
    assert (vault.memories.one(a).superseded_by, vault.memories.one(a).closed_ms) == (b, 7)
    for newer, older in ((a, a), (a, c), (b, c)):
        with pytest.raises(DataInvalid):
            vault.memories.supersede(older, by=newer, at_ms=9)
    with pytest.raises(NotFound):
        vault.memories.supersede(c, by=99, at_ms=9)
    vault.memories.reopen(a)
    assert vault.memories.one(a).closed_ms is None
    assert vault.memories.count() == 3


def test_generation_counts_changes_and_only_those(vault, note) -> None:
    start = vault.generation
    vault.memories.add([note("a")])
    one = vault.generation
    vault.memories.add([note("a")])
    assert start < one == vault.generation


def test_languages_are_named_once_and_again_after_an_edit(vault, note) -> None:
    german, english, short = vault.memories.add(
        [
            note("Ich wohne jetzt in Berlin und gehe gern am Fluss spazieren."),
            note("I live in London now and like to walk along the river."),
            note("hi"),
        ]
    ).ids
    assert [memory.language for memory in vault.memories.scan()] == ["", "", ""]
    assert vault.memories.name_languages(batch_size=2) == 3
    assert [vault.memories.one(id_).language for id_ in (german, english, short)] == ["de", "en", "und"]
    assert vault.memories.name_languages() == 0
    assert vault.memories.edit(german, "I have moved to London and miss the river.").language == ""
    assert vault.memories.name_languages() == 1
