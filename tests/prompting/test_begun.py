"""Questions turn into the beginnings of their answers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.prompting import begun_answer


@pytest.mark.parametrize(
    ("question", "begun"),
    [
        ("Who is my landlord?", "Your landlord is"),
        ("What's my phone number?", "Your phone number is"),
        ("What am I allergic to?", "You are allergic to"),
        ("How much is my rent now?", "Your rent is"),
        ("Where do I live now?", "You live in"),
        ("Where does my sister Ines live?", "Your sister Ines lives in"),
        ("Where did I live before Oslo?", "Before Oslo, you lived in"),
        ("Which city do I live in?", "The city you live in is"),
        ("Which medicine does my cat take?", "The medicine your cat takes is"),
        ("What colour is my bike?", "The colour of your bike is"),
        ("What is my cat called?", "Your cat is called"),
        ("Where is the spare key kept?", "The spare key is kept"),
        ("When is Mum's birthday?", "Mum's birthday is"),
        ("When is my sister getting married?", "Your sister is getting married"),
        ("What does Tom do for a living?", "Tom works as"),
        ("Who teaches me the cello?", "The person who teaches you the cello is"),
        ("Who does my hair now?", "The person who does your hair is"),
        ("Which bus stops at my door?", "The bus that stops at your door is"),
        ("How much did the old car cost?", "The old car cost"),
        ("Who is my phone plan with?", "Your phone plan is with"),
        ("Can you tell me who my dentist is?", ""),
        ("Please remind me, what is my locker number?", "Your locker number is"),
        ("What should I bring to Bob?", "You should bring to Bob"),
    ],
)
def test_begins_the_answer(question: str, begun: str) -> None:
    assert begun_answer(question) == begun


@pytest.mark.parametrize("question", ["", "?", "Do I eat meat?", "Dinner ideas?", "Tell me about Tom.", "why", "Is"])
def test_leaves_other_questions_to_the_model(question: str) -> None:
    assert begun_answer(question) == ""


@given(st.text(max_size=300))
def test_never_fails(question: str) -> None:
    begun = begun_answer(question)
    assert begun == begun.strip()


def test_a_very_long_question_is_left_alone() -> None:
    assert begun_answer("What is my " + "very " * 100 + "long number?") == ""
