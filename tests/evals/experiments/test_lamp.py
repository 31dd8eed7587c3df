"""Experiment 1 on invented people: its figures, a stop in the middle, and files that are something else."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.assistant import Weighed, Weigher
from edgeperso.catalogue import Catalogue
from edgeperso.embedding import load_embedder
from edgeperso.engine import Engine
from edgeperso.errors import DataInvalid, SourceNotFound
from edgeperso.evals.experiments import lamp
from edgeperso.evals.experiments.lamp import LampTask, run_lamp
from edgeperso.evals.experiments.lamp_asking import lamp_records
from edgeperso.evals.experiments.lamp_tables import median
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.raw import RawOutputs
from edgeperso.evals.readers import read_lamp
from edgeperso.evals.report import Headline, Result
from edgeperso.evals.setup import Setup
from edgeperso.types import Kind, Trust

GOLDS = (5, 1, 3, 4, 2, 5)
THINGS = ("kettle", "lamp", "rope", "chair", "pan", "drum")
ASKED = "What is the score of the following review on a scale of 1 to 5? review: "
TITLED = "Generate a title for the following review. review: "
HYBRID, RECENT = Method.parse("hybrid"), Method.parse("recent")
METHODS = [HYBRID, Method.parse("random+persona"), RECENT]

Files = tuple[Path, Path]


def entry(number: int, place: int, **changes: object) -> dict[str, Any]:
    text = f"The {THINGS[(number + place) % 6]} I bought holds, day {place}"
    made = {"id": f"{number}{place}", "text": text, "score": str(GOLDS[number]), "date": f"2016-01-0{9 - place}"}
    return {name: value for name, value in (made | changes).items() if value is not None}


def written(folder: Path, questions: object, outputs: object) -> Files:
    files = folder / "questions.json", folder / "outputs.json"
    for path, content in zip(files, (questions, outputs), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return files


@pytest.fixture
def ratings(tmp_path: Path) -> Files:
    questions = [
        {
            "id": str(number),
            "input": f"{ASKED}This {THINGS[number]} number {number} is as it is",
            "profile": [entry(number, place) for place in range(4)],
        }
        for number in range(6)
    ]
    golds = [{"id": str(number), "output": str(gold)} for number, gold in enumerate(GOLDS)]
    return written(tmp_path, questions, {"task": "LaMP_3", "golds": golds})


@pytest.fixture
def titles(tmp_path: Path) -> Files:
    questions = [
        {
            "id": str(number),
            "input": f"{TITLED}This {THINGS[number]} is as it is",
            "profile": [entry(number, place, score=None, title=f"Good {THINGS[number]}") for place in range(3)],
        }
        for number in range(3)
    ]
    golds = [{"id": str(number), "output": f"good {THINGS[number]} indeed"} for number in range(3)]
    return written(tmp_path, questions, {"task": "LaMP_5", "golds": golds})


def rating(setup: Setup, files: Files, methods: list[Method] = METHODS, **changes: Any) -> Result:
    return run_lamp(setup, "rating", *files, methods, **changes)


def outcomes(setup: Setup, name: str = "lamp-rating") -> dict[str, Any]:
    """What is on file, by key."""
    assert setup.folder is not None
    lines = (setup.folder / "raw" / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    assert len({record["key"] for record in records}) == len(records), "nothing is done twice"
    return {record["key"]: record["out"] for record in records}


@pytest.fixture
def certain(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, list[int]]], None]:
    """``certain({"none": [3, …]})``: what each method is sure of, by question."""

    def given(answers: dict[str, list[int]]) -> None:
        method = ""
        weigher = ConditionedAssistant.weigher

        def noted(me: ConditionedAssistant, *args: Any, **options: Any) -> Weigher:
            nonlocal method
            method = me._method.name
            return weigher(me, *args, **options)

        def label(_weigher: Weigher, question: str, labels: Any, hits: Any, *, cue: str) -> Weighed:
            score = answers[method][int(question.split(" number ")[1].split()[0])]
            return Weighed(tuple(0.0 if label == str(score) else -99.0 for label in labels), ())

        monkeypatch.setattr(ConditionedAssistant, "weigher", noted)
        monkeypatch.setattr(Weigher, "label", label)

    return given


# ---- figures -------------------------------------------------------------------------------------------------------


def test_figures_of_ratings_are_those_of_the_last_method_against_none(setup: Setup, ratings: Files, certain) -> None:
    certain({"none": [3] * 6, "recent": [5, 1, 3, 4, 2, 5], "hybrid": [5, 2, 3, 4, 4, 5]})
    result = rating(setup, ratings, [RECENT, HYBRID])
    figures = result.figures
    assert {"mae", "mae_none", "mae_vs_none", "rmse"} <= figures.keys()
    assert figures["mae"] == figures["mae_hybrid"] == pytest.approx(3 / 6)
    assert figures["mae_none"] == pytest.approx(8 / 6)
    assert figures["mae_vs_none"] == pytest.approx(3 / 8)
    assert figures["mae_vs_none_low"] <= figures["mae_vs_none"] <= figures["mae_vs_none_high"]
    assert figures["rmse"] == pytest.approx((5 / 6) ** 0.5)
    assert figures["mae_recent"] == 0
    assert (result.name, result.n, result.seed) == ("lamp_rating", 6, 0)
    (table,) = result.tables
    assert [row.label for row in table.rows] == ["always 5", "the person's median", "none", "recent", "hybrid"]
    assert [row.label for row in table.rows if row.baseline] == ["none"]
    exact = {row.label: row.cells["exact"].value for row in table.rows}
    assert exact == pytest.approx(
        {"always 5": 2 / 6, "the person's median": 1, "none": 1 / 6, "recent": 1, "hybrid": 4 / 6}
    )
    assert result.headline == Headline("mae", "hybrid")


def test_the_score_is_the_one_from_which_the_others_are_least_far() -> None:
    shares = np.random.default_rng(0).dirichlet([0.5] * 5, size=200)
    scores = np.arange(1, 6)
    for one in shares:
        expected = [float((one * np.abs(scores - score)).sum()) for score in scores]
        assert expected[median(one.tolist()) - 1] == pytest.approx(min(expected))
    assert median([1.0, 0, 0, 0, 0]) == 1
    assert median([0, 0, 0, 0, 0.5]) == 5


def test_what_comes_easy_needs_no_model(setup: Setup, ratings: Files, certain) -> None:
    certain({"none": [3] * 6})
    figures = rating(setup, ratings, [Method.parse("none")]).figures
    assert figures["mae"] == figures["mae_none"]
    assert figures["mae_vs_none"] == 1
    assert figures["mae_the_persons_median"] == 0
    assert figures["mae_always_5"] == pytest.approx(10 / 6)


def test_figures_of_titles_are_those_of_the_last_method_and_of_none(
    setup: Setup, titles: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"none": "a thing", "hybrid": "good kettle indeed", "recent": "indeed good"}
    monkeypatch.setattr(lamp, "title", lambda me, *_: {"title": said[me._method.name], "memories": 0})
    result = run_lamp(setup, "title", *titles, [HYBRID, RECENT])
    assert {"rouge_1", "rouge_l", "rouge_l_none"} <= result.figures.keys()
    assert result.figures["rouge_1"] == pytest.approx(0.8)
    assert result.figures["rouge_l"] == pytest.approx(0.4)
    assert result.figures["rouge_l_none"] == 0
    assert result.figures["rouge_1_hybrid"] == pytest.approx((1 + 2 / 3 + 2 / 3) / 3)
    assert (result.name, result.n) == ("lamp_title", 3)
    assert result.headline == Headline("rouge_l", "recent")


def test_bounds_from_one_person_and_a_ratio_to_zero_are_left_out(setup: Setup, ratings: Files, certain) -> None:
    certain({"none": list(GOLDS), "hybrid": [4] * 6})
    alone = rating(setup, ratings, [HYBRID], limit=1).figures
    assert (alone["mae"], alone["mae_none"]) == (1, 0)
    figures = rating(setup, ratings, [HYBRID]).figures
    assert figures["mae_none"] == 0
    for found in (alone, figures):
        assert not {"mae_vs_none", "mae_vs_none_low", "mae_vs_none_high"} & found.keys()
    certain({"none": [3] * 6, "bm25": [4] * 6})
    alone = rating(replace(setup, folder=None), ratings, [Method.parse("bm25")], limit=1).figures
    assert alone["mae_vs_none"] == 0.5
    assert "mae_vs_none_low" not in alone


# ---- what is asked -------------------------------------------------------------------------------------------------


def test_the_profile_becomes_memories_oldest_first_with_what_was_given(ratings: Files, titles: Files) -> None:
    item = next(read_lamp(*titles))
    records = lamp_records(item)
    assert [record.locator for record in records] == ["02", "01", "00"]
    assert records[0].text == "Review: The rope I bought holds, day 2\nTitle: Good kettle"
    assert {(record.kind, record.trust, record.author) for record in records} == {(Kind.NOTE, Trust.SELF, "me")}
    times = [record.occurred_ms or 0 for record in records]
    assert times == sorted(times)


def test_every_question_is_asked_under_every_method_once_without_the_gold(
    setup: Setup, ratings: Files, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    label = Weigher.label

    def noted(weigher: Weigher, question: str, labels: Any, hits: Any, *, cue: str) -> Any:
        asked.append((question, len(hits)))
        return label(weigher, question, labels, hits, cue=cue)

    monkeypatch.setattr(Weigher, "label", noted)
    rating(replace(setup, most=2), ratings, [RECENT, Method.parse("none"), Method.parse("recent+reminder"), RECENT])
    assert len(asked) == 6 * 3
    assert [count for _, count in asked[:3]] == [0, 2, 2]
    assert all("This kettle number 0 is as it is" in question for question, _ in asked[:3])
    assert asked[2][0].startswith(f"{asked[1][0]}\n"), "and a reminder"


def test_the_limit_takes_the_first_questions(setup: Setup, ratings: Files, certain) -> None:
    certain({"none": [3] * 6, "hybrid": [5] * 6})
    result = rating(setup, ratings, [HYBRID], limit=2)
    assert result.n == 2
    assert result.figures["mae"] == pytest.approx((0 + 4) / 2)
    assert len(outcomes(setup)) == 4
    assert rating(setup, ratings, [HYBRID], limit=99).n == 6


# ---- twice, and stopped --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", ["rating", "title"])
def test_two_runs_with_one_seed_give_the_same_numbers(
    setup: Setup, request: pytest.FixtureRequest, task: LampTask
) -> None:
    files: Files = request.getfixturevalue(f"{task}s")
    results = []
    for name in ("one", "two"):
        setup.engine.clear()
        there = replace(setup, folder=setup.folder / name)  # type: ignore[operator]
        results.append(run_lamp(there, task, *files, METHODS).to_json())
    assert results[0] == results[1]
    assert run_lamp(replace(setup, folder=None), task, *files, METHODS).to_json() == results[0]


def test_another_seed_draws_other_memories_and_leaves_the_rest(setup: Setup, ratings: Files) -> None:
    methods = [RECENT, Method.parse("random")]
    rating(setup, ratings, methods)
    before = outcomes(setup)
    rating(replace(setup, seed=1), ratings, methods)
    assert len(before) == 18
    assert len(outcomes(setup)) == 18 + 6


def stopped_by_progress(setup: Setup, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    def progress(_stage: str, done: int, _total: int | None) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rating(replace(setup, progress=progress), files)


def stopped_within_a_person(setup: Setup, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    unit, count = RawOutputs.unit, 0

    def counted(raw: RawOutputs, *args: Any) -> Any:
        nonlocal count
        count += 1
        if count > 10:
            raise KeyboardInterrupt
        return unit(raw, *args)

    with monkeypatch.context() as patch:
        patch.setattr(RawOutputs, "unit", counted)
        with pytest.raises(KeyboardInterrupt):
            rating(setup, files)


def stopped_within_a_line(setup: Setup, files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_by_progress(setup, files, monkeypatch)
    path = setup.folder / "raw" / "lamp-rating.jsonl"  # type: ignore[operator]
    path.write_bytes(path.read_bytes()[:-20])


@pytest.mark.parametrize("stop", [stopped_by_progress, stopped_within_a_person, stopped_within_a_line])
def test_a_stopped_run_that_goes_on_gives_what_an_unbroken_one_gives(
    setup: Setup, ratings: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: Any
) -> None:
    unbroken = replace(setup, folder=tmp_path / "unbroken")
    expected = rating(unbroken, ratings)
    stop(setup, ratings, monkeypatch)
    kept = len(outcomes(setup)) if stop is not stopped_within_a_line else 11
    assert kept == {stopped_by_progress: 12, stopped_within_a_person: 10}.get(stop, 11)
    assert rating(setup, ratings).to_json() == expected.to_json()
    if stop is not stopped_within_a_line:
        assert outcomes(setup) == outcomes(unbroken)


def test_what_is_on_file_is_not_asked_again(setup: Setup, ratings: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = rating(setup, ratings)
    monkeypatch.setattr(Weigher, "label", lambda *_args, **_options: 1 / 0)
    assert rating(setup, ratings) == expected
    with pytest.raises(ZeroDivisionError):
        rating(replace(setup, most=1), ratings)


def test_progress_is_told(setup: Setup, ratings: Files, certain) -> None:
    certain({"none": [3] * 6})
    seen: list[tuple[str, int, int | None]] = []
    rating(replace(setup, progress=lambda *step: seen.append(step)), ratings, [])
    assert seen == [("lamp rating", done, 6) for done in range(1, 7)]


# ---- wrong files ---------------------------------------------------------------------------------------------------


def changed(files: Files, which: int, change: Callable[[Any], Any]) -> Files:
    content = json.loads(files[which].read_text(encoding="utf-8"))
    files[which].write_text(json.dumps(change(content)), encoding="utf-8")
    return files


def with_score(score: object) -> Callable[[Any], Any]:
    def change(questions: Any) -> Any:
        questions[1]["profile"][2]["score"] = score
        return questions

    return change


@pytest.mark.parametrize(
    ("which", "change", "named"),
    [
        (0, lambda _: [], "questions.json"),
        (0, lambda _: {"secretword": 1}, "questions.json"),
        (0, lambda questions: [questions[0] | {"input": 3}], "record 0"),
        (0, lambda questions: [questions[0] | {"id": "unheard of"}], "outputs.json"),
        (0, with_score("secretword"), "record 1"),
        (0, with_score("nan"), "record 1"),
        (1, lambda outputs: outputs["golds"], "outputs.json"),
        (1, lambda outputs: outputs | {"golds": outputs["golds"][:3]}, "record 3"),
        (
            1,
            lambda outputs: outputs | {"golds": [gold | {"output": "secretword"} for gold in outputs["golds"]]},
            "record 0",
        ),
        (1, lambda outputs: outputs | {"golds": [gold | {"output": "6"} for gold in outputs["golds"]]}, "record 0"),
    ],
)
def test_other_files_are_refused_with_what_to_give_instead(
    setup: Setup, ratings: Files, which: int, change: Any, named: str
) -> None:
    with pytest.raises(DataInvalid) as caught:
        rating(setup, changed(ratings, which, change))
    assert named in caught.value.message
    assert caught.value.hint
    assert "secretword" not in str(caught.value)


def test_titles_are_no_ratings(setup: Setup, titles: Files) -> None:
    with pytest.raises(DataInvalid, match="no score from 1 to 5") as caught:
        rating(setup, titles)
    assert "--task title" in caught.value.hint


def test_missing_files(setup: Setup, ratings: Files, tmp_path: Path) -> None:
    for files in ((tmp_path / "none.json", ratings[1]), (ratings[0], tmp_path / "none.json")):
        with pytest.raises(SourceNotFound):
            rating(setup, files)


# ---- on a real model -----------------------------------------------------------------------------------------------


@pytest.mark.model
@pytest.mark.parametrize("task", ["rating", "title"])
def test_the_small_model_goes_the_whole_way(
    models_dir: Path, request: pytest.FixtureRequest, tmp_path: Path, task: LampTask
) -> None:
    files: Files = request.getfixturevalue(f"{task}s")
    catalogue = Catalogue(models_dir)
    with Engine.open(catalogue.locate("smollm2-135m"), n_ctx=2048, n_threads=1) as engine:
        setup = Setup(engine, catalogue, load_embedder(catalogue), folder=tmp_path / "out", most=2)
        result = run_lamp(setup, task, *files, [HYBRID], limit=2 if task == "rating" else 1)
    wanted = {"mae", "mae_none", "mae_vs_none", "rmse"} if task == "rating" else {"rouge_1", "rouge_l", "rouge_l_none"}
    assert wanted <= result.figures.keys()
    assert {out["memories"] for out in outcomes(setup, f"lamp-{task}").values()} <= {0, 1, 2}
