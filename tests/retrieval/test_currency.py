"""Questions about how things are prefer the newer of what fits; questions about the past are left alone."""

from __future__ import annotations

import pytest

from edgeperso.retrieval import asks_for_present, favour_current
from edgeperso.times import DAY_MS
from edgeperso.types import Hit, Kind, Memory, Trust


def hit(id_: int, text: str, *, day: int | None, score: float) -> Hit:
    when = None if day is None else day * DAY_MS
    memory = Memory(
        id=id_, text=text, kind=Kind.NOTE, source="n", locator="", title="", author="", thread="", position=0,
        occurred_ms=when, recorded_ms=0, scope="personal", trust=Trust.SELF, language="en",
    )  # fmt: skip
    return Hit(memory, score, {"dense": score})


@pytest.mark.parametrize(
    "question",
    ["Who is my landlord?", "What do I drink?", "Who keeps our key?", "Where's my bike?", "Who has the spare key?",
     "Which phone do I have?", "Have we a cellar?"],
)  # fmt: skip
def test_the_present(question: str) -> None:
    assert asks_for_present(question)


@pytest.mark.parametrize(
    "question",
    ["Where did I live in 2024?", "Who was my boss?", "Where did I work before Ghent?", "Dinner ideas?",
     "Where has Ann camped?", "Which books have I read?", "What has my sister's band played?", "What've we seen?"],
)  # fmt: skip
def test_not_the_present(question: str) -> None:
    assert not asks_for_present(question)


def test_the_newer_of_two_that_fit_comes_first() -> None:
    hits = [hit(1, "The rent is 820.", day=10, score=9.0), hit(2, "The rent is 945.", day=400, score=8.0)]
    found = favour_current("How much is my rent?", hits)
    assert [one.memory.id for one in found] == [2, 1]
    assert found[0].parts["current"] > found[1].parts["current"] == 0
    assert found[0].score == pytest.approx(sum(found[0].parts.values()))


def test_a_word_of_change_counts() -> None:
    old, told = hit(1, "Coffee with Ann.", day=1, score=9.0), hit(2, "Coffee, lots of it.", day=300, score=5.0)
    changed = hit(3, "Switched to tea.", day=299, score=5.5)
    assert favour_current("What do I drink?", [old, told, changed])[0].memory.id == 3


def test_the_past_is_left_as_it_was_found() -> None:
    hits = [hit(1, "The rent is 820.", day=10, score=9.0), hit(2, "The rent is 945.", day=400, score=8.0)]
    assert favour_current("What was my rent before?", hits) == hits


def test_undated_memories_count_as_old() -> None:
    hits = [hit(1, "The rent is 820.", day=None, score=9.0), hit(2, "The rent is 945.", day=4, score=8.0)]
    assert [one.memory.id for one in favour_current("How much is my rent?", hits)] == [2, 1]


def test_nothing_found_stays_nothing() -> None:
    assert favour_current("How much is my rent?", []) == []
