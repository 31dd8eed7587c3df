"""A whole simulation on a tiny model and made-up people: table, plots, page, state, adapter."""

from __future__ import annotations

import json
import re
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso import cli
from edgeperso.adaptation.bridge.exchange import import_adapter
from edgeperso.adaptation.gate import adapter_key, judge, mean_nats
from edgeperso.adaptation.lesson import text_example
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import Lora, Worn
from edgeperso.errors import UsageError
from edgeperso_federated.errors import FederationError
from edgeperso_federated.factors import Method
from edgeperso_federated.orders import Robust
from edgeperso_federated.privacy.plans import Sampling
from edgeperso_federated.simulation.experiment import Measured, simulate
from edgeperso_federated.simulation.metrics import read_metrics
from edgeperso_federated.simulation.page import result_of, write_page
from edgeperso_federated.simulation.settings import Partition, Settings

pytest.importorskip("torch")

TINY = SimpleNamespace(**runpy.run_path(str(Path(__file__).parents[1] / "adaptation" / "training" / "tiny_models.py")))
WORDS = ("tea", "boat", "lamp", "snow", "cello", "moss", "plum", "rope")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(TINY.model_bytes("llama"))
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(7)
    questions = []
    for who in range(12):
        texts = [" ".join(random.choice(WORDS, 6).tolist()) + f", said {who}." for _ in range(4)]
        profile = [
            {"id": f"{who}-{day}", "text": text, "score": str(1 + who % 5), "date": f"2020-01-0{day + 1}"}
            for day, text in enumerate(texts)
        ]
        questions.append({"id": str(who), "input": "What is the score? review: x", "profile": profile})
    (tmp_path / "dev_questions.json").write_text(json.dumps(questions))
    return tmp_path


def settings_for(data: Path) -> Settings:
    return Settings(
        data=data, clients=8, rounds=3, cohort=4, held_out=3, rank=2, rate=2e-2, max_tokens=24, epsilon=None,
        evaluate_every=1,
    )  # fmt: skip


def test_what_people_train_together_helps_others(data: Path, model: Path, tmp_path: Path) -> None:
    settings, folder = settings_for(data), tmp_path / "out"
    measured = simulate(settings, model, folder=folder)
    result = result_of(settings, measured)
    figures = result.figures
    assert figures["heldout_gain_vs_base"] > 0.1
    assert figures["heldout_gain_vs_base"] == pytest.approx(figures["base_loss"] - figures["heldout_loss"], abs=1e-5)
    assert figures["bytes_per_client_round"] > 4 * measured.values
    assert "epsilon" not in figures
    rows = {row.label: row.cells for row in result.tables[0].rows}
    assert rows["shared"]["vs_base"].value == pytest.approx(figures["heldout_gain_vs_base"], abs=1e-5)
    assert rows["shared"]["vs_local"].value > 0 > rows["base model"]["vs_local"].value
    assert sorted(measured.trials[0].curve) == [1, 2, 3]
    adapter = adapter_from_bytes((folder / "plain.gguf").read_bytes())
    assert isinstance(adapter, Lora)
    assert {pair.rank for pair in adapter.pairs.values()} == {2}
    page = write_page(folder, result).read_text()
    assert len(re.findall("<svg", page)) >= 4
    assert not re.findall(r"(?:src|href)=[\"']?(?:\w+:/|/|\.)", page)
    assert not any(word in page for word in ("cello", ", said"))
    assert [line["round"] for line in read_metrics(folder / "plain.jsonl")] == [1, 2, 3]
    # It is over: a second call trains nothing, and finds the same.
    again = simulate(settings, model, folder=folder)
    assert (again.trials[0].losses == measured.trials[0].losses).all()
    with pytest.raises(FederationError):
        simulate(replace(settings, rounds=4), model, folder=folder)


def test_the_same_seed_gives_the_same_run_and_a_secure_sum_no_other(data: Path, model: Path) -> None:
    settings = replace(settings_for(data), rounds=1, partition=Partition.DIRICHLET, dropout=0.2)

    def found(settings: Settings) -> Measured:
        return simulate(settings, model)

    one, other = found(settings), found(settings)
    assert (one.trials[0].losses == other.trials[0].losses).all()
    secure = found(replace(settings, secure=True, dropout=0.0))
    plain = found(replace(settings, dropout=0.0))
    np.testing.assert_allclose(secure.trials[0].losses, plain.trials[0].losses, atol=1e-4)


def test_a_private_run_beside_the_plain_one(data: Path, model: Path) -> None:
    pytest.importorskip("dp_accounting")
    settings = replace(settings_for(data), rounds=2, epsilon=4.0, sampling=Sampling.FIXED)
    measured = simulate(settings, model)
    figures = result_of(settings, measured).figures
    assert 0.9 * 4 < figures["epsilon"] <= 4.0
    assert 0 < figures["epsilon_device"] <= figures["epsilon"] * 1.001
    assert figures["private_heldout_loss"] != figures["heldout_loss"]
    assert list(measured.trials[1].costs.values()) == sorted(measured.trials[1].costs.values())


def test_from_the_command_line(data: Path, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--clients", "8", "--rounds", "1", "--cohort", "3", "--held-out", "3", "--rank", "2", "--plain", "--json"]
    folder, out = tmp_path / "run", tmp_path / "shared.gguf"
    paths = ["--data", str(data), "--model", str(model), "--out", str(folder)]
    assert cli.main(["fl", "simulate", *paths, *words]) == 0
    told = json.loads(capsys.readouterr().out)
    needed = {"heldout_loss", "heldout_gain_vs_base", "heldout_gain_vs_local", "bytes_per_client_round"}
    assert needed <= told["figures"].keys()
    assert cli.main(["fl", "status", str(folder), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["runs"]["plain"]["published"] == 1
    assert cli.main(["fl", "export", str(folder), str(out)]) == 0
    assert out.read_bytes() == (folder / "plain.gguf").read_bytes()
    assert cli.main(["fl", "export", str(folder), str(out), "--private"]) != 0
    assert cli.main(["fl", "simulate", *paths, "--method", "magic"]) == UsageError.exit_code


def test_more_are_asked_where_some_drop_out(data: Path) -> None:
    settings = replace(settings_for(data), cohort=4, dropout=0.4)
    assert (settings.members, settings.asked) == (4, 7)
    with pytest.raises(UsageError):
        replace(settings, hostile=1.0)


def test_delta_is_well_below_one_over_the_clients(data: Path) -> None:
    promise = replace(settings_for(data), epsilon=2.0).promise
    assert promise is not None
    assert promise.delta == pytest.approx(0.1 / 8)


@pytest.mark.parametrize(
    "changes",
    [
        {"method": Method.SOFT},
        {"method": Method.FLORA, "secure": True},
        {"secure": True, "robust": Robust.MEDIAN},
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_training(
    data: Path, model: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(UsageError):
        simulate(replace(settings_for(data), **changes), model, folder=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_audit_finds_what_holders_alone_learnt(data: Path, model: Path) -> None:
    settings = replace(settings_for(data), canaries=3, max_tokens=64, rate=5e-2)
    measured = simulate(settings, model)
    figures = result_of(settings, measured).figures
    assert figures["control_canary_exposure"] > 3
    assert 0 <= figures["membership_auc"] <= 1
    assert figures["canary_exposure"] == pytest.approx(float(measured.trials[0].leak.exposures.mean()))
    titles = [table.title for table in result_of(settings, measured).tables]
    assert "What the adapters give away" in titles
    assert measured.clients[0] in (4, 7)
    assert "control_membership_auc" not in result_of(settings_for(data), simulate(settings_for(data), model)).figures


def test_the_published_adapter_goes_through_the_gate_into_llama_cpp(data: Path, model: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    simulate(settings_for(data), model, folder=folder)
    assert cli.main(["fl", "export", str(folder), str(tmp_path / "shared.gguf")]) == 0
    with Engine.open(model, n_ctx=256) as engine:
        shared = import_adapter(tmp_path / "shared.gguf", model, engine.info)
        gate = judge(engine, [], shared, None)
        assert gate.general_after != gate.general_before
        assert gate.passed == (gate.general_high <= gate.general_bound)
        example = text_example(engine, "", "tea boat lamp snow, said 3.")
        before = mean_nats(engine, [example])
        engine.wear([Worn(adapter_key(shared), shared, 1.0)])
        assert mean_nats(engine, [example]) < before - 0.1
