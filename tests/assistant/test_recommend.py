"""Recommending: what the person said of their tastes comes first, and what the model read is what is named."""

from __future__ import annotations

import runpy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeperso.assistant import Assistant, Weighed
from edgeperso.errors import EmptyQuestion, QuestionTooLong, UsageError
from edgeperso.types import Asking, Kind, MemoryFilter, Record, Trust

Scripted: Any = runpy.run_path(str(Path(__file__).with_name("scripted.py")))["Scripted"]

NOW_MS = 1_760_000_000_000
DAY_MS = 86_400_000
QUESTION = "Which restaurant in Rome?"
OPTIONS = ["a bakery full of wheat", "a quiet rice kitchen"]
ANYWHERE = MemoryFilter()


def suits(text: str) -> dict[str, float]:
    """Says Yes to rice, and more so to the bakery, but No for a person who can't eat wheat."""
    bakery = 'Suggestion: "a bakery' in text
    return {"Y": (-7.0 if "can't eat wheat" in text else -1.0) if bakery else -2.0, "N": -4.0}


@pytest.fixture
def me(plain: Assistant) -> Assistant:
    """An assistant on a scripted engine, with a small life."""
    plain._engine = Scripted(suits)
    texts = ("Rome was hot and the restaurant closed", "I can't eat wheat", "Rain all day long", "I love quiet places",
             "Restaurant near the harbour, said Ann", "Read about whales")  # fmt: skip
    for place, text in enumerate(texts):
        plain.remember(text, occurred_ms=NOW_MS - (10 - place) * DAY_MS)
    return plain


def read(me: Assistant) -> list[str]:
    seen: list[str] = me.engine.read  # type: ignore[attr-defined]
    return seen


def advice(me: Assistant, question: str = QUESTION, where: MemoryFilter = ANYWHERE) -> list[str]:
    return [hit.memory.text for hit in me.find_for_advice(question, where)]


@pytest.fixture
def evenly(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    """All tastes bear on all questions; their order stays."""
    rank = me.retriever.rank
    monkeypatch.setattr(me.retriever, "rank", lambda *asked: [replace(hit, score=1.0) for hit in rank(*asked)])


@pytest.mark.parametrize("asking", [Asking.APART, Asking.APART_GAIN, Asking.REASONED])
def test_a_taste_that_shares_no_word_with_the_question_decides(me: Assistant, asking: Asking) -> None:
    assert "I can't eat wheat" not in [hit.memory.text for hit in me.find(QUESTION, ANYWHERE)[0]]
    found = me.recommend(QUESTION, OPTIONS, asking=asking)
    assert isinstance(found, Weighed)
    assert found.order == [1, 0]
    wheat = next(memory for memory in me.vault.memories.scan() if "wheat" in memory.text)
    me.forget(me.plan_forget(ids=(wheat.id,)))
    assert me.recommend(QUESTION, OPTIONS, asking=Asking.APART).order == [0, 1]


@pytest.mark.usefixtures("evenly")
def test_sources_are_the_few_memories_that_were_read(me: Assistant) -> None:
    for text in ("I avoid stairs", "I enjoy long walks"):
        me.remember(text)
    assert len(advice(me)) == 4
    found = me.recommend(QUESTION, OPTIONS, asking=Asking.APART)
    assert [memory.text for memory in me.vault.memories.get(found.sources)] == advice(me)[:3]
    for memory in me.vault.memories.scan():
        assert all((memory.text in text) == (memory.id in found.sources) for text in read(me))


@pytest.mark.usefixtures("evenly")
def test_advice_rests_on_all_tastes_the_nearest_first_and_on_nothing_else(me: Assistant) -> None:
    assert set(advice(me)) == {"I can't eat wheat", "I love quiet places"}
    assert advice(me, "Is it quiet?") == ["I love quiet places", "I can't eat wheat"]
    assert advice(me, "Who can bake with wheat?") == ["I can't eat wheat", "I love quiet places"]


def test_a_taste_that_bears_on_the_question_far_less_than_the_best_is_left_out(
    me: Assistant, monkeypatch: pytest.MonkeyPatch
) -> None:
    me.remember("I avoid stairs")
    scores = iter((2.5, 1.5, 1.4))
    rank = me.retriever.rank
    monkeypatch.setattr(me.retriever, "rank", lambda *asked: [replace(hit, score=next(scores)) for hit in rank(*asked)])
    assert len(advice(me)) == 2


def test_without_tastes_it_rests_on_what_is_found_in_the_persons_own_words(plain: Assistant) -> None:
    theirs = Record("The restaurant in Rome was full, said Ann", Kind.MAIL, "mail", author="Ann", trust=Trust.OTHER)
    plain.vault.memories.add([theirs])
    plain.catch_up()
    assert advice(plain) == [theirs.text], "others' words, where there are no own"
    plain.remember("Rome was hot and the restaurant closed")
    plain.remember("Rain all day long")
    assert advice(plain) == ["Rome was hot and the restaurant closed"]
    assert advice(plain, "zzyzx") == []


def test_the_filter_holds_for_tastes_as_well(me: Assistant) -> None:
    late = MemoryFilter(after_ms=NOW_MS - 8 * DAY_MS)
    assert "I can't eat wheat" not in advice(me, where=late)
    assert advice(me, where=late) == ["I love quiet places"]
    found = me.recommend(QUESTION, OPTIONS, where=MemoryFilter(scopes=("work",)), asking=Asking.APART)
    assert found.sources == ()
    assert found.order == [0, 1]


@pytest.mark.usefixtures("evenly")
def test_what_others_wrote_and_what_was_replaced_is_no_taste(me: Assistant) -> None:
    me.vault.memories.add([Record("I hate rice", Kind.MAIL, "mail", author="Ann", trust=Trust.OTHER)])
    coffee, tea = me.remember("I love coffee."), me.remember("I prefer tea.")
    me.vault.memories.supersede(coffee.id, by=tea.id, at_ms=NOW_MS)
    tastes = advice(me, "zzyzx")
    assert set(tastes) == {"I can't eat wheat", "I love quiet places", "I prefer tea."}


@pytest.mark.usefixtures("evenly")
def test_tastes_follow_what_is_remembered_and_edited(me: Assistant) -> None:
    new = me.remember("I avoid stairs.")
    assert "I avoid stairs." in advice(me, "zzyzx")
    me.edit(new.id, "The stairs were painted.")
    assert "The stairs were painted." not in advice(me, "zzyzx")


def test_the_profile_card_and_the_task_are_read(me: Assistant) -> None:
    me.vault.profile.set("name", "Ottilie")
    me.recommend(QUESTION, OPTIONS, asking=Asking.APART)
    assert all(text.startswith("\0You know a person well and advise them.") for text in read(me))
    assert all("name: Ottilie" in text for text in read(me))
    me.weigher("You count sheep.").written("Go on.", max_tokens=3)
    assert "You count sheep." in read(me)[-1]
    assert "Ottilie" in read(me)[-1]


@pytest.mark.usefixtures("evenly")
def test_a_weigher_reads_as_many_memories_as_it_is_told_or_as_the_model_can(me: Assistant) -> None:
    for text in ("I avoid stairs", "I enjoy long walks"):
        me.remember(text)
    hits = me.find_for_advice(QUESTION, ANYWHERE)
    me.engine.likely = lambda _read, text: -1.0  # type: ignore[attr-defined]
    counts = [
        len(me.weigher("You weigh.", most=most).label("Which?", ("1", "2"), hits, cue="").sources) for most in (0, 1, 3)
    ]
    assert counts == [0, 1, 3]
    me.engine.info.n_params = 135_000_000
    assert len(me.weigher("You weigh.").label("Which?", ("1", "2"), hits, cue="").sources) == 3


def test_an_odd_question_breaks_nothing(me: Assistant) -> None:
    for question in ("\ud800?", "\x00", "💥" * 50, "a' OR 1=1 --"):
        assert len(me.recommend(question, OPTIONS, asking=Asking.APART).scores) == 2


@pytest.mark.parametrize("question", ["", " \n\t"])
def test_without_a_question_there_is_nothing_to_recommend_for(me: Assistant, question: str) -> None:
    with pytest.raises(EmptyQuestion, match="nothing to recommend"):
        me.recommend(question, OPTIONS)


def test_what_can_not_be_recommended(me: Assistant) -> None:
    for options in ([], ["one"], ["one", " "]):
        with pytest.raises(UsageError):
            me.recommend(QUESTION, options)
    with pytest.raises(UsageError):
        me.recommend(QUESTION, [str(number) for number in range(27)], asking=Asking.ROTATED)
    with pytest.raises(QuestionTooLong) as caught:
        me.recommend(QUESTION, ["one", "secretword " * 2000])
    assert "secretword" not in str(caught.value)


def test_an_empty_vault_recommends_by_what_the_model_knows(plain: Assistant) -> None:
    plain._engine = Scripted(suits)
    assert plain.recommend(QUESTION, OPTIONS, asking=Asking.APART).sources == ()
    assert plain.recommend(QUESTION, OPTIONS).order == [0, 1]


@pytest.mark.model
@pytest.mark.parametrize("asking", [Asking.GAIN, Asking.REASONED])
def test_the_small_model_gives_the_same_numbers_twice(opener, asking: Asking) -> None:
    found = []
    me = opener()
    me.remember("I can't eat wheat.")
    for _ in range(2):
        me.engine.clear()
        found.append(me.recommend(QUESTION, OPTIONS, asking=asking))
    assert found[0] == found[1]
    assert len(found[0].sources) == 1
    assert all(score > -1000 for score in found[0].scores)
