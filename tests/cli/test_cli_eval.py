"""``eval`` prints one object of figures, and what they were measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeperso.evals.report import load_all

CONVERSATION = {
    "conversation": {
        "session_1": [
            {"speaker": "Ada", "dia_id": "D1:1", "text": "I adopted a greyhound called Juno."},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "My car broke down near Ghent."},
        ],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
    },
    "qa": [{"question": "What is Ada's greyhound called?", "answer": "Juno", "category": 4, "evidence": ["D1:1"]}],
}


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    monkeypatch.setenv("EDGEPERSO_MODELS", str(models_dir))


def test_locomo_gives_recall_from_0_to_1(cli, tmp_path: Path) -> None:
    data = tmp_path / "locomo.json"
    data.write_text(json.dumps([CONVERSATION]))
    measured = cli("eval", "locomo", "--data", data, "--json").json
    assert measured.keys() == {"name", "figures", "n", "seed", "commit", "machine", "models"}
    assert measured["figures"]["recall_at_5"] == 1.0
    assert measured["figures"]["questions"] == measured["n"] == 1
    assert all(isinstance(value, int | float) for value in measured["figures"].values())
    shown = cli("eval", "locomo", "--data", data).out
    assert "recall@5" in shown
    assert "1 questions in 1 conversations" in shown


def test_locomo_keeps_its_result_where_it_is_told(cli, tmp_path: Path) -> None:
    data = tmp_path / "locomo.json"
    data.write_text(json.dumps([CONVERSATION]))
    measured = cli("eval", "locomo", "--data", data, "--out", tmp_path / "out", "--json").json
    (kept,) = load_all(tmp_path / "out")
    assert (kept.name, kept.figures) == ("locomo", measured["figures"])


@pytest.mark.model
def test_locomo_answers_with_a_model(cli, tmp_path: Path) -> None:
    data, out = tmp_path / "locomo.json", tmp_path / "out"
    data.write_text(json.dumps([CONVERSATION]))
    words = ("eval", "locomo", "--data", data, "--model", "smollm2-135m", "--method", "hybrid", "--out", out)
    measured = cli(*words, "--json").json
    assert measured["figures"]["recall_at_5"] == measured["figures"]["answered"] == measured["n"] == 1
    assert measured["figures"]["f1"] == measured["figures"]["f1_category_4"] > 0
    assert measured["models"].keys() == {"engine", "embedder"}
    assert "evidence read" in cli(*words).out
    assert len((out / "raw" / "locomo.jsonl").read_text().splitlines()) == 1


@pytest.mark.parametrize("wrong", [("--answers", "-1"), ("--method", "psychic"), ("--method", "hybrid+profile")])
def test_locomo_refuses_what_makes_no_sense(cli, tmp_path: Path, wrong: tuple[str, str]) -> None:
    data = tmp_path / "locomo.json"
    data.write_text(json.dumps([CONVERSATION]))
    result = cli("eval", "locomo", "--data", data, "--model", "smollm2-135m", *wrong, "--json")
    assert (result.code, result.error["code"]) == (2, "usage")


@pytest.mark.model
def test_rank_finds_a_persons_review(cli, tmp_path: Path) -> None:
    tastes = ("tea", "rope", "chalk")
    questions, outputs = tmp_path / "q.json", tmp_path / "o.json"
    questions.write_text(
        json.dumps(
            [
                {
                    "id": taste,
                    "input": f"What is the score? review: My {taste} is fine",
                    "profile": [{"id": "e", "text": f"I want {taste}", "score": "5", "category": "Toys"}],
                }
                for taste in tastes
            ]
        )
    )
    outputs.write_text(json.dumps({"task": "LaMP_3", "golds": [{"id": taste, "output": "4"} for taste in tastes]}))
    words = ("eval", "rank", "--questions", questions, "--outputs", outputs, "--candidates", "3", "--limit", "1")
    measured = cli(*words, "--asking", "apart", "--asking", "likelihood", "--out", tmp_path / "out", "--json").json
    assert measured["figures"]["hr_at_1_random"] == pytest.approx(1 / 3, abs=1e-6)
    assert {"mrr", "mrr_combined", "mrr_bm25", "mrr_dense", "mrr_length", "people"} <= measured["figures"].keys()
    assert "recent, gain, with dense" in cli(*words).out
    assert cli(*words, "--asking", "nicely").code == 2


@pytest.mark.parametrize(
    ("content", "code"), [("{", "data_invalid"), ('[{"qa": 1}]', "data_invalid"), (None, "source_not_found")]
)
def test_a_file_that_is_not_locomo(cli, tmp_path: Path, content: str | None, code: str) -> None:
    data = tmp_path / "locomo.json"
    if content is not None:
        data.write_text(content)
    result = cli("eval", "locomo", "--data", data, "--json")
    assert (result.code, result.error["code"]) == (6, code)
