"""What the person says they like and can't stand is told from what they ask, report and say of others."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.knowledge import Preferences, states_preference
from edgeperso.types import Kind, Record, Trust
from edgeperso.vault import Passphrase, Vault
from edgeperso.vault.erasure import erase, plan
from edgeperso.vault.keys import Argon2Cost

STATED = (
    "I really like slow trains.",
    "I can't stand the smell of lilies.",
    "I can’t eat hazelnuts.",
    "I’d rather walk than wait for a bus.",
    "I am allergic to penicillin.",
    "I'm quite sensitive to bright light.",
    "My favourite soup is borscht.",
    "My favorite colour is moss green.",
    "Opera is not my cup of tea.",
    "Crowded beaches don't appeal to me.",
    "Horror doesn't really interest me.",
    "An open office does not work for me.",
    "I find small talk exhausting but long letters relaxing.",
    "I find spreadsheets tedious.",
    "I have a severe allergy to cats.",
    "I have a lifelong fear of heights.",
    "I only drink decaf after noon.",
    "I never wear wool.",
    "I do not trust cash machines.",
    "I don't use plastic bags.",
    "I exclusively read on paper.",
    "We avoid motorways when we can.",
    "We love camping in the rain.",
    "I work best at night.",
    "I learn best by doing.",
    "I'll go with the window seat.",
    "I will stick with the old phone.",
    "Let's go for the cheaper one.",
    "The second hotel sounds perfect for me.",
    "A tandem looks like fun, but a canal boat seems ideal to me.",
    "I tried coffee again and still prefer tea.",
    "I have nothing against cars, but I avoid driving.",
    "I strongly dislike loud restaurants.",
    "I am passionate about old maps.",
    "I'm not interested in football.",
    "I am against fast fashion.",
    "I insist on paying my own way.",
    "I value quiet more than comfort.",
    "I struggle with stairs.",
    "I try to avoid sugar.",
    "I'm vegan.",
    "I am strictly vegetarian.",
    "i hate mondays",
    "I LOVE PICKLES",
    "After the flood we still enjoy rivers.",
    "I steer clear of revolving doors.",
    "I won't consider a phone without keys.",
    "I have a deep disdain for umbrellas.",
    "I'm a strong advocate for night trains.",
    "I am uninterested in horoscopes.",
    "I'm not comfortable with lifts.",
)
NOT_STATED = (
    "The train was late again.",
    "Rain all day long.",
    "My sister plays the cello.",
    "Do you like jazz?",
    "She loves tulips.",
    "He can't stand the cold.",
    "They avoid the centre on Saturdays.",
    "Tom is allergic to nuts.",
    "Her favourite film is old.",
    "Thanks, that's all for today.",
    "How do I sort a list in Python?",
    "Write a poem about the sea.",
    "I went to the dentist on Monday.",
    "I have two brothers.",
    "I am at the station.",
    "I live in Ghent.",
    "I find the key under the mat every time.",
    "The recipe needs flour, eggs and milk.",
    "It works well for most people.",
    "What would you recommend?",
    "Please fix the error in line 3.",
    "This is a good question.",
    "We met at the harbour.",
    "I paid the rent.",
    "The museum is closed on Mondays.",
    "My boss is called Ann.",
    "I will be there at nine.",
    "Here is my code.",
    "Prefer composition over inheritance.",
    "The likelihood of rain is small.",
    "I'd like you to split this function in two.",
)
NOT_THEIRS = (
    'My neighbour shouted "I hate cats" over the fence.',
    "> I love the old harbour.",
    "Translate into French: I love the old harbour.",
    "Could you please make this sound kinder: I hate mondays.",
    "The second line is odd. Correct the verb: I likes pickles and I avoid salt.",
)
HOSTILE = ("i ", "i am ", "i and aly ", "i'd ", "we and so or but ", "not ", "don't ", "is ", "i have a ", "i find ",
           "aly ", " ", "’", ".", "i, ", "I really really ", "a" * 500 + "ly ", "\u0130 i ")  # fmt: skip
MEGABYTE = 1_000_000


@pytest.mark.parametrize("text", STATED)
def test_a_taste_is_told_by_the_form_of_its_sentence(text: str) -> None:
    assert states_preference(text)
    assert states_preference(text.replace("'", "’")), "apostrophes may be curly"
    assert states_preference(text.upper())
    assert states_preference(f"The weather was fine today. {text} See you on Friday!")


@pytest.mark.parametrize("text", NOT_STATED)
def test_what_is_asked_told_or_true_of_others_is_no_taste(text: str) -> None:
    assert not states_preference(text)
    assert not states_preference(text.replace("'", "’"))


def test_one_such_sentence_among_many_others_is_enough() -> None:
    long = " ".join(NOT_STATED)
    assert not states_preference(long)
    assert states_preference(f"{long} I can't stand lilies. {long}")


@pytest.mark.parametrize("text", NOT_THEIRS)
def test_what_is_quoted_or_given_to_be_worked_on_is_no_taste(text: str) -> None:
    assert not states_preference(text)
    assert states_preference(f"I love pickles. {text}")


def test_who_puts_all_of_it_in_quotation_marks_means_it() -> None:
    assert states_preference('"I love the old harbour."')


def test_words_of_two_sentences_state_nothing_together() -> None:
    assert not states_preference("That was I. Avoid the centre.")
    assert not states_preference("So did I! Love, Ann")
    assert not states_preference("What do I find? Boring news.")


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    assert states_preference(text) in (True, False)


@pytest.mark.parametrize("piece", HOSTILE)
def test_repetition_does_not_blow_up(piece: str) -> None:
    assert not states_preference(piece * (MEGABYTE // len(piece)))
    states_preference(f"i {piece * 20}and " + "a" * MEGABYTE)
    states_preference((piece * 60 + ". ") * 100)


# ---- those of a vault ----------------------------------------------------------------------------------------------


@pytest.fixture
def vault(tmp_path: Path) -> Iterator[Vault]:
    cheap = Argon2Cost(memory_kib=64, iterations=1, lanes=1, below_standard=True)
    made, _ = Vault.create(tmp_path / "home", Passphrase("a passphrase"), cost=cheap)
    with made:
        yield made


def add(vault: Vault, text: str, *, kind: Kind = Kind.NOTE, trust: Trust = Trust.SELF) -> int:
    (id_,) = vault.memories.add([Record(text=text, kind=kind, source="notes", trust=trust)]).ids
    return id_


def test_they_are_the_persons_own_words_oldest_first(vault: Vault) -> None:
    add(vault, "I avoid wool, wrote Ann.", trust=Trust.OTHER)
    wool = add(vault, "I avoid wool.")
    add(vault, "Rain all day long.")
    add(vault, "I prefer to be called a manual.", kind=Kind.DOCUMENT)
    chat = add(vault, "I love rye bread.", kind=Kind.CHAT)
    mail = add(vault, "I can't stand lilies.", kind=Kind.MAIL)
    assert Preferences(vault).ids() == (wool, chat, mail)


def test_what_is_stored_as_a_preference_is_one_in_whatever_words(vault: Vault) -> None:
    window = add(vault, "Window seat, always.", kind=Kind.PREFERENCE)
    add(vault, "Aisle seat, always.", kind=Kind.PREFERENCE, trust=Trust.OTHER)
    assert Preferences(vault).ids() == (window,)


def test_what_stands_far_down_in_a_long_turn_of_a_chat_is_not_the_person_speaking(vault: Vault) -> None:
    pasted = f"This log ends too early, why? {'12:01 retrying the pump. ' * 20}I never trust the gauge. 12:02 stopped."
    add(vault, pasted, kind=Kind.CHAT)
    note = add(vault, f"Monday. {pasted}")
    short = add(vault, "The pump again. I never trust the gauge.", kind=Kind.CHAT)
    assert Preferences(vault).ids() == (note, short)


def test_a_closed_one_is_left_out_until_it_is_reopened(vault: Vault) -> None:
    old, new = add(vault, "I love coffee."), add(vault, "I prefer tea now.")
    preferences = Preferences(vault)
    assert preferences.ids() == (old, new)
    vault.memories.supersede(old, by=new, at_ms=1)
    assert preferences.ids() == (new,)
    vault.memories.reopen(old)
    assert preferences.ids() == (old, new)


def test_they_follow_what_is_added_edited_and_forgotten(vault: Vault) -> None:
    preferences = Preferences(vault)
    assert preferences.ids() == ()
    wool, rain = add(vault, "I avoid wool."), add(vault, "Rain all day long.")
    assert preferences.ids() == (wool,)
    vault.memories.edit(rain, "I enjoy rain all day long.")
    assert preferences.ids() == (wool, rain)
    vault.memories.edit(wool, "The shop sells wool.")
    assert preferences.ids() == (rain,)
    erase(vault, plan(vault, ids=(rain,)))
    assert preferences.ids() == ()
    bread = add(vault, "I love rye bread.")
    assert preferences.ids() == (bread,)


def test_they_follow_another_process(vault: Vault) -> None:
    preferences = Preferences(vault)
    assert preferences.ids() == ()
    with Vault.open(vault.home, Passphrase("a passphrase")) as other:
        wool = add(other, "I avoid wool.")
    assert preferences.ids() == (wool,)


def test_a_text_is_read_once(vault: Vault, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []

    def states(text: str) -> bool:
        read.append(text)
        return True

    monkeypatch.setattr("edgeperso.knowledge.preferences.states_preference", states)
    preferences = Preferences(vault)
    add(vault, "one")
    two = add(vault, "two")
    assert preferences.ids() == preferences.ids()
    assert read == ["one", "two"]
    add(vault, "three")
    vault.memories.edit(two, "two and more")
    assert len(preferences.ids()) == 3
    assert sorted(read) == ["one", "three", "two", "two and more"]
