from __future__ import annotations

import numpy as np
import pytest

from edgeperso.errors import DataInvalid, EmbedderMismatch, NotFound, UsageError
from edgeperso.types import Role
from edgeperso.vault.erasure import erase, plan


def unit(n: int, dim: int = 8) -> np.ndarray:
    rows = np.random.default_rng(5).standard_normal((n, dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@pytest.fixture
def ids(vault, note) -> list[int]:
    return list(vault.memories.add([note(f"n{i}") for i in range(5)]).ids)


class TestVectors:
    def test_round_trip_in_float16(self, vault, ids) -> None:
        rows = unit(5)
        vault.vectors.put("e", ids[::-1], rows)
        loaded, data = vault.vectors.load("e")
        assert loaded.tolist() == ids
        np.testing.assert_array_equal(data, rows[::-1].astype(np.float16))
        assert vault.vectors.load("e", after_id=ids[3])[0].tolist() == [ids[4]]

    def test_missing(self, vault, ids) -> None:
        assert vault.vectors.missing("e", 2) == ids[:2]
        vault.vectors.put("e", ids[:1], unit(1))
        vault.vectors.put("f", ids[1:3], unit(2, 4))
        assert vault.vectors.missing("e", 9) == ids[1:]
        assert vault.vectors.spaces() == [("e", 8, 1), ("f", 4, 2)]

    def test_spaces_are_never_mixed(self, vault, ids) -> None:
        vault.vectors.put("e", ids, unit(5))
        with pytest.raises(EmbedderMismatch):
            vault.vectors.put("e", ids, unit(5, 4))
        vault.vectors.drop("e")
        vault.vectors.drop("e")
        assert vault.vectors.spaces() == []
        assert vault.vectors.load("e")[0].size == 0

    def test_bad_vectors_are_refused(self, vault, ids) -> None:
        for rows in (unit(4), np.full((5, 8), np.nan, np.float32), np.zeros(5, np.float32)):
            with pytest.raises(UsageError):
                vault.vectors.put("e", ids, rows)
        assert vault.vectors.put("e", [], np.empty((0, 8), np.float32)) == 0

    def test_a_forgotten_or_edited_memory_gets_no_late_vector(self, vault, ids) -> None:
        seen = vault.generation
        vault.memories.edit(ids[0], "changed meanwhile")
        assert vault.vectors.put("e", [*ids, 999], unit(6), as_of=seen) == 4
        assert vault.vectors.missing("e", 9) == [ids[0]]
        assert vault.vectors.put("e", ids[:1], unit(1), as_of=vault.generation) == 1

    def test_generation_grows(self, vault, ids) -> None:
        before = vault.generation
        vault.vectors.put("e", ids, unit(5))
        assert vault.generation > before


class TestSegments:
    def test_replace_load_drop(self, vault) -> None:
        put = vault.segments.put
        put("dense", "e", 1, np.array([3, 4]), b"old")
        put("dense", "e", 1, np.array([5]), b"new")
        put("dense", "e", 0, np.array([1, 2]), b"first")
        put("dense", "f", 0, np.array([1]), b"other space")
        loaded = vault.segments.load("dense", "e")
        assert [(s.number, s.ids.tolist(), s.payload) for s in loaded] == [(0, [1, 2], b"first"), (1, [5], b"new")]
        vault.segments.drop("dense", "e", 0)
        assert [s.number for s in vault.segments.load("dense", "e")] == [1]
        vault.segments.drop("dense", "e")
        assert vault.segments.load("dense", "e") == []
        assert len(vault.segments.load("dense", "f")) == 1

    @pytest.mark.parametrize("wrong", [[], [2, 1], [1, 1]])
    def test_ids_must_ascend(self, vault, wrong) -> None:
        with pytest.raises(UsageError):
            vault.segments.put("dense", "e", 0, np.array(wrong, dtype=np.int64), b"")

    def test_unchanged_are_those_still_there_with_their_text(self, vault, ids) -> None:
        before = vault.generation
        assert vault.segments.unchanged(ids[1], ids[3], before).tolist() == ids[1:4]
        vault.memories.edit(ids[2], "another text")
        erase(vault, plan(vault, ids=[ids[3]]))
        assert vault.segments.unchanged(ids[0], ids[4], before).tolist() == [ids[0], ids[1], ids[4]]
        assert vault.segments.unchanged(ids[0], ids[4], vault.generation).tolist() == [*ids[:3], ids[4]]
        assert vault.segments.unchanged(ids[4] + 1, ids[4] + 9, before).tolist() == []


class TestFacts:
    def test_a_newer_fact_closes_an_older_one(self, vault, ids) -> None:
        a = vault.facts.add(ids[0], "me", "home", "Paris", 10)
        b = vault.facts.add(ids[1], "me", "home", "Lyon", 20)
        vault.facts.add(ids[1], "me", "job", "baker", 20)
        vault.facts.close(a.id, by=b.id, at_ms=20)
        assert [fact.value for fact in vault.facts.current("me", "home")] == ["Lyon"]
        assert [fact.value for fact in vault.facts.current()] == ["Lyon", "baker"]
        history = vault.facts.history("me", "home")
        assert [(fact.value, fact.valid_to_ms, fact.closed_by) for fact in history] == [
            ("Paris", 20, b.id),
            ("Lyon", None, None),
        ]
        assert len(vault.facts.of_memories(ids)) == 3
        vault.facts.reopen(a.id)
        assert [fact.value for fact in vault.facts.current("me", "home")] == ["Paris", "Lyon"]
        with pytest.raises(NotFound):
            vault.facts.reopen(999)
        vault.facts.clear()
        assert vault.facts.current() == []

    def test_bad_references(self, vault, ids) -> None:
        fact = vault.facts.add(ids[0], "me", "home", "Paris", 10)
        with pytest.raises(NotFound):
            vault.facts.add(999, "me", "home", "Paris", 10)
        with pytest.raises(NotFound):
            vault.facts.close(fact.id, by=999, at_ms=1)
        with pytest.raises(DataInvalid):
            vault.facts.close(fact.id, by=fact.id, at_ms=1)


class TestConversations:
    def test_turns(self, vault) -> None:
        talks = vault.conversations
        assert talks.latest() is None
        assert talks.last_answer() is None
        first, second = talks.start(), talks.start()
        asked = talks.add_turn(first, Role.PERSON, "When?")
        said = talks.add_turn(first, Role.ASSISTANT, "Now.", {"sources": [1], "ms": 2.5})
        talks.add_turn(second, Role.PERSON, "And?")
        assert talks.turns(first) == [asked, said]
        assert talks.turn(said.id) == said == talks.last_answer()
        assert talks.latest() == second
        with pytest.raises(NotFound):
            talks.add_turn(99, Role.PERSON, "lost")
        with pytest.raises(NotFound):
            talks.turn(99)

    def test_accepted_answers_with_what_was_asked(self, vault) -> None:
        talks = vault.conversations
        first, second = talks.start(), talks.start()
        greeting = talks.add_turn(first, Role.ASSISTANT, "Hello.")
        asked = talks.add_turn(first, Role.PERSON, "When?")
        elsewhere = talks.add_turn(second, Role.PERSON, "And?")
        said = talks.add_turn(first, Role.ASSISTANT, "Now.")
        so = talks.add_turn(second, Role.ASSISTANT, "So.")
        talks.add_turn(first, Role.PERSON, "Thanks.")
        assert talks.accepted_turns() == []
        for turn in (so, said, greeting, said):
            talks.accept(turn.id)
        assert talks.accepted_turns() == [(asked, said), (elsewhere, so)]
        with pytest.raises(UsageError):
            talks.accept(asked.id)
        with pytest.raises(NotFound):
            talks.accept(99)


class TestSmallTables:
    def test_profile(self, vault) -> None:
        vault.profile.set("name", "Ada")
        vault.profile.set("name", "Ada L.")
        assert vault.profile.all() == {"name": "Ada L."}
        vault.profile.delete("name")
        with pytest.raises(NotFound):
            vault.profile.delete("name")

    def test_meta(self, vault) -> None:
        assert vault.meta.get("embedder") is None
        vault.meta.set("embedder", "minilm")
        assert vault.meta.get("embedder") == "minilm"

    def test_imports(self, vault) -> None:
        vault.imports.mark("notes/a.md", "d1")
        vault.imports.mark("notes/a.md", "d1")
        vault.imports.mark("notes2", "d2")
        assert vault.imports.seen("notes/a.md", "d1")
        assert not vault.imports.seen("notes/a.md", "d2")
        vault.imports.forget("notes/")
        assert not vault.imports.seen("notes/a.md", "d1")
        assert vault.imports.seen("notes2", "d2")


class TestTransactions:
    def test_all_or_nothing(self, vault, note) -> None:
        def fail() -> None:
            with vault.transaction():
                vault.memories.add([note("a")])
                vault.meta.set("m", "1")
                raise KeyError

        with pytest.raises(KeyError):
            fail()
        assert vault.memories.count() == 0
        assert vault.meta.get("m") is None

    def test_a_nested_failure_takes_back_its_own_part(self, vault, note) -> None:
        def fail() -> None:
            with vault.transaction():
                vault.memories.add([note("dropped")])
                raise KeyError

        with vault.transaction():
            vault.memories.add([note("kept")])
            with pytest.raises(KeyError):
                fail()
            vault.memories.add([note("also kept")])
        assert [memory.text for memory in vault.memories.scan()] == ["kept", "also kept"]
