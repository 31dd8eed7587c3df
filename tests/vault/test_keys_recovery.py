"""The recovery key on paper."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import RecoveryKeyMistyped, WrongKey
from edgeperso.vault.recovery import new_recovery_text, recovery_secret, recovery_text

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
secrets_32 = st.binary(min_size=32, max_size=32)


def test_it_is_14_groups_of_4_without_lookalikes() -> None:
    text = new_recovery_text()
    assert re.fullmatch(rf"[{ALPHABET}]{{4}}(-[{ALPHABET}]{{4}}){{13}}", text)
    assert new_recovery_text() != text


def test_the_form_on_paper_never_changes() -> None:
    text = "000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFQ-10H6"
    assert recovery_text(bytes(range(32))) == text
    assert recovery_secret(text) == bytes(range(32))


@given(secrets_32)
def test_it_reads_back(secret: bytes) -> None:
    assert recovery_secret(recovery_text(secret)) == secret


@given(secrets_32, st.randoms(use_true_random=False))
def test_it_forgives_how_people_type(secret: bytes, random: object) -> None:
    typed = recovery_text(secret)
    swaps = {"0": "0Oo", "1": "1IiLl"}
    letters = [random.choice(swaps.get(c, c + c.lower())) for c in typed if c != "-"]  # type: ignore[attr-defined]
    gaps = ["", " ", "-", "\t", "\n", "–", "—", "\u00a0", "\u200b", "−", "\r\n"]
    assert recovery_secret("".join(c + random.choice(gaps) for c in letters)) == secret  # type: ignore[attr-defined]


@given(secrets_32, st.integers(0, 55), st.integers(1, 31))
def test_one_wrong_character_is_a_typing_error(secret: bytes, at: int, by: int) -> None:
    letters = list(recovery_text(secret).replace("-", ""))
    letters[at] = ALPHABET[(ALPHABET.index(letters[at]) + by) % 32]
    with pytest.raises(RecoveryKeyMistyped):
        recovery_secret("".join(letters))


@given(secrets_32, st.integers(0, 54))
def test_two_swapped_characters_are_a_typing_error(secret: bytes, at: int) -> None:
    letters = list(recovery_text(secret).replace("-", ""))
    swapped = [*letters[:at], letters[at + 1], letters[at], *letters[at + 2 :]]
    if swapped == letters:
        assert recovery_secret("".join(swapped)) == secret
        return
    with pytest.raises(RecoveryKeyMistyped):
        recovery_secret("".join(swapped))


@pytest.mark.parametrize(
    "text",
    ["", " ", "-", "0", "0" * 55, "0" * 57, "U" * 56, "é" * 56, "0" * 5000, "\ud800" * 56, "\x00" * 56, "𝟘" * 55],
)
def test_what_is_no_recovery_key_is_a_typing_error(text: str) -> None:
    with pytest.raises(RecoveryKeyMistyped):
        recovery_secret(text)


def test_a_typing_error_is_a_wrong_key_that_can_be_told_apart_and_quotes_nothing() -> None:
    typed = new_recovery_text()[:-1] + "U"
    with pytest.raises(WrongKey) as caught:
        recovery_secret(typed)
    assert caught.value.code == "recovery_key_mistyped"
    assert typed[:4] not in str(caught.value)
