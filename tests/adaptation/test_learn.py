from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.adaptation import training
from edgeperso.adaptation.learn import Lesson, learn, text_example
from edgeperso.adaptation.plan import Plan
from edgeperso.adaptation.training import Trained
from edgeperso.engine.adapters.values import Worn
from edgeperso.errors import Cancelled, TooLittle


@pytest.fixture
def lesson(toy: Any) -> Lesson:
    examples = [text_example(toy, "", f"text {number}") for number in range(8)]
    return Lesson(tuple(examples[:4]), tuple(examples[4:]))


def test_it_trains_on_the_engines_file_above_what_is_worn_and_judges(
    toy: Any, toys: SimpleNamespace, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: dict[str, Any] = {}
    made = Trained(toys.lora(seed=3), 5, 100, 10.0, (3.0, 2.0), "done")

    def train(model: Any, base: str, examples: Any, plan: Plan, **rest: Any) -> Trained:
        asked.update(rest, model=model, base=base, examples=examples, plan=plan)
        return made

    monkeypatch.setattr(training, "train", train)
    below = [Worn("a", toys.lora(seed=1), 0.5), Worn("s", toys.soft())]
    start, stop = toys.lora(seed=2), threading.Event()
    told: list[str] = []
    learnt = learn(
        toy, lesson, Plan(seed=4), below=below, start=start, stop=stop, progress=lambda stage, *_: told.append(stage)
    )
    assert told[-1] == "judging"
    assert (asked["model"], asked["base"]) == (toy.info.path, toy.info.base_sha256)
    assert (asked["examples"], asked["start"], asked["stop"]) == (lesson.train, start, stop)
    assert asked["frozen"] == ((below[0].adapter, 0.5),)
    assert (learnt.trained, learnt.adapter) == (made, made.adapter)
    assert not learnt.gate.passed, "it changes nothing here"
    assert toy.worn == ()


def test_a_stopped_training_is_not_judged(
    toy: Any, toys: SimpleNamespace, lesson: Lesson, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "train", lambda *_, **__: Trained(toys.lora(), 1, 1, 1.0, (), "asked"))
    with pytest.raises(Cancelled):
        learn(toy, lesson, Plan())
    assert toy.wore == []


def test_a_lesson_without_anything_to_judge_by_is_refused(toy: Any, lesson: Lesson) -> None:
    for poor in (Lesson((), lesson.held_out), Lesson(lesson.train, lesson.held_out[:1])):
        with pytest.raises(TooLittle):
            learn(toy, poor, Plan())
