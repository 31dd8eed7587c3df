"""Excerpts of long notes: what is chosen, within which bounds, and how it stands in a conversation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.prompting import Budget, Excerpts, Layout, Shorten, choose_form, excerpts, passages_of, quote
from edgeperso.types import Hit, Kind, Memory, Trust

DAY_MS = 86_400_000
STORY = "Rain all day. We met Ann at the mill. She keeps bees! Then we walked home."


class Characters:
    def tokenize(self, text: str, *, special: bool = False) -> list[int]:
        return [ord(ch) for ch in text]


def chatml(messages: list[dict[str, str]]) -> str | None:
    return "".join(f"({m['role']}){m['content']}" for m in messages) + "(assistant)"


def hit(id_: int, text: str, score: float = 10.0, states: tuple[str, ...] = (), **changes: object) -> Hit:
    values: dict[str, object] = {
        "id": id_, "text": text, "kind": Kind.NOTE, "source": "notes.md", "locator": "", "title": "", "author": "",
        "thread": "", "position": 0, "occurred_ms": 1_709_467_200_000 + id_ * DAY_MS, "recorded_ms": 0,
        "scope": "personal", "trust": Trust.SELF, "language": "en",
    }  # fmt: skip
    return Hit(Memory(**{**values, **changes}), score, {}, states=states)  # type: ignore[arg-type]


def said(hits: Sequence[Hit], words: str, limit: int, *, dated: bool = False) -> Excerpts:
    """Excerpts in which a passage is worth 1 for each of ``words`` that it holds."""
    passages = passages_of(hits)
    fit = [float(sum(word in one.text for word in words.split())) for one in passages]
    return excerpts(hits, passages, fit, len, limit, dated=dated)


def test_passages_are_sentences_in_order_and_all_of_the_text() -> None:
    (first, *others) = passages_of([hit(1, STORY), hit(2, "One.\n\n- two\n- three")])
    assert first.text == "Rain all day."
    assert [(one.at, one.place, one.text) for one in others] == [
        (0, 1, "We met Ann at the mill."), (0, 2, "She keeps bees!"), (0, 3, "Then we walked home."),
        (1, 0, "One."), (1, 1, "- two"), (1, 2, "- three"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["word " * 500, "x" * 2000, "a, " * 700])
def test_a_text_without_sentences_is_cut(text: str) -> None:
    passages = passages_of([hit(1, text)])
    assert all(len(one.text) <= 240 for one in passages)
    assert "".join(one.text for one in passages).replace(" ", "") == text.replace(" ", "")


def test_the_sentences_that_fit_best_are_read_in_the_notes_own_order() -> None:
    found = said([hit(1, STORY)], "bees mill", 50)
    assert found.lines == {1: "- We met Ann at the mill. She keeps bees!"}
    assert found.partly == {1}


def test_a_note_whose_sentences_are_all_read_is_whole() -> None:
    found = said([hit(1, STORY), hit(2, "Bees. Honey.", 9.0)], "bees Bees Honey", 60)
    assert found.lines[2] == "- Bees. Honey."
    assert found.partly == {1}


def test_a_sentence_of_a_better_note_comes_first() -> None:
    best, other = hit(1, "It rained in Ghent.", 12.0), hit(2, "It rained in Bruges.", 2.0)
    assert said([best, other], "rained", 25).lines == {1: "- It rained in Ghent."}


def test_who_is_asked_about_is_read_before_who_speaks_of_them() -> None:
    other = hit(1, "Ann rides a bike.", 10.0, author="Bo")
    own = replace(hit(2, "I ride a tandem.", 9.0, author="Ann"), parts={"author": 0.75})
    lines = said([other, own], "ride", 30).lines
    assert lines.keys() == {2}
    assert said([other, replace(own, parts={"author": 0.0})], "ride", 30).lines.keys() == {1}


@pytest.mark.parametrize("end", ["?", "? ", "?)", "\uff1f", "\u061f", '?"'])
def test_what_tells_is_read_before_what_asks(end: str) -> None:
    asking = hit(1, f"Who keeps bees{end}")
    telling = hit(2, "Ann keeps bees.")
    assert said([asking, telling], "bees", 22).lines.keys() == {2}
    assert said([asking, telling], "Who bees", 22).lines.keys() == {1}


def test_a_note_that_states_what_is_asked_for_is_read_whole() -> None:
    stating = hit(2, "First day at the mill. My team is small. Rain.", 5.0, ("employer: the mill",))
    found = said([hit(1, STORY, 9.0), stating], "bees", 90)
    assert found.lines[2] == "[employer: the mill] First day at the mill. My team is small. Rain."
    assert 2 not in found.partly
    assert "bees" in found.lines[1]


def test_one_that_is_too_long_for_that_is_read_in_part() -> None:
    stating = hit(1, STORY, states=("honey: Ann",))
    assert said([stating], "bees", 40).lines == {1: "[honey: Ann] She keeps bees!"}


def test_dates_are_said_where_they_matter() -> None:
    talk = hit(1, STORY, kind=Kind.CHAT, author="Bo", trust=Trust.OTHER)
    assert said([talk], "bees", 40, dated=True).lines == {1: "[4 March 2024, Bo said] She keeps bees!"}
    assert said([talk], "bees", 25).lines == {1: "[Bo] She keeps bees!"}
    own = replace(talk, memory=replace(talk.memory, author="me"))
    assert said([own], "bees", 30).lines == {1: "[you said] She keeps bees!"}
    mail = replace(talk, memory=replace(talk.memory, kind=Kind.MAIL))
    assert said([mail], "bees", 35).lines == {1: "[mail from Bo] She keeps bees!"}


def test_a_time_that_counts_from_a_notes_day_is_told_without_its_date() -> None:
    line = quote(hit(1, "I saw her yesterday.").memory, dated=False)
    assert line == "- I saw her yesterday. (yesterday: 3 March 2024)"


def test_nothing_is_read_where_nothing_has_room() -> None:
    assert said([hit(1, STORY)], "bees", 5) == Excerpts({}, frozenset(), dated=False)
    assert said([hit(1, "")], "bees", 50).lines == {}
    assert said([], "bees", 50).lines == {}


NOTES = st.lists(st.text("aé .!?\n-[]\u2063<|", max_size=80), max_size=5)


@given(NOTES, st.data())
def test_lines_keep_the_limit_stay_lines_and_say_nothing_of_their_own(texts: list[str], data: st.DataObject) -> None:
    hits = [hit(number, text, 10.0 - number) for number, text in enumerate(texts, start=1)]
    passages = passages_of(hits)
    fit = data.draw(st.lists(st.floats(-3, 3), min_size=len(passages), max_size=len(passages)))
    limit = data.draw(st.integers(0, 200))
    found = excerpts(hits, passages, fit, len, limit, dated=data.draw(st.booleans()))
    assert sum(map(len, found.lines.values())) <= limit
    assert found.partly <= found.lines.keys() <= {one.memory.id for one in hits}
    for id_, line in found.lines.items():
        assert "\n" not in line
        if id_ not in found.partly:
            whole = quote(hits[id_ - 1].memory, dated=found.dated)
            assert "".join(line.split()) == "".join(whole.split())


# ---- in a conversation ---------------------------------------------------------------------------------------------


def layout(memories: int = 500) -> Layout:
    return Layout(Characters(), choose_form(chatml, begin=False), Budget(4000, 100, memories))


def shorten(tokens: int = 80, words: str = "bees", *, dated: bool = False) -> Shorten:
    return Shorten(tokens, 8, lambda hits, limit: said(hits, words, limit, dated=dated))


def read(tokens: Sequence[int]) -> str:
    return "".join(map(chr, tokens))


def test_short_notes_are_read_whole_and_dated() -> None:
    prompt = layout().turn("Who?", [hit(1, "She keeps bees!")], begin=False, shorten=shorten())
    assert prompt == layout().turn("Who?", [hit(1, "She keeps bees!")], begin=False)
    assert prompt.partly == ()


def test_long_ones_are_read_in_excerpts_in_the_order_of_time() -> None:
    hits = [hit(2, STORY), hit(1, "Honey. " + STORY, 9.0), hit(3, "Nothing here. " * 9, 8.0)]
    prompt = layout().turn("Who?", hits, begin=False, shorten=shorten(words="bees Honey"))
    text = read(prompt.tokens)
    assert prompt.included == (2, 1)
    assert prompt.partly == (2, 1)
    assert text.index("Honey.") < text.rindex("bees")
    assert "Notes, oldest first:\n" in text
    assert "Where they differ, the last note holds." in text
    assert [(one.memory_id, one.reason) for one in prompt.dropped] == [(3, "reader")]


def test_dated_excerpts_stand_under_the_usual_words() -> None:
    text = read(layout().turn("When?", [hit(1, STORY * 3)], begin=False, shorten=shorten(dated=True)).tokens)
    assert "Notes, with dates:" in text
    assert "the note with the latest date holds" in text


def test_a_note_that_is_too_long_for_the_budget_is_read_in_part() -> None:
    huge = hit(1, STORY + " Filler." * 100)
    assert layout().turn("Who?", [huge], begin=False).included == ()
    assert layout().turn("Who?", [huge], begin=False, shorten=shorten()).partly == (1,)


def test_what_was_read_in_part_may_be_read_again_and_what_was_read_whole_not() -> None:
    growing = layout()
    hits = [hit(1, STORY), hit(2, "Bees.", 9.0)]
    first = growing.turn("Who?", hits, begin=False, shorten=shorten(words="bees Bees"))
    assert (first.included, first.partly) == ((1, 2), (1,))
    growing.answered(first, [])
    second = growing.turn("Where?", hits, begin=False, shorten=shorten(tokens=50, words="mill"))
    assert second.included == (1,)
    assert "mill" in read(second.tokens[len(first.tokens) :])
    assert [(one.memory_id, one.reason) for one in second.dropped] == [(2, "shown")]
    growing.restart()
    assert growing.turn("Who?", hits, begin=False).included == (1, 2)


def test_what_lies_far_behind_gives_no_excerpt() -> None:
    hits = [hit(1, STORY, 10.0), hit(2, STORY, 4.0)]
    assert layout().turn("Who?", hits, begin=False, behind=5.0, shorten=shorten(tokens=50)).included == (1,)


def test_excerpts_come_from_so_many_notes_at_most() -> None:
    hits = [hit(number, STORY, 10.0) for number in range(1, 12)]
    prompt = layout().turn("Who?", hits, begin=False, shorten=shorten(tokens=400))
    assert prompt.included == tuple(range(1, 9))
    assert prompt.memory_tokens <= 500


def test_no_room_for_a_sentence_leaves_the_notes_as_they_were() -> None:
    hits = [hit(1, STORY)]
    prompt = layout().turn("Who?", hits, begin=False, shorten=shorten(tokens=5))
    assert prompt.tokens == layout().turn("Who?", hits, begin=False).tokens
