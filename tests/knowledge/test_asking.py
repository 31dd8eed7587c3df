"""Questions name the facts that they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.knowledge import derive_facts, earlier_fact, facts_asked_for, outdated_by
from edgeperso.times import DAY_MS
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault

NOTES = (
    "I moved to Ghent.",
    "First workday of the year at Acme. Karel, my boss, brought cake.",
    "First day at Boole. My boss is Ann. They gave me a key, a desk by the window and a form of nine pages.",
    "Tom has moved to Rotterdam.",
    "My rent is now 945 euros.",
    "My new dentist is Dr Amrani.",
    "I moved to Bruges.",
    "My boss is Pieter Goossens.",
)


@pytest.fixture
def vault(tmp_path: Path) -> Vault:
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "key"))
    vault.memories.add(
        Record(text=text, kind=Kind.NOTE, source="n.md", locator=str(day), occurred_ms=day * DAY_MS)
        for day, text in enumerate(NOTES, start=20_000)
    )
    derive_facts(vault)
    return vault


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("How much is my rent?", ["945 euros"]),
        ("Who is my dentist now?", ["Dr Amrani"]),
        ("Where do I live?", ["Bruges"]),
        ("Who's my boss?", ["Pieter Goossens"]),
        ("When is my next dentist appointment?", []),
        ("What is my cat called?", []),
        ("Where does Tom live?", ["Rotterdam"]),
        ("Where does Liz live?", []),
        ("Where does Tom live when he isn't with me?", []),
    ],
)
def test_asks_for(vault: Vault, question: str, values: list[str]) -> None:
    with vault:
        assert [fact.value for fact in facts_asked_for(vault, question)] == values


@pytest.mark.parametrize(
    ("question", "value"),
    [
        ("Where did I live before Bruges?", "Ghent"),
        ("Where did I live before I moved to Bruges?", "Ghent"),
        ("Where did I live before Ghent?", None),
        ("Where did I live before Paris?", None),
        ("Where did Tom live before Rotterdam?", None),
        ("Where did I work before Boole?", "Acme"),
        ("Who was my boss before Ann?", "Karel"),
        ("Who was my boss before Pieter Goossens?", "Ann"),
        ("Who was my previous boss?", "Ann"),
        ("Who is my boss?", None),
        ("What did I eat before dinner?", None),
    ],
)
def test_what_was_before(vault: Vault, question: str, value: str | None) -> None:
    with vault:
        fact = earlier_fact(vault, question)
        assert (fact and fact.value) == value


def test_before_counts_from_when_the_value_first_held(tmp_path: Path) -> None:
    vault, _ = Vault.create(tmp_path / "home", KeyFile(tmp_path / "key"))
    homes = ["Ghent", "Bruges", "Bruges", "Lier"]
    with vault:
        vault.memories.add(
            Record(
                text=f"I moved to {home}.", kind=Kind.NOTE, source="n.md", locator=str(day), occurred_ms=day * DAY_MS
            )
            for day, home in enumerate(homes, start=20_000)
        )
        derive_facts(vault)
        fact = earlier_fact(vault, "Where did I live before Bruges?")
        assert fact is not None
        assert fact.value == "Ghent"


def test_only_what_was_asked_for_and_ended_is_outdated(vault: Vault) -> None:
    with vault:
        texts = {memory.id: memory.text for memory in vault.memories.scan()}
        boss = outdated_by(vault, facts_asked_for(vault, "Who is my boss?"))
        assert {texts[id_] for id_ in boss} == {NOTES[1], NOTES[2]}
        home = outdated_by(vault, facts_asked_for(vault, "Where do I live?"))
        assert {texts[id_] for id_ in home} == {NOTES[0]}
        assert outdated_by(vault, facts_asked_for(vault, "How much is my rent?")) == set()


def asked(home: Path, notes: dict[int, str], question: str) -> list[str]:
    """The values that ``question`` asks for, of notes by the day on which they were written."""
    vault, _ = Vault.create(home, KeyFile(home.with_suffix(".key")))
    with vault:
        vault.memories.add(
            Record(text=text, kind=Kind.NOTE, source="n.md", locator=str(day), occurred_ms=(20_000 + day) * DAY_MS)
            for day, text in notes.items()
        )
        derive_facts(vault)
        return [fact.value for fact in facts_asked_for(vault, question)]


@pytest.mark.parametrize(
    ("question", "values"),
    [
        ("Who supplies our gas and electricity?", ["Noven"]),
        ("Which company is my phone with?", ["Talko"]),
        ("Who is our internet from?", ["Skyfibre"]),
        ("How much is the gas a month?", []),
        ("What's my phone number?", []),
        ("What is my dog called?", ["Rex"]),
        ("What's my pet's name?", ["Rex"]),
        ("Which dog food do I buy?", []),
        ("What is my cat called?", []),
    ],
)
def test_things_are_asked_for_by_other_words(tmp_path: Path, question: str, values: list[str]) -> None:
    notes = {
        1: "Signed the gas for the flat with Helio.",
        2: "Our cat Tib hides from the drill.",
        3: "Moved phone to Talko.",
        4: "The internet is with Skyfibre.",
        5: "Tib died today.",
        6: "Chose Noven for power and gas in the new house.",
        7: "Our greyhound Rex is scared of thunder.",
    }
    assert asked(tmp_path / "home", notes, question) == values


@pytest.mark.parametrize(
    ("notes", "values"),
    [
        ({0: "I moved to Ghent.", 300: "My rent is 640 euros."}, ["640 euros"]),
        ({0: "I moved to Ghent.", 10: "My rent is 640 euros.", 200: "I moved to Lier."}, []),
        ({0: "I moved to Ghent.", 150: "From May the rent is 640 euros.", 200: "I moved to Lier."}, ["640 euros"]),
        ({0: "I moved to Ghent.", 10: "My rent is 640 euros.", 200: "I still live in Ghent."}, ["640 euros"]),
        ({10: "My rent is 640 euros.", 200: "I live in Ghent."}, ["640 euros"]),
    ],
)
def test_what_belongs_to_a_home_ends_with_it(tmp_path: Path, notes: dict[int, str], values: list[str]) -> None:
    assert asked(tmp_path / "home", notes, "How much is my rent?") == values
