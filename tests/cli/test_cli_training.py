"""``train`` and ``relearn`` over an assistant that only notes what it is asked."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.adaptation.gate import GateReport
from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.assistant.learning import TrainedCounts, TrainingReport, plan_for
from edgeperso.cli.frame import Run
from edgeperso.cli.training import stoppable, with_time_left
from edgeperso.errors import Cancelled, TooLittle
from edgeperso.types import AdapterForm, Granularity, MemoryFilter, Objective
from edgeperso.vault.adapters import AdapterState, StoredAdapter

STORED = StoredAdapter(
    id=3, created_ms=1_700_000_000_000, digest="0" * 64, size_bytes=1000, name="diary", form=AdapterForm.LORA,
    objective=Objective.TEXT, granularity=Granularity.USER, base_sha256="ab" * 32, base_name="tiny", rank=8, alpha=16.0,
    state=AdapterState.READY, evidence=41,
)  # fmt: skip
GATE = GateReport(
    personal_before=3.4, personal_after=3.2, gain_low=0.05, gain_high=0.31, general_before=2.8, general_after=2.81,
    general_low=-0.01, general_high=0.03, general_bound=0.1, held_out=9, accuracy_before=None, accuracy_after=None,
    passed=True, reasons=(), scale=0.84,
)  # fmt: skip
COUNTS = TrainedCounts(41, 9, 12, 3120, 212.0, 3.5, float("nan"), "done")
REPORT = TrainingReport(STORED, GATE, True, COUNTS, {"secret": 2})
REFUSED = replace(REPORT, gate=replace(GATE, gain_low=-0.1, passed=False, reasons=("personal_not_better",)), live=False)


class Trainer:
    """Stands in for the assistant."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}
        self.outcome: TrainingReport | Exception = REPORT
        self.adapters = SimpleNamespace(relearn=self.relearn)
        self.vault = SimpleNamespace(adapters=SimpleNamespace(named=lambda _: STORED))

    def train(self, form: str, **asked: Any) -> TrainingReport:
        return self.finish({"form": form, **asked})

    def relearn(self, adapter_id: int, **asked: Any) -> TrainingReport:
        return self.finish({"id": adapter_id, **asked})

    def finish(self, asked: dict[str, Any]) -> TrainingReport:
        self.asked = asked
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Trainer:
    one = Trainer()

    @contextmanager
    def assistant(_run: Run, _model: str | None = None) -> Iterator[Trainer]:
        yield one

    monkeypatch.setattr(Run, "assistant", assistant)
    return one


@pytest.fixture(autouse=True)
def added(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """What would have been added to the tests' own niceness."""
    added: list[int] = []
    monkeypatch.setattr(os, "nice", lambda by: (added.append(by), sum(added))[1])
    return added


def test_training_says_what_it_learnt_from_and_what_the_gate_measured(cli, trainer: Trainer) -> None:
    result = cli("train")
    assert result.code == 0
    assert trainer.asked["form"] == "lora"
    assert (trainer.asked["plan"], trainer.asked["where"], trainer.asked["name"]) == (None, MemoryFilter(), None)
    for part in (
        "Adapter 3 (diary)",
        "41 texts",
        "12 steps",
        "3.400",
        "3.200",
        "0.050 to 0.310",
        "at 0.84",
        "rollback",
    ):
        assert part in result.out
    assert "2 with what looks like a secret" in result.err


def test_training_as_json_is_one_object_without_nan(cli, trainer: Trainer) -> None:
    found = cli("train", "--json").json
    assert found["adapter"]["id"] == 3
    assert found["gate"]["gain_low"] == 0.05
    assert found["trained"]["last_loss"] is None
    assert found["live"] is True
    assert found["skipped"] == {"secret": 2}


def test_what_the_gate_refused_is_kept_and_says_so(cli, trainer: Trainer) -> None:
    trainer.outcome = REFUSED
    result = cli("train")
    assert result.code == 0
    assert "not better by more than chance" in result.err
    assert "use 3 --anyway" in result.out
    assert "worn from now on" not in result.out


def test_pairs_are_told_by_their_order(cli, trainer: Trainer) -> None:
    gate = replace(GATE, accuracy_before=0.5, accuracy_after=0.8)
    trainer.outcome = replace(REPORT, adapter=replace(STORED, objective=Objective.DPO), gate=gate)
    result = cli("train", "dpo")
    assert trainer.asked["form"] == "dpo"
    assert "41 pairs" in result.out
    assert "50% before, 80% after" in result.out


def test_the_options_change_the_form_s_own_plan(cli, trainer: Trainer) -> None:
    cli("train", "--rank", 16, "--epochs", 2, "--minutes", 5, "--name", "mine", "--scope", "work")
    assert trainer.asked["plan"] == replace(plan_for("lora"), shape=LoraShape(16, 32.0), epochs=2)
    assert (trainer.asked["minutes"], trainer.asked["name"]) == (5.0, "mine")
    assert trainer.asked["where"].scopes == ("work",)
    cli("train", "soft", "--tokens", 4)
    assert trainer.asked["plan"] == replace(plan_for("soft"), shape=SoftShape(4))
    cli("train", "dpo", "--rank", 4)
    assert trainer.asked["plan"] == replace(plan_for("dpo"), shape=LoraShape(4, 8.0))


@pytest.mark.parametrize(
    "words",
    [["soft", "--rank", "8"], ["lora", "--tokens", "8"], ["qlora"], ["--rank", "0"], ["--minutes", "0"]],
)
def test_training_that_cannot_be_meant(cli, trainer: Trainer, words: list[str]) -> None:
    result = cli("train", *words, "--json")
    assert (result.code, result.error["code"], result.out) == (2, "usage", "")
    assert trainer.asked == {}


def test_too_little_to_learn_from(cli, trainer: Trainer) -> None:
    trainer.outcome = TooLittle("3 texts may train, and it takes 12.")
    result = cli("train", "--json")
    assert (result.code, result.error["code"], result.out) == (1, "too_little", "")


def test_ctrl_c_asks_the_training_to_stop_and_ends_with_130(
    cli, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(form: str, *, stop: threading.Event, **_: Any) -> TrainingReport:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        raise Cancelled("The training was stopped.", hint="Train again to go on.")

    trainer.train = interrupted  # type: ignore[method-assign]
    before = signal.getsignal(signal.SIGINT)
    result = cli("train", "--json")
    assert (result.code, result.error["code"]) == (130, "cancelled")
    assert signal.getsignal(signal.SIGINT) is before


@pytest.fixture
def usual_ctrl_c() -> Iterator[None]:
    """As in a terminal: a process started in the background ignores it from the start."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_ctrl_c")
def test_a_second_ctrl_c_is_the_usual_one() -> None:
    with stoppable() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.is_set()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_training_lets_others_go_first_and_only_once(added: list[int]) -> None:
    with stoppable():
        pass
    with stoppable():
        pass
    assert sum(added) == 10


def test_stopping_is_left_alone_outside_of_the_main_thread() -> None:
    handlers = []

    def work() -> None:
        with stoppable() as stop:
            handlers.append((signal.getsignal(signal.SIGINT), stop.is_set()))

    before = signal.getsignal(signal.SIGINT)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [(before, False)]


def test_relearning_names_the_adapter_and_shows_the_same_report(cli, trainer: Trainer) -> None:
    result = cli("adapter", "relearn", "diary", "--minutes", 2)
    assert result.code == 0
    assert (trainer.asked["id"], trainer.asked["minutes"]) == (3, 2.0)
    assert "Adapter 3 (diary)" in result.out
    assert cli("adapter", "relearn", 3, "--json").json["adapter"]["name"] == "diary"


def test_an_adapter_that_passed_but_is_not_worn_says_why(cli, trainer: Trainer) -> None:
    trainer.outcome = replace(REPORT, live=False)
    assert "another one is worn" in cli("adapter", "relearn", 3).out


def test_the_time_that_is_left_is_told_by_the_pace_since_it_went_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = iter([100.0, 130.0, 160.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = with_time_left(lambda stage, _done, _total: told.append(stage))
    for done in (20, 30, 55):
        progress("training", done, 60)
    assert told == ["training", "training, about 2 min left", "training, about 9 s left"]


def test_judging_has_its_own_pace_and_is_not_bounded_by_the_minutes(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = iter([0.0, 110.0, 120.0, 129.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = with_time_left(lambda stage, _done, _total: told.append(stage), 2)
    for stage, done in (("training", 0), ("training", 11), ("judging", 0), ("judging", 10)):
        progress(stage, done, 100)
    assert told == ["training", "training, about 10 s left", "judging", "judging, about 81 s left"]


def test_the_time_that_is_left_is_never_more_than_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    clock = iter([0.0, 60.0, 61.0])
    monkeypatch.setattr("time.monotonic", lambda: next(clock))
    progress = with_time_left(lambda stage, _done, _total: told.append(stage), 5)
    progress("training", 0, 1000)
    progress("training", 1, 1000)
    progress("training", 2, None)
    assert told == ["training", "training, about 4 min left", "training"]
