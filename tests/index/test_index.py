"""The index follows its vault: what came, what changed, what went, whoever did it."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso.embedding import embed_missing, reindex
from edgeperso.errors import EmbedderMismatch, ReadOnly
from edgeperso.index import Index
from edgeperso.types import Kind, MemoryFilter, Record
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.erasure import erase, plan


def add(vault: Vault, texts: list[str], **fields: object) -> tuple[int, ...]:
    records = [
        Record(**{"text": text, "kind": Kind.NOTE, "source": "notes.md", "position": place, **fields})
        for place, text in enumerate(texts)
    ]
    return vault.memories.add(records).ids


def holding(index: Index, word: str) -> set[int]:
    """Ids of the memories that hold ``word``, by the index."""
    (term,) = index.analyzer.query_terms(word, ["en"])
    return set(index.columns.ids[index.lexical.scores({term: 1.0}) > 0].tolist())


def many(count: int, word: str = "filler") -> list[str]:
    return [f"{word} number{number}" for number in range(count)]


def test_new_memories_are_found_after_refresh_alone(vault, fake_embedder) -> None:
    index = Index(vault, fake_embedder.id)
    assert index.refresh()
    assert len(index) == 0
    (id_,) = add(vault, ["tea"])
    assert index.refresh()
    assert holding(index, "tea") == {id_}
    assert not index.refresh()


def test_segments_are_stored_and_loaded_by_the_next_index(vault, fake_embedder, monkeypatch) -> None:
    ids = add(vault, [*many(600), "tea"])
    embed_missing(vault, fake_embedder)
    first = Index(vault, fake_embedder.id)
    first.refresh()
    stored = vault.segments.load("words", "default")
    assert [tuple(segment.ids) for segment in stored] == [ids]
    monkeypatch.setattr("edgeperso.index.parts.build_segment", None)
    second = Index(vault, fake_embedder.id)
    second.refresh()
    assert holding(second, "tea") == {ids[-1]}
    question = fake_embedder.embed(["tea"])[0]
    np.testing.assert_array_equal(first.dense.scores(question), second.dense.scores(question))


def test_a_few_new_memories_are_not_stored_and_many_join_the_last_segment(vault, fake_embedder) -> None:
    add(vault, many(600))
    index = Index(vault, fake_embedder.id)
    index.refresh()
    add(vault, many(100, "fresh"))
    index.refresh()
    assert [len(segment.ids) for segment in vault.segments.load("words", "default")] == [600]
    assert len(holding(index, "fresh")) == 100
    add(vault, many(500, "other"))
    index.refresh()
    assert [len(segment.ids) for segment in vault.segments.load("words", "default")] == [1200]
    assert len(index) == 1200


def test_no_segment_holds_more_than_4096(vault, fake_embedder) -> None:
    add(vault, many(5000))
    Index(vault, fake_embedder.id).refresh()
    assert [len(segment.ids) for segment in vault.segments.load("words", "default")] == [4096, 904]


@pytest.mark.parametrize("stored", [False, True])
def test_an_edited_memory_loses_its_old_words_and_vector(vault, fake_embedder, stored: bool) -> None:
    ids = add(vault, ["tea", *many(600 if stored else 5)])
    embed_missing(vault, fake_embedder)
    index = Index(vault, fake_embedder.id)
    index.refresh()
    vault.memories.edit(ids[0], "coffee")
    index.refresh()
    assert holding(index, "tea") == set()
    assert holding(index, "coffee") == {ids[0]}
    row = int(np.flatnonzero(index.columns.ids == ids[0])[0])
    assert np.isnan(index.dense.scores(fake_embedder.embed(["tea"])[0])[row])
    embed_missing(vault, fake_embedder)
    index.refresh()
    row = int(np.flatnonzero(index.columns.ids == ids[0])[0])
    assert index.dense.scores(fake_embedder.embed(["coffee"])[0])[row] > 0.99


def test_another_process_s_changes_are_seen(vault, fake_embedder) -> None:
    ids = add(vault, ["tea", "coffee"])
    index = Index(vault, fake_embedder.id)
    index.refresh()
    with Vault.open(vault.home, Passphrase("a passphrase for tests")) as other:
        other.memories.edit(ids[0], "milk")
        added = add(other, ["juice"])
    index.refresh()
    assert holding(index, "tea") == set()
    assert holding(index, "milk") == {ids[0]}
    assert holding(index, "juice") == set(added)


def test_changes_of_this_and_of_another_process_in_turn_are_all_seen(vault, fake_embedder) -> None:
    ids = add(vault, ["tea", "coffee", "milk", "water"])
    index = Index(vault, fake_embedder.id)
    index.refresh()
    with Vault.open(vault.home, Passphrase("a passphrase for tests")) as other:
        vault.memories.edit(ids[0], "juice")
        other.memories.edit(ids[1], "wine")
        erase(vault, plan(vault, ids=[ids[2]]))
        index.refresh()
        assert [holding(index, word) for word in ("tea", "coffee", "milk", "water")] == [set(), set(), set(), {ids[3]}]
        assert holding(index, "juice") | holding(index, "wine") == set(ids[:2])
        erase(other, plan(other, ids=[ids[3]]))
        index.refresh()
    assert len(index) == 2
    assert holding(index, "water") == set()


@pytest.mark.parametrize("payload", [b"", b"EPSG", b"EPSG\x01\x00\x00\x00" + bytes(400)])
def test_a_damaged_or_foreign_segment_is_built_anew(vault, fake_embedder, payload: bytes) -> None:
    ids = add(vault, [*many(600), "tea"])
    Index(vault, fake_embedder.id).refresh()
    (segment,) = vault.segments.load("words", "default")
    vault.segments.put("words", "default", segment.number, segment.ids, payload)
    index = Index(vault, fake_embedder.id)
    index.refresh()
    assert holding(index, "tea") == {ids[-1]}
    assert vault.segments.load("words", "default")[0].payload == segment.payload


def test_a_segment_of_other_memories_is_not_believed(vault, fake_embedder) -> None:
    add(vault, many(600))
    Index(vault, fake_embedder.id).refresh()
    (segment,) = vault.segments.load("words", "default")
    vault.segments.put("words", "default", 10_000, np.array([90_000], dtype=np.int64), segment.payload)
    vault.segments.put("words", "default", 10_001, segment.ids[:5], segment.payload)
    index = Index(vault, fake_embedder.id)
    index.refresh()
    assert len(index) == 600
    assert len(np.unique(index.columns.ids)) == 600
    assert len(vault.segments.load("words", "default")) == 1


def test_a_memory_edited_while_its_segment_is_built_does_not_leave_its_words(vault, fake_embedder, monkeypatch) -> None:
    ids = add(vault, ["tea", *many(600)])
    real_get = type(vault.memories).get

    def get_then_edit(self, wanted):
        found = real_get(self, wanted)
        monkeypatch.setattr(type(vault.memories), "get", real_get)
        vault.memories.edit(ids[0], "coffee")
        return found

    monkeypatch.setattr(type(vault.memories), "get", get_then_edit)
    Index(vault, fake_embedder.id).refresh()
    assert vault.segments.load("words", "default") == []


def test_a_vault_that_cannot_be_written_is_still_searched(vault, fake_embedder, monkeypatch) -> None:
    ids = add(vault, [*many(600), "tea"])

    def refuse(*_: object, **__: object) -> None:
        raise ReadOnly("The vault can't be written.")

    monkeypatch.setattr(type(vault.segments), "put", refuse)
    monkeypatch.setattr(type(vault.segments), "drop", refuse)
    index = Index(vault, fake_embedder.id)
    index.refresh()
    assert holding(index, "tea") == {ids[-1]}


def test_vectors_of_another_embedder_are_refused(vault, fake_embedder) -> None:
    add(vault, ["tea"])
    embed_missing(vault, fake_embedder)
    other = type(fake_embedder)("other", 32)
    with pytest.raises(EmbedderMismatch):
        Index(vault, other.id).refresh()
    index = Index(vault, fake_embedder.id)
    index.refresh()
    reindex(vault, other)
    with pytest.raises(EmbedderMismatch):
        index.refresh()
    switched = Index(vault, other.id)
    switched.refresh()
    assert switched.vectors(np.array([0])).shape == (1, 32)


def test_filters_are_the_vault_s(vault, fake_embedder) -> None:
    add(vault, many(3, "a"), source="notes/a.md", occurred_ms=1000)
    add(vault, many(3, "b"), source="notes2/b.md", kind=Kind.MAIL, occurred_ms=2000)
    closed = add(vault, many(3, "c"), source="notes", scope="work", occurred_ms=3000)
    vault.memories.supersede(closed[0], by=closed[1], at_ms=5)
    index = Index(vault, fake_embedder.id)
    index.refresh()
    for where in (
        MemoryFilter(),
        MemoryFilter(sources=("notes/",)),
        MemoryFilter(sources=("notes",)),
        MemoryFilter(sources=("notes2/b.md", "none")),
        MemoryFilter(kinds=(Kind.MAIL,)),
        MemoryFilter(scopes=("work", "home")),
        MemoryFilter(after_ms=2000),
        MemoryFilter(before_ms=2000),
        MemoryFilter(include_closed=False),
        MemoryFilter(sources=("notes",), scopes=("work",), include_closed=False, after_ms=3000, before_ms=3001),
    ):
        assert set(index.columns.ids[index.columns.mask(where)]) == set(vault.memories.ids(where))


def test_neighbours_follow_the_thread_not_the_order_of_arrival(vault, fake_embedder) -> None:
    second, third = add(vault, ["two", "three"], thread="t")
    add(vault, ["loose", "ends"])
    (other,) = add(vault, ["other"], thread="u")
    vault.memories.add([Record(text="first", kind=Kind.NOTE, source="n", thread="t", position=-1)])
    index = Index(vault, fake_embedder.id)
    index.refresh()
    columns = index.columns
    row = {id_: place for place, id_ in enumerate(columns.ids.tolist())}
    assert columns.ids[columns.next[row[second]]] == third
    assert columns.previous[row[third]] == row[second]
    assert columns.next[row[third]] == columns.previous[row[other]] == columns.next[row[other]] == -1
    assert columns.previous[columns.previous[row[second]]] == -1


def test_a_thread_breaks_into_occasions_where_half_a_day_passes(vault, fake_embedder) -> None:
    hour = 3_600_000
    for place, at in enumerate((0, 1, 12, 30, 31)):
        add(vault, [f"note{place}"], thread="t", occurred_ms=at * hour)
        vault.memories.add([Record(f"loose{place}", Kind.NOTE, "l", occurred_ms=at * hour)])
    index = Index(vault, fake_embedder.id)
    index.refresh()
    columns = index.columns
    threaded = columns.occasion[::2].tolist()
    assert threaded[0] == threaded[1] == threaded[2] != threaded[3] == threaded[4]
    assert columns.previous[::2].tolist() == [-1, 0, 2, -1, 6]
    assert len(set(columns.occasion[1::2].tolist())) == 5
