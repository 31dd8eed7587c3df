"""The starter's conversations: whole, reproducible, in the product's form, apart from the lives that are measured."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

from edgeperso.adaptation.plan import LoraShape
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.prompting import begun_answer
from edgeperso.types import Kind
from scripts.starter.conversation import UNKNOWN, Conversation, conversations
from scripts.starter.measure import DEVELOPMENT
from scripts.starter.pools import POOLS
from scripts.starter.prompts import example
from scripts.starter.recipe import MAX_BYTES, PLAN, packed
from scripts.starter.topics import read_topics
from scripts.starter.unseen import overlaps, unseen
from scripts.starter.values import MAKERS, make, spelled

ROOT = Path(__file__).resolve().parents[2]
LIVES = (ROOT / "examples" / "life", ROOT / "tests" / "data" / "life")
FIELDS = {"v", "o", "x", "x2", "p", "p2", "n", "clock", "town", "weekday", "gadget", "food", "thing", "month"}


def written() -> str:
    """All files of the lives as they are, JSON and all, in small letters with single spaces."""
    files = [path for life in LIVES for path in sorted(life.rglob("*")) if path.is_file()]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


@pytest.fixture(scope="module")
def drawn() -> list[Conversation]:
    return list(unseen(400, 7))


@pytest.fixture(scope="module")
def engine(models_dir: Path) -> Iterator[Engine]:
    with Engine.open(models_dir / "smollm2-135m" / "SmolLM2-135M-Instruct.Q4_1.gguf") as opened:
        yield opened


def test_nothing_is_trained_on_that_stands_in_a_life(drawn: list[Conversation]) -> None:
    lives = f" {' '.join(words(written()))} "
    for conversation in drawn:
        for text in (*(note.text for note in conversation.notes), conversation.question):
            said = words(text)
            assert not any(f" {' '.join(said[at : at + 5])} " in lives for at in range(len(said) - 4)), text


def test_no_question_about_a_life_is_trained_on(drawn: list[Conversation]) -> None:
    asked = {" ".join(words(found)) for found in re.findall(r'"question": "([^"]+)"', written())}
    assert len(asked) > 90
    assert asked.isdisjoint(" ".join(words(conversation.question)) for conversation in drawn)


@pytest.mark.parametrize(
    "text",
    [
        "Well. First September in forty-one years that I had",
        "Which town do I live in now?",
        "CAMILLE said: one cavity, 210 bucks, no insurance!",
    ],
)
def test_what_stands_in_a_life_is_left_out(drawn: list[Conversation], text: str) -> None:
    note = replace(drawn[0].notes[0], text=f"Rain. {text}")
    assert not overlaps(drawn[0])
    assert overlaps(replace(drawn[0], notes=(note,)))
    assert overlaps(replace(drawn[0], question=text))


@pytest.mark.parametrize("pool", ["first", "last", "town", "petname", "brand", "car", "medicine"])
def test_no_name_is_one_of_a_life(pool: str) -> None:
    names = set(re.findall(r"\b[A-Z]\w+", written()))
    assert not [word for word in POOLS[pool] if names.intersection(word.split())]


def test_topics_are_whole() -> None:
    topics = read_topics()
    assert len({topic.key for topic in topics}) == len(topics) > 150
    for topic in topics:
        told = [*topic.states, *topic.changes, *topic.mails]
        asked = [*topic.asks, *topic.asks_by_old, *topic.asks_for_old]
        assert topic.states, topic.key
        assert topic.asks, topic.key
        assert not topic.asks_for_old or topic.changes, topic.key
        for text in [*told, *asked]:
            assert set(re.findall(r"\{(\w+)\}", text)) <= FIELDS, text
        if topic.maker != "notedate":
            assert topic.maker.partition(":")[0] in MAKERS, topic.key
            assert all("{v}" in text for text in told), topic.key
            assert not any("{v}" in text for text in [*topic.asks, *topic.asks_by_old]), topic.key
            assert not any("{o}" in text for text in topic.asks_for_old), topic.key


def test_a_seed_always_gives_the_same() -> None:
    first, again, other = (list(islice(conversations(seed), 20)) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_the_answer_stands_in_a_note_unless_there_is_none(drawn: list[Conversation]) -> None:
    dated = {topic.key for topic in read_topics() if topic.maker == "notedate"}
    unanswered = 0
    for conversation in drawn:
        texts = [note.text.lower() for note in conversation.notes]
        if conversation.answer == UNKNOWN:
            unanswered += 1
        elif conversation.topic not in dated:
            assert any(conversation.answer.lower() in text for text in texts), conversation.question
    assert 5 <= unanswered <= 40


def test_the_best_note_mostly_answers_but_not_always(drawn: list[Conversation]) -> None:
    known = [one for one in drawn if one.answer != UNKNOWN]
    first = sum(one.answer.lower() in one.notes[0].text.lower() for one in known) / len(known)
    assert 0.5 < first < 0.85


def test_no_field_is_left_empty(drawn: list[Conversation]) -> None:
    for conversation in drawn:
        assert not any("{" in text for text in (conversation.question, *(note.text for note in conversation.notes)))


@pytest.mark.parametrize("maker", sorted(MAKERS))
def test_values_are_many_and_on_one_line(maker: str) -> None:
    rng = random.Random(1)
    values = {make(rng, f"{maker}:3-900") for _ in range(300)}
    assert len(values) >= 7
    assert all(value.strip() == value and value and "\n" not in value for value in values)


@pytest.mark.model
def test_an_example_is_the_products_prompt_and_then_the_answer(engine: Engine, drawn: list[Conversation]) -> None:
    for conversation in drawn[:40]:
        made = example(engine, conversation)
        before = engine.detokenize(list(made.tokens[: made.learn_from]))
        after = engine.detokenize(list(made.tokens[made.learn_from :]))
        begun = begun_answer(conversation.question)
        assert conversation.answer.lower() in after.lower()
        assert made.tokens[-1] == engine.info.eos
        assert before.endswith(f"Answer: {begun}" if begun else "assistant\n")
        shown = [before.index(note.text) for note in conversation.notes]
        assert shown == sorted(shown, reverse=True)
        assert all(f"[{spelled(note.day, year=True)}" in before for note in conversation.notes)


@pytest.mark.model
def test_a_mail_is_shown_as_one(engine: Engine, drawn: list[Conversation]) -> None:
    conversation = next(one for one in drawn if any(note.kind == Kind.MAIL for note in one.notes))
    made = example(engine, conversation)
    author = next(note.author for note in conversation.notes if note.kind == Kind.MAIL)
    assert f"mail from {author}" in engine.detokenize(list(made.tokens))


def test_an_adapter_of_the_plans_shape_fits_its_file() -> None:
    sizes = {"attn_q": (576, 576), "attn_k": (576, 192), "attn_v": (576, 192), "attn_output": (576, 576)}
    sizes |= {"ffn_gate": (576, 1536), "ffn_up": (576, 1536), "ffn_down": (1536, 576)}
    assert isinstance(PLAN.shape, LoraShape)
    rng, rank = np.random.default_rng(0), PLAN.shape.rank
    pairs = {
        f"blk.{layer}.{name}": LoraPair(
            rng.normal(size=(rank, n_in)).astype(np.float32), rng.normal(size=(n_out, rank)).astype(np.float32)
        )
        for layer in range(30)
        for name, (n_in, n_out) in sizes.items()
    }
    data = packed(Lora("0" * 64, "llama", 12.0, pairs))
    assert len(data) <= MAX_BYTES
    back = adapter_from_bytes(data)
    assert isinstance(back, Lora)
    wanted = pairs["blk.7.ffn_down"].b.astype(np.float16).astype(np.float32)
    np.testing.assert_array_equal(back.pairs["blk.7.ffn_down"].b, wanted)


def test_the_official_questions_are_no_development_list() -> None:
    assert all("examples" not in life.questions.parts for life in DEVELOPMENT)
    assert all(path.exists() for life in DEVELOPMENT for path in (*life.sources, life.questions))
