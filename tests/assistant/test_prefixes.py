"""The beginning of a vault's prompts survives a restart, and is evaluated anew whenever it isn't quite the same."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from edgeperso.assistant import Assistant, Reply
from edgeperso.assistant.prefixes import LEAST_TOKENS, Prefixes
from edgeperso.engine import Engine, SoftPrompt, Worn
from edgeperso.errors import VaultBusy

CARD = {"name": "Ines Verhulst", "city": "Ghent", "works as": "a luthier, on Mondays to Thursdays"}
QUESTION = "Where is my bike?"
Start = Callable[..., Assistant]
Wear = Callable[[Assistant, Sequence[int]], int]
WARM: list[bool] = []
"""Of each question, whether the engine held its beginning before anything was evaluated for it."""


@pytest.fixture(autouse=True)
def _noted(monkeypatch: pytest.MonkeyPatch) -> None:
    warm = Prefixes.warm

    def noted(self: Prefixes, engine: Engine, tokens: Sequence[int]) -> bool:
        WARM.append(warm(self, engine, tokens))
        return WARM[-1]

    monkeypatch.setattr(Prefixes, "warm", noted)


@pytest.fixture
def me(start: Start) -> Assistant:
    """One whose profile is long enough, with a memory to quote."""
    me = start()
    for name, value in CARD.items():
        me.vault.profile.set(name, value)
    me.remember("My bike stands behind the station.")
    return me


def ask(me: Assistant) -> Reply:
    reply = me.ask(QUESTION, max_tokens=8)
    assert reply.text
    return reply


def warm(me: Assistant) -> bool:
    """Whether the engine of ``me`` holds the beginning already when it is asked."""
    ask(me)
    return WARM[-1]


def stable(reply: Reply) -> int:
    return reply.trace.budget["stable"]


def states(me: Assistant) -> int:
    return me.vault.database.counts()["states"]


def test_after_a_restart_the_beginning_is_there_and_the_answer_the_same(me: Assistant, start: Start) -> None:
    first = ask(me)
    assert stable(first) >= LEAST_TOKENS
    assert states(me) == 1
    second = ask(start())
    assert WARM[-1]
    assert (second.text, second.answer_tokens) == (first.text, first.answer_tokens)
    me = start()
    me.vault.database.execute("DELETE FROM states")
    cold = ask(me)
    assert not WARM[-1]
    assert cold.answer_tokens == first.answer_tokens


def test_it_is_saved_once(me: Assistant, start: Start) -> None:
    ask(me)
    row = me.vault.database.rows("SELECT id, saved_ms FROM states")
    ask(me)
    me = start()
    ask(me)
    assert me.vault.database.rows("SELECT id, saved_ms FROM states") == row


def test_a_short_beginning_is_not_worth_it(start: Start) -> None:
    me = start()
    me.remember("My bike stands behind the station.")
    assert stable(ask(me)) < LEAST_TOKENS
    assert states(me) == 0


def test_another_profile_begins_anew(me: Assistant, start: Start) -> None:
    ask(me)
    me.vault.profile.set("city", "Bruges")
    assert states(me) == 0
    assert not warm(start())


def test_a_chat_that_still_speaks_with_the_old_profile_leaves_no_state_of_it(me: Assistant) -> None:
    chat = me.chat()
    me.vault.profile.delete("city")
    assert chat.ask(QUESTION, max_tokens=4).text
    assert states(me) == 0


def test_another_model_or_context_begins_anew(
    me: Assistant, start: Start, tmp_path: Path, gguf_files: SimpleNamespace
) -> None:
    ask(me)
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_files.tiny_model(general__name="other"))
    assert not warm(start(other))
    assert warm(start(other))
    assert not warm(start(other, n_ctx=512))


def test_a_model_file_that_was_exchanged_under_its_name_begins_anew(
    me: Assistant, start: Start, tmp_path: Path, gguf_files: SimpleNamespace
) -> None:
    ask(me)
    (tmp_path / "tiny.gguf").write_bytes(gguf_files.tiny_model(general__name="TINY"))
    assert not warm(start())


def test_an_adapter_has_a_state_of_its_own_that_is_forgotten_with_what_it_learnt(
    me: Assistant, start: Start, wear: Wear
) -> None:
    ask(me)
    wear(me, [memory.id for memory in me.vault.memories.scan()])
    worn = ask(me)
    assert not WARM[-1]
    again = ask(start())
    assert WARM[-1]
    assert again.answer_tokens == worn.answer_tokens
    me = start()
    me.forget(me.plan_forget(ids=(1,)))
    assert states(me) == 0
    assert not warm(me)


def test_a_state_computed_with_what_is_not_from_this_vault_is_not_kept(me: Assistant) -> None:
    values = np.ones((3, 64), np.float32)
    me.engine.wear([Worn("from elsewhere", SoftPrompt(me.engine.info.base_sha256, "llama", values))])
    ask(me)
    assert states(me) == 0


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM state_chunks",
        "UPDATE state_chunks SET data = substr(data, 1, 100)",
        "UPDATE state_chunks SET data = randomblob(length(data))",
    ],
)
def test_damage_costs_the_time_and_nothing_else(me: Assistant, start: Start, damage: str) -> None:
    first = ask(me)
    me.vault.database.execute(damage)
    second = ask(start())
    assert not WARM[-1]
    assert second.answer_tokens == first.answer_tokens
    assert warm(start()), "a whole one took its place"


def test_one_that_llama_cpp_refuses_costs_the_time_and_nothing_else(
    me: Assistant, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = ask(me)
    me = start()
    monkeypatch.setattr(me.vault.states, "load", lambda *_names: b"whole, but not of this llama.cpp")
    second = ask(me)
    assert not WARM[-1]
    assert second.answer_tokens == first.answer_tokens


def test_a_busy_vault_still_answers(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_args: object, **_options: object) -> None:
        raise VaultBusy("Another process holds the vault.")

    for name in ("load", "has", "save"):
        monkeypatch.setattr(me.vault.states, name, busy)
    assert ask(me).text


def test_a_model_whose_file_went_away_still_answers(me: Assistant, tmp_path: Path) -> None:
    (tmp_path / "tiny.gguf").unlink()
    assert ask(me).text
    assert states(me) == 0


def test_a_begun_answer_is_stored_although_its_model_was_closed(me: Assistant) -> None:
    reply = me.ask(QUESTION)
    assert next(iter(reply))
    me.engine.close()
    reply.close()
    turn = me.vault.conversations.last_answer()
    assert turn is not None
    assert turn.text
    assert states(me) == 0


@pytest.mark.model
def test_the_default_model_says_the_same_after_a_restart(
    opener: Callable[..., Assistant], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "edgeperso")
    me = opener()
    for name, value in CARD.items():
        me.vault.profile.set(name, value)
    me.remember("My bike stands behind the station.")
    first = me.ask(QUESTION)
    assert first.text
    assert states(me) == 1
    me = opener()
    second = me.ask(QUESTION)
    assert (second.text, second.answer_tokens) == (first.text, first.answer_tokens)
    assert f"model.prefix_restored tokens={stable(second)}" in caplog.text
