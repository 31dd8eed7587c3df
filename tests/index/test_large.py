"""A large vault's index: codes in memory and in the vault, read in the background; exact vectors stay in the vault."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from edgeperso.embedding import embed_missing, reindex
from edgeperso.errors import ReadOnly
from edgeperso.index import Index
from edgeperso.index.scoring import CodeBlock
from edgeperso.types import Kind, Record
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.erasure import erase, plan

COUNT = 700


@pytest.fixture(autouse=True)
def small_limits(monkeypatch) -> None:
    """What takes a large vault happens in one of a few hundred memories."""
    monkeypatch.setattr("edgeperso.index.index._WHOLE_ROWS", 100)
    monkeypatch.setattr("edgeperso.index.index.MAX_MEMORIES", 256)
    monkeypatch.setattr("edgeperso.index.parts.MAX_MEMORIES", 256)
    monkeypatch.setattr("edgeperso.index.index._LOOSE", 40)
    monkeypatch.setattr("edgeperso.index.code_store._PIECE", 64)
    monkeypatch.setattr("edgeperso.index.code_store._LEAST", 16)


@pytest.fixture
def ids(vault: Vault, fake_embedder) -> tuple[int, ...]:
    made = vault.memories.add(
        Record(f"word{number} word{number % 7} word{number % 50}", Kind.NOTE, "n.md", thread=str(number // 9))
        for number in range(COUNT)
    ).ids
    embed_missing(vault, fake_embedder)
    return made


def opened(vault: Vault, embedder) -> Index:
    index = Index(vault, embedder.id)
    index.load()
    return index


def best(index: Index, embedder, text: str) -> int:
    """The id of the memory nearest to ``text``."""
    return int(index.columns.ids[index.dense.top(embedder.embed([text])[0], 3).rows[0]])


def assert_same(index: Index, other: Index, embedder) -> None:
    """The two say the same of every memory."""
    order, wanted = np.argsort(index.columns.ids), np.argsort(other.columns.ids)
    np.testing.assert_array_equal(index.columns.ids[order], other.columns.ids[wanted])
    terms = dict.fromkeys(index.analyzer.query_terms("word3 word42 word600", ["en"]), 1.0)
    np.testing.assert_allclose(index.lexical.scores(terms)[order], other.lexical.scores(terms)[wanted], rtol=1e-6)
    vector = embedder.embed(["word3 word42"])[0]
    np.testing.assert_array_equal(index.dense.scores(vector)[order], other.dense.scores(vector)[wanted])


def stored(vault: Vault, embedder) -> dict[str, list[int]]:
    spaces = {"words": "default", "attributes": "default", "bits": embedder.id, "codes": embedder.id}
    return {kind: vault.segments.numbers(kind, space) for kind, space in spaces.items()}


def held(vault: Vault, embedder) -> set[int]:
    """Every memory id that any stored segment covers."""
    return {
        id_
        for kind, space in (("words", "default"), ("bits", embedder.id), ("codes", embedder.id))
        for segment in vault.segments.load(kind, space)
        for id_ in segment.ids.tolist()
    }


def test_the_next_index_reads_what_was_stored_and_no_vector(vault, fake_embedder, ids, monkeypatch) -> None:
    first = opened(vault, fake_embedder)
    monkeypatch.setattr("edgeperso.index.parts.build_segment", None)
    monkeypatch.setattr(type(vault.vectors), "load", None)
    second = opened(vault, fake_embedder)
    assert_same(first, second, fake_embedder)
    assert best(second, fake_embedder, "word600 word5 word0") == ids[600]


def test_codes_find_what_whole_vectors_find(vault, fake_embedder, ids, monkeypatch) -> None:
    index = opened(vault, fake_embedder)
    monkeypatch.setattr("edgeperso.index.index._WHOLE_ROWS", 10_000)
    whole = opened(vault, fake_embedder)
    for text in ("word3", "word600 word5", "word44 word1"):
        vector = fake_embedder.embed([text])[0]
        by_codes, exactly = index.dense.top(vector, 10), whole.dense.top(vector, 10)
        np.testing.assert_array_equal(by_codes.rows, exactly.rows)
        np.testing.assert_allclose(by_codes.scores, exactly.scores, atol=1e-5)
        np.testing.assert_allclose(index.dense.scores(vector), whole.dense.scores(vector), atol=0.01)


def test_a_search_is_answered_before_the_codes_are_there(vault, fake_embedder, ids, monkeypatch) -> None:
    opened(vault, fake_embedder)
    index = Index(vault, fake_embedder.id)
    with monkeypatch.context() as patch:
        patch.setattr(index, "_start_work", lambda: None)
        index.refresh()
    assert best(index, fake_embedder, "word600 word5 word0") == ids[600]
    vector = fake_embedder.embed(["word600 word5 word0"])[0]
    early = index.dense.scores(vector)
    index._start_work()
    index.load()
    late = index.dense.scores(vector)
    assert np.corrcoef(early, late)[0, 1] > 0.7
    assert not np.array_equal(early, late)


@pytest.mark.parametrize("change", ["forget", "forget many", "edit", "add"])
def test_after_a_change_it_is_as_if_made_anew(vault, fake_embedder, ids, change: str) -> None:
    index = opened(vault, fake_embedder)
    if change == "edit":
        vault.memories.edit(ids[300], "word5000")
        embed_missing(vault, fake_embedder)
    elif change == "add":
        vault.memories.add(Record(f"fresh{number} word3", Kind.NOTE, "f.md") for number in range(7))
        embed_missing(vault, fake_embedder)
    else:
        gone = [ids[300]] if change == "forget" else ids[5:290:3]
        erase(vault, plan(vault, ids=gone))
        assert not held(vault, fake_embedder) & set(gone), "nothing holds it at once"
    index.load()
    assert_same(index, Index_of_the_same(vault, fake_embedder), fake_embedder)


def Index_of_the_same(vault: Vault, embedder) -> Index:  # noqa: N802 - reads as a noun
    """An index that trusts nothing stored."""
    for kind, space in (("words", "default"), ("attributes", "default"), ("bits", embedder.id), ("codes", embedder.id)):
        vault.segments.drop(kind, space)
    return opened(vault, embedder)


def test_forgetting_rewrites_only_what_held_the_memory(vault, fake_embedder, ids) -> None:
    index = opened(vault, fake_embedder)
    before = stored(vault, fake_embedder)
    erase(vault, plan(vault, ids=[ids[300]]))
    index.load()
    after = stored(vault, fake_embedder)
    assert held(vault, fake_embedder) == set(ids) - {ids[300]}
    for kind in before:
        assert len(set(before[kind]) - set(after[kind])) == 1, kind
        assert len(after[kind]) == len(before[kind])


def test_nothing_of_a_forgotten_vector_stays_in_the_shared_tables(vault, fake_embedder, ids) -> None:
    opened(vault, fake_embedder)
    index = opened(vault, fake_embedder)  # which reads what the first one stored
    row = int(np.flatnonzero(index.columns.ids == ids[300])[0])
    tables = [room._table for room in index._codes._rooms]
    held = [table[row].copy() for table in tables]
    assert all(array.any() for array in held)
    erase(vault, plan(vault, ids=[ids[300]]))
    index.load()
    for table, array in zip(tables, held, strict=True):
        assert not (table == array).all(axis=1).any()


def test_a_process_that_forgot_leaves_the_next_one_little_to_build(vault, fake_embedder, ids, monkeypatch) -> None:
    index = opened(vault, fake_embedder)
    erase(vault, plan(vault, ids=[ids[300]]))
    index.load()
    monkeypatch.setattr("edgeperso.index.parts.build_segment", None)
    assert_same(opened(vault, fake_embedder), index, fake_embedder)


@pytest.mark.parametrize("kind", ["bits", "codes"])
@pytest.mark.parametrize("damage", ["bit", "empty", "foreign"])
def test_damaged_and_foreign_codes_are_made_anew(vault, fake_embedder, ids, kind: str, damage: str) -> None:
    whole = opened(vault, fake_embedder)
    pieces = vault.segments.load(kind, fake_embedder.id)
    chosen, other = pieces[3], pieces[4]
    payload = bytearray(chosen.payload)
    payload[len(payload) // 2] ^= 1
    wrong = {"bit": bytes(payload), "empty": b"", "foreign": other.payload}[damage]
    vault.segments.put(kind, fake_embedder.id, chosen.number, chosen.ids, wrong)
    index = opened(vault, fake_embedder)
    assert_same(index, whole, fake_embedder)
    assert_same(opened(vault, fake_embedder), whole, fake_embedder)


def test_codes_of_another_embedder_are_not_taken(vault, fake_embedder, ids) -> None:
    opened(vault, fake_embedder)
    other = type(fake_embedder)("other", fake_embedder.dim)
    reindex(vault, other)
    assert vault.segments.numbers("bits", fake_embedder.id) == []
    for piece in vault.segments.load("bits", other.id):
        vault.segments.drop("bits", other.id, piece.number)
    index = opened(vault, other)
    assert best(index, other, "word600 word5 word0") == ids[600]


def test_a_replaced_vector_takes_its_codes_with_it(vault, fake_embedder, ids) -> None:
    opened(vault, fake_embedder)
    vault.vectors.put(fake_embedder.id, [ids[5]], fake_embedder.embed(["harbour"]))
    assert stored(vault, fake_embedder)["bits"] == []
    assert best(opened(vault, fake_embedder), fake_embedder, "harbour") == ids[5]


def test_memories_without_a_vector_are_searched_by_words_and_get_theirs_later(vault, fake_embedder, ids) -> None:
    index = opened(vault, fake_embedder)
    (new,) = vault.memories.add([Record("harbour", Kind.NOTE, "h.md")]).ids
    index.load()
    row = int(np.flatnonzero(index.columns.ids == new)[0])
    assert np.isnan(index.dense.scores(fake_embedder.embed(["harbour"])[0])[row])
    embed_missing(vault, fake_embedder)
    index.load()
    assert best(index, fake_embedder, "harbour") == new


def test_a_vault_that_cannot_be_written_is_searched_and_left_alone(vault, fake_embedder, ids, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ReadOnly("The vault can't be written.")

    monkeypatch.setattr(type(vault.segments), "put", refuse)
    monkeypatch.setattr(type(vault.segments), "drop", refuse)
    index = opened(vault, fake_embedder)
    assert best(index, fake_embedder, "word600 word5 word0") == ids[600]
    erase(vault, plan(vault, ids=[ids[300]]))
    index.load()
    assert ids[300] not in index.columns.ids


def test_closing_the_vault_while_codes_are_read_is_quiet(vault, fake_embedder, ids, recwarn) -> None:
    opened(vault, fake_embedder)
    with Vault.open(vault.home, Passphrase("a passphrase for tests")) as other:
        index = Index(other, fake_embedder.id)
        index.refresh()
        worker = index._worker
    if worker is not None:
        worker.join()
    assert not [each for each in recwarn if "thread" in str(each.message).lower()]


def test_growing_over_the_limit_and_back_changes_nothing_that_is_found(vault, fake_embedder, monkeypatch) -> None:
    records = [Record(f"word{number} word{number % 7}", Kind.NOTE, "n.md") for number in range(120)]
    few = vault.memories.add(records[:90]).ids
    embed_missing(vault, fake_embedder)
    index = opened(vault, fake_embedder)
    assert index.is_small
    more = vault.memories.add(records[90:]).ids
    embed_missing(vault, fake_embedder)
    index.load()
    assert not index.is_small
    assert best(index, fake_embedder, "word33 word5") == few[33]
    erase(vault, plan(vault, ids=more))
    index.load()
    assert index.is_small
    assert best(index, fake_embedder, "word33 word5") == few[33]


def test_within_a_transaction_nothing_waits_for_another_thread(vault, fake_embedder, ids) -> None:
    opened(vault, fake_embedder)
    index = Index(vault, fake_embedder.id)
    with vault.transaction():
        index.load()
        assert best(index, fake_embedder, "word600 word5 word0") == ids[600]
    index.load()
    erase(vault, plan(vault, ids=[ids[300]]))
    index.refresh()  # which begins to store again what was dropped
    with vault.transaction():
        vault.memories.edit(ids[5], "word9")
        index.load()
    index.load()
    assert held(vault, fake_embedder) == set(ids) - {ids[300], ids[5]}


def test_what_the_index_stores_itself_is_not_another_process_s(vault, fake_embedder, ids, monkeypatch) -> None:
    index = opened(vault, fake_embedder)
    keep = index._store.keep

    def keep_while_something_comes(part, attributes, generation) -> None:
        keep(part, attributes, generation)
        vault.memories.add([Record("harbour", Kind.NOTE, "h.md")])
        index.refresh()

    monkeypatch.setattr(index._store, "keep", keep_while_something_comes)
    monkeypatch.setattr(index, "_load_stored", None)
    erase(vault, plan(vault, ids=[ids[300]]))
    index.load()
    assert len(index) == COUNT
    assert not index._unstored(())


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_words_and_vectors_stay_out_of_dumps(vault: Vault, ids: tuple[int, ...], fake_embedder, monkeypatch) -> None:
    """Whether they were built, read or cut."""
    built = opened(vault, fake_embedder)
    cut = opened(vault, fake_embedder)
    erase(vault, plan(vault, ids=ids[5:6]))
    cut.refresh()
    monkeypatch.setattr("edgeperso.index.index._WHOLE_ROWS", 10_000)
    whole = opened(vault, fake_embedder)
    spans = undumped()
    for index in (built, cut, whole):
        for part in index._parts:
            segment, block = part.segment, part.block
            vectors = (block.bits, block.codes) if isinstance(block, CodeBlock) else (block.vectors,)
            assert isinstance(block, CodeBlock) is (index is not whole)
            for array in (segment.hashes, segment.rows, segment.counts, *vectors):
                assert any(start <= array.ctypes.data < end for start, end in spans)


def undumped() -> list[tuple[int, int]]:
    """Where the mappings of this process lie that the kernel leaves out of core dumps."""
    found, span = [], (0, 0)
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            start, end = words[0].split("-")
            span = int(start, 16), int(end, 16)
        elif words[0] == "VmFlags:" and "dd" in words:
            found.append(span)
    return found
