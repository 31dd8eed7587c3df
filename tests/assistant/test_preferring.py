from __future__ import annotations

import pytest

from edgeperso.assistant import Assistant
from edgeperso.errors import DataInvalid, NotFound, UsageError
from edgeperso.types import Role

NOW_MS = 1_760_000_000_000


def answered(me: Assistant, question: str, answer: str, *sources: int) -> int:
    conversations = me.vault.conversations
    conversation = conversations.latest() or conversations.start()
    conversations.add_turn(conversation, Role.PERSON, question)
    return conversations.add_turn(conversation, Role.ASSISTANT, answer, {"sources": list(sources)}).id


def test_a_correction_is_a_pair_that_hangs_on_what_the_answer_drew_on(plain: Assistant) -> None:
    note = plain.remember("The budget meeting is on Monday.", scope="work")
    answered(plain, "Who is there?", "Nobody at all.")
    turn = answered(plain, "When is the meeting?", "It is on Friday.", note.id)
    pair = plain.correct("  On Monday, at nine. ")
    assert (pair.prompt, pair.chosen, pair.rejected) == (
        "When is the meeting?",
        "On Monday, at nine.",
        "It is on Friday.",
    )
    assert (pair.turn_id, pair.memories, pair.scope, pair.at_ms) == (turn, (note.id,), "work", NOW_MS)
    plain.forget(plain.plan_forget(ids=(note.id,)))
    assert plain.vault.pairs.count() == 0


def test_an_earlier_answer_can_be_corrected_and_mixed_scopes_are_the_persons(plain: Assistant) -> None:
    ids = [plain.remember(f"The {scope} plan is a good one.", scope=scope).id for scope in ("work", "club")]
    first = answered(plain, "What is good?", "Neither of them.", *ids)
    answered(plain, "And bad?", "Both of them.")
    pair = plain.correct("Both of them are.", turn_id=first)
    assert (pair.prompt, pair.scope) == ("What is good?", "personal")


def test_what_can_not_be_corrected(plain: Assistant) -> None:
    with pytest.raises(NotFound):
        plain.correct("Anything.")
    note = plain.remember("My cat is called Mokka.")
    turn = answered(plain, "What is my cat called?", "Mokka, I should say.", note.id)
    for text in ("", "Mokka, I should say."):
        with pytest.raises(DataInvalid):
            plain.correct(text)
    with pytest.raises(UsageError):
        plain.correct("No.", turn_id=turn - 1)
    with pytest.raises(NotFound):
        plain.correct("No.", turn_id=turn + 100)
    plain.forget(plain.plan_forget(ids=(note.id,)))
    for act in (lambda: plain.correct("It is Mokka."), plain.accept):
        with pytest.raises(NotFound):
            act()


def test_an_accepted_answer_is_noted(plain: Assistant) -> None:
    answered(plain, "Who was it?", "It was Ann.")
    turn = answered(plain, "Is that so?", "Yes, it is.")
    assert plain.accept() == turn
    assert plain.accept(turn - 2) == turn - 2
    assert [(q.text, a.text) for q, a in plain.vault.conversations.accepted_turns()] == [
        ("Who was it?", "It was Ann."),
        ("Is that so?", "Yes, it is."),
    ]
    with pytest.raises(UsageError):
        plain.accept(turn - 1)


def test_a_preference_is_kept(plain: Assistant) -> None:
    pair = plain.prefer("Hello, dear.", "Greetings.", prompt="Hi?", scope="club")
    assert plain.vault.pairs.all() == [pair]
    assert (pair.scope, pair.turn_id, pair.memories, pair.at_ms) == ("club", None, (), NOW_MS)
