"""Text pieces: whole characters, and never a part of a stop string, wherever the tokens' borders lie."""

from __future__ import annotations

import itertools

from hypothesis import given
from hypothesis import strategies as st

from edgeperso.engine.streaming import PieceStream

LETTERS = st.text(alphabet="abcé\n€", max_size=30)


def expected(text: str, stops: list[str]) -> tuple[str, bool]:
    """By definition: cut where the first stop string is complete, the longest of them."""
    for end in range(1, len(text) + 1):
        found = [stop for stop in stops if text[:end].endswith(stop)]
        if found:
            return text[: end - max(map(len, found))], True
    return text, False


def run(pieces: list[bytes], stops: list[str]) -> tuple[list[str], bool]:
    stream = PieceStream(stops)
    out = [stream.push(piece) for piece in pieces]
    return [*out, stream.finish()], stream.stopped


@given(LETTERS, st.lists(st.text(alphabet="abcé\n€", min_size=1, max_size=4), max_size=3), st.lists(st.integers(0, 60)))
def test_what_comes_out_does_not_depend_on_the_borders(text: str, stops: list[str], cuts: list[int]) -> None:
    data = text.encode()
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    pieces = [data[a:b] for a, b in itertools.pairwise(borders)]
    out, stopped = run(pieces, stops)
    assert ("".join(out), stopped) == expected(text, stops)


@given(LETTERS, st.lists(st.text(alphabet="abc", min_size=1, max_size=4), min_size=1, max_size=3))
def test_no_prefix_of_what_was_given_out_is_ever_taken_back(text: str, stops: list[str]) -> None:
    stream = PieceStream(stops)
    given_out = ""
    for character in text:
        given_out += stream.push(character.encode())
        assert expected(text, stops)[0].startswith(given_out)


def test_a_stop_over_three_pieces_is_held_back() -> None:
    assert run([b"Hi\n", b"\nUs", b"er: more"], ["\n\nUser:"]) == (["Hi", "", "", ""], True)


def test_held_text_comes_out_when_it_was_no_stop() -> None:
    assert run([b"one\n", b"two\n"], ["\n\n"]) == (["one", "\ntwo", "\n"], False)


def test_a_split_character_waits_and_half_a_character_at_the_end_is_dropped() -> None:
    euro = "€".encode()
    assert run([euro[:1], euro[1:2], euro[2:] + euro[:2]], []) == (["", "", "€", ""], False)


def test_bytes_that_are_no_text_become_replacement_characters() -> None:
    assert run([b"\xff\xfea"], []) == (["\ufffd\ufffda", ""], False)


def test_nothing_comes_after_a_stop() -> None:
    stream = PieceStream(["."])
    assert [stream.push(b"a.b"), stream.push(b"c"), stream.finish()] == ["a", "", ""]
