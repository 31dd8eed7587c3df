"""Texts cut into sentences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edgeperso.knowledge.sentences import cut, sentences


def test_it_is_cut_after_sentences_paragraphs_and_before_points_of_a_list() -> None:
    text = "Dr. Ann came at 3.30 pm! Why? She (my boss) said so.) Then\n\nI left\n- tea\n2 cups"
    assert [piece.strip() for piece in cut(text)] == [
        "Dr. Ann came at 3.30 pm!", "Why?", "She (my boss) said so.)", "Then", "I left", "- tea", "2 cups",
    ]  # fmt: skip


@given(st.text("Aa. !?\n-)2", max_size=60))
def test_nothing_is_lost(text: str) -> None:
    assert "".join(cut(text)) == text


def test_questions_leave_their_places_empty() -> None:
    assert sentences("I moved. Did you? Yes.") == ["I moved.", "", "Yes."]
