"""What a method wears: whom each adapter learns from, in which order they are trained, and what names them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example, Plan
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.evals import learnt
from edgeperso.evals.learnt import Tailor, wearing
from edgeperso.evals.methods import Method
from edgeperso.evals.setup import Setup
from edgeperso.types import Kind, Record

SUBJECTS = ("bread", "motorbike", "cello", "garden")
PEOPLE = {
    f"p{number}": [
        Record(
            f"{SUBJECTS[number % 4]} {SUBJECTS[number % 4]} number {number} {place}", Kind.NOTE, "x", occurred_ms=place
        )
        for place in range(4)
    ]
    for number in range(48)
}
EVERYTHING = Method.parse("hybrid+global-lora+persona-lora+user-lora", trains=True)
USER, PERSONA, GLOBAL = (Method.parse(f"{name}-lora", trains=True) for name in ("user", "persona", "global"))


class Trainer:
    """Makes a LoRA that knows nothing, and notes what it was to learn."""

    def __init__(self, sha256: str) -> None:
        self.calls: list[tuple[tuple[Example, ...], Plan, tuple[Lora, ...]]] = []
        self.made: list[Lora] = []
        self._sha256 = sha256

    def __call__(self, setup: Setup, examples: Sequence[Example], plan: Plan, below: Sequence[Any] = ()) -> Lora:
        self.calls.append((tuple(examples), plan, tuple(worn.adapter for worn in below)))
        a = np.full((1, 64), len(self.calls), np.float32)
        pairs = {"blk.0.attn_q": LoraPair(a, np.ones((64, 1), np.float32))}
        self.made.append(Lora(self._sha256, "llama", 1.0, pairs))
        return self.made[-1]


@pytest.fixture
def trainer(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> Trainer:
    made = Trainer(setup.engine.info.base_sha256)
    monkeypatch.setattr(learnt, "train_adapter", made)
    return made


def lesson(prefix: str) -> Any:
    """Examples whose tokens tell whose they are, and whether they were lent."""

    def teach(person: str, method: Method, most: int) -> list[Example]:
        return [Example((int(prefix), int(person[1:]), place), 1) for place in range(4)[-most:]]

    return teach


def tailor(setup: Setup, people: dict[str, list[Record]] = PEOPLE, donors: dict[str, list[Record]] = PEOPLE) -> Tailor:
    return Tailor(setup, people, donors, teach=lesson("1"), lend=lesson("2"))


def learnt_from(trainer: Trainer, call: int = -1) -> set[tuple[int, int]]:
    return {example.tokens[:2] for example in trainer.calls[call][0]}


def test_a_persons_own_adapter_learns_their_own_history(setup: Setup, trainer: Trainer) -> None:
    (worn,) = tailor(setup).stack("p3", USER)
    assert learnt_from(trainer) == {(1, 3)}
    assert worn.scale == 1
    assert tailor(setup, people={"p3": []}).stack("p3", USER) == []
    assert len(trainer.calls) == 1


@pytest.mark.parametrize("method", [PERSONA, GLOBAL])
def test_nobody_wears_what_has_read_them(setup: Setup, trainer: Trainer, method: Method) -> None:
    made = tailor(setup)
    readers: dict[str, set[int]] = {}
    for person in PEOPLE:
        (worn,) = made.stack(person, method)
        found = learnt_from(trainer, next(place for place, lora in enumerate(trainer.made) if lora is worn.adapter))
        assert {lent for lent, _ in found} == {2}
        readers[person] = {number for _, number in found}
        assert int(person[1:]) not in readers[person]
    for person, read in readers.items():
        assert {learnt._half(f"p{number}") for number in read} == {1 - learnt._half(person)}, "the other half alone"
    assert len(set().union(*readers.values())) > 12
    assert len(trainer.calls) <= 2 * 3, "few adapters serve everybody"


def test_a_persona_is_of_those_who_are_near(setup: Setup, trainer: Trainer) -> None:
    made = tailor(setup)
    for person in ("p0", "p1", "p2", "p3"):
        seen = len(trainer.calls)
        made.stack(person, PERSONA)
        if len(trainer.calls) > seen:
            read = [SUBJECTS[number % 4] for _, number in learnt_from(trainer)]
            assert SUBJECTS[int(person[1:])] in read
            assert len(set(read)) < 4, "not of everybody"


def test_others_are_learnt_from_in_small_parts(setup: Setup, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    tailor(setup).stack("p0", GLOBAL)
    whole = len(trainer.calls[-1][0])
    monkeypatch.setattr(learnt, "_EACH", 2)
    monkeypatch.setattr(learnt, "_MOST", dict.fromkeys(learnt._MOST, 10))
    tailor(setup).stack("p0", GLOBAL)
    assert len(trainer.calls[-1][0]) == 10 < whole
    assert len(learnt_from(trainer)) == 5
    other = tailor(replace(setup, seed=1))
    other.stack("p0", GLOBAL)
    assert learnt_from(trainer) != learnt_from(trainer, -2), "the seed draws them"


def test_each_adapter_is_trained_above_those_below_it(setup: Setup, trainer: Trainer) -> None:
    made = tailor(setup)
    stack = made.stack("p5", EVERYTHING)
    assert [len(below) for _, _, below in trainer.calls] == [0, 1, 2]
    assert [worn.adapter for worn in stack[:2]] == list(trainer.calls[2][2])
    assert learnt_from(trainer) == {(1, 5)}
    again = made.stack("p5", EVERYTHING)
    assert [len(below) for _, _, below in trainer.calls[3:]] == [2], "what is shared is kept, one's own isn't"
    assert [worn.key for worn in again[:2]] == [worn.key for worn in stack[:2]]


def test_an_adapter_is_named_by_all_that_makes_it(setup: Setup) -> None:
    made = tailor(setup)
    keys = made.keys("p5", EVERYTHING)
    assert len(set(keys)) == 3
    assert made.keys("p5", EVERYTHING) == tailor(setup).keys("p5", EVERYTHING) == keys
    assert made.keys("p5", Method.parse("hybrid")) == []
    own = made.keys("p5", USER)
    assert own != keys[2:], "what is worn below"
    assert made.keys("p5", Method.parse("hybrid+user-lora", trains=True)) != own
    for other in (replace(setup, seed=1), replace(setup, most=2)):
        assert tailor(other).keys("p5", USER) != own
    changed = PEOPLE | {"p5": [*PEOPLE["p5"][:3], replace(PEOPLE["p5"][3], text="cello no more")]}
    assert tailor(setup, people=changed).keys("p5", USER) != own
    assert tailor(setup, donors=changed).keys("p5", USER) == own
    assert tailor(setup, people=changed).keys("p5", GLOBAL) == made.keys("p5", GLOBAL)
    shared = {person: made.keys(person, GLOBAL)[0] for person in PEOPLE}
    assert len(set(shared.values())) == 2
    without = {person: records for person, records in PEOPLE.items() if shared[person] == shared["p5"]}
    assert tailor(setup, donors=without).keys("p5", GLOBAL) == [], "there is nobody else to learn from"


def test_who_has_no_history_has_no_persona(setup: Setup, trainer: Trainer) -> None:
    made = tailor(setup, people=PEOPLE | {"p5": []})
    assert made.keys("p5", PERSONA) == made.stack("p5", PERSONA) == []
    assert len(made.stack("p5", EVERYTHING)) == 1


def test_what_is_worn_is_taken_off_again(setup: Setup, trainer: Trainer) -> None:
    (worn,) = tailor(setup).stack("p5", USER)
    with wearing(setup.engine, [worn]):
        assert [one.key for one in setup.engine.worn] == [worn.key]
    assert setup.engine.worn == ()
    with pytest.raises(KeyError), wearing(setup.engine, [worn]):
        {}["stopped"]
    assert setup.engine.worn == ()
