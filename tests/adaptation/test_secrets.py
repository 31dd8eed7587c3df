from __future__ import annotations

import pytest

from edgeperso.adaptation.secrets import secret_kinds


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("My card is 4111 1111 1111 1111, valid to June.", "card"),
        ("card 4111-1111-1111-1111", "card"),
        ("Amex 378282246310005", "card"),
        ("Pay to DE89 3704 0044 0532 0130 00 please.", "account"),
        ("IBAN NL91ABNA0417164300", "account"),
        ("GB82WEST12345698765432 is the account", "account"),
        ("-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl", "key"),
        ("token ghp_16C7e42F292c6912E7710c838347Ae178B4a", "key"),
        ("export OPENAI=sk-proj-abcdefghijklmnop1234", "key"),
        ("AKIAIOSFODNN7EXAMPLE", "key"),
        ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", "key"),
        ("clone https://bram:hunter2@example.org/x.git", "key"),
        ("It was 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c", "key"),
        ("My password is swordfish.", "password"),
        ("wifi password: tulp", "password"),
        ("The password for the router at home is Geranium", "password"),
        ("PIN 4711", "password"),
        ("The door code is 2093.", "password"),
        ("The code of my bike lock is 2093.", "password"),
        ("Mein Passwort ist Sommer", "password"),
        ("SSN 078-05-1120", "identity"),
        ("My passport number is XN1234567.", "identity"),
        ("Write to ann.lee@example.org", "contact"),
        ("Call me on +31 6 1234 5678.", "contact"),
        ("His number: 06-12345678", "contact"),
        ("(212) 555-0187 after six", "contact"),
    ],
)
def test_a_secret_is_seen(text: str, kind: str) -> None:
    assert kind in secret_kinds(text)


@pytest.mark.parametrize(
    "text",
    [
        "I moved to Bergen on 2024-03-12 and paid 1200 a month.",
        "We met on 12.05.2023 at 18:30.",
        "Room 204, second floor, 35 people came, 1,250,000 didn't.",
        "The order 4111 1111 1111 1112 is a number that fails the check.",
        "I like tea more than coffee; the secret of good tea, they say, is time.",
        "We keep no secrets, and I forgot to pass the salt.",
        "Pinned the note to the board, coded all night in Python.",
        "Read 'The Old Man and the Sea' (1952), 127 pages, for the third time.",
        "The internationalisation-of-everything talk was long.",
        "Rome, population 2 800 000, has 900 churches.",
    ],
)
def test_an_ordinary_text_may_train(text: str) -> None:
    assert secret_kinds(text) == frozenset()
