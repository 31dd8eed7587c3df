"""Asking, chatting and why, on the real small model."""

from __future__ import annotations

import gc
import runpy
import threading
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from edgeperso.assistant import Assistant, Reply, Trace
from edgeperso.assistant.reply import NOTHING_FOUND
from edgeperso.errors import EmptyQuestion, NotFound, QuestionTooLong
from edgeperso.prompting import begun_answer
from edgeperso.types import Hit, MemoryFilter, Role, Trust

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
BIKE = "What is the code of my bike lock?"
OPEN = "Tell me about my sourdough starter and my dentist."
"""A question whose answer the model words itself, token by token."""


@pytest.fixture
def known(me: Assistant) -> dict[str, int]:
    """Three memories, by name."""
    return {
        "bike": me.remember("The code of my bike lock is 2093.").id,
        "dentist": me.remember("My dentist is Dr Amrani.").id,
        "starter": me.remember("My sourdough starter is called Gustav.").id,
    }


def roles(me: Assistant) -> list[Role]:
    return [turn.role for turn in me.vault.conversations.all_turns()]


def consistent(me: Assistant) -> None:
    """Turns come in pairs, and the database is whole."""
    assert roles(me) == [Role.PERSON, Role.ASSISTANT] * (len(roles(me)) // 2)
    me.vault.check()


def test_an_answer_and_where_it_comes_from(me: Assistant, known: dict[str, int]) -> None:
    reply = me.ask(BIKE)
    pieces = list(reply)
    assert "".join(pieces) == reply.text
    assert "2093" in reply.text
    assert reply.sources == (known["bike"],)
    assert list(reply) == [], "a reply is said once"
    trace = me.why()
    assert trace == Trace.from_dict(reply.trace.as_dict())
    assert trace.sources == reply.sources
    outcomes = {hit.memory_id: hit.outcome for hit in trace.hits}
    assert outcomes[known["bike"]] == "included"
    assert set(outcomes) <= set(known.values())
    assert all(hit.score == pytest.approx(sum(hit.parts.values())) for hit in trace.hits)
    assert trace.tokens["prompt"] == trace.tokens["cached"] + trace.tokens["evaluated"]
    assert trace.model["architecture"] == "llama"
    assert trace.tokens["prompt"] + trace.budget["answer"] <= trace.budget["context"]
    assert trace.timings_ms["first_token"] <= trace.timings_ms["total"]


def test_a_trace_holds_no_text(me: Assistant, known: dict[str, int]) -> None:
    text = str(me.ask(BIKE).trace.as_dict())
    assert "2093" not in text
    assert "bike" not in text


def test_why_from_another_process(me: Assistant, opener, known: dict[str, int]) -> None:
    reply = me.ask(BIKE)
    _ = reply.text
    assert opener().why() == reply.trace


def test_what_the_assistant_says_is_never_remembered(me: Assistant, known: dict[str, int]) -> None:
    for question in (BIKE, OPEN, BIKE):
        _ = me.ask(question, max_tokens=8).text
    assert me.vault.memories.count() == len(known)
    assert {hit.memory.id for hit in me.recall(BIKE)} <= set(known.values())
    assert len(roles(me)) == 6
    consistent(me)


def test_the_next_turn_evaluates_only_what_is_new(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    prompts: list[list[int]] = []
    traces: list[Trace] = []
    for question in (BIKE, "Who is my dentist?", OPEN):
        reply = chat.ask(question, max_tokens=12)
        traces.append(reply.trace)
        prompts.append(list(reply._plan.prompt.tokens))
    for before, after in pairwise(prompts):
        assert after[: len(before)] == before, "prompts only grow at their end"
    for earlier, later in pairwise(traces):
        assert later.tokens["cached"] >= earlier.tokens["prompt"] - 1
        own = later.budget["memories"] + later.budget["question"] + earlier.tokens["generated"]
        assert later.tokens["evaluated"] <= own + 1
        assert not later.restarted
    assert len({turn.conversation_id for turn in me.vault.conversations.all_turns()}) == 1


def test_the_same_question_again_gives_the_same_answer(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    assert "2093" in chat.ask(BIKE).text
    assert "Gustav" in chat.ask("What is my sourdough starter called?").text
    assert "2093" in chat.ask(BIKE).text


def test_an_answer_from_an_earlier_turns_note_names_it_and_goes_with_it(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    _ = chat.ask(BIKE).text
    again = chat.ask(OPEN, max_tokens=12)
    _ = again.text
    assert known["bike"] in again.sources, "the note still stands in the prompt that the model read"
    assert me.forget(me.plan_forget(ids=(known["bike"],))).answers == 2


def test_what_was_forgotten_is_not_said_in_a_chat_that_is_open(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    assert "2093" in chat.ask(BIKE).text
    me.forget(me.plan_forget(ids=(known["bike"],)))
    reply = chat.ask(BIKE)
    assert "2093" not in reply.text
    assert "2093" not in me.engine.detokenize(reply._plan.prompt.tokens)


@pytest.mark.parametrize(
    "question",
    [BIKE, OPEN],
)
def test_cancelled_before_it_began(me: Assistant, known: dict[str, int], question: str) -> None:
    chat = me.chat()
    reply = chat.ask(question)
    reply.cancel()
    assert NOTHING_FOUND not in reply.text
    assert reply.trace.stopped == "cancelled"
    assert me.why().stopped == "cancelled"
    assert "2093" in chat.ask(BIKE).text
    consistent(me)


def test_cancelled_in_the_middle(me: Assistant, known: dict[str, int]) -> None:
    assert begun_answer(OPEN) == ""
    chat = me.chat()
    reply = chat.ask(OPEN)
    stream = iter(reply)
    said = [next(stream), next(stream)]
    reply.cancel()
    said += stream
    assert "".join(said) == reply.text
    assert reply.trace.stopped == "cancelled"
    assert reply.trace.tokens["generated"] < 64
    assert [turn.text for turn in me.vault.conversations.all_turns()] == [OPEN, reply.text]
    following = chat.ask(BIKE)
    assert "2093" in following.text
    assert following.trace.tokens["cached"] >= reply.trace.tokens["prompt"] - 1
    consistent(me)


def test_cancelled_from_another_thread(me: Assistant, known: dict[str, int]) -> None:
    reply = me.ask(OPEN)
    stream = iter(reply)
    next(stream)
    thread = threading.Thread(target=reply.cancel)
    thread.start()
    thread.join()
    assert len(list(stream)) <= 2
    assert reply.trace.stopped == "cancelled"


def test_ctrl_c_while_it_speaks(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()

    def read() -> None:
        for number, _piece in enumerate(chat.ask(OPEN)):
            if number == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        read()
    gc.collect()
    assert me.why().stopped == "cancelled"
    assert "2093" in chat.ask(BIKE).text
    consistent(me)


def test_ctrl_c_inside_the_model(me: Assistant, known: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    chat = me.chat()
    reply = chat.ask(OPEN)
    stream = iter(reply)
    next(stream)

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(me.engine, "piece", interrupted)
        with pytest.raises(KeyboardInterrupt):
            list(stream)
    assert reply.trace.stopped == "cancelled"
    assert "2093" in chat.ask(BIKE).text
    consistent(me)


def test_a_reply_that_nobody_reads(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    chat.ask(BIKE)
    gc.collect()
    assert roles(me) == [], "what was never said is not part of the conversation"
    assert "2093" in chat.ask(BIKE).text
    consistent(me)


def test_a_reply_left_half_way_and_another_begun(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    left = chat.ask(OPEN)
    next(iter(left))
    assert "2093" in chat.ask(BIKE).text
    del left
    gc.collect()
    assert "Amrani" in chat.ask("Who is my dentist?").text
    consistent(me)


@pytest.mark.filterwarnings("error")
def test_a_reply_left_half_way_when_all_is_closed(opener) -> None:
    me = opener()
    me.remember("My dentist is Dr Amrani.")
    reply = me.ask(OPEN)
    next(iter(reply))
    me._engine = None
    me.close()
    del reply
    gc.collect()
    consistent(opener())


def test_forgetting_takes_the_answers_that_drew_on_it(me: Assistant, known: dict[str, int]) -> None:
    assert "2093" in me.ask(BIKE).text
    plan = me.plan_forget(ids=(known["bike"],))
    assert (plan.memories, plan.answers) == (1, 1)
    assert me.forget(plan).answers == 1
    assert "2093" not in "".join(turn.text for turn in me.vault.conversations.all_turns())
    assert me.vault.conversations.last_answer().trace == {"forgotten": True, "sources": []}  # type: ignore[union-attr]
    with pytest.raises(NotFound, match="forgotten"):
        me.why()
    reply = me.ask(BIKE)
    assert "2093" not in reply.text
    assert known["bike"] not in reply.sources
    assert me.why().sources == reply.sources


def test_what_is_superseded_is_no_source(me: Assistant) -> None:
    old = me.remember("I live in Oslo.", occurred_ms=NOW_MS - 30 * DAY_MS)
    new = me.remember("I moved to Bergen.")
    reply = me.ask("Where do I live?")
    assert "Bergen" in reply.text
    assert "Oslo" not in reply.text
    assert reply.sources == (new.id,)
    assert {hit.memory_id: hit.outcome for hit in reply.trace.hits}[old.id] == "superseded"
    assert "Oslo" in me.ask("Where did I live before?").text


def test_a_larger_model_skips_what_lies_far_behind_the_persons_own_words_about_the_present(
    me: Assistant, known: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edgeperso.assistant.readers._SMALL", 0)
    hits = [Hit(memory, -10.0 * place, {}) for place, memory in enumerate(me.vault.memories.get(known.values()))]
    monkeypatch.setattr(me, "find", lambda _question, _where: (hits, []))
    reply = me.ask("Who is my dentist?", max_tokens=2)
    assert reply.sources == (hits[0].memory.id,)
    assert [hit.outcome for hit in reply.trace.hits] == ["included", "reader", "reader"]
    assert set(me.ask("Who was my dentist?", max_tokens=2).sources) == set(known.values())
    hits[0] = replace(hits[0], memory=replace(hits[0].memory, trust=Trust.OTHER))
    assert set(me.ask("Who is my dentist?", max_tokens=2).sources) == set(known.values())


def test_an_empty_vault_says_that_it_knows_nothing(me: Assistant) -> None:
    reply = me.ask(BIKE)
    assert reply.text.strip()
    assert reply.sources == ()
    assert me.why().hits == ()


def test_filters_bound_what_is_read(me: Assistant, known: dict[str, int]) -> None:
    reply = me.ask(BIKE, where=MemoryFilter(scopes=("work",)))
    assert "2093" not in reply.text
    assert reply.sources == ()


def test_the_profile_is_known(me: Assistant) -> None:
    me.vault.profile.set("name", "Ottilie")
    reply = me.ask("What is my name?")
    assert "Ottilie" in me.engine.detokenize(reply._plan.prompt.tokens)


@pytest.mark.parametrize(("question", "raised"), [(" \n", EmptyQuestion), ("canary " * 20_000, QuestionTooLong)])
def test_questions_that_cannot_be_asked(
    me: Assistant, known: dict[str, int], question: str, raised: type[Exception]
) -> None:
    chat = me.chat()
    with pytest.raises(raised) as caught:
        chat.ask(question)
    assert "canary" not in str(caught.value)
    assert roles(me) == []
    assert "2093" in chat.ask(BIKE).text


def test_a_long_chat_begins_anew_and_says_so(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    restarted = []
    for number in range(3):
        reply = chat.ask(f"{number} {'many words go by ' * 180}.", max_tokens=1)
        restarted.append(reply.trace.restarted)
        assert reply.trace.tokens["prompt"] + reply.trace.budget["answer"] <= reply.trace.budget["context"]
    assert restarted[0] is False
    assert any(restarted)
    consistent(me)


def test_a_model_by_its_path(me: Assistant, opener, models_dir: Path, known: dict[str, int]) -> None:
    other = opener()
    other._engine, other._model = None, str(models_dir / "smollm2-135m/SmolLM2-135M-Instruct.Q4_1.gguf")
    reply: Reply = other.ask(BIKE)
    assert "2093" in reply.text
    other.close()


def test_a_model_without_a_chat_template(plain: Assistant, tmp_path: Path) -> None:
    makers = runpy.run_path(str(Path(__file__).parents[1] / "engine/gguf_files.py"))
    path = tmp_path / "tiny.gguf"
    path.write_bytes(makers["tiny_model"]())
    plain._model = str(path)
    plain.remember("My dentist is Dr Amrani.")
    assert plain.engine.info.chat_template is None
    trace = plain.ask("Who is it?", max_tokens=4).trace
    assert trace.tokens["prompt"] + trace.budget["answer"] <= trace.budget["context"]


def test_a_small_model_judges_notes_in_a_context_that_is_nearly_full(me: Assistant, known: dict[str, int]) -> None:
    chat = me.chat()
    _ = chat.ask(OPEN, max_tokens=4).text
    full = me.engine.info.n_ctx - 20
    chat._layout._tokens = (chat._layout.tokens * full)[:full]
    reply = chat.ask(BIKE)
    assert "2093" in reply.text
    assert reply.trace.restarted
