"""Questions name the facts that they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.knowledge import derive_facts, facts_asked_for
from edgeperso.times import DAY_MS
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault

NOTES = (
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
    ],
)
def test_asks_for(vault: Vault, question: str, values: list[str]) -> None:
    with vault:
        assert [fact.value for fact in facts_asked_for(vault, question)] == values
