"""``eval learning``, ``eval pairs``, and methods of ``eval lamp`` that wear adapters."""

from __future__ import annotations

import json
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeperso.engine.adapters.values import Lora, LoraPair
from edgeperso.evals.report import load_all
from edgeperso.evals.setup import Setup
from edgeperso.types import Embedder

MAKERS = Path(__file__).parent.parent / "engine" / "gguf_files.py"
SECRET = "marzipan"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    path.write_bytes(runpy.run_path(str(MAKERS))["tiny_model"](llama__context_length=4096))
    return path


@pytest.fixture(autouse=True)
def parts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, fake_embedder: Embedder) -> None:
    """No model is at hand but the one that is named; the embedder loads nothing, and training takes no time."""
    monkeypatch.setenv("EDGEPERSO_MODELS", str(tmp_path / "models"))
    monkeypatch.setattr("edgeperso.embedding.load_embedder", lambda *_: fake_embedder)
    monkeypatch.setattr("edgeperso.engine.machine.physical_cores", lambda: 1)

    def train(setup: Setup, *_: object) -> Lora:
        a, b = np.ones((1, 64), np.float32), np.ones((64, 1), np.float32)
        return Lora(setup.engine.info.base_sha256, "llama", 1.0, {"blk.0.attn_v": LoraPair(a, b)})

    monkeypatch.setattr("edgeperso.evals.learnt.train_adapter", train)
    monkeypatch.setattr("edgeperso.evals.experiments.pairs.train_adapter", train)


@pytest.fixture
def lamp(tmp_path: Path, tiny: Path) -> Sequence[object]:
    profile = [
        {"id": f"e{at}", "text": f"Tea {at}, {SECRET}", "score": "4", "date": 16 * 10**11 + at} for at in range(3)
    ]
    people = [{"id": str(at), "input": f"What score? review: Tea {at}", "profile": profile} for at in range(3)]
    (tmp_path / "q.json").write_text(json.dumps(people))
    golds = [{"id": str(at), "output": str(at + 1)} for at in range(3)]
    (tmp_path / "o.json").write_text(json.dumps({"task": "LaMP_3", "golds": golds}))
    return ("eval", "lamp", "--questions", tmp_path / "q.json", "--outputs", tmp_path / "o.json", "--model", tiny)


def test_lamp_wears_what_a_method_names(cli, lamp: Sequence[object]) -> None:
    found = cli(*lamp, "--method", "recent+user-lora", "--history", 2, "--limit", 2, "--json")
    assert found.code == 0
    measured = found.json
    assert {"mae_recent_user_lora", "mae_recent_user_lora_less_recent"} <= measured["figures"].keys()
    assert "Of each profile the latest 2 entries." in measured["notes"]
    assert SECRET not in found.out + found.err


@pytest.mark.parametrize("wrong", [("--history", 0), ("--method", "user-lora-secretword")])
def test_lamp_refuses_what_makes_no_sense(cli, lamp: Sequence[object], wrong: tuple[object, ...]) -> None:
    found = cli(*lamp, *wrong, "--json")
    assert (found.code, found.error["code"], found.out) == (2, "usage", "")
    assert "secretword" not in found.err


def test_pairs_print_one_object_and_keep_their_result(cli, tiny: Path, tmp_path: Path) -> None:
    found = cli("eval", "pairs", "--model", tiny, "--limit", 2, "--out", tmp_path / "out", "--json")
    assert found.code == 0
    measured = found.json
    assert (measured["name"], measured["n"]) == ("pairs", 2)
    assert {"accuracy_before", "accuracy_after", "reward_accuracy"} <= measured["figures"].keys()
    assert [result.name for result in load_all(tmp_path / "out")] == ["pairs"]
    shown = cli("eval", "pairs", "--model", tiny, "--limit", 2, "--out", tmp_path / "out")
    assert "Held-out pairs" in shown.out
    assert "an invented person's style" in shown.out
    missing = cli("eval", "pairs", "--model", tiny, "--data", tmp_path / "none.json", "--json")
    assert (missing.code, missing.error["code"]) == (6, "source_not_found")


def test_learning_needs_people_who_wrote_enough(cli, lamp: Sequence[object], tiny: Path, tmp_path: Path) -> None:
    words: tuple[Any, ...] = ("eval", "learning", "--questions", tmp_path / "q.json", "--model", tiny, "--json")
    found = cli(*words)
    assert (found.code, found.error["code"]) == (6, "data_invalid")
    assert SECRET not in found.err
    assert cli(*words, "--limit", 1).code == 2
