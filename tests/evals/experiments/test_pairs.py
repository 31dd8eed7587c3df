"""Preference pairs: what the sets are made of, and what is said to have been learnt from them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.plan import Pair, Plan
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.experiments import pair_sets, pairs
from edgeperso.evals.experiments.pair_sets import PairSet, Preference, invented_pairs, judged_pairs
from edgeperso.evals.experiments.pairs import run_pairs
from edgeperso.evals.setup import Setup
from edgeperso.types import Objective

# ---- the sets ------------------------------------------------------------------------------------------------------


def test_parts_share_neither_tasks_nor_forms() -> None:
    made = invented_pairs(0)
    assert (len(made.train), len(made.dev), len(made.test)) == (50, 20, 40)
    parts = pair_sets._TRAIN, pair_sets._DEV, pair_sets._TEST
    for of in (
        lambda part: [task for task, _, _ in part.tasks],
        lambda part: part.questions,
        lambda part: part.chosen,
        lambda part: part.rejected,
    ):
        found = [one for part in parts for one in of(part)]
        assert len(set(found)) == len(found)
    groups = [{pair.group for pair in part} for part in (made.train, made.dev, made.test)]
    assert not groups[0] & groups[1] | groups[0] & groups[2] | groups[1] & groups[2]


def test_the_style_is_kept_and_both_answers_say_the_same() -> None:
    made = invented_pairs(0)
    tasks = {
        task: (amount, step)
        for part in (pair_sets._TRAIN, pair_sets._DEV, pair_sets._TEST)
        for task, amount, step in part.tasks
    }
    for pair in (*made.train, *made.dev, *made.test):
        amount, step = tasks[pair.group]
        for text in (pair.chosen, pair.rejected):
            assert amount.casefold() in text.casefold()
            assert step.casefold() in text.casefold()
        assert "!" not in pair.chosen
        assert pair.chosen.casefold().index(amount) < pair.chosen.casefold().index(step)
        assert pair.chosen.casefold().index(amount) <= len("Count on "), "the figure first"


def test_the_seed_draws_the_pairs() -> None:
    assert invented_pairs(0) == invented_pairs(0) != invented_pairs(1)


def judgments(folder: Path, dialogues: int = 10) -> Path:
    records = [
        {
            "source": f"hello {number}\nhow is it , {number} ?",
            "context": "",
            "system_output": f"answer {mark} to {number}",
            "system_id": str(mark),
            "scores": {"overall": score},
        }
        for number in range(dialogues)
        for mark, score in enumerate((1.0, 1.5, 3.0, 5.0))
    ]
    path = folder / "topical_chat.json"
    path.write_text(json.dumps(records), encoding="utf-8")
    return path


def test_of_two_responses_to_a_dialogue_the_one_with_the_better_mark_is_chosen(tmp_path: Path) -> None:
    made = judged_pairs(judgments(tmp_path), 0)
    every = (*made.train, *made.dev, *made.test)
    assert len(every) == 10 * 5, "1.0 and 1.5 are too near"
    for pair in every:
        (number,) = {text.split(" to ")[1] for text in (pair.chosen, pair.rejected)}
        assert f"how is it , {number} ?" in pair.prompt
        assert int(pair.chosen.split()[1]) > int(pair.rejected.split()[1])
    groups = [{pair.group for pair in part} for part in (made.train, made.dev, made.test)]
    assert [len(part) for part in groups] == [4, 2, 4]
    assert len(set.union(*groups)) == 10
    assert len({pair.group for pair in made.train[:4]}) == 4, "the first ones come from all dialogues"


def test_data_that_is_missing_or_too_small(tmp_path: Path) -> None:
    with pytest.raises(SourceNotFound):
        judged_pairs(tmp_path / "none.json", 0)
    with pytest.raises(DataInvalid):
        judged_pairs(judgments(tmp_path, dialogues=1), 0)


def test_the_real_judgments_make_enough_pairs(shared_data: Path) -> None:
    made = judged_pairs(shared_data / "topical_chat_judgments" / "topical_chat.json", 0)
    assert len(made.train) == 50
    assert len(made.dev) > 20
    assert len(made.test) > 40


# ---- what is learnt ------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> list[tuple[tuple[Pair, ...], Plan]]:
    seen: list[tuple[tuple[Pair, ...], Plan]] = []

    def train(_setup: Setup, learning: Sequence[Pair], plan: Plan, below: Sequence[Any] = ()) -> Lora:
        seen.append((tuple(learning), plan))
        random = np.random.default_rng(len(seen))
        a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((4, 64), (64, 4)))
        return Lora(setup.engine.info.base_sha256, "llama", 8.0, {"blk.0.attn_v": LoraPair(a, b)})

    monkeypatch.setattr(pairs, "train_adapter", train)
    return seen


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, trained: list[Any]) -> dict[float, list[list[float]]]:
    """``said[rate]``: the likelihoods that the model gives after a training at that rate; 0 is without one."""
    given: dict[float, list[list[float]]] = {}

    def likelihoods(_setup: Setup, adapter: Any, read: Sequence[Preference]) -> list[list[float]]:
        if adapter is None:
            return given[0.0][: len(read)]
        adapter()
        return given[adapter.args[0].rate][: len(read)]

    monkeypatch.setattr(pairs, "_likelihoods", likelihoods)
    return given


def test_settings_are_chosen_by_their_own_part_alone(
    setup: Setup, said: dict[float, list[list[float]]], trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = tuple(
        tuple(Preference(f"{part}{number}", "Why?", "So", "Because") for number in range(4)) for part in ("a", "b", "c")
    )
    monkeypatch.setattr(pairs, "invented_pairs", lambda _seed: PairSet("invented", "a style", *parts))
    right, wrong = [-1.0, -1.0, -9.0, -9.0], [-9.0, -9.0, -1.0, -1.0]
    (one, _), (two, _), (three, _) = pairs._TRIED
    said |= {
        0.0: [wrong, wrong, wrong, right],
        one: [wrong] * 4,
        two: [right] * 3 + [wrong],
        three: [right] * 2 + [wrong] * 2,
    }
    result = run_pairs(setup)
    assert [plan.rate for _, plan in trained] == [one, two, three]
    assert {plan.objective for _, plan in trained} == {Objective.DPO}
    figures = result.figures
    assert figures["accuracy_before"] == 0.25
    assert figures["accuracy_after"] == 0.75
    assert figures["reward_accuracy"] == (3 + 0) / 4, "three gained, one lost"
    assert figures["accuracy_change"] == 0.5
    assert f"rate {two:g}" in result.notes[0]
    assert result.headline is not None
    assert result.headline.row == "a style"


def test_what_nothing_tells_apart_counts_half(
    setup: Setup, said: dict[float, list[list[float]]], trained: list[Any]
) -> None:
    said |= {rate: [[-2.0, -1.0, -2.0, -1.0]] * 40 for rate in (0.0, *(rate for rate, _ in pairs._TRIED))}
    figures = run_pairs(setup).figures
    assert figures["accuracy_before"] == figures["accuracy_after"] == figures["reward_accuracy"] == 0.5


def test_both_sets_on_a_model_twice_and_again(setup: Setup, trained: list[Any], tmp_path: Path) -> None:
    data = judgments(tmp_path)
    result = run_pairs(setup, data, limit=3)
    assert result.n == 6
    assert [row.label for row in result.tables[0].rows] == ["an invented person's style", "people's marks of responses"]
    assert {
        "accuracy_after",
        "accuracy_after_topical_chat",
        "reward_accuracy_topical_chat_low",
    } <= result.figures.keys()
    assert len(trained) == 2 * 3
    assert {len(learning) for learning, _ in trained} == {3}
    assert setup.engine.worn == ()
    assert run_pairs(setup, data, limit=3).to_json() == result.to_json()
    assert len(trained) == 2 * 3, "what is on file is not trained again"
    run_pairs(replace(setup, seed=1), limit=3)
    assert len(trained) == 2 * 3 + 3


def test_a_model_learns_which_of_two_answers_is_wanted(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    parts = tuple(
        tuple(Preference(f"{part}{number}", f"Say {part}{number}", "aaaa", "zzzz") for number in range(4))
        for part in ("b", "c", "d")
    )
    monkeypatch.setattr(pairs, "invented_pairs", lambda _seed: PairSet("invented", "a style", *parts))
    monkeypatch.setattr(pairs, "_TRIED", ((0.01, 4),))
    assert run_pairs(replace(setup, folder=None)).figures["reward_accuracy"] == 1
