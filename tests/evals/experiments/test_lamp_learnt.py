"""Experiment 2 on invented people: what an adapter is trained on, and how the methods that wear one are compared."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.adaptation.plan import Example, Plan
from edgeperso.assistant import Weigher
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.errors import DataInvalid
from edgeperso.evals import learnt
from edgeperso.evals.experiments.lamp import LampTask, run_lamp
from edgeperso.evals.experiments.lamp_asking import examples, lamp_records, latest, rate, title
from edgeperso.evals.methods import Method
from edgeperso.evals.readers import LampItem, read_lamp
from edgeperso.evals.setup import Setup

ASKED = "What is the score of the following review on a scale of 1 to 5? review: "
TITLED = "Generate a title for the following review. review: "
START_MS = 1_600_000_000_000
DAY_MS = 86_400_000
PEOPLE = 12
NONE, HYBRID, RECENT = (Method.parse(name) for name in ("none", "hybrid", "recent"))


def method(name: str) -> Method:
    return Method.parse(name, trains=True)


def file_of(folder: Path, task: LampTask) -> tuple[Path, Path]:
    """People whose reviews all name the day on which they were written, the latest first in the file."""
    profiles = [
        [
            {
                "id": f"{number}-{day}",
                "text": f"Of day{day} is the kettle of person{number}",
                "score": str(1 + (number + day) % 5),
                "title": f"Title{day}",
                "date": START_MS + day * DAY_MS,
            }
            for day in (4, 3, 2, 1)
        ]
        for number in range(PEOPLE)
    ]
    kept = ("id", "text", "date", "score" if task == "rating" else "title")
    questions = [
        {
            "id": f"u{number}",
            "input": f"{ASKED if task == 'rating' else TITLED}The kettle of person{number} is as it is",
            "profile": [{name: entry[name] for name in kept} for entry in profile],
        }
        for number, profile in enumerate(profiles)
    ]
    golds = [{"id": f"u{number}", "output": str(1 + number % 5)} for number in range(PEOPLE)]
    files = folder / "q.json", folder / "o.json"
    outputs = {"task": "LaMP_3" if task == "rating" else "LaMP_5", "golds": golds}
    for path, content in zip(files, (questions, outputs), strict=True):
        path.write_text(json.dumps(content), encoding="utf-8")
    return files


@pytest.fixture
def ratings(tmp_path: Path) -> tuple[Path, Path]:
    return file_of(tmp_path, "rating")


def first(files: tuple[Path, Path]) -> LampItem:
    return next(read_lamp(*files))


def read(setup: Setup, made: Sequence[Example]) -> list[tuple[str, str]]:
    """What each example shows, and what of it is to be learnt."""
    say = setup.engine.detokenize
    return [(say(one.tokens[: one.learn_from]), say(one.tokens[one.learn_from :])) for one in made]


# ---- what is learnt ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["user-lora", "hybrid+user-lora", "recent+user-lora", "bm25+reminder+user-lora"])
def test_an_example_reads_nothing_but_what_was_written_before(
    setup: Setup, ratings: tuple[Path, Path], name: str
) -> None:
    shown = read(setup, examples(setup, "rating", first(ratings), method(name), most=9))
    with_notes = [(prompt, answer) for prompt, answer in shown if prompt.count("kettle") > 1]
    assert len(shown) - len(with_notes) == 4, "each once without notes"
    assert len(with_notes) == (0 if name == "user-lora" else 3), "and with them, but the oldest"
    for prompt, answer in shown:
        asked = prompt.rindex("review: Of day")
        day = int(prompt[asked:].split("day")[1].split()[0])
        assert answer.strip() == str(1 + day % 5)
        assert {f"day{one}" in prompt[:asked] for one in range(day, 5)} == {False}
        if (prompt, answer) in with_notes:
            assert f"day{day - 1}" in prompt[:asked]
        assert ("Keep in mind" in prompt) == ("reminder" in name)


@pytest.mark.parametrize(("task", "ask"), [("rating", rate), ("title", title)])
@pytest.mark.parametrize("name", ["none", "hybrid"])
def test_an_example_has_the_tokens_that_are_asked_at_test(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, task: LampTask, ask: Any, name: str
) -> None:
    item = first(file_of(tmp_path, task))
    newest, *rest = item.profile
    asked: list[tuple[int, ...]] = []
    score, generate = Engine.score, Engine.generate
    monkeypatch.setattr(Engine, "score", lambda *of, **kw: (asked.append(tuple(of[1])), score(*of, **kw))[1])
    monkeypatch.setattr(Engine, "generate", lambda *of, **kw: (asked.append(tuple(of[1])), generate(*of, **kw))[1])
    frame = ASKED if task == "rating" else TITLED
    as_question = replace(item, input=f"{frame}{newest.fields['text']}", profile=tuple(rest))
    records = lamp_records(as_question)
    with setup.vault(records) as vault:
        me = setup.assistant(vault, method(name), now_ms=START_MS + 4 * DAY_MS)
        ask(me, as_question.input)
    tokens = asked[-1]
    last = examples(setup, task, item, method(f"{name}+user-lora"), most=9)[-1]
    assert last.tokens[: last.learn_from] == tokens


def test_a_title_ends_as_answers_do(setup: Setup, tmp_path: Path) -> None:
    made = examples(setup, "title", first(file_of(tmp_path, "title")), method("user-lora"), most=2)
    assert [answer for _, answer in read(setup, made)] == [" Title3\n", " Title4\n"], "in the form without a template"


def test_only_the_latest_entries_are_learnt(setup: Setup, ratings: tuple[Path, Path]) -> None:
    shown = read(setup, examples(setup, "rating", first(ratings), method("hybrid+user-lora"), most=1))
    assert len(shown) == 2
    assert all("review: Of day4" in prompt for prompt, _ in shown)
    assert "day1" in shown[1][0], "older ones are still read"


def test_what_has_no_time_is_learnt_without_notes(setup: Setup, ratings: tuple[Path, Path]) -> None:
    item = first(ratings)
    timeless = replace(item, profile=tuple(replace(entry, when_ms=None) for entry in item.profile))
    shown = read(setup, examples(setup, "rating", timeless, method("recent+user-lora"), most=9))
    assert [prompt.count("kettle") for prompt, _ in shown] == [1, 1, 1, 1]


def test_a_question_of_another_form_cannot_be_asked_alike(setup: Setup, ratings: tuple[Path, Path]) -> None:
    with pytest.raises(DataInvalid) as caught:
        examples(setup, "rating", replace(first(ratings), input="Which secretword?"), method("user-lora"), most=1)
    assert "secretword" not in str(caught.value)


# ---- the methods ---------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Example, ...]]:
    """What was trained on; each adapter is another one, and turns what the model says."""
    seen: list[tuple[Example, ...]] = []
    base = setup.engine.info.base_sha256

    def train(_setup: Setup, learning: Sequence[Example], plan: Plan, below: Sequence[Any] = ()) -> Lora:
        seen.append(tuple(learning))
        random = np.random.default_rng(sum(sum(one.tokens) for one in learning) + plan.seed + len(below))
        a, b = (random.standard_normal(shape).astype(np.float32) for shape in ((4, 64), (64, 4)))
        return Lora(base, "llama", 8.0, {"blk.0.attn_v": LoraPair(a, b)})

    monkeypatch.setattr(learnt, "train_adapter", train)
    return seen


def outcomes(setup: Setup) -> dict[str, list[dict[str, Any]]]:
    assert setup.folder is not None
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (setup.folder / "raw" / "lamp-rating.jsonl").read_text(encoding="utf-8").splitlines():
        found.setdefault(json.loads(line)["method"], []).append(json.loads(line)["out"])
    return found


def test_a_method_that_wears_an_adapter_answers_otherwise_and_is_compared_with_itself(
    setup: Setup, ratings: tuple[Path, Path], trained: list[Any]
) -> None:
    methods = [method("recent+persona-lora"), method("recent+user-lora")]
    result = run_lamp(setup, "rating", *ratings, methods, limit=4)
    found = outcomes(setup)
    assert list(found) == ["none", "recent", "recent+persona-lora", "recent+user-lora"]
    assert all(one != other for one, other in zip(found["recent"], found["recent+user-lora"], strict=True))
    assert setup.engine.worn == ()
    table, added = result.tables
    assert [row.label for row in added.rows] == [
        "recent+persona-lora less recent",
        "recent+user-lora less recent",
        "recent+persona-lora less recent+user-lora",
    ]
    means = {row.label: row.cells["mae"].value for row in table.rows}
    figures = result.figures
    change = figures["mae_recent_user_lora_less_recent"]
    assert change == pytest.approx((means["recent+user-lora"] or 0) - (means["recent"] or 0))
    assert figures["mae_recent_user_lora_less_recent_low"] <= change <= figures["mae_recent_user_lora_less_recent_high"]
    assert figures["mae"] == means["recent+user-lora"]


def test_the_last_method_that_was_asked_for_stands_in_the_figures(
    setup: Setup, ratings: tuple[Path, Path], trained: list[Any]
) -> None:
    result = run_lamp(setup, "rating", *ratings, [method("recent+user-lora"), RECENT], limit=2)
    assert result.figures["mae"] == result.figures["mae_recent"]


def test_no_question_is_ever_learnt_from(
    setup: Setup, ratings: tuple[Path, Path], trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learnt, "_EACH", 1)
    run_lamp(setup, "rating", *ratings, [method("recent+global-lora+persona-lora+user-lora")], limit=2)
    shown = [prompt for learning in trained for prompt, _ in read(setup, learning)]
    assert len(shown) > PEOPLE
    assert not any("is as it is" in prompt for prompt in shown)


def test_a_stopped_run_goes_on_and_trains_only_what_is_missing(
    setup: Setup, ratings: tuple[Path, Path], trained: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    methods = [method("recent+user-lora")]
    expected = run_lamp(replace(setup, folder=None), "rating", *ratings, methods, limit=4)
    trained.clear()
    label, count = Weigher.label, 0

    def stopped(*args: Any, **options: Any) -> Any:
        nonlocal count
        count += 1
        if count == 8:
            raise KeyboardInterrupt
        return label(*args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Weigher, "label", stopped)
        with pytest.raises(KeyboardInterrupt):
            run_lamp(setup, "rating", *ratings, methods, limit=4)
    assert setup.engine.worn == ()
    assert len(trained) == 2
    assert run_lamp(setup, "rating", *ratings, methods, limit=4).to_json() == expected.to_json()
    assert len(trained) == 4
    run_lamp(setup, "rating", *ratings, methods, limit=4)
    assert len(trained) == 4


def test_history_cuts_what_a_person_has_and_not_what_others_lend(
    setup: Setup, ratings: tuple[Path, Path], trained: list[Any]
) -> None:
    assert [entry.id for entry in latest(first(ratings), 2).profile] == ["0-3", "0-4"]
    methods = [method("recent+global-lora"), method("recent+user-lora")]
    result = run_lamp(setup, "rating", *ratings, methods, limit=1, history=2)
    lent, own = trained
    assert len(own) == 2 + 1
    assert any("review: Of day1" in prompt for prompt, _ in read(setup, lent))
    assert {out["memories"] for out in outcomes(setup)["recent"]} == {2}
    assert "Of each profile the latest 2 entries." in result.notes


def test_titles_are_compared_by_rouge(setup: Setup, tmp_path: Path, trained: list[Any]) -> None:
    result = run_lamp(setup, "title", *file_of(tmp_path, "title"), [method("recent+user-lora")], limit=2)
    assert {"rouge_l_recent_user_lora_less_recent", "rouge_l_none", "rouge_1"} <= result.figures.keys()
    assert [row.label for row in result.tables[1].rows] == ["recent+user-lora less recent"]


def test_what_cannot_be_learnt_is_refused_before_anything_is_asked(setup: Setup, tmp_path: Path) -> None:
    files = file_of(tmp_path, "title")
    with pytest.raises(DataInvalid, match="no score"):
        run_lamp(setup, "rating", *files, [method("user-lora")])
    assert not (tmp_path / "out").exists()


# ---- trained in earnest --------------------------------------------------------------------------------------------


def test_an_adapter_that_was_trained_is_worn(
    setup: Setup, ratings: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(learnt, "_RATE", 0.02)
    run_lamp(setup, "rating", *ratings, [method("user-lora")], limit=2)
    found = outcomes(setup)
    assert all(
        sum(worn["shares"]) == pytest.approx(1, abs=1e-5) and worn["shares"] != plain["shares"]
        for plain, worn in zip(found["none"], found["user-lora"], strict=True)
    )
