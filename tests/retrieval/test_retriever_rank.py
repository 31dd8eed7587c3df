"""Ranking what is given, and searching by one signal alone."""

from __future__ import annotations

import pytest

from edgeperso.embedding import embed_missing
from edgeperso.retrieval import Retriever
from edgeperso.types import Hit, Kind, MemoryFilter, Query, Record
from edgeperso.vault import Vault

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
TEXTS = (
    "I avoid loud places",
    "The train was late again",
    "I like tea",
    "My sister plays the cello in a loud orchestra",
    "Rain all day long",
    "I can't eat hazelnuts",
    "Tea with Ann at the harbour",
)
"""Their ids are 1 and up."""


@pytest.fixture
def retriever(vault: Vault, fake_embedder) -> Retriever:
    vault.memories.add(
        Record(text, Kind.NOTE, "notes.md", locator=str(place), occurred_ms=NOW_MS - place * DAY_MS)
        for place, text in enumerate(TEXTS)
    )
    embed_missing(vault, fake_embedder)
    return Retriever(vault, fake_embedder)


def query(text: str, **fields: object) -> Query:
    return Query(text, NOW_MS, **fields)  # type: ignore[arg-type]


def ids(hits: list[Hit]) -> list[int]:
    return [hit.memory.id for hit in hits]


# ---- rank ----------------------------------------------------------------------------------------------------------


def test_what_is_given_comes_back_whole_best_first(retriever: Retriever) -> None:
    hits = retriever.rank((6, 3, 1), query("Where do loud people go?"))
    assert ids(hits)[0] == 1
    assert sorted(ids(hits)) == [1, 3, 6]
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    for hit in hits:
        assert hit.parts.keys() == {"dense", "lexical"}
        assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-4)


def test_nothing_is_left_out_for_fitting_badly(retriever: Retriever) -> None:
    assert retriever.search(query("zzyzx")) == []
    assert sorted(ids(retriever.rank(range(1, 8), query("zzyzx")))) == list(range(1, 8))
    assert sorted(ids(retriever.rank([2, 5], query("")))) == [2, 5], "nor is it for want of words"


def test_nothing_else_comes_in(retriever: Retriever) -> None:
    assert ids(retriever.rank([2], query("tea"))) == [2]
    assert ids(retriever.rank([3, 3, 99, -1], query("tea"))) == [3]
    assert retriever.rank([], query("tea")) == retriever.rank([99], query("tea")) == []


def test_the_limit_takes_the_best(retriever: Retriever) -> None:
    every = retriever.rank(range(1, 8), query("tea"))
    assert set(ids(every)[:2]) == {3, 7}
    assert retriever.rank(range(1, 8), query("tea", limit=2)) == every[:2]


def test_the_filter_holds(retriever: Retriever, vault: Vault) -> None:
    late = MemoryFilter(after_ms=NOW_MS - 3 * DAY_MS)
    assert sorted(ids(retriever.rank(range(1, 8), query("tea", where=late)))) == [1, 2, 3, 4]
    vault.memories.supersede(3, by=7, at_ms=NOW_MS)
    open_only = MemoryFilter(include_closed=False)
    assert 3 in ids(retriever.rank([3, 7], query("tea")))
    assert ids(retriever.rank([3, 7], query("tea", where=open_only))) == [7]


def test_the_same_text_twice_is_ranked_twice(retriever: Retriever, vault: Vault, fake_embedder) -> None:
    (twin,) = vault.memories.add([Record("I like tea", Kind.NOTE, "copy.md")]).ids
    embed_missing(vault, fake_embedder)
    assert sorted(ids(retriever.rank([twin, 3], query("tea")))) == [3, twin]


def test_a_memory_without_a_vector_is_ranked_by_its_words(retriever: Retriever, vault: Vault) -> None:
    (new,) = vault.memories.add([Record("tea, tea and tea", Kind.NOTE, "new.md")]).ids
    hits = retriever.rank([1, new], query("tea"))
    assert ids(hits) == [new, 1]
    assert hits[0].parts["dense"] == 0


def test_it_follows_the_vault(retriever: Retriever, vault: Vault, fake_embedder) -> None:
    assert ids(retriever.rank([2, 5], query("cocoa")))
    vault.memories.edit(5, "cocoa")
    embed_missing(vault, fake_embedder)
    assert ids(retriever.rank([2, 5], query("cocoa"))) == [5, 2]


def test_an_empty_vault_ranks_nothing(vault: Vault, fake_embedder) -> None:
    assert Retriever(vault, fake_embedder).rank([1], query("tea")) == []


@pytest.mark.parametrize("text", ["\x00", "?" * 5000, "💥" * 300, "a' OR 1=1 --", "(((", "\ud800", "May " * 2000, " "])
def test_odd_questions_break_nothing(retriever: Retriever, text: str) -> None:
    assert sorted(ids(retriever.rank([1, 2], query(text)))) == [1, 2]


# ---- signals -------------------------------------------------------------------------------------------------------


def test_without_signals_all_of_them_count(retriever: Retriever) -> None:
    plain = retriever.search(query("tea at the harbour"))
    assert {"dense", "lexical", "neighbours", "occasion", "recency"} <= plain[0].parts.keys()
    everything = tuple({name for hit in plain for name in hit.parts})
    assert retriever.search(query("tea at the harbour", signals=everything)) == plain


@pytest.mark.parametrize("signals", [("lexical",), ("dense",), ("recency",), ("dense", "recency")])
def test_only_the_named_signals_count(retriever: Retriever, signals: tuple[str, ...]) -> None:
    plain = {hit.memory.id: hit.parts for hit in retriever.search(query("tea at the harbour"))}
    hits = retriever.search(query("tea at the harbour", signals=signals))
    assert set(ids(hits)) == set(plain), "what bears on the question is the same"
    for hit in hits:
        assert hit.parts == {
            name: pytest.approx(value) if name in signals else 0.0 for name, value in plain[hit.memory.id].items()
        }
        assert hit.score == pytest.approx(sum(hit.parts.values()), abs=1e-4)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)


def test_words_and_vectors_may_disagree(vault: Vault, fake_embedder) -> None:
    vault.memories.add(
        Record(text, Kind.NOTE, "n.md", locator=text)
        for text in ("harbour", "The lighthouse stands where the harbour once was said to be", "Rain", "Milk", "Bread")
    )
    embed_missing(vault, fake_embedder)
    vault.vectors.put(fake_embedder.id, [1], -fake_embedder.embed(["harbour"]))
    retriever = Retriever(vault, fake_embedder)
    assert ids(retriever.search(query("harbour", signals=("lexical",))))[0] == 1
    assert ids(retriever.search(query("harbour", signals=("dense",))))[0] == 2


def test_a_signal_that_nobody_gives_scores_nothing(retriever: Retriever) -> None:
    assert {hit.score for hit in retriever.search(query("tea", signals=("unheard",)))} == {0.0}


def test_superseded_stays_below_its_successor_by_any_signal(retriever: Retriever, vault: Vault) -> None:
    vault.memories.supersede(3, by=7, at_ms=NOW_MS)
    for signals in ((), ("lexical",), ("dense",)):
        found = ids(retriever.search(query("Do I like tea?", signals=signals)))
        assert found.index(7) < found.index(3)
