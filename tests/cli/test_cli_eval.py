"""``eval`` prints one object of figures, and what they were measured on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

CONVERSATION = {
    "conversation": {
        "session_1": [
            {"speaker": "Ada", "dia_id": "D1:1", "text": "I adopted a greyhound called Juno."},
            {"speaker": "Ben", "dia_id": "D1:2", "text": "My car broke down near Ghent."},
        ],
        "session_1_date_time": "1:56 pm on 8 May, 2023",
    },
    "qa": [{"question": "What is Ada's greyhound called?", "category": 4, "evidence": ["D1:1"]}],
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


@pytest.mark.parametrize(
    ("content", "code"), [("{", "data_invalid"), ('[{"qa": 1}]', "data_invalid"), (None, "source_not_found")]
)
def test_a_file_that_is_not_locomo(cli, tmp_path: Path, content: str | None, code: str) -> None:
    data = tmp_path / "locomo.json"
    if content is not None:
        data.write_text(content)
    result = cli("eval", "locomo", "--data", data, "--json")
    assert (result.code, result.error["code"]) == (6, code)
