"""``eval lamp``, ``eval prefeval`` and ``eval report``: one object, a table for people, a page of all results."""

from __future__ import annotations

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeperso.assistant import Weighed, Weigher
from edgeperso.evals.report import load_all
from edgeperso.types import Embedder

KEYS = {"name", "figures", "n", "seed", "commit", "machine", "models", "date", "notes"}
MAKERS = Path(__file__).parent.parent / "engine" / "gguf_files.py"
SECRET = "marzipan"

Words = Callable[..., tuple[object, ...]]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(runpy.run_path(str(MAKERS))["tiny_model"](llama__context_length=4096))
    return path


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_embedder: Embedder) -> None:
    """No model is at hand but the one that is named; the embedder loads nothing."""
    monkeypatch.setenv("EDGEPERSO_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("edgeperso.embedding.load_embedder", lambda *_: fake_embedder)
    # One thread: two that have to meet hundreds of times a token crawl when other tests want the cores.
    monkeypatch.setattr("edgeperso.engine.machine.physical_cores", lambda: 1)


@pytest.fixture
def lamp(tmp_path: Path, tiny: Path) -> Words:
    """``lamp("--seed", 3)`` → the words of the command over three people."""
    questions, outputs = tmp_path / "q.json", tmp_path / "o.json"
    profile = [{"id": f"e{place}", "text": f"Tea number {place}, {SECRET}", "score": "4"} for place in range(3)]
    asked = "What is the score of the following review on a scale of 1 to 5? review: Tea"
    people = [{"id": str(number), "input": f"{asked} {number}", "profile": profile} for number in range(3)]
    questions.write_text(json.dumps(people))
    golds = [{"id": str(number), "output": str(number + 1)} for number in range(3)]
    outputs.write_text(json.dumps({"task": "LaMP_3", "golds": golds}))
    return lambda *more: ("eval", "lamp", "--questions", questions, "--outputs", outputs, "--model", tiny, *more)


@pytest.fixture
def prefeval(tmp_path: Path, tiny: Path) -> Words:
    folder = tmp_path / "prefeval"
    item = {"preference": f"I hate {SECRET}", "question": "Which cake?", "explanation": "so"}
    options = [f"{cake} cake" for cake in ("plum", "almond", "sugar", "old")]
    files = {
        "explicit_preference/cakes.json": [item],
        "mcq_options/cakes.json": [item | {"classification_task_options": options}],
        "filtered_inter_turns.json": [{"conversation": [{"role": "user", "content": "Hm"}] * 4}],
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    return lambda *more: ("eval", "prefeval", "--data", folder, "--model", tiny, "--asking", "apart", *more)


def test_lamp_prints_one_object(cli, lamp: Words, tmp_path: Path) -> None:
    found = cli(*lamp("--json"))
    assert found.code == 0
    measured = found.json
    assert measured.keys() == KEYS
    assert {"mae", "mae_none", "mae_vs_none", "rmse", "mae_hybrid"} <= measured["figures"].keys()
    assert all(isinstance(value, int | float) for value in measured["figures"].values())
    assert (measured["name"], measured["n"], measured["seed"]) == ("lamp_rating", 3, 0)
    assert measured["models"]["engine"].startswith("tiny ")
    assert len(measured["models"]["engine"].split("sha256:")[1]) == 64
    assert measured["models"]["embedder"] == "fake-64"
    assert measured["commit"]
    assert measured["machine"]
    assert measured["notes"] == ["At most 4 memories a question."]
    assert SECRET not in found.out + found.err
    assert not (tmp_path / "raw").exists()


def test_lamp_shows_people_a_table(cli, lamp: Words) -> None:
    shown = cli(*lamp("--method", "bm25", "--method", "recent+reminder", "--limit", 2))
    assert "Ratings in LaMP's format" in shown.out
    lines = [line.split() for line in shown.out.splitlines()]
    assert [line[0] for line in lines if line and line[-1] == "2"] == [
        "always",
        "the",
        "none",
        "bm25",
        "recent+reminder",
    ]
    assert any("MAE" in line for line in lines)
    assert "At most 4 memories" in shown.err


def test_options_reach_the_experiment(cli, lamp: Words) -> None:
    words = lamp("--method", "recent", "--most", 1, "--limit", 2, "--seed", 7, "--json")
    measured = cli(*words).json
    assert (measured["n"], measured["seed"]) == (2, 7)
    assert measured["notes"] == ["At most 1 memories a question."]
    assert "mae_recent" in measured["figures"]


def test_titles(cli, lamp: Words) -> None:
    measured = cli(*lamp("--task", "title", "--limit", 1, "--json")).json
    assert measured["name"] == "lamp_title"
    assert {"rouge_1", "rouge_l", "rouge_l_none"} <= measured["figures"].keys()


def test_prefeval_prints_one_object(cli, prefeval: Words) -> None:
    found = cli(*prefeval("--turns", 0, "--turns", 2, "--json"))
    assert found.code == 0
    measured = found.json
    assert measured.keys() == KEYS
    assert {"accuracy", "accuracy_none", "gain_points", "accuracy_at_2", "lost_points_at_2"} <= measured[
        "figures"
    ].keys()
    assert (measured["name"], measured["n"]) == ("prefeval", 1)
    assert measured["models"].keys() == {"engine", "embedder"}
    assert SECRET not in found.out + found.err


def test_prefeval_shows_people_a_table(cli, prefeval: Words) -> None:
    shown = cli(*prefeval("--turns", 2, "--method", "none", "--method", "recent"))
    assert "recent, 2 between" in shown.out
    assert "preference read" in shown.out
    assert "chance 25 %" in shown.err


def test_results_are_kept_and_drawn_on_one_page(cli, lamp: Words, prefeval: Words, tmp_path: Path) -> None:
    out = tmp_path / "out"
    measured = cli(*lamp("--out", out, "--json")).json
    cli(*prefeval("--turns", 0, "--out", out))
    assert [(result.name, result.n) for result in load_all(out)] == [("lamp_rating", 3), ("prefeval", 1)]
    assert load_all(out)[0].figures == measured["figures"]
    assert sorted(path.name for path in (out / "raw").iterdir()) == ["lamp-rating.jsonl", "prefeval.jsonl"]
    page = cli("eval", "report", out, "--json").json["page"]
    assert page == str(out / "report.html")
    text = Path(page).read_text(encoding="utf-8")
    assert "Ratings" in text
    assert "Preferences (explicit)" in text
    assert SECRET not in text
    shown = cli("eval", "report", out, "--page", tmp_path / "other.html")
    assert shown.out.strip() == str(tmp_path / "other.html")
    assert (tmp_path / "other.html").read_text(encoding="utf-8") == text


def test_a_stopped_run_says_so_and_goes_on(cli, lamp: Words, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = cli(*lamp("--json")).json
    label, count = Weigher.label, 0

    def stopped(weigher: Weigher, *args: Any, **options: Any) -> Weighed:
        nonlocal count
        count += 1
        if count == 4:
            raise KeyboardInterrupt
        return label(weigher, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Weigher, "label", stopped)
        halted = cli(*lamp("--out", tmp_path / "out", "--json"))
    assert (halted.code, halted.error["code"], halted.out) == (130, "cancelled", "")
    assert len((tmp_path / "out/raw/lamp-rating.jsonl").read_text().splitlines()) == 3
    assert cli(*lamp("--out", tmp_path / "out", "--json")).json == whole


# ---- what is refused -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        ("--task", "secretword"),
        ("--method", "secretword"),
        ("--method", "bm25+dense"),
        ("--limit", 0),
        ("--seed", -1),
        ("--most", 0),
    ],
)
def test_lamp_refuses_what_makes_no_sense(
    cli, lamp: Words, monkeypatch: pytest.MonkeyPatch, wrong: tuple[object, ...]
) -> None:
    monkeypatch.setattr("edgeperso.embedding.load_embedder", lambda *_: pytest.fail("nothing needs to be loaded"))
    result = cli(*lamp(*wrong, "--json"))
    assert (result.code, result.error["code"], result.out) == (2, "usage", "")
    assert "secretword" not in result.err


@pytest.mark.parametrize(
    "wrong",
    [("--form", "secretword"), ("--asking", "secretword"), ("--method", "secretword"), ("--turns", -1), ("--turns", 3)],
)
def test_prefeval_refuses_what_makes_no_sense(cli, prefeval: Words, wrong: tuple[object, ...]) -> None:
    result = cli(*prefeval(*wrong, "--json"))
    assert (result.code, result.error["code"], result.out) == (2, "usage", "")
    assert "secretword" not in result.err


def test_files_that_are_missing_or_something_else(cli, lamp: Words, prefeval: Words, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, code in (
        (lamp("--questions", tmp_path / "none.json"), "source_not_found"),
        (lamp("--outputs", tmp_path / "q.json"), "data_invalid"),
        (lamp("--questions", tmp_path / "o.json"), "data_invalid"),
        (prefeval("--data", tmp_path / "empty"), "source_not_found"),
        (("eval", "report", tmp_path / "empty"), "source_not_found"),
        (("eval", "report", tmp_path / "nowhere"), "source_not_found"),
    ):
        result = cli(*words, "--json")
        assert (result.code, result.error["code"], result.out) == (6, code, "")
        assert result.error["hint"]


def test_a_missing_model_and_a_folder_that_cannot_be_written(cli, lamp: Words, tmp_path: Path) -> None:
    missing = cli(*lamp("--model", "smollm2-135m", "--json"))
    assert (missing.code, missing.error["code"]) == (5, "model_not_found")
    refused = cli(*lamp("--out", tmp_path / "q.json", "--json"))
    assert (refused.code, refused.error["code"]) == (4, "read_only")
