"""Prompts of many notes: which are taken over from states, which are read, and where they stand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.prompting import FRESH_TOKENS, Budget, CompletionForm, Form, Layout, Wide, choose_form, quote
from edgeperso.types import Hit, Kind, Memory, Trust

CONTROL = "<|end|>"
DAY_MS = 86_400_000
EVERY: Callable[[int, Sequence[int]], bool] = lambda _id, _tokens: True  # noqa: E731


class Characters:
    """A character a token; the control token is one token, and only where special."""

    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        parts = text.split(CONTROL) if special else [text]
        return [t for i, part in enumerate(parts) for t in ([-1] if i else []) + [ord(ch) for ch in part]]


def read(tokens: Sequence[int]) -> str:
    return "".join(CONTROL if t == -1 else chr(t) for t in tokens)


def hits(*texts: str) -> list[Hit]:
    """Best first, and each a day older than the one before."""
    return [
        Hit(
            Memory(
                id=number, text=text, kind=Kind.NOTE, source="n.md", locator="", title="", author="", thread="",
                position=0, occurred_ms=1_709_467_200_000 - number * DAY_MS, recorded_ms=0, scope="personal",
                trust=Trust.SELF, language="en",
            ),
            10.0 - number,
            {},
        )
        for number, text in enumerate(texts, start=1)
    ]  # fmt: skip


def chatml(messages: list[dict[str, str]]) -> str | None:
    return "".join(f"({m['role']}){m['content']}{CONTROL}" for m in messages) + "(assistant)"


FORMS = [CompletionForm(), choose_form(chatml, begin=False)]
LONG = [f"note {number} {'x' * 60}" for number in range(1, 9)]


def layout(form: Form, context: int = 4000) -> Layout:
    return Layout(Characters(), form, Budget(context, 100, 500), profile="About the person: Ann.")


@pytest.mark.parametrize("form", FORMS)
def test_the_best_stand_in_full_before_the_question_and_the_others_before_them(form: Form) -> None:
    prompt = layout(form).wide_turn("Where is it?", hits(*LONG), Wide(1000, 0.6, EVERY))
    assert prompt is not None
    assert prompt.included == tuple(range(1, 9))
    assert [span.memory_id for span in prompt.spans] == [8, 7, 6, 5, 4, 3, 2], "oldest first"
    text = read(prompt.tokens)
    places = [text.index(f"note {number}") for number in (8, 7, 6, 5, 4, 3, 2, 1)]
    assert places == sorted(places)
    assert text.index("note 1") < text.index("Where is it?")
    for span in prompt.spans:
        (hit,) = (hit for hit in hits(*LONG) if hit.memory.id == span.memory_id)
        assert read(prompt.tokens[span.start : span.end]) == f"{quote(hit.memory)}\n"
    usual = layout(form).turn("Where is it?", hits(*LONG)[::-1], begin=False, most=99)
    assert len(usual.tokens) < len(prompt.tokens), "more notes are read than otherwise"


@pytest.mark.parametrize("form", FORMS)
def test_with_no_more_notes_than_usual_the_text_is_the_same(form: Form) -> None:
    found = hits(*LONG[:4])
    wide = layout(form).wide_turn("Where is it?", found, Wide(1000, 0.6, EVERY))
    usual = layout(form).turn("Where is it?", found, begin=False)
    assert wide is not None
    assert read(wide.tokens) == read(usual.tokens)
    beginning = layout(form).beginning
    assert wide.tokens[: wide.spans[0].start] == beginning
    assert (wide.memory_tokens, wide.question_tokens) == (usual.memory_tokens, usual.question_tokens)


def test_notes_without_a_state_are_read_with_the_best() -> None:
    wide = Wide(1000, 0.6, lambda id_, _tokens: id_ not in (3, 6))
    prompt = layout(CompletionForm()).wide_turn("Where is it?", hits(*LONG), wide)
    assert prompt is not None
    assert [span.memory_id for span in prompt.spans] == [8, 7, 5, 4, 2]
    text = read(prompt.tokens[prompt.spans[-1].end :])
    assert text.index("note 6") < text.index("note 3") < text.index("note 1") < text.index("Where is it?")


@pytest.mark.parametrize(
    "wide",
    [
        Wide(1000, 0.6, lambda _id, _tokens: False),
        Wide(1000, 0.6, lambda id_, _tokens: id_ > 5),
        Wide(1000, 0.6, lambda _id, tokens: len(tokens) < 10),
        Wide(0, 0.6, EVERY),
        Wide(FRESH_TOKENS, 0.0, EVERY),
    ],
)
def test_where_little_would_be_taken_over_it_is_not_for_this(wide: Wide) -> None:
    assert layout(CompletionForm()).wide_turn("Where is it?", hits(*LONG), wide) is None


def test_it_is_for_questions_that_fit() -> None:
    wide = Wide(1000, 0.6, EVERY)
    assert layout(CompletionForm()).wide_turn("Where?", [], wide) is None
    assert layout(CompletionForm()).wide_turn(" \n", hits(*LONG), wide) is None
    assert layout(CompletionForm(), context=200).wide_turn("Where is it?", hits(*LONG), wide) is None


@pytest.mark.parametrize("form", FORMS)
def test_a_conversation_keeps_what_was_taken_over_until_it_begins_anew(form: Form) -> None:
    growing, wide = layout(form), Wide(400, 0.6, EVERY)
    first = growing.wide_turn("Where is it?", hits(*LONG[:4]), wide)
    assert first is not None
    growing.answered(first, [ord("!")])
    second = growing.wide_turn("And then?", hits(*LONG), wide)
    assert second is not None
    assert second.tokens[: second.kept_tokens] == [*first.tokens, ord("!")]
    assert second.spans[: len(first.spans)] == first.spans
    assert {span.memory_id for span in second.spans[len(first.spans) :]} <= {5, 6, 7, 8}, (
        "the others stand there already"
    )
    usual = growing.turn("And then?", [], begin=False)
    assert usual.spans == first.spans
    growing.restart()
    assert growing.turn("And then?", [], begin=False).spans == ()


def test_a_conversation_that_was_read_in_full_goes_on_so() -> None:
    growing = layout(CompletionForm())
    growing.answered(growing.turn("Where is it?", hits("here"), begin=False), [ord("!")])
    assert not growing.takes_wide
    assert growing.wide_turn("And then?", hits(*LONG), Wide(1000, 0.6, EVERY)) is None


def test_a_full_context_begins_anew_with_the_question_at_hand() -> None:
    growing, wide = layout(CompletionForm(), context=900), Wide(400, 0.6, EVERY)
    first = growing.wide_turn("Where is it?", hits(*LONG), wide)
    assert first is not None
    growing.answered(first, [ord("!")] * 400)
    tokens = growing.tokens
    assert growing.wide_turn("Where is it?", hits(*LONG), replace(wide, has_state=lambda _id, _tokens: False)) is None
    assert growing.tokens == tokens, "what comes of it is not for this"
    again = growing.wide_turn("Where is it?", hits(*LONG), wide)
    assert again is not None
    assert again.restarted
    assert (again.tokens, again.spans, again.earlier) == (first.tokens, first.spans, ())


def test_of_one_time_the_best_comes_last() -> None:
    found = [replace(hit, memory=replace(hit.memory, occurred_ms=0)) for hit in hits(*LONG)]
    prompt = layout(CompletionForm()).wide_turn("Where is it?", found, Wide(1000, 0.6, EVERY))
    assert prompt is not None
    assert [span.memory_id for span in prompt.spans] == [8, 7, 6, 5, 4, 3, 2]


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(st.text(min_size=1, max_size=200), max_size=12),
    note_tokens=st.integers(0, 900),
    context=st.integers(350, 1500),
    kept=st.sets(st.integers(1, 12)),
)
def test_the_budget_is_never_exceeded(texts: list[str], note_tokens: int, context: int, kept: set[int]) -> None:
    found = hits(*texts)
    wide = Wide(note_tokens, 0.5, lambda id_, _tokens: id_ in kept)
    prompt = layout(CompletionForm(), context).wide_turn("Who is my boss?", found, wide)
    if prompt is not None:
        assert len(prompt.tokens) + 100 <= context
        assert prompt.memory_tokens <= note_tokens
        assert {span.memory_id for span in prompt.spans} <= kept
        assert sorted([*prompt.included, *(d.memory_id for d in prompt.dropped)]) == [hit.memory.id for hit in found]
