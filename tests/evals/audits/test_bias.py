"""The audit of bias from end to end: on a random model, on one that is biased by design, on the real one."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.assistant import Weighed
from edgeperso.evals.experiments import bias
from edgeperso.evals.experiments.bias import run_bias
from edgeperso.evals.experiments.bias_set import identities
from edgeperso.evals.methods import ConditionedAssistant, Method
from edgeperso.evals.setup import Setup
from edgeperso.types import Asking
from edgeperso.vault import Vault

WOMEN = {one.value for one in identities() if one.groups.get("gender") == "woman"}


class Biased(ConditionedAssistant):
    """Rates women a point higher, and gives them another option; nothing else moves it."""

    def _woman(self) -> bool:
        return bool(WOMEN & set(self.vault.profile.all().values()))

    def recommend(self, question: str, options: Sequence[str], **_: Any) -> Weighed:
        return Weighed((0.0, 1.0 if self._woman() else -1.0, *[-2.0] * (len(options) - 2)), ())

    def weigher(self, task: str, *, most: int | None = None) -> Any:
        likely = -0.0 if self._woman() else -50.0
        return SimpleNamespace(label=lambda *_, **__: Weighed((-60.0, -60.0, -1.0 - likely - 50.0, likely, -60.0), ()))


@dataclass(frozen=True)
class BiasedSetup(Setup):
    def assistant(self, vault: Vault, method: Method, *, now_ms: int) -> ConditionedAssistant:
        return Biased(
            vault, self.catalogue, engine=self.engine, embedder=self.embedder, method=method, clock=lambda: now_ms
        )


def test_a_run_has_figures_tables_and_raw_outputs_and_is_resumed(
    setup: Setup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = run_bias(setup, limit=1, asking=Asking.LIKELIHOOD)
    assert result.n == 2 * len(identities())
    for name in ("shift_mean", "shift_noise_floor", "shift_vs_floor", "flip_rate", "gap_gender", "gap_origin_max"):
        assert math.isfinite(result.figures[name])
    assert [len(table.rows) for table in result.tables] == [11, 1 + 4 + 1 + 4]
    assert any("isn't the absence" in note for note in result.notes)
    lines = (tmp_path / "out/raw/bias.jsonl").read_text().splitlines()
    assert len(lines) == result.n
    assert json.loads(lines[0]).keys() == {"key", "profile", "question", "out"}

    def stop(*_: object, **__: object) -> None:
        raise AssertionError("an outcome that is on file was worked out again")

    monkeypatch.setattr(type(setup.engine), "clear", stop)
    resumed = Setup(setup.engine, setup.catalogue, setup.plain_embedder, folder=tmp_path / "out")
    again = run_bias(resumed, limit=1, asking=Asking.LIKELIHOOD)
    assert again == result


def test_the_seed_moves_bounds_alone(setup: Setup) -> None:
    seeded = Setup(setup.engine, setup.catalogue, setup.plain_embedder, folder=setup.folder, seed=7)
    one, other = (run_bias(each, limit=1, asking=Asking.LIKELIHOOD) for each in (setup, seeded))
    assert one.figures["shift_mean"] == other.figures["shift_mean"]
    assert one.figures["gap_gender_low"] != other.figures["gap_gender_low"]


def test_a_model_that_is_biased_is_found_out(setup: Setup) -> None:
    biased = BiasedSetup(setup.engine, setup.catalogue, setup.plain_embedder)
    figures = run_bias(biased, limit=3).figures
    assert figures["gap_gender"] == pytest.approx(1.0, abs=0.01)
    assert figures["gap_gender_low"] > 0.9
    assert figures["gap_gender_p"] < 0.01
    assert figures["gap_origin_max"] == pytest.approx(0.0, abs=1e-6)
    assert figures["gap_origin_max_p"] > 0.5
    assert figures["gap_stated_gender"] == pytest.approx(1.0, abs=0.01)
    assert figures["shift_noise_floor"] == 0
    assert "shift_vs_floor" not in figures  # no ratio to a floor of 0
    assert 0 < figures["flip_rate"] < 1
    assert figures["flip_noise_floor"] == 0


def test_a_unit_is_named_by_all_that_determines_it(setup: Setup) -> None:
    names: list[dict[str, object]] = []

    def unit(of: dict[str, object], label: object, work: object) -> list[float]:
        names.append(of)
        return [0.0]

    with setup.vault([]) as vault:
        me = setup.assistant(vault, Method.parse("none"), now_ms=0)
        for profile in identities():
            for question in (bias.OPTION_QUESTIONS[0], bias.RATING_QUESTIONS[0]):
                bias._scores(setup, me, profile, question, Asking.APART, unit)
    assert len({json.dumps(name, sort_keys=True) for name in names}) == len(names)


@pytest.mark.model
def test_the_real_model_gives_scores_that_depend_on_the_profile(real_setup: Setup) -> None:
    profiles = identities()
    question = bias.OPTION_QUESTIONS[0]
    with real_setup.vault([]) as vault:
        me = real_setup.assistant(vault, Method.parse("none"), now_ms=0)

        def scores(place: int) -> list[float]:
            return bias._scores(
                real_setup, me, profiles[place], question, Asking.APART, lambda _of, _label, work: work()
            )

        assert len(scores(0)) == 4
        assert scores(0) != scores(4)
        assert scores(0) == scores(0)
