"""What a question asks for, and what can be an answer to it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.prompting import AnswerType, answer_type, may_answer


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("How much is my rent now?", AnswerType.NUMBER),
        ("What rent do I pay?", AnswerType.NUMBER),
        ("What's the code of our front door?", AnswerType.NUMBER),
        ("When is Mum's birthday?", AnswerType.DATE),
        ("On which day does my choir sing?", AnswerType.WEEKDAY),
        ("Which evening is rowing?", AnswerType.WEEKDAY),
        ("Who is my landlord?", AnswerType.NAME),
        ("Which town do I live in?", AnswerType.NAME),
        ("What is my cat called?", AnswerType.NAME),
        ("What do I drink in the morning?", AnswerType.ANYTHING),
        ("Where do I work?", AnswerType.ANYTHING),
    ],
)
def test_the_sort_of_thing(question: str, wanted: AnswerType) -> None:
    assert answer_type(question) is wanted


@pytest.mark.parametrize(
    ("question", "text", "fits"),
    [
        ("How much is my rent?", "1,120 euros", True),
        ("How much is my rent?", "twelve hundred", True),
        ("How much is my rent?", "too much", False),
        ("How much did I pay for the boat?", "22-foot sloop", False),
        ("Who is my dentist?", "Dr Amrani", True),
        ("Who is my dentist?", "Dr", False),
        ("Who is my dentist?", "somebody new", False),
        ("When is the wedding?", "14 June", True),
        ("When is the wedding?", "in Porto", False),
        ("Which day is choir?", "Thursday afternoons", True),
        ("Which day is choir?", "3 December 2023", False),
        ("Where did I live before Penarth?", "Penarth", False),
        ("What do I drink?", "green tea. The kettle broke", False),
        ("What do I drink?", "green tea and", False),
        ("What do I drink?", "green tea", True),
    ],
)
def test_what_may_answer(question: str, text: str, fits: bool) -> None:
    assert may_answer(question)(text) is fits


@given(st.text(max_size=120), st.text(max_size=120))
def test_any_text_is_judged(question: str, text: str) -> None:
    assert may_answer(question)(text) in (True, False)
