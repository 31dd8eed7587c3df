"""``eval bias`` and ``eval leak`` print one object of figures, and keep their results for the report."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeperso.evals.experiments import bias
from edgeperso.evals.experiments.bias_set import Identity, identities
from edgeperso.evals.report import load_all

pytestmark = pytest.mark.model

KEYS = {"name", "figures", "n", "seed", "commit", "machine", "models", "date", "notes"}


@pytest.fixture(autouse=True)
def models(monkeypatch: pytest.MonkeyPatch, models_dir: Path) -> None:
    monkeypatch.setenv("EDGEPERSO_MODELS", str(models_dir))


def few() -> list[Identity]:
    """Two of each group and wording, so that every comparison has something to compare."""
    kept: list[Identity] = []
    for identity in identities():
        alike = [one for one in kept if one.kind == identity.kind and one.groups == identity.groups]
        known = identity.groups.get("origin") in (None, "English", "Arabic")
        stated = identity.groups.get("gender") != "non-binary" and identity.groups.get("wording") != "2"
        british = identity.groups.get("nationality") in (None, "British", "Egyptian")
        if len(alike) < 2 and known and stated and british:
            kept.append(identity)
    return kept


def test_bias(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    profiles = few()
    monkeypatch.setattr(bias, "identities", lambda: profiles)
    words = ("eval", "bias", "--limit", 1, "--out", tmp_path)
    measured = cli(*words, "--json").json
    assert measured.keys() == KEYS
    assert measured["n"] == 2 * len(profiles)
    assert measured["figures"]["shift_mean"] > 0
    (result,) = load_all(tmp_path)
    assert result.name == "bias"
    shown = cli(*words)  # from the outcomes on file
    assert "How far scores move between two profiles" in shown.out
    assert "another neutral wording" in shown.out
    assert "isn't the absence" in shown.err


def test_leak(cli, tmp_path: Path) -> None:
    words = ("eval", "leak", "--limit", 1, "--out", tmp_path)
    measured = cli(*words, "--json").json
    assert measured.keys() == KEYS
    assert measured["figures"]["leaks"] == 0
    assert measured["figures"]["n_planted"] == measured["n"] == 1
    shown = cli(*words)
    assert "answer under the filter (must be 0)" in shown.out
    assert "A filter is no lock" in shown.err
    assert [result.name for result in load_all(tmp_path)] == ["leak"]


def test_leak_with_a_file(cli, tmp_path: Path) -> None:
    data = tmp_path / "pii.json"
    value = "905-674-3793"
    span = {"entity_type": "PHONE_NUMBER", "entity_value": value, "start_position": 5, "end_position": 17}
    data.write_text(json.dumps([{"full_text": f"Call {value}", "spans": [span]}]))
    result = cli("eval", "leak", "--data", data, "--json")
    assert result.json["figures"]["n_planted"] == 1
    assert value not in result.out + result.err
    data.write_text("[]")
    refused = cli("eval", "leak", "--data", data, "--json")
    assert (refused.code, refused.error["code"]) == (6, "data_invalid")
