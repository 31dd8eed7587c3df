"""Long notes are read in excerpts by models that write their own answers from a few notes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from edgeperso.assistant import Assistant
from edgeperso.assistant.readers import reader_for
from edgeperso.types import Kind, Record, Trust

QUESTION = "Where is my bike?"
GIFTS = ["soup", "apples", "gloves", "candles", "honey", "stamps", "marbles", "figs", "ribbons", "plums", "ink", "yarn"]
PLACES = ("mill", "station in Ghent", "bakery", "new library", "swimming pool", "house of Bo")
Start = Callable[..., Assistant]


@pytest.fixture
def me(start: Start, monkeypatch: pytest.MonkeyPatch) -> Assistant:
    """The tiny model reads like a larger one, and has long talks to read."""
    monkeypatch.setattr("edgeperso.assistant.readers._SMALL", 0)
    me = start()
    me.vault.memories.add(
        Record(
            f"Thanks for the {GIFTS[day]}! My bike stood behind the {place}. {GIFTS[day + 6]} would be nice. Bye, Bo.",
            Kind.CHAT, "talks", author="Ann", trust=Trust.OTHER, occurred_ms=day * 86_400_000,
        )
        for day, place in enumerate(PLACES)
    )  # fmt: skip
    me.catch_up()
    return me


def test_an_answer_reads_the_sentences_that_bear_on_the_question(me: Assistant) -> None:
    limit = me.reader.whole_tokens
    assert limit is not None
    reply = me.ask(QUESTION, max_tokens=4)
    assert reply.text
    read = "".join(me.engine.piece(token).decode(errors="replace") for token in reply.prompt.tokens)
    assert len(reply.sources) > 2
    assert read.count("My bike stood behind the") == len(reply.sources)
    assert read.count("Thanks") < len(reply.sources)
    frame = len(me.engine.tokenize("Notes, oldest first: Answer from the notes. Where they differ, the last holds."))
    assert reply.trace.budget["memories"] <= limit + 2 * frame
    outcomes = {hit.memory_id: hit.outcome for hit in reply.trace.hits}
    assert [outcomes[id_] for id_ in reply.sources] == ["excerpt"] * len(reply.sources)
    assert me.why() == reply.trace


def test_a_whole_note_is_not_called_an_excerpt(me: Assistant) -> None:
    me.vault.memories.add([Record("Your bike has a bell.", Kind.CHAT, "talks", author="Ann", trust=Trust.OTHER)])
    reply = me.ask("Which bell had my bike?", max_tokens=4)
    outcomes = {hit.memory_id: hit.outcome for hit in reply.trace.hits}
    assert outcomes[7] == "included"
    assert "excerpt" in outcomes.values()


def test_what_of_a_question_is_sought_chooses_the_sentences(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fit = me.retriever.fit
    monkeypatch.setattr(me, "sought", lambda question: question.partition("\n")[0])
    monkeypatch.setattr(
        me.retriever, "fit", lambda question, passages: asked.append(question) or fit(question, passages)
    )
    me.ask(f"{QUESTION}\nAnswer with a date.", max_tokens=4)
    assert asked == [QUESTION]


def test_forgetting_a_note_that_was_read_in_part_begins_the_prompt_anew(me: Assistant) -> None:
    chat = me.chat()
    first = chat.ask(QUESTION, max_tokens=4)
    assert first.text
    me.forget(me.plan_forget(ids=(first.sources[0],)))
    second = chat.ask(QUESTION, max_tokens=4)
    assert second.text
    assert first.sources[0] not in second.sources
    assert second.trace.tokens["cached"] <= second.trace.budget["stable"]


def test_a_model_that_quotes_reads_its_note_whole(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert me.reader.quotes
    assert me.reader.whole_tokens is None
    assert me.shortener(QUESTION, me.reader.whole_tokens) is None


def test_larger_models_read_all_that_fits(me: Assistant) -> None:
    assert reader_for(replace(me.engine.info, n_params=7_000_000_000)).whole_tokens is None
