from __future__ import annotations

import pytest

from edgeperso.errors import DataInvalid, NotFound
from edgeperso.types import Role


@pytest.fixture
def ids(vault, note) -> list[int]:
    return list(vault.memories.add([note(f"n{i}") for i in range(5)]).ids)


@pytest.fixture
def answer(vault) -> int:
    talk = vault.conversations.start()
    vault.conversations.add_turn(talk, Role.PERSON, "When?")
    return vault.conversations.add_turn(talk, Role.ASSISTANT, "Now.").id


def test_everything_comes_back(vault, ids, answer) -> None:
    first = vault.pairs.add("When?", "At noon.", "Now.", at_ms=5, scope="work", turn_id=answer, memories=[3, 1, 3])
    second = vault.pairs.add("", "a", "b", at_ms=9, scope="personal")
    assert vault.pairs.all() == [first, second]
    assert (first.prompt, first.chosen, first.rejected) == ("When?", "At noon.", "Now.")
    assert (first.at_ms, first.scope, first.turn_id, first.memories) == (5, "work", answer, (1, 3))
    assert (second.turn_id, second.memories) == (None, ())
    assert vault.pairs.count() == 2


@pytest.mark.parametrize(("chosen", "rejected"), [("", "b"), ("a", " "), ("same ", "same")])
def test_two_answers_that_differ(vault, chosen, rejected) -> None:
    with pytest.raises(DataInvalid):
        vault.pairs.add("p", chosen, rejected, at_ms=0, scope="personal")
    assert vault.pairs.count() == 0


def test_unknown_references(vault, ids) -> None:
    with pytest.raises(NotFound):
        vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", turn_id=7)
    with pytest.raises(NotFound):
        vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", memories=[1, 99])
    assert vault.pairs.count() == 0


def test_a_rejected_answer_is_accepted_no_more(vault, answer) -> None:
    vault.conversations.accept(answer)
    vault.pairs.add("When?", "Now.", "Never.", at_ms=0, scope="personal", turn_id=answer)
    assert len(vault.conversations.accepted_turns()) == 1
    vault.pairs.add("When?", "At noon.", "Now.", at_ms=0, scope="personal", turn_id=answer)
    assert vault.conversations.accepted_turns() == []


def test_deleting_taints_what_learnt_from_them(vault, lora) -> None:
    pairs = [vault.pairs.add("p", f"a{i}", "b", at_ms=0, scope="personal").id for i in range(3)]
    for pair in pairs:
        vault.adapters.add(lora(), b"x", pairs=[pair])
    vault.checkpoints.save("t", b"s", pairs=pairs[2:])
    vault.checkpoints.save("u", b"s", pairs=pairs[:1])
    assert vault.pairs.delete([pairs[1], pairs[2], 99]) == [2, 3]
    assert [pair.id for pair in vault.pairs.all()] == pairs[:1]
    assert vault.checkpoints.names() == ["u"]
    assert vault.adapters.sources(2).pairs == ()
    assert vault.pairs.delete([]) == []
