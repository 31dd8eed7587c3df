"""Through candidates a large vault gives what a pass over all memories would."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.embedding import embed_missing
from edgeperso.retrieval import Retriever
from edgeperso.types import Hit, Kind, MemoryFilter, Query, Record
from edgeperso.vault import Vault

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
WORDS = ("tea", "harbour", "cello", "rain", "train", "bread", "whale", "plumber", "candle", "choir", "castle", "bee")


@pytest.fixture
def life(vault: Vault, fake_embedder) -> Vault:
    """200 memories of three words, in threads of five, some of them superseded."""
    chance = np.random.default_rng(5)
    vault.memories.add(
        Record(
            " ".join(chance.choice(WORDS, 3)) + f" number{number}",
            Kind.CHAT,
            f"chat{number % 3}.md",
            author=("Ann", "Ben", "")[number % 3],
            thread=f"talk {number // 5}",
            position=number,
            occurred_ms=NOW_MS - int(chance.integers(0, 60)) * DAY_MS // 4,
        )
        for number in range(200)
    )
    embed_missing(vault, fake_embedder)
    for old in range(10, 100, 7):
        vault.memories.supersede(old, by=old + 100, at_ms=NOW_MS)
    return vault


def both(monkeypatch, vault: Vault, embedder, query: Query, *, best: int = 500) -> tuple[list[Hit], list[Hit]]:
    """Hits by a pass over all, and through candidates."""
    found = []
    for rows in (10_000, 0):
        with monkeypatch.context() as patch:
            patch.setattr("edgeperso.index.index._WHOLE_ROWS", rows)
            patch.setattr("edgeperso.retrieval.candidates._BEST", best)
            retriever = Retriever(vault, embedder)
            retriever.load()
            found.append(retriever.search(query))
    return found[0], found[1]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    words=st.lists(st.sampled_from(WORDS), min_size=1, max_size=4),
    shape=st.sampled_from(
        [
            "{}",
            "What did Ann say about {}?",
            "{} last week?",
            "{} before the rain number7?",
            "Is it {}?",
            "Did {} change?",
        ]
    ),
    where=st.sampled_from([MemoryFilter(), MemoryFilter(sources=("chat1.md",)), MemoryFilter(include_closed=False)]),
    signals=st.sampled_from([(), ("lexical",), ("dense", "recency")]),
)
def test_with_room_for_all_the_same_comes_out(monkeypatch, life, fake_embedder, words, shape, where, signals) -> None:
    query = Query(shape.format(" ".join(words)), NOW_MS, limit=20, where=where, signals=signals)
    whole, near = both(monkeypatch, life, fake_embedder, query)
    # Cosines beyond the best 32 and the statistics are estimates: what nearly ties, or lies at the floor of relevance,
    # may fall on the other side.
    expected = {hit.memory.id: hit for hit in whole}
    both_found = [hit for hit in near if hit.memory.id in expected]
    assert len(both_found) >= 0.8 * max(len(whole), len(near))
    for hit in both_found:
        assert hit.score == pytest.approx(expected[hit.memory.id].score, abs=0.1)
        assert hit.parts == pytest.approx(expected[hit.memory.id].parts, abs=0.1)
    assert [hit.score for hit in near[:1]] == pytest.approx([hit.score for hit in whole[:1]], abs=0.1)


def test_few_candidates_find_the_best_and_what_is_beside_it(monkeypatch, life, fake_embedder) -> None:
    whole, near = both(monkeypatch, life, fake_embedder, Query("cello castle number77", NOW_MS, limit=5), best=10)
    assert near[0].memory.id == whole[0].memory.id == 78
    for name in ("dense", "lexical", "neighbours", "occasion"):
        assert near[0].parts[name] == pytest.approx(whole[0].parts[name], abs=0.1), name


def test_a_memory_is_found_for_what_stands_beside_it_alone(monkeypatch, vault, fake_embedder) -> None:
    vault.memories.add(
        [
            *(Record(f"rain train bread number{n}", Kind.NOTE, "a.md", thread="a", position=n) for n in range(50)),
            Record("Which instrument did your sister choose?", Kind.CHAT, "b.md", thread="b", position=0),
            Record("The cello!", Kind.CHAT, "b.md", thread="b", position=1),
        ]
    )
    embed_missing(vault, fake_embedder)
    _, near = both(monkeypatch, vault, fake_embedder, Query("instrument sister choose", NOW_MS, limit=2), best=1)
    assert [hit.memory.id for hit in near] == [51, 52]


def test_rank_in_a_large_vault_is_rank_in_a_small_one(monkeypatch, life, fake_embedder) -> None:
    found = []
    for rows in (10_000, 0):
        with monkeypatch.context() as patch:
            patch.setattr("edgeperso.index.index._WHOLE_ROWS", rows)
            retriever = Retriever(life, fake_embedder)
            retriever.load()
            found.append(retriever.rank([3, 50, 120, 7], Query("cello castle", NOW_MS)))
    assert [hit.memory.id for hit in found[0]] == [hit.memory.id for hit in found[1]]
    for one, other in zip(*found, strict=True):
        assert one.score == pytest.approx(other.score, abs=0.05)
