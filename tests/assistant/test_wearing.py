"""What the model wears for a vault, and what it says about it."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso.assistant import open_assistant
from edgeperso.assistant.learning import described
from edgeperso.assistant.trace import AdapterTrace, Trace
from edgeperso.assistant.wearing import Outfit
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Adapter, SoftPrompt, Worn
from edgeperso.engine.gguf import check_model_file
from edgeperso.errors import AdapterInvalid, AdapterMismatch
from edgeperso.types import AdapterForm, Embedder, Granularity, Objective
from edgeperso.vault import KeyFile, Vault
from edgeperso.vault.adapters import AdapterState, NewAdapter, StoredAdapter

L = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("learners.py"))))
tiny_model = runpy.run_path(str(Path(__file__).parents[1] / "engine" / "gguf_files.py"))["tiny_model"]
Keep = Callable[..., StoredAdapter]


@pytest.fixture
def vault(home: Path, tmp_path: Path) -> Iterator[Vault]:
    with Vault.open(home, KeyFile(tmp_path / "me.key")) as vault:
        yield vault


@pytest.fixture
def toy(tmp_path: Path) -> Any:
    return L.Toy(tmp_path / "toy.gguf")


@pytest.fixture
def keep(vault: Vault) -> Keep:
    """Stores an adapter and wears it."""

    def add(adapter: Adapter, granularity: Granularity = Granularity.USER, scale: float = 1.0) -> StoredAdapter:
        stored = vault.adapters.add(
            NewAdapter(
                name="one",
                form=AdapterForm.SOFT if isinstance(adapter, SoftPrompt) else AdapterForm.LORA,
                objective=Objective.TEXT,
                granularity=granularity,
                base_sha256=adapter.base_sha256,
                base_name="toy",
                rank=2,
                alpha=4.0,
                state=AdapterState.READY,
            ),
            adapter_to_bytes(adapter),
        )
        vault.adapters.wear(granularity, stored.id, scale=scale)
        return stored

    return add


def test_the_stack_follows_the_vault_and_is_put_on_once(vault: Vault, toy: Any, keep: Keep) -> None:
    user = keep(L.lora(seed=1), scale=0.5)
    everybody = keep(L.lora(seed=2), Granularity.GLOBAL)
    outfit = Outfit(vault)
    assert outfit.dress(toy) == (
        AdapterTrace(everybody.id, Granularity.GLOBAL, 1.0, "worn"),
        AdapterTrace(user.id, Granularity.USER, 0.5, "worn"),
    )
    worn = [(everybody.digest, 1.0), (user.digest, 0.5)]
    assert [(one.key, one.scale) for one in toy.worn] == worn
    changes = len(toy.wore)
    outfit.dress(toy)
    assert len(toy.wore) == changes, "nothing changed: the model keeps what it holds"
    toy.wear(())
    outfit.dress(toy)
    assert [(one.key, one.scale) for one in toy.worn] == worn
    vault.adapters.wear(Granularity.USER, user.id, scale=0.25)
    outfit.dress(toy)
    assert toy.worn[1].scale == 0.25
    vault.adapters.wear(Granularity.USER, None)
    vault.adapters.wear(Granularity.GLOBAL, None)
    assert outfit.dress(toy) == ()
    assert toy.worn == ()


def test_a_vault_that_wears_nothing_leaves_the_engine_as_its_owner_made_it(vault: Vault, toy: Any, keep: Keep) -> None:
    toy.wear([Worn("theirs", L.lora())])
    outfit = Outfit(vault)
    assert outfit.dress(toy) == ()
    outfit.undress(toy)
    assert [one.key for one in toy.worn] == ["theirs"]
    keep(L.lora(seed=1))
    outfit.dress(toy)
    outfit.undress(toy)
    assert toy.worn == (), "the next person doesn't speak with it"


def test_what_was_made_for_another_model_is_left_out(vault: Vault, toy: Any, keep: Keep) -> None:
    other = keep(L.lora("ab" * 32), Granularity.PERSONA)
    own = keep(L.lora())
    traces = Outfit(vault).dress(toy)
    assert [(trace.id, trace.outcome) for trace in traces] == [(other.id, "other_base"), (own.id, "worn")]
    assert [one.key for one in toy.worn] == [own.digest]


def test_of_two_soft_prompts_the_lower_is_worn(vault: Vault, toy: Any, keep: Keep) -> None:
    keep(L.soft(), Granularity.PERSONA)
    keep(L.soft())
    assert [trace.outcome for trace in Outfit(vault).dress(toy)] == ["worn", "second_soft_prompt"]
    assert len(toy.worn) == 1


@pytest.mark.parametrize(("error", "outcome"), [(AdapterMismatch, "other_base"), (AdapterInvalid, "invalid")])
def test_what_the_engine_refuses_is_left_out_and_the_rest_is_worn(
    vault: Vault, toy: Any, keep: Keep, monkeypatch: pytest.MonkeyPatch, error: type[Exception], outcome: str
) -> None:
    bad, good = keep(L.lora(seed=1), Granularity.PERSONA), keep(L.lora(seed=2))
    wear = toy.wear

    def picky(stack: list[Worn]) -> None:
        if any(one.key == bad.digest for one in stack):
            raise error("no")
        wear(stack)

    monkeypatch.setattr(toy, "wear", picky)
    assert [trace.outcome for trace in Outfit(vault).dress(toy)] == [outcome, "worn"]
    assert [one.key for one in toy.worn] == [good.digest]


def test_below_a_granularity_lies_what_is_worn_under_it(vault: Vault, toy: Any, keep: Keep) -> None:
    outfit = Outfit(vault)
    assert outfit.below(toy, Granularity.USER) == []
    keep(L.lora("ab" * 32), Granularity.GLOBAL)
    persona = keep(L.lora(seed=1), Granularity.PERSONA)
    keep(L.lora(seed=2))
    assert [one.key for one in outfit.below(toy, Granularity.USER)] == [persona.digest]
    assert outfit.below(toy, Granularity.PERSONA) == []


def test_a_conversation_follows_the_context_that_a_soft_prompt_leaves(
    home: Path, tmp_path: Path, fake_embedder: Embedder
) -> None:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model())
    with (
        Engine.open(path, n_ctx=512, n_threads=1) as engine,
        open_assistant(home, key=KeyFile(tmp_path / "me.key"), models_dir=tmp_path) as me,
    ):
        me._engine, me._own_engine, me._embedder = engine, False, fake_embedder
        chat, whole = me.chat(), engine.info.n_ctx
        width = int(check_model_file(path).metadata["llama.embedding_length"])
        soft = SoftPrompt(engine.info.base_sha256, "llama", np.ones((100, width), np.float32))
        new = described(
            soft, engine.info, name="soft", granularity=Granularity.USER, state=AdapterState.READY, report={}
        )
        stored = me.vault.adapters.add(new, adapter_to_bytes(soft))
        budgets = []
        for wear in (None, stored.id, None):
            me.vault.adapters.wear(Granularity.USER, wear)
            budgets.append(chat.ask("So?", max_tokens=2).trace.budget["context"])
        assert budgets == [whole, whole - 100, whole]


def test_a_trace_comes_back_with_its_adapters_and_without_where_it_is_older() -> None:
    trace = Trace((), (), {}, {}, {}, {}, "end", False, (AdapterTrace(3, Granularity.USER, 0.5, "worn"),))
    stored = trace.as_dict()
    assert Trace.from_dict(stored) == trace
    del stored["adapters"]
    assert Trace.from_dict(stored).adapters == ()
