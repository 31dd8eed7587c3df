"""Weighing options: each way of asking by an engine whose every word is scripted, and advice from a real vault."""

from __future__ import annotations

import re
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.assistant import Weighed, Weigher
from edgeperso.errors import QuestionTooLong, UsageError
from edgeperso.prompting import Budget, CompletionForm, Layout, quote
from edgeperso.types import Asking, Hit, Kind, Memory, Trust

Scripted: Any = runpy.run_path(str(Path(__file__).with_name("scripted.py")))["Scripted"]

QUESTION = "What shall I drink?"
OPTIONS = ["a coffee", "a green tea", "a cocoa"]


def hits(*texts: str) -> list[Hit]:
    return [
        Hit(
            Memory(
                id=number, text=text, kind=Kind.NOTE, source="n.md", locator="", title="", author="", thread="",
                position=0, occurred_ms=None, recorded_ms=0, scope="personal", trust=Trust.SELF, language="en",
            ),
            10.0 - number,
            {},
        )
        for number, text in enumerate(texts, start=1)
    ]  # fmt: skip


NOTES = hits("I love tea", "Rain all day long")


def weigher(engine: Any, *, most: int | None = None, context: int = 4000, memories: int = 1000) -> Weigher:
    layout = Layout(engine, CompletionForm(), Budget(context, 100, memories), bos=engine.bos, task="You weigh.")
    return Weigher(engine, layout, most=most)


def weighed(engine: Any, asking: Asking, notes: Sequence[Hit] = NOTES, options: Sequence[str] = OPTIONS) -> Weighed:
    return weigher(engine).weigh(QUESTION, options, notes, asking)


# ---- by letter -----------------------------------------------------------------------------------------------------


def favours_a(text: str) -> dict[str, float]:
    """A model that mostly says A, and a little what it was told of."""
    lines = re.findall(r"^([A-Z])\. (.+)$", text, re.MULTILINE)
    return {
        letter: (-1.0 if letter == "A" else -9.0) + ("tea" in option and "tea" in text.split("\nThe person asks")[0])
        for letter, option in lines
    }


def test_a_favourite_letter_decides_where_the_list_is_shown_once() -> None:
    engine = Scripted(favours_a)
    found = weighed(engine, Asking.LETTER)
    assert found.order[0] == 0
    assert found.scores == (-1.0, -8.0, -9.0)
    (text,) = engine.read
    assert "A. a coffee\nB. a green tea\nC. a cocoa\n" in text
    assert "Answer with the letter." in text


def test_rotation_cancels_a_favourite_letter() -> None:
    engine = Scripted(favours_a)
    found = weighed(engine, Asking.ROTATED)
    assert found.order == [1, 0, 2]
    assert found.scores[1] - found.scores[0] == pytest.approx(1.0)
    assert found.scores[0] == pytest.approx(found.scores[2])
    firsts = [re.findall(r"^A\. (.+)$", text, re.MULTILINE) for text in engine.read]
    assert sorted(firsts) == sorted([option] for option in OPTIONS), "each option stood first once"


@given(
    st.dictionaries(st.sampled_from("ABCD"), st.floats(-20, 0, width=32), min_size=4),
    st.lists(st.floats(-5, 5, width=32), min_size=4, max_size=4),
)
def test_whatever_letters_a_model_likes_rotation_leaves_what_it_likes_of_options(
    letters: dict[str, float], worth: list[float]
) -> None:
    options = ["one", "two", "three", "four"]

    def says(text: str) -> dict[str, float]:
        lines = re.findall(r"^([A-D])\. (.+)$", text, re.MULTILINE)
        return {letter: letters[letter] + worth[options.index(option)] for letter, option in lines}

    found = weighed(Scripted(says), Asking.ROTATED, options=options)
    mean = sum(letters.values()) / 4
    assert found.scores == pytest.approx([mean + one for one in worth], abs=1e-3)


# ---- by likelihood -------------------------------------------------------------------------------------------------


def likes_cocoa(read: str, text: str) -> float:
    """Finds cocoa likely in any case, and tea where the notes speak of it."""
    return {"a coffee": -24.0, "a cocoa": -7.0, "a green tea": -11.0 if "love tea" in read else -33.0}[text]


def test_likelihood_is_a_tokens_mean_so_that_length_counts_for_nothing() -> None:
    engine = Scripted(likely=likes_cocoa)
    assert weighed(engine, Asking.LIKELIHOOD).scores == (-3.0, -1.0, -1.0)
    (read,) = engine.read
    assert read.endswith(f"{QUESTION}\nAnswer:")
    assert all(quote(hit.memory) in read for hit in NOTES)


def test_gain_subtracts_what_is_likely_without_notes() -> None:
    engine = Scripted(likely=likes_cocoa)
    found = weighed(engine, Asking.GAIN)
    assert found.scores == (0.0, 2.0, 0.0)
    assert found.order == [1, 0, 2]
    assert found.sources == (1, 2)
    assert ["love tea" in read for read in engine.read] == [True, False]


def test_without_notes_a_gain_is_the_plain_score() -> None:
    engine = Scripted(likely=likes_cocoa)
    plain = weighed(engine, Asking.LIKELIHOOD, notes=())
    assert weighed(engine, Asking.GAIN, notes=()) == plain == Weighed((-3.0, -3.0, -1.0), ())


# ---- each option apart ---------------------------------------------------------------------------------------------


def respects_tea(text: str) -> dict[str, float]:
    """Says Yes to cocoa in any case, and to tea where the notes speak of it."""
    option = re.findall(r'Suggestion: "(.+)"', text)[-1]
    yes = {"a coffee": -6.0, "a cocoa": -2.0, "a green tea": -1.0 if "love tea" in text else -5.0}[option]
    return {"Y": yes, "N": -3.0}


def test_apart_each_option_is_asked_for_by_itself() -> None:
    engine = Scripted(respects_tea)
    found = weighed(engine, Asking.APART)
    assert found.scores == pytest.approx((-3.0, 2.0, 1.0))
    for text, option in zip(engine.read, OPTIONS, strict=True):
        assert [other for other in OPTIONS if other in text] == [option]
        assert QUESTION in text
        assert "respect what the person said" in text
        assert text.endswith("Answer Yes or No.\nAnswer:")


def test_apart_nothing_that_was_said_is_spoken_of_without_notes() -> None:
    engine = Scripted(respects_tea)
    weighed(engine, Asking.APART, notes=())
    assert not any("the person said" in text for text in engine.read)


def test_apart_gain_subtracts_what_is_said_without_notes() -> None:
    engine = Scripted(respects_tea)
    assert weighed(engine, Asking.APART_GAIN).scores == pytest.approx((0.0, 4.0, 0.0))
    assert ["love tea" in text for text in engine.read] == [True] * 3 + [False] * 3
    plain = weighed(engine, Asking.APART, notes=())
    assert weighed(engine, Asking.APART_GAIN, notes=()) == plain


@pytest.mark.parametrize("spelling", ["Y", "y"])
def test_every_spelling_of_yes_counts(spelling: str) -> None:
    found = weighed(Scripted(lambda text: {spelling: -1.0 if "tea" in text.split("Sugg")[1] else -9.0}), Asking.APART)
    assert found.order[0] == 1


def test_reasoned_first_writes_what_must_be_and_then_asks_by_it() -> None:
    def says(text: str) -> dict[str, float]:
        assert "\nWhat fits: Something warm, no milk.\n" in text
        return respects_tea(f"I love tea.\n{text}")

    engine = Scripted(says, writes=[" Something warm,", " no milk. \n"])
    found = weighed(engine, Asking.REASONED, notes=NOTES[:1])
    assert found.scores == pytest.approx((-3.0, 2.0, 1.0))
    first, *others = engine.read
    assert "In one short sentence" in first
    assert "love tea" in first
    assert not any(option in first for option in OPTIONS)
    assert len(others) == len(OPTIONS)
    assert not any("love tea" in text for text in others)
    assert engine.stops == [(48, ("\n",))]


def test_a_model_that_reasons_nothing_is_asked_by_the_notes() -> None:
    engine = Scripted(respects_tea)
    assert weighed(engine, Asking.REASONED, notes=NOTES[:1]).order == [1, 2, 0]
    assert all("love tea" in text for text in engine.read)


def test_an_option_fits_as_far_as_it_fits_the_memory_that_it_fits_least() -> None:
    likes = {"tea": (-5.0, -1.0, -2.0), "milk": (-1.0, -2.0, -6.0)}

    def says(text: str) -> dict[str, float]:
        (note,) = [word for word in likes if f"{word}\n" in text]
        return {"Y": likes[note][[option in text for option in OPTIONS].index(True)], "N": 0.0}

    engine = Scripted(says)
    found = weighed(engine, Asking.REASONED, notes=hits("I love tea", "I hate milk"))
    assert found.scores == pytest.approx((-5.0, -2.0, -6.0))
    assert found.sources == (1, 2)
    assert not any("love tea" in text and "hate milk" in text for text in engine.read)


def test_more_than_a_few_memories_are_reasoned_from_at_once() -> None:
    engine = Scripted(even)
    notes = hits("I love tea", "I hate milk", "I sleep badly", "I am cold")
    assert weighed(engine, Asking.REASONED, notes=notes).sources == (1, 2, 3, 4)
    assert all("love tea" in text and "am cold" in text for text in engine.read)


# ---- what all ways share -------------------------------------------------------------------------------------------


def even(_text: str) -> dict[str, float]:
    return dict.fromkeys("ABCDEFGHIJKLMNOPQRSTUVWXYZ", -1.0)


@pytest.mark.parametrize("asking", Asking)
def test_sources_are_the_memories_that_were_read(asking: Asking) -> None:
    engine = Scripted(even)
    notes = hits("I love tea", "I hate milk", "I sleep badly")
    found = weigher(engine, most=2).weigh(QUESTION, OPTIONS, notes, asking)
    assert found.sources == (1, 2)
    assert all(any(said in text for text in engine.read) for said in ("love tea", "hate milk"))
    together = any("love tea" in text and "hate milk" in text for text in engine.read)
    assert together == (asking is not Asking.REASONED)
    assert not any("sleep badly" in text for text in engine.read)
    little = weigher(engine, memories=50).weigh(QUESTION, OPTIONS, notes, asking)
    assert little.sources == (1,)
    assert weigher(engine).weigh(QUESTION, OPTIONS, [], asking).sources == ()


@pytest.mark.parametrize("asking", Asking)
def test_white_space_in_question_and_options_is_folded(asking: Asking) -> None:
    engine = Scripted(even)
    clean = weigher(engine).weigh(QUESTION, OPTIONS, NOTES, asking)
    seen, engine.read = engine.read, []
    ragged = [f"  {option.replace(' ', chr(10))}\t" for option in OPTIONS]
    assert weigher(engine).weigh(f" {QUESTION}\n", ragged, NOTES, asking) == clean
    assert engine.read == seen


@pytest.mark.parametrize("asking", Asking)
@pytest.mark.parametrize("options", [[], ["one"], ["one", ""], ["one", " \n\t", "two"]])
def test_fewer_than_two_options_or_an_empty_one(asking: Asking, options: list[str]) -> None:
    with pytest.raises(UsageError, match="two options or more"):
        weighed(Scripted(even), asking, options=options)


@pytest.mark.parametrize("asking", Asking)
def test_more_options_than_letters(asking: Asking) -> None:
    options = [f"number {place}" for place in range(27)]
    if asking in (Asking.LETTER, Asking.ROTATED):
        assert len(weighed(Scripted(even), asking, options=options[:26]).scores) == 26
        with pytest.raises(UsageError, match="26 options") as caught:
            weighed(Scripted(even), asking, options=options)
        assert caught.value.hint == "Ask apart."
    else:
        assert len(weighed(Scripted(even), asking, options=options).scores) == 27


@pytest.mark.parametrize("asking", Asking)
@pytest.mark.parametrize("place", ["question", "option"])
def test_too_long(asking: Asking, place: str) -> None:
    question = "secretword " * 100 if place == "question" else QUESTION
    options = ["secretword " * 100, "one"] if place == "option" else OPTIONS
    with pytest.raises(QuestionTooLong) as caught:
        weigher(Scripted(even), context=900).weigh(question, options, NOTES, asking)
    assert "secretword" not in str(caught.value)


@pytest.mark.parametrize("asking", Asking)
@given(context=st.integers(600, 1200), texts=st.lists(st.text(min_size=1, max_size=200), max_size=9))
def test_whatever_is_read_fits_the_context(asking: Asking, context: int, texts: list[str]) -> None:
    engine = Scripted(even, writes=["x" * 48])
    weigher(engine, context=context).weigh(QUESTION, OPTIONS, hits(*texts), asking)
    assert max(map(len, engine.read)) + max(map(len, OPTIONS)) <= context


def test_of_equal_scores_the_first_option_comes_first() -> None:
    assert Weighed((1.0, 3.0, 3.0, 2.0), ()).order == [1, 2, 3, 0]
    assert Weighed((0.0, 0.0), ()).order == [0, 1]


def test_shares_are_probabilities() -> None:
    shares = Weighed((-1000.0, -1000.0 + float(np.log(3)), -5000.0), ()).shares
    assert shares == pytest.approx([0.25, 0.75, 0.0])
    assert Weighed((900.0,), ()).shares == [1.0]


def test_labels_are_weighed_right_after_the_cue() -> None:
    engine = Scripted(
        likely=lambda read, text: {"1": -2.0, "5": -0.5, "10": -3.0}[text] if "love tea" in read else -9.0
    )
    found = weigher(engine, most=1).label("How many stars?", ("1", "5", "10"), NOTES, cue="Score: ")
    assert found == Weighed((-2.0, -0.5, -3.0), (1,))
    assert sum(found.shares) == pytest.approx(1)
    (read,) = engine.read
    assert read.endswith("How many stars?\nAnswer:Score: ")
    assert read.startswith("\0You weigh.\n\n")
    assert "Rain" not in read


def test_a_long_label_and_cue_are_kept_room_for() -> None:
    engine = Scripted()
    with pytest.raises(QuestionTooLong):
        weigher(engine, context=250).label("Which?", ("x" * 200, "y"), NOTES, cue="Score: ")
    with pytest.raises(QuestionTooLong):
        weigher(engine, context=250).label("Which?", ("x", "y"), NOTES, cue="Score: " * 40)


def test_what_is_written_is_one_line_without_its_ends() -> None:
    engine = Scripted(writes=["  A line", " of words. "])
    assert weigher(engine).written("Say it.", max_tokens=7, hits=NOTES) == "A line of words."
    assert engine.stops == [(7, ("\n",))]
    (read,) = engine.read
    assert read.endswith("Say it.\nAnswer:")
    assert "love tea" in read
