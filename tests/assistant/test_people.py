"""The persona that a new person is given: by what they write about, and only one that fits."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.adaptation.personas import card_of
from edgeperso.assistant import Assistant, open_assistant
from edgeperso.assistant.people import own_card
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.errors import TooLittle
from edgeperso.types import AdapterForm, Embedder, Granularity, Kind, Objective, Record, Trust
from edgeperso.vault import KeyFile
from edgeperso.vault.adapters import AdapterState, NewAdapter, StoredAdapter

L = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("learners.py"))))
Keep = Callable[..., StoredAdapter]


@pytest.fixture
def me(home: Path, tmp_path: Path, fake_embedder: Embedder) -> Iterator[Assistant]:
    with open_assistant(home, key=KeyFile(tmp_path / "me.key"), models_dir=tmp_path, clock=lambda: L.NOW_MS) as me:
        me._embedder = fake_embedder
        me._engine = L.Toy(tmp_path / "toy.gguf", L.helps())
        yield me


@pytest.fixture
def keep(me: Assistant, fake_embedder: Embedder) -> Keep:
    """Stores a persona of people who write about ``about``."""

    def add(about: str, base: str | None = None, **changes: Any) -> StoredAdapter:
        adapter = L.lora() if base is None else L.lora(base)
        fields: dict[str, Any] = {
            "name": about.partition(" ")[0],
            "granularity": Granularity.PERSONA,
            "state": AdapterState.READY,
            "card": card_of(fake_embedder.id, fake_embedder.embed([about])).as_dict(),
            **changes,
        }
        new = NewAdapter(
            form=AdapterForm.LORA,
            objective=Objective.TEXT,
            base_sha256=adapter.base_sha256,
            base_name="toy",
            rank=2,
            alpha=4.0,
            **fields,
        )
        return me.vault.adapters.add(new, adapter_to_bytes(adapter))

    return add


def test_the_nearest_by_first_memories_and_profile_is_worn(me: Assistant, keep: Keep) -> None:
    cooks, sailors = keep("bread soup kitchen oven salt"), keep("sail wind harbour tide oar")
    me.remember("Wind and tide were kind, the harbour quiet.")
    assert me.nearest_persona() == sailors
    assert [row.adapter_id for row in me.adapters.worn()] == [sailors.id]
    assert [trace.outcome for trace in me.dress()] == ["worn"]
    me.vault.profile.set("likes", "bread soup kitchen oven salt bread soup kitchen oven salt")
    me.forget(me.plan_forget(ids=tuple(memory.id for memory in me.vault.memories.scan())))
    assert me.nearest_persona() == cooks


def test_one_that_does_not_fit_is_passed_over(me: Assistant, keep: Keep) -> None:
    me.remember("Wind and tide were kind, the harbour quiet.")
    about = "wind and tide harbour"
    keep(about, base="ab" * 32)
    keep(about, state=AdapterState.REFUSED)
    keep(about, granularity=Granularity.GLOBAL)
    keep(about, card=None)
    keep(about, card={"embedder": "another", "vector": [1.0] * 64})
    assert me.nearest_persona() is None
    assert me.adapters.worn() == ()


def test_what_others_wrote_says_nothing_of_the_person(me: Assistant, keep: Keep) -> None:
    keep("wind and tide")
    with pytest.raises(TooLittle):
        me.nearest_persona()
    me.vault.memories.add([Record("Wind and tide.", Kind.MAIL, "mail", trust=Trust.OTHER)])
    with pytest.raises(TooLittle):
        own_card(me)
