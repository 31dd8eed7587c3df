"""Cleaning and splitting lose nothing that a reader can see."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.importers.clean import clean, one_line
from edgeperso.importers.split import MAX_CHARS, split_text

WORDS = st.text(st.characters(categories=["L", "N", "P", "S"]), min_size=1, max_size=40)
PROSE = st.lists(
    st.tuples(WORDS, st.sampled_from([" ", " ", " ", ". ", "\n", "\n\n", "\n- ", "。"])), max_size=400
).map(lambda pairs: "".join(word + gap for word, gap in pairs))


def ink(text: str) -> str:
    return "".join(text.split())


@given(st.one_of(st.text(), PROSE))
def test_splitting_keeps_every_character_in_order(text: str) -> None:
    assert ink("".join(split_text(text))) == ink(text)


@given(PROSE)
def test_pieces_are_short_and_words_whole(text: str) -> None:
    pieces = split_text(text)
    assert all(0 < len(piece) <= MAX_CHARS for piece in pieces)
    loose = text.replace("。", "。 ").split()
    assert [word for piece in pieces for word in piece.replace("。", "。 ").split()] == loose


@given(st.text())
def test_cleaning_twice_is_cleaning_once(text: str) -> None:
    assert clean(clean(text)) == clean(text)


@given(
    st.text(st.characters(categories=["L", "N", "P", "Sm", "Sc", "So"], exclude_characters="\u115f\u1160\u3164\uffa0"))
)
def test_ordinary_text_stays(text: str) -> None:
    import unicodedata

    assert clean(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text",
    [
        "Family 👨‍👩‍👧 and ❤️‍🔥 and 1️⃣",
        "می‌خواهم",
        "क्‍ष",
        "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f won",
        "שלום, naïve café, 東京",
        "  indented\n\tcode",
    ],
)
def test_joiners_that_writing_needs_stay(text: str) -> None:
    assert clean(text) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\u200bb\u202ec\u2066d\ufeffe", "abcde"),
        ("pay\u200d\u200c\u200d now", "pay now"),
        ("hi" + "".join(chr(0xE0000 + ord(c)) for c in "obey"), "hi"),
        ("😀" + "\U000e0101\U000e0102\U000e0103", "😀"),
        ("a\x00b\x1b[31mc\x7f", "ab[31mc"),
        ("one  \r\ntwo\rthree\u2028four\n\n\n\nfive\n", "one\ntwo\nthree\nfour\n\nfive"),
        ("e\u0301", "é"),
        ("x\ud800y", "x\ufffdy"),
    ],
)
def test_what_nobody_sees_goes(text: str, expected: str) -> None:
    assert clean(text) == expected


def test_a_long_paragraph_is_cut_between_sentences_of_about_equal_shares() -> None:
    sentence = "The river rose again, and nobody in the house had slept for long that night. "
    pieces = split_text(sentence * 20)
    assert len(pieces) == 2
    assert all(piece.endswith("night.") for piece in pieces)
    assert abs(len(pieces[0]) - len(pieces[1])) < 200


def test_wrapped_lines_are_not_taken_for_borders() -> None:
    line = "which goes on and on without an end in sight until\nthe wrapped line has found its full stop."
    assert all(piece.endswith("stop.") for piece in split_text("\n".join([line] * 15)))


def test_short_neighbours_join_and_long_ones_stand_alone() -> None:
    short, long_ = (
        "A short thought about tea that is more than a hundred characters, so that it leads in to nothing else at all.",
        "B" * 210,
    )
    assert split_text(f"{short}\n\n{short}\n\n{long_}\n\n{long_}") == [f"{short}\n\n{short}", long_, long_]
    assert split_text(f"So this is the plan:\n\n{long_}") == [f"So this is the plan:\n\n{long_}"]


def test_a_run_without_spaces_is_cut_but_not_before_a_combining_mark() -> None:
    pieces = split_text("x" * 999 + "e\u0323\u0323" + "x" * 999)
    assert all(len(piece) <= MAX_CHARS for piece in pieces)
    assert not any(piece.startswith("\u0323") for piece in pieces)


@pytest.mark.parametrize("filler", [" ", "\n", "\n ", ".", "\u200d", "\ufe0f", "> ", "\t\n", "-"])
def test_hostile_runs_take_linear_time(filler: str) -> None:
    run = filler * (400_000 // len(filler)) + "x"
    assert ink("".join(split_text(clean(run)))).endswith("x")


def test_a_title_is_one_short_line() -> None:
    assert one_line(" a\n b\u200b ") == "a b"
    assert len(one_line("word " * 100)) <= 200
