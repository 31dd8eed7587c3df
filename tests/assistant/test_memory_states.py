"""Memories that were read ahead are taken over from their states, and evaluated whenever anything is not the same."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.assistant import Assistant, Reply, reading_ahead, splicing
from edgeperso.engine import Part
from edgeperso.errors import VaultBusy
from edgeperso.types import Kind, Record

QUESTION = "Where is my bike?"
CARD = {"name": "Ines Verhulst", "city": "Ghent", "works as": "a luthier, on Mondays to Thursdays"}
DAY_MS = 86_400_000
COUNT = 12
Start = Callable[..., Assistant]
Wear = Callable[[Assistant, Sequence[int]], int]


@pytest.fixture(autouse=True)
def _writes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tiny model reads like a larger one: it writes its own answers from several notes."""
    monkeypatch.setattr("edgeperso.assistant.readers._SMALL", 0)


@pytest.fixture
def me(start: Start) -> Assistant:
    me = start()
    for name, value in CARD.items():
        me.vault.profile.set(name, value)
    me.vault.memories.add(
        Record(f"My bike, {day}.", Kind.NOTE, "diary", occurred_ms=day * DAY_MS) for day in range(1, COUNT + 1)
    )
    me.catch_up()
    return me


def ask(me: Assistant, question: str = QUESTION) -> Reply:
    reply = me.ask(question, max_tokens=4, memory_states=True)
    assert reply.text
    return reply


def spliced(reply: Reply) -> int:
    return reply.trace.tokens["spliced"]


def kept(me: Assistant) -> list[int]:
    """The memories that have a state, of any model."""
    rows = me.vault.database.rows("SELECT DISTINCT memory_id FROM memory_states WHERE memory_id IS NOT NULL ORDER BY 1")
    return [id_ for (id_,) in rows]


def test_a_prompt_takes_most_notes_over_and_holds_more_of_them(me: Assistant) -> None:
    cold = ask(me)
    assert spliced(cold) == 0
    assert len(cold.sources) == 5
    report = me.read_ahead()
    assert (report.ended, report.read, report.states) == ("done", COUNT, COUNT)
    assert 0 < report.size_bytes < report.budget_bytes
    reply = ask(me)
    tokens = reply.trace.tokens
    assert len(reply.sources) == COUNT
    assert tokens["spliced"] > 0.5 * reply.trace.budget["memories"]
    assert tokens["cached"] + tokens["spliced"] + tokens["evaluated"] == tokens["prompt"]
    assert reply.trace.budget["memory_limit"] == 512, "half of the context stays free"
    assert me.why() == reply.trace
    assert me.read_ahead().read == 0, "all is read"


def test_it_is_off_unless_the_person_says_or_it_was_measured_to_pay(me: Assistant, monkeypatch) -> None:
    me.read_ahead()
    assert spliced(me.ask(QUESTION, max_tokens=4)) == 0
    monkeypatch.setattr(splicing, "_PAYS", ((0, 10**9, 300),))
    assert spliced(me.ask(QUESTION, max_tokens=4)) > 0
    assert spliced(me.ask(QUESTION, max_tokens=4, memory_states=False)) == 0
    monkeypatch.setattr(splicing, "_PAYS", ((0, 10**9, 900),))
    assert spliced(me.ask(QUESTION, max_tokens=4)) == 0, "there are fewer notes"
    monkeypatch.setattr(splicing, "_PAYS", ((0, 10**9, splicing.WIDE_TOKENS + 1),))
    assert spliced(me.ask(QUESTION, max_tokens=4)) == 0


def test_the_next_process_finds_states_and_beginning(me: Assistant, start: Start) -> None:
    me.read_ahead()
    first = ask(me)
    second = ask(start())
    assert spliced(second) == spliced(first) > 0
    assert second.trace.tokens["cached"] >= second.trace.budget["stable"], "the beginning was restored"
    assert second.sources == first.sources


def test_a_conversation_goes_on_from_what_was_spliced(me: Assistant) -> None:
    me.read_ahead()
    chat = me.chat(memory_states=True)
    first = chat.ask(QUESTION, max_tokens=4)
    assert spliced(first) > 0
    second = chat.ask("And what of the station?", max_tokens=4)
    held = first.trace.tokens["prompt"] + len(first.answer_tokens) - 1
    assert second.trace.tokens["cached"] == held
    assert spliced(second) == 0, "the notes stand there already"
    assert second.trace.tokens["evaluated"] == second.trace.tokens["prompt"] - held
    me.engine.clear()
    third = chat.ask("And the bike?", max_tokens=4)
    assert spliced(third) == spliced(first), "what was displaced is taken over anew"


def test_the_best_notes_are_read_anew_and_so_are_those_without_a_state(me: Assistant) -> None:
    me.read_ahead()
    best = ask(me)
    hits = [hit.memory_id for hit in best.trace.hits]
    worst = hits[-1]
    me.vault.database.execute("DELETE FROM memory_states WHERE memory_id = ?", (worst,))
    fewer = ask(me)
    assert worst in fewer.sources
    assert 0 < spliced(fewer) < spliced(best)
    assert hits[0] in fewer.sources


def test_too_few_states_are_not_worth_it(me: Assistant) -> None:
    me.read_ahead()
    me.vault.database.execute("DELETE FROM memory_states WHERE memory_id % 4 <> 0")
    reply = ask(me)
    assert spliced(reply) == 0
    assert len(reply.sources) == 5, "as if there were none"


@pytest.mark.parametrize("change", ["forget", "edit", "supersede"])
def test_what_is_forgotten_or_changed_is_not_taken_over(me: Assistant, change: str) -> None:
    me.read_ahead()
    chat = me.chat(memory_states=True)
    first = chat.ask(QUESTION, max_tokens=4)
    assert first.text
    match change:
        case "forget":
            me.forget(me.plan_forget(ids=(3,)))
        case "edit":
            me.edit(3, "My bike went.")
        case "supersede":
            me.vault.memories.supersede(3, by=4, at_ms=0)
    assert kept(me) == [id_ for id_ in range(1, COUNT + 1) if id_ != 3]
    second = chat.ask(QUESTION, max_tokens=4)
    assert second.text
    if change != "supersede":
        assert not second.trace.restarted
        assert second.trace.tokens["cached"] == len(chat._layout.beginning), "nothing of it is read again"
    report = me.read_ahead()
    assert (report.ended, report.read) == ("done", 1 if change == "edit" else 0)


def test_another_profile_drops_them_all(me: Assistant) -> None:
    me.read_ahead()
    ask(me)
    me.vault.profile.set("city", "Bruges")
    assert me.vault.memory_states.size() == (0, 0)
    assert spliced(ask(me)) == 0


def test_a_chat_that_still_speaks_with_the_old_profile_leaves_none(me: Assistant) -> None:
    me.read_ahead()
    chat = me.chat(memory_states=True)
    assert chat.ask(QUESTION, max_tokens=4).text
    me.vault.profile.delete("city")
    assert chat.ask(QUESTION, max_tokens=4).text
    assert me.vault.memory_states.size() == (0, 0)


def test_another_model_or_context_has_states_of_its_own(
    me: Assistant, start: Start, tmp_path: Path, gguf_files: SimpleNamespace
) -> None:
    me.read_ahead()
    other = tmp_path / "other.gguf"
    other.write_bytes(gguf_files.tiny_model(general__name="other"))
    for options in ({"model": other}, {"n_ctx": 768}):
        me = start(**options)
        assert spliced(ask(me)) == 0
        assert me.read_ahead().read == COUNT
        assert spliced(ask(me)) > 0
    assert spliced(ask(start())) > 0, "there was room for all of them"


def test_an_adapter_has_states_of_its_own_that_go_with_what_it_learnt(me: Assistant, wear: Wear) -> None:
    me.read_ahead()
    wear(me, [1])
    assert spliced(ask(me)) == 0
    assert me.read_ahead().read == COUNT
    assert spliced(ask(me)) > 0
    count, _ = me.vault.memory_states.size()
    me.forget(me.plan_forget(ids=(1,)))
    assert me.vault.database.row("SELECT count(*) FROM memory_states WHERE worn = 1") == (0,)
    assert me.vault.memory_states.size()[0] < count
    assert spliced(ask(me)) > 0, "those computed without it serve again"


def test_damage_costs_the_time_and_nothing_else(me: Assistant, start: Start) -> None:
    me.read_ahead()
    me.vault.database.execute(
        "UPDATE memory_state_chunks SET data = randomblob(length(data)) WHERE memory_state_id % 2 = 0"
    )
    reply = ask(start())
    assert spliced(reply) > 0
    assert len(reply.sources) == COUNT


def test_one_that_llama_cpp_refuses_is_evaluated(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    me.read_ahead()
    monkeypatch.setattr(me.vault.memory_states, "load", lambda *_names: b"whole, but not of this llama.cpp")
    reply = ask(me)
    assert spliced(reply) == 0
    assert len(reply.sources) == COUNT


@pytest.mark.parametrize("name", ["kept", "load", "save", "has_beginning"])
def test_a_busy_vault_still_answers(me: Assistant, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def busy(*_args: object, **_options: object) -> None:
        raise VaultBusy("Another process holds the vault.")

    me.read_ahead()
    monkeypatch.setattr(me.vault.memory_states, name, busy)
    assert ask(me).text


def test_without_memory_for_another_context_it_goes_without(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgeperso.engine.native import ffi

    monkeypatch.setattr(ffi, "llama_init_from_model", lambda *_: None)
    assert spliced(ask(me)) == 0
    assert me.read_ahead().ended == "useless"


def test_a_model_that_quotes_has_no_use_for_them(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeperso.assistant.readers._SMALL", 10**9)
    report = me.read_ahead()
    assert (report.ended, report.read, report.states) == ("useless", 0, 0)
    assert spliced(ask(me)) == 0


# Reading ahead


def test_the_useful_come_first_then_the_last_that_came(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    me.ask(QUESTION, max_tokens=1).close()
    reply = ask(me)
    read: list[int] = []
    save = splicing.Spliceable.save

    def noted(self, memory_id, *rest):  # type: ignore[no-untyped-def]
        read.append(memory_id)
        return save(self, memory_id, *rest)

    monkeypatch.setattr(splicing.Spliceable, "save", noted)
    me.vault.memories.add([Record("Nobody asked for this.", Kind.NOTE, "diary")])
    me.vault.memories.add([Record("Nor for this.", Kind.NOTE, "diary")])
    me.read_ahead()
    assert read[0] is None, "the beginning"
    assert set(read[1:6]) == set(reply.sources)
    assert read[-2:] == [COUNT + 2, COUNT + 1]


def test_it_stops_at_the_budget_and_computes_nothing_for_nothing(me: Assistant) -> None:
    me.read_ahead()
    _, size = me.vault.memory_states.size()
    me.vault.memory_states.set_budget(size // 2)
    before = kept(me)
    assert 0 < len(before) < COUNT
    report = me.read_ahead()
    assert report.ended == "full"
    assert report.size_bytes <= report.budget_bytes == size // 2
    again = me.read_ahead()
    assert (again.read, again.ended) == (0, "full")


def test_time_and_cancel_end_it_and_what_is_done_is_kept(me: Assistant) -> None:
    report = me.read_ahead(0.0)
    assert (report.read, report.ended) == (0, "time")
    cancel = threading.Event()

    def after_three(_stage: str, done: int, total: int | None) -> None:
        assert total is None
        if done == 3:
            cancel.set()

    report = me.read_ahead(cancel=cancel, progress=after_three)
    assert (report.read, report.states, report.ended) == (3, 3, "cancelled")
    assert me.read_ahead().read == COUNT - 3


def test_a_question_ends_it(me: Assistant) -> None:
    cancel = threading.Event()
    asked: list[Reply] = []

    def ask_then(_stage: str, done: int, _total: int | None) -> None:
        if done == 2:
            asked.append(me.ask(QUESTION, max_tokens=2))

    report = me.read_ahead(cancel=cancel, progress=ask_then)
    assert (report.read, report.ended) == (2, "cancelled")
    assert cancel.is_set()
    report = me.read_ahead()
    assert (report.read, report.ended) == (0, "cancelled"), "the answer isn't ended"
    assert asked[0].text
    assert me.read_ahead().ended == "done"


def test_what_changes_meanwhile_is_not_kept(me: Assistant) -> None:
    def edit(_stage: str, done: int, _total: int | None) -> None:
        if done == 0:
            me.vault.memories.edit(COUNT, "My bike went.")

    assert me.read_ahead(progress=edit).ended == "changed"
    assert kept(me) == []
    assert me.read_ahead().ended == "done"


def test_a_full_context_reads_nothing_and_says_nothing_of_the_budget(me: Assistant) -> None:
    assert me.engine.splicer is not None
    assert me.read_ahead(0.0).ended == "time"
    me.engine.splicer.clear()
    beginning = me.chat(memory_states=True)._layout.beginning
    filled = [Part(beginning), Part([5] * (1020 - len(beginning)))]
    list(me.engine.splicer.generate(filled, max_tokens=1))
    assert (me.read_ahead().read, me.read_ahead().ended) == (0, "done")


def test_long_memories_are_passed_over(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading_ahead, "MOST_NOTE_TOKENS", 3)
    report = me.read_ahead()
    assert (report.read, report.ended) == (0, "done")


def test_another_process_killed_in_the_middle_leaves_what_it_read(me: Assistant, home: Path, tmp_path: Path) -> None:
    """It reads while this one has the vault open, and this one's next question finds what it kept."""
    program = f"""
import os, signal
from pathlib import Path
from edgeperso.assistant import Assistant, readers
from edgeperso.catalogue import Catalogue
from edgeperso.engine import Engine
from edgeperso.vault import KeyFile, Vault
readers._SMALL = 0
engine = Engine.open({str(tmp_path / "tiny.gguf")!r}, n_ctx=1024, n_threads=1)
vault = Vault.open(Path({str(home)!r}), KeyFile(Path({str(tmp_path / "me.key")!r})))
me = Assistant(vault, Catalogue(Path()), engine=engine)
me.read_ahead(progress=lambda _stage, done, _total: done == {COUNT - 2} and os.kill(os.getpid(), signal.SIGKILL))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60, env=os.environ)
    assert done.returncode == -signal.SIGKILL
    assert len(kept(me)) == COUNT - 2
    assert spliced(ask(me)) > 0
    assert me.read_ahead().read == 2
    me.vault.check()
