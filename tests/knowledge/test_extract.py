"""What a sentence states, and above all what it doesn't."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.knowledge.closing import ENDABLE
from edgeperso.knowledge.extract import MAX_CHARACTERS, extract
from edgeperso.knowledge.providers import SUPPLIED
from edgeperso.knowledge.sentences import sentences
from edgeperso.knowledge.slots import SLOTS
from edgeperso.knowledge.statement import is_same


def stated(text: str, year: int = 2025) -> set[tuple[str, str, str]]:
    return {(s.subject, s.attribute, s.value) for s in extract(text, year)}


@pytest.mark.parametrize(
    ("text", "attribute", "value"),
    [
        ("I moved to Leeds last week.", "home", "Leeds"),
        ("We've moved back to New York!", "home", "New York"),
        ("Moved from Hull to Leeds today.", "home", "Leeds"),
        ("I now live in Porto.", "home", "Porto"),
        ("We live at Canal Street 12 now.", "address", "Canal Street 12"),
        ("New flat in Leeds, third floor.", "home", "Leeds"),
        ("My boss is Ann Lee.", "boss", "Ann Lee"),
        ("Ann Lee is my new boss.", "boss", "Ann Lee"),
        ("My new boss is Ann.", "boss", "Ann"),
        ("New boss Ann Lee, very strict.", "boss", "Ann Lee"),
        ("Lunch with my boss Ann.", "boss", "Ann"),
        ("From 1 March our landlady is Mrs Okafor.", "landlord", "Mrs Okafor"),
        ("Dentist: Dr Ruiz.", "dentist", "Dr Ruiz"),
        ("I signed up with a new GP near the park, Dr Ama Mensah.", "doctor", "Dr Ama Mensah"),
        ("My bank is Northern Trust now.", "bank", "Northern Trust"),
        ("Switched my broadband to Skyfibre.", "internet provider", "Skyfibre"),
        ("Changed the internet last week: it's Skyfibre now.", "internet provider", "Skyfibre"),
        ("Our internet is from Skyfibre.", "internet provider", "Skyfibre"),
        ("Signed the gas and electricity for the house with Noven.", "energy supplier", "Noven"),
        ("Chose Noven for power and gas, a fixed price.", "energy supplier", "Noven"),
        ("We switched the electricity from Helio to Noven.", "energy supplier", "Noven"),
        ("Moved phone to Talko, 12 a month.", "mobile provider", "Talko"),
        ("Money's at Northern Trust now.", "bank", "Northern Trust"),
        ("Our greyhound Rex is scared of thunder.", "dog", "Rex"),
        ("We adopted a black cat called Tib.", "cat", "Tib"),
        ("Moved out of Canal Street and in with Tom, Leeds.", "home", "Leeds"),
        ("The heating has been like that since I moved to Leeds in 2019.", "home", "Leeds"),
        ("My mobile contract is with Talko now.", "mobile provider", "Talko"),
        ("Joined the Steel Works gym.", "gym", "Steel Works"),
        ("My rent is 700 euros.", "rent", "700 euros"),
        ("My rent was 700 and is now 750.", "rent", "750"),
        ("From 1 May the rent goes up to £810.", "rent", "£810"),
        ("My salary was raised to 41,000 pounds.", "salary", "41,000 pounds"),
        ("I now earn $21.50 an hour.", "hourly rate", "$21.50"),
        ("My new phone number is 07700 900 123.", "phone number", "07700 900 123"),
        ("My e-mail address is now ann@example.org.", "e-mail address", "ann@example.org"),
        ("The code of the garage is now 4711.", "code of garage", "4711"),
        ("The garage's code is 4711.", "code of garage", "4711"),
        ("The shed opens with 1234.", "code of shed", "1234"),
        ("We now rehearse on Thursdays.", "rehearsal day", "Thursdays"),
        ("My favourite film is The Third Man.", "favourite film", "The Third Man"),
        ("My sister Liz keeps our spare key.", "spare key", "Liz"),
        ("From today I'm vegan.", "diet", "vegan"),
        ("I'm no longer vegan.", "diet", "not vegan"),
        ("I go to work by bus now.", "way to work", "bus"),
        ("I now work at Acme.", "employer", "Acme"),
        ("Started as an apprentice at Acme.", "employer", "Acme"),
        ("First workday of the year at Acme.", "employer", "Acme"),
        ("Cancelled Streamy, nobody watched it.", "ended", "Streamy"),
        ("I gave up the guitar.", "ended", "guitar"),
        ("I don't have a car any more.", "ended", "car"),
        ("Switched from beer to cider.", "ended", "beer"),
        ("My bike was stolen.", "ended", "bike"),
        ("Subscribed to The Courier.", "has", "Courier"),
        ("Bought a red Brompton.", "has", "Brompton"),
    ],
)
def test_a_statement_is_read(text: str, attribute: str, value: str) -> None:
    assert ("self", attribute, value) in stated(text)


@pytest.mark.parametrize("text", ["Tom has moved to Trondheim.", "Helped Tom move to Trondheim."])
def test_a_named_person_may_move(text: str) -> None:
    assert stated(text) == {("tom", "home", "Trondheim")}


@pytest.mark.parametrize(
    "text",
    [
        "Should I move? Is my boss Ann?",
        "My boss is ill.",
        "My boss is Dutch.",
        "My bank is closed on Mondays.",
        "My rent is too high.",
        "If I moved to Leeds, my boss would be Ann.",
        "I might have moved to Leeds.",
        "Ann says my boss is Carl.",
        "He thinks my new bank is Northern Trust.",
        "My boss isn't Ann.",
        "Her boss is Ann.",
        "Tom's boss is Ann.",
        "My sister's dentist is Dr Ruiz.",
        "My sister's new job is in Leeds.",
        "My old boss was Ann.",
        "My boss at the time was Ann.",
        "Before I moved to Leeds I was happier.",
        "When I lived in Porto I surfed.",
        "I moved to Antwerp in 2019.",
        "I used to live in Porto.",
        "I dreamt that my landlord is Ann Lee.",
        'The mail says: "Your landlord is Victor Prins, my boss is Ann."',
        "> My boss is Ann.",
        "The meeting moved to Thursday.",
        "I moved my account to Thursday's list.",
        "My sister is ill.",
        "One of my favourite films is Alien.",
        "Her favourite film is Alien.",
        "Mijn baas is Pieter en ik woon in Gent.",
        "Meine Chefin ist Anna, ich wohne jetzt in Köln.",
        "I never gave up the guitar.",
        "Tom sold the car.",
        "Tom came and sold the car.",
        "I moved to the back row.",
        "I started as a beginner at Iron Hall.",
        "Tom started as a clerk at Acme.",
        "I got my money from Ann.",
        "The phone is at Ann's now.",
        "We took the phone to Ghent.",
        "If we switched the gas to Noven, we'd pay less.",
        "Tom says our power comes from Noven.",
        "Her cat Tib is ill.",
        "Tom's dog Rex barks.",
        "Nobody helped since we lived in Porto.",
        "I dreamt that nothing had changed since I moved to Porto.",
        "I helped Ann move the sofa to Leeds.",
        "First day back at Iron Hall.",
    ],
)
def test_what_is_asked_denied_reported_past_or_of_others_is_not_stated(text: str) -> None:
    assert stated(text) == set()


def test_the_last_value_in_a_text_counts() -> None:
    assert stated("My boss is Ann. From today my boss is Carl.") == {("self", "boss", "Carl")}


def test_plain_words_do_not_replace_where_both_may_be_true() -> None:
    (plain,), (change,) = extract("I live in Belgium.", 2025), extract("I now live in Belgium.", 2025)
    assert not plain.replaces
    assert change.replaces


def test_what_companies_supply_is_a_thing_of_which_there_is_one() -> None:
    """Both ways of saying who supplies it end each other: they are one attribute."""
    assert set(SUPPLIED) <= {slot.attribute for slot in SLOTS}
    assert set(SUPPLIED) <= ENDABLE


def test_a_long_text_states_nothing() -> None:
    assert extract("My boss is Ann. " * (MAX_CHARACTERS // 10), 2025) == []


def test_questions_keep_their_place() -> None:
    assert sentences("One. Two? Dr Ruiz came.\n\nFour") == ["One.", "", "Dr Ruiz came.", "Four"]


def test_part_of_a_name_is_the_same_name() -> None:
    assert is_same("Pieter", "Pieter Goossens")
    assert is_same("the Northern Trust", "northern trust")
    assert not is_same("Ann Lee", "Ann Ruiz")


@given(st.text(max_size=300))
def test_any_text_can_be_read(text: str) -> None:
    for statement in extract(text, 2025):
        assert statement.value


@pytest.mark.parametrize(
    "piece",
    [
        "my boss is ",
        "A a ",
        "new ",
        "moved to ",
        "1 ",
        "the code of the ",
        ", ",
        "\n- ",
        "phone and gas, ",
        "my small dog ",
    ],
)
def test_repetition_does_not_blow_up(piece: str) -> None:
    extract(piece * (MAX_CHARACTERS // len(piece)), 2025)
