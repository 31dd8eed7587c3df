"""Learning a person: who is asked, what is held out, and whose adapter reads it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.gate import judge
from edgeperso.adaptation.learn import Learnt, Lesson
from edgeperso.adaptation.plan import Plan
from edgeperso.adaptation.training import Trained
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import DataInvalid
from edgeperso.evals.experiments import learning
from edgeperso.evals.experiments.learning import run_learning
from edgeperso.evals.setup import Setup

NOW_MS = 1_600_000_000_000
WORDS = ("amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heath", "inlet", "jetty", "knoll", "lagoon")


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Four people with ten different reviews, one with three, one who always writes the same."""

    def person(name: str, texts: list[str]) -> dict[str, Any]:
        times = [NOW_MS - at * 86_400_000 for at in range(len(texts))]
        profile = [
            {"id": f"{name}{at}", "text": text, "score": "4", "date": when}
            for at, (text, when) in enumerate(zip(texts, times, strict=True))
        ]
        return {"id": name, "input": "review: what", "profile": profile}

    def written(who: int, count: int) -> list[str]:
        return [f"{WORDS[at]} {WORDS[at + 1]} {who} {WORDS[at + 2]} {who}{at}" for at in range(count)]

    people = [person(f"p{who}", written(who, 10)) for who in range(4)]
    people[1:1] = [person("few", written(7, 3)), person("same", ["It is what it is, and no more"] * 10)]
    path = tmp_path / "q.json"
    path.write_text(json.dumps(people), encoding="utf-8")
    return path


@pytest.fixture
def learnt(monkeypatch: pytest.MonkeyPatch) -> list[Lesson]:
    """The lessons that were learnt; the adapters are random, the gate is real."""
    lessons: list[Lesson] = []

    def learn(engine: Engine, lesson: Lesson, plan: Plan, **_: object) -> Learnt:
        lessons.append(lesson)
        random = np.random.default_rng(sum(lesson.train[0].tokens))  # type: ignore[union-attr]
        a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((4, 64), (64, 4)))
        lora = Lora(engine.info.base_sha256, "llama", 8.0, {"blk.0.attn_v": LoraPair(a, b)})
        trained = Trained(lora, steps=3, tokens=9, tokens_per_s=1.0, losses=(1.0,), stopped="done")
        return Learnt(lora, trained, judge(engine, (), lora, lesson, seed=plan.seed))

    monkeypatch.setattr(learning, "learn", learn)
    return lessons


def outcomes(setup: Setup) -> list[dict[str, Any]]:
    assert setup.folder is not None
    lines = (setup.folder / "raw" / "learning.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def test_people_who_wrote_enough_are_asked_about_their_newest_reviews(
    setup: Setup, questions: Path, learnt: list[Lesson]
) -> None:
    result = run_learning(setup, questions)
    assert [one["id"] for one in outcomes(setup)] == ["p0", "p1", "p2", "p3"]
    assert result.n == 4
    held = [
        [setup.engine.detokenize(one.tokens).split()[-1] for one in lesson.held_out]  # type: ignore[union-attr]
        for lesson in learnt
    ]
    assert sorted(held) == [[f"{who}{at}" for at in (3, 2, 1, 0)] for who in range(4)], "the file has the newest first"
    assert {len(lesson.train) for lesson in learnt} == {6}
    assert len(learnt) == 4, "each is trained once, though two read it"


def test_figures_are_of_all_people_and_of_somebody_elses_adapter(
    setup: Setup, questions: Path, learnt: list[Lesson]
) -> None:
    result = run_learning(setup, questions, limit=3)
    outs = [one["out"] for one in outcomes(setup)]
    figures = result.figures
    before, after, other = (
        np.array([out[name] for out in outs]) for name in ("personal_before", "personal_after", "other")
    )
    assert figures["loss_before"] == pytest.approx(before.mean(), abs=1e-5)
    assert figures["gain"] == pytest.approx((before - after).mean(), abs=1e-5)
    assert figures["gain_over_other"] == pytest.approx((other - after).mean(), abs=1e-5)
    assert figures["share_improved"] == pytest.approx((after < before).mean(), abs=1e-5)
    assert figures["share_better_than_other"] == pytest.approx((after < other).mean(), abs=1e-5)
    assert figures["share_passed"] == np.mean([out["passed"] for out in outs])
    assert 0 <= figures["share_improved_low"] <= figures["share_improved"] <= figures["share_improved_high"] <= 1
    assert not np.allclose(other, after)
    assert setup.engine.worn == ()


def test_it_goes_on_where_it_was_and_a_limit_changes_nobody(
    setup: Setup, questions: Path, learnt: list[Lesson], tmp_path: Path
) -> None:
    run_learning(setup, questions, limit=2)
    assert len(learnt) == 2
    result = run_learning(setup, questions)
    assert len(learnt) == 2 + 3, "the third, the second again as somebody else's, the fourth"
    whole = replace(setup, folder=tmp_path / "whole")
    assert run_learning(whole, questions).to_json() == result.to_json()
    assert outcomes(whole) == outcomes(setup)


def test_nobody_wrote_enough(setup: Setup, questions: Path) -> None:
    with pytest.raises(DataInvalid, match="fewer than two people"):
        run_learning(setup, questions, limit=1)


def test_a_lora_in_earnest_knows_newer_reviews_better(
    setup: Setup, questions: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(learning, "_plan", lambda _setup: Plan(rate=0.02, epochs=8))
    figures = run_learning(setup, questions, limit=2).figures
    assert figures["share_improved"] == 1
    assert figures["gain"] > 0.05
