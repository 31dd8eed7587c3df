"""Preferences after other talk, on invented ones: figures, a stop in the middle, and files that are something else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edgeperso.assistant import Weighed
from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.engine import Engine
from edgeperso.errors import DataInvalid, SourceNotFound, UsageError
from edgeperso.evals.experiments.prefeval import PrefRun, run_prefeval, talk
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.raw import RawOutputs
from edgeperso.evals.readers import FillerTurn, read_prefeval
from edgeperso.evals.report import Headline, Result
from edgeperso.evals.setup import Setup
from edgeperso.types import Asking, Trust

NONE, RECENT, HYBRID = (Method.parse(name) for name in ("none", "recent", "hybrid"))
TOPICS = {
    "drinks": [("I can't stand coffee", "What shall I order?"), ("I avoid sugar", "Which drink is best?")],
    "travel": [("I hate flying", "How do I get to Rome?"), ("I love silence", "Which hotel is best?")],
}

Certain = Callable[[dict[tuple[str, int], list[int]]], None]


def options(topic: str, number: int) -> list[str]:
    return [f"the right {topic} {number}", *(f"a wrong {topic} {number}, {place}" for place in (1, 2, 3))]


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """PrefEval's folder with two topics of two items, and 300 exchanges about other things."""
    folder = tmp_path / "prefeval"
    for topic, items in TOPICS.items():
        records = [{"preference": said, "question": asked, "explanation": "so"} for said, asked in items]
        write(folder / "explicit_preference" / f"{topic}.json", records)
        shown = [
            record
            | {
                "conversation": {
                    "query": "Which one?",
                    "assistant_options": "1. this 2. that",
                    "user_selection": f"That one: {record['preference']}",
                    "assistant_acknowledgment": "Noted",
                }
            }
            for record in records
        ]
        write(folder / "implicit_preference" / "choice-based" / f"{topic}.json", shown)
        given = [
            record | {"classification_task_options": options(topic, number)} for number, record in enumerate(records)
        ]
        write(folder / "mcq_options" / f"{topic}.json", given)
    exchanges = [
        [{"role": "user", "content": f"Sort list {number}"}, {"role": "assistant", "content": f"List {number} sorted"}]
        for number in range(300)
    ]
    write(folder / "filtered_inter_turns.json", [{"conversation": exchange} for exchange in exchanges])
    return folder


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> Certain:
    """``certain({("hybrid", 10): [0, 2, …]})``: the option that is chosen after so many exchanges, item by item; by
    letter the same as in another way, unless it is said."""

    def given(chosen: dict[tuple[str, int], list[int]]) -> None:
        order = [asked for items in TOPICS.values() for _, asked in items]

        def recommend(me: ConditionedAssistant, question: str, shown: Sequence[str], *, asking: Asking) -> Weighed:
            exchanges = (me.vault.memories.count() - 1) // 2
            name = me._method.name
            by_letter = chosen.get(("by letter", 0)) if asking is Asking.LETTER else None
            wanted = (by_letter or chosen[name, exchanges])[order.index(question)]
            known = [option for topic in TOPICS for number in range(2) for option in options(topic, number)]
            return Weighed(tuple(float(known.index(option) % 4 == wanted) for option in shown), ())

        monkeypatch.setattr(ConditionedAssistant, "recommend", recommend)

    return given


def run(setup: Setup, data: Path, *methods: Method, turns: tuple[int, ...] = (0, 2), **changes: Any) -> Result:
    asked = PrefRun(turns=turns, methods=methods or (HYBRID,), asking=changes.pop("asking", Asking.APART), **changes)
    return run_prefeval(setup, data, asked)


def outcomes(setup: Setup) -> list[dict[str, Any]]:
    assert setup.folder is not None
    lines = (setup.folder / "raw" / "prefeval.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["key"] for record in records}) == len(records), "nothing is done twice"
    return records


# ---- figures -------------------------------------------------------------------------------------------------------


def test_figures_are_those_of_the_last_method_against_none(setup: Setup, data: Path, certain: Certain) -> None:
    certain(
        {
            ("by letter", 0): [1, 1, 1, 1],
            ("none", 0): [1, 0, 3, 2],
            ("hybrid", 0): [0, 0, 0, 1],
            ("hybrid", 300): [0, 1, 0, 1],
            ("recent", 0): [0, 0, 0, 0],
            ("recent", 300): [1, 1, 1, 1],
        }
    )
    result = run(setup, data, RECENT, HYBRID, turns=(0, 300))
    figures = result.figures
    assert {"accuracy", "accuracy_none", "gain_points", "lost_points_at_300"} <= figures.keys()
    assert (figures["accuracy"], figures["accuracy_none"], figures["accuracy_at_300"]) == (0.75, 0.25, 0.5)
    assert figures["accuracy_none_letter"] == 0
    assert figures["gain_points"] == pytest.approx(50)
    assert figures["lost_points_at_300"] == pytest.approx(25)
    assert figures["gain_points_low"] <= 50 <= figures["gain_points_high"]
    assert (result.name, result.n, result.seed) == ("prefeval", 4, 0)
    (table,) = result.tables
    labels = ["none", "recent, 0 between", "hybrid, 0 between", "recent, 300 between", "hybrid, 300 between"]
    assert [row.label for row in table.rows] == [*labels, "none, by letter"]
    assert [row.label for row in table.rows if row.baseline] == ["none"]
    assert [row.cells["accuracy"].value for row in table.rows] == [0.25, 1, 0.75, 0, 0.5, 0]
    assert result.headline == Headline("accuracy", "hybrid, 0 between")


def test_each_condition_is_asked_once_in_whatever_order_they_are_named(
    setup: Setup, data: Path, certain: Certain
) -> None:
    certain({("none", 0): [0, 1, 2, 3], ("hybrid", 0): [0, 0, 0, 0], ("hybrid", 2): [0, 0, 1, 1]})
    plain = run(setup, data, HYBRID)
    assert len(outcomes(setup)) == 4 * 4
    for methods in ((NONE, HYBRID), (HYBRID, HYBRID)):
        assert run(setup, data, *methods).to_json() == plain.to_json()
    assert run(setup, data, turns=(2, 0, 2)).to_json() == plain.to_json()
    assert len(outcomes(setup)) == 4 * 4
    alone = run(setup, data, NONE)
    assert (alone.figures["accuracy"], alone.figures["gain_points"], alone.headline) == (
        0.25,
        0,
        Headline("accuracy", "none"),
    )


def test_what_is_asked_by_letter_anyway_is_asked_so_once(setup: Setup, data: Path) -> None:
    result = run(setup, data, turns=(0,), asking=Asking.LETTER)
    assert len(outcomes(setup)) == 4 * 2
    assert result.figures["accuracy_none"] == result.figures["accuracy_none_letter"]


def test_a_single_item_has_no_bounds(setup: Setup, data: Path, certain: Certain) -> None:
    certain({("none", 0): [1] * 4, ("hybrid", 0): [0] * 4})
    figures = run(setup, data, turns=(0,), limit=1).figures
    assert (figures["accuracy"], figures["gain_points"]) == (1, 100)
    assert "gain_points_low" not in figures


@pytest.mark.parametrize(("form", "name"), [("explicit", "prefeval"), ("choice-based", "prefeval_choice_based")])
def test_each_form_has_a_result_of_its_own(setup: Setup, data: Path, form: Any, name: str) -> None:
    result = run(setup, data, RECENT, turns=(0,), form=form, limit=2)
    assert (result.name, result.n) == (name, 2)
    assert len(result.figures) == 6


# ---- what is asked -------------------------------------------------------------------------------------------------


def test_the_talk_is_the_statement_and_then_what_came_between(data: Path) -> None:
    item = next(read_prefeval(data, "choice-based"))
    between = [FillerTurn(role, f"{role} {number}") for number in range(30) for role in ("user", "assistant")]
    records = talk(item, between)
    assert [record.thread for record in records[:5]] == ["preference"] * 4 + ["talk 0"]
    assert {record.thread for record in records[4:]} == {"talk 0", "talk 1", "talk 2"}
    assert [record.position for record in records] == list(range(64))
    times = [record.occurred_ms or 0 for record in records]
    assert times == sorted(set(times))
    for record in records:
        assert (record.author == "me") == (record.trust is Trust.SELF)
    assert [record.trust for record in records[:4]] == [Trust.SELF, Trust.OTHER] * 2
    assert len(talk(item, [FillerTurn("user", "x" * 9999)])[-1].text) == 2000


def test_a_preference_that_was_read_is_said_to_be_reached(setup: Setup, data: Path) -> None:
    result = run(replace(setup, most=1), data, RECENT, HYBRID)
    reached = {row.label: row.cells["reached"].value for row in result.tables[0].rows}
    assert reached == {
        "none": 0,
        "recent, 0 between": 1,
        "hybrid, 0 between": 1,
        "recent, 2 between": 0,
        "hybrid, 2 between": 1,
        "none, by letter": 0,
    }


def test_the_place_of_the_right_option_varies_and_is_not_told(
    setup: Setup, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[str, ...]] = []

    def recommend(_me: ConditionedAssistant, _question: str, shown: Sequence[str], *, asking: Asking) -> Weighed:
        seen.append(tuple(shown))
        return Weighed((3.0, 2.0, 1.0, 0.0), ())

    monkeypatch.setattr(ConditionedAssistant, "recommend", recommend)
    for seed in range(5):
        result = run(replace(setup, folder=None, seed=seed), data, turns=(0,))
        now = seen[-12:]
        assert now[0::3] == now[1::3] == now[2::3], "the same order in each condition"
        first = [shown[0].startswith("the right") for shown in now[::3]]
        assert result.figures["accuracy"] == pytest.approx(sum(first) / 4)
    places = {next(place for place, option in enumerate(shown) if option.startswith("the right")) for shown in seen}
    assert places == {0, 1, 2, 3}
    assert all(sorted(shown)[3].startswith("the right") for shown in seen)


def test_the_limit_draws_items_by_the_seed(setup: Setup, data: Path, certain: Certain) -> None:
    certain({("none", 0): [0] * 4, ("hybrid", 0): [0] * 4})
    drawn = set()
    for seed in range(6):
        there = replace(setup, seed=seed, folder=setup.folder / str(seed))  # type: ignore[operator]
        assert run(there, data, turns=(0,), limit=2).n == 2
        drawn.add(tuple(dict.fromkeys(record["id"] for record in outcomes(there))))
    assert len(drawn) > 1
    assert run(setup, data, turns=(0,), limit=99).n == 4


# ---- twice, and stopped --------------------------------------------------------------------------------------------


def test_two_runs_with_one_seed_give_the_same_numbers(setup: Setup, data: Path) -> None:
    results = []
    for folder in (setup.folder, None):
        setup.engine.clear()
        results.append(run(replace(setup, folder=folder), data, RECENT, HYBRID, asking=Asking.REASONED).to_json())
    assert results[0] == results[1]


def stopped_by_progress(setup: Setup, data: Path, _monkeypatch: pytest.MonkeyPatch) -> None:
    def progress(_stage: str, done: int, _total: int | None) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(replace(setup, progress=progress), data, RECENT, HYBRID)


def stopped_within_an_item(setup: Setup, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, count = RawOutputs.unit, 0

    def counted(raw: RawOutputs, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count > 8:
            raise KeyboardInterrupt
        return unit(raw, *args)

    with monkeypatch.context() as patch:
        patch.setattr(RawOutputs, "unit", counted)
        with pytest.raises(KeyboardInterrupt):
            run(setup, data, RECENT, HYBRID)


@pytest.mark.parametrize(("stop", "kept"), [(stopped_by_progress, 12), (stopped_within_an_item, 8)])
def test_a_stopped_run_that_goes_on_gives_what_an_unbroken_one_gives(
    setup: Setup, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any, kept: int
) -> None:
    unbroken = replace(setup, folder=tmp_path / "unbroken")
    expected = run(unbroken, data, RECENT, HYBRID)
    stop(setup, data, monkeypatch)
    assert len(outcomes(setup)) == kept
    assert run(setup, data, RECENT, HYBRID).to_json() == expected.to_json()
    assert outcomes(setup) == outcomes(unbroken)


def test_what_is_on_file_is_not_asked_again_and_what_changed_is(
    setup: Setup, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = run(setup, data, RECENT)
    monkeypatch.setattr(ConditionedAssistant, "recommend", lambda *_args, **_options: 1 / 0)
    assert run(setup, data, RECENT) == expected
    changes: list[tuple[Setup, dict[str, Any]]] = [
        (setup, {"turns": (1,)}),
        (setup, {"asking": Asking.ROTATED}),
        (setup, {"form": "choice-based"}),
        (replace(setup, most=1), {}),
        (replace(setup, seed=5), {}),
    ]
    for other, changed in changes:
        with pytest.raises(ZeroDivisionError):
            run(other, data, RECENT, **changed)
    with pytest.raises(ZeroDivisionError):
        run(setup, data, HYBRID)


def test_progress_is_told(setup: Setup, data: Path, certain: Certain) -> None:
    certain({("none", 0): [0] * 4, ("hybrid", 0): [0] * 4})
    seen: list[tuple[str, int, int | None]] = []
    run(replace(setup, progress=lambda *step: seen.append(step)), data, turns=(0,))
    assert seen == [("prefeval", done, 4) for done in range(1, 5)]


# ---- wrong files ---------------------------------------------------------------------------------------------------


def test_without_options_there_is_nothing_to_choose_from(setup: Setup, data: Path) -> None:
    for path in (data / "mcq_options").iterdir():
        path.unlink()
    with pytest.raises(DataInvalid, match="no item with options") as caught:
        run(setup, data)
    assert caught.value.hint


@pytest.mark.parametrize("content", [{}, [{"preference": "secretword"}], [3]])
@pytest.mark.parametrize("place", ["explicit_preference/drinks.json", "mcq_options/drinks.json"])
def test_other_files_are_refused_with_what_to_give_instead(
    setup: Setup, data: Path, place: str, content: object
) -> None:
    write(data / place, content)
    with pytest.raises(DataInvalid, match=r"drinks\.json") as caught:
        run(setup, data)
    assert "PrefEval" in caught.value.hint
    assert "secretword" not in str(caught.value)


def test_exchanges_that_are_missing_broken_or_too_few(setup: Setup, data: Path, certain: Certain) -> None:
    certain({("none", 0): [0] * 4, ("hybrid", 0): [0] * 4})
    with pytest.raises(UsageError, match="holds 300 exchanges; --turns asks for 301"):
        run(setup, data, turns=(0, 301))
    write(data / "filtered_inter_turns.json", [{"conversation": "secretword"}])
    with pytest.raises(DataInvalid) as caught:
        run(setup, data)
    assert "secretword" not in str(caught.value)
    (data / "filtered_inter_turns.json").unlink()
    with pytest.raises(DataInvalid) as caught:
        run(setup, data)
    assert caught.value.hint == "Or give --turns 0."
    assert run(setup, data, turns=(0,)).n == 4


def test_exchanges_may_lie_beside_the_folder_or_above_it(setup: Setup, data: Path, certain: Certain) -> None:
    certain({(name, turns): [0] * 4 for name in ("none", "hybrid") for turns in (0, 2)})
    expected = run(setup, data).to_json()
    assert run(setup, data / "explicit_preference").to_json() == expected
    (data / "filtered_inter_turns.json").rename(data.parent / "filtered_inter_turns.json")
    assert run(setup, data).to_json() == expected


def test_a_folder_that_is_something_else(setup: Setup, tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(SourceNotFound):
            run(setup, folder)


# ---- on a real model -----------------------------------------------------------------------------------------------


@pytest.mark.model
def test_the_small_model_goes_the_whole_way(models_dir: Path, data: Path, tmp_path: Path) -> None:
    catalogue = Catalogue(models_dir)
    with Engine.open(catalogue.locate("smollm2-135m"), n_ctx=2048, n_threads=1) as engine:
        setup = Setup(engine, catalogue, load_embedder(catalogue), folder=tmp_path / "out")
        result = run(setup, data, turns=(0, 3), limit=1, asking=Asking.REASONED)
    assert {"accuracy", "accuracy_none", "gain_points", "lost_points_at_3"} <= result.figures.keys()
    assert [row.cells["reached"].value for row in result.tables[0].rows] == [0, 1, 1, 0]
    assert all(len(record["out"]["scores"]) == 4 for record in outcomes(setup))
