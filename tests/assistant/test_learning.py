"""Training from the assistant: what is learnt, judged, stored, worn, stopped, forgotten, learnt again."""

from __future__ import annotations

import runpy
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edgeperso.adaptation import training
from edgeperso.adaptation.plan import LoraShape, Plan, SoftShape
from edgeperso.assistant import Assistant, open_assistant, plan_for
from edgeperso.errors import AdapterMismatch, AdapterRefused, Cancelled, TooLittle, UsageError
from edgeperso.types import AdapterForm, Embedder, Granularity, MemoryFilter, Objective
from edgeperso.vault import KeyFile
from edgeperso.vault.adapters import AdapterState

L = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("learners.py"))))
USER = Granularity.USER


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch) -> Any:
    trainer = L.Trainer()
    monkeypatch.setattr(training, "train", trainer)
    return trainer


@pytest.fixture
def me(home: Path, tmp_path: Path, fake_embedder: Embedder, trainer: Any) -> Iterator[Assistant]:
    with open_assistant(home, key=KeyFile(tmp_path / "me.key"), models_dir=tmp_path, clock=lambda: L.NOW_MS) as me:
        me._embedder = fake_embedder
        me._engine = L.Toy(tmp_path / "toy.gguf", L.helps())
        yield me


@pytest.fixture
def ids(me: Assistant) -> list[int]:
    """A life of 20 notes, a day each."""
    return [me.remember(text, occurred_ms=L.NOW_MS - (20 - n) * L.DAY_MS).id for n, text in enumerate(L.notes(20))]


def test_what_passes_the_gate_is_stored_with_its_sources_and_worn(me: Assistant, ids: list[int], trainer: Any) -> None:
    report = me.train()
    stored = report.adapter
    assert report.live
    assert (report.trained.examples, report.trained.held_out, report.trained.steps) == (16, 4, 3)
    assert (report.trained.first_loss, report.trained.last_loss) == (3.0, 2.0)
    assert (stored.state, stored.evidence, stored.rank, stored.alpha) == (AdapterState.READY, 16, 2, 4.0)
    assert stored.base_sha256 == me.engine.info.base_sha256 == me.base_sha256
    assert me.vault.adapters.sources(stored.id).memories == tuple(ids[:16])
    assert stored.report["held_out"] == {"memories": ids[16:], "turns": [], "pairs": []}
    assert trainer.texts == ["<" + text for text in L.notes(20)[:16]]
    [row] = me.adapters.worn()
    assert (row.adapter_id, row.granularity, row.scale) == (stored.id, USER, pytest.approx(16 / 24))
    assert [(worn.key, worn.scale) for worn in me.engine.worn] == [(stored.digest, row.scale)]
    assert report.gate.personal_before - report.gate.personal_after == pytest.approx(0.5 * row.scale), "judged as worn"


def test_no_text_stands_in_what_is_stored_beside_the_weights(me: Assistant, ids: list[int]) -> None:
    report = me.train().adapter.report
    assert not any(thing in str(report) for thing in (*L.THINGS, *L.VERBS))


@pytest.mark.parametrize(
    ("nats", "reasons"),
    [
        (L.helps(gain=0.0), ("personal_not_better",)),
        (L.helps(harm=0.5), ("general_worse",)),
    ],
)
def test_what_fails_the_gate_is_kept_and_not_worn_unless_knowingly(
    me: Assistant, ids: list[int], nats: Any, reasons: tuple[str, ...]
) -> None:
    good = me.train()
    me.engine.nats = nats  # type: ignore[attr-defined]
    report = me.train()
    assert (report.live, report.gate.reasons, report.adapter.state) == (False, reasons, AdapterState.REFUSED)
    assert [row.adapter_id for row in me.adapters.worn()] == [good.adapter.id]
    with pytest.raises(AdapterRefused):
        me.adapters.use(report.adapter.id)
    row = me.adapters.use(report.adapter.id, anyway=True)
    assert (row.adapter_id, row.overruled) == (report.adapter.id, True)
    assert [trace.id for trace in me.dress()] == [report.adapter.id]
    assert me.adapters.rollback(USER).adapter_id == good.adapter.id  # type: ignore[union-attr]
    me.adapters.off(USER)
    assert me.dress() == ()
    assert me.engine.worn == ()


def test_it_is_worn_as_weakly_as_the_gate_asks(me: Assistant, ids: list[int]) -> None:
    me.engine.nats = L.helps(harm=0.2)  # type: ignore[attr-defined]
    report = me.train()
    assert report.live
    assert me.adapters.worn()[0].scale == report.gate.scale == pytest.approx(0.6 * 16 / 24)
    me.adapters.off(USER)
    assert me.adapters.use(report.adapter.id).scale == report.gate.scale


def test_too_little_to_learn_from(me: Assistant) -> None:
    for text in L.notes(7):
        me.remember(text)
    with pytest.raises(TooLittle):
        me.train()
    with pytest.raises(TooLittle):
        me.train("dpo")
    assert me.adapters.list() == []


def test_each_form_has_its_plan_and_what_is_given_counts(me: Assistant, ids: list[int], trainer: Any) -> None:
    me.train("soft", minutes=2.0)
    plan = trainer.asked[-1]["plan"]
    assert (plan.shape, plan.minutes, plan.rate) == (SoftShape(), 2.0, plan_for("soft").rate)
    me.train("soft", plan=Plan(epochs=1, seed=3))
    plan = trainer.asked[-1]["plan"]
    assert (plan.shape, plan.epochs, plan.seed) == (SoftShape(), 1, 3)
    report = me.train(plan=Plan(shape=LoraShape(4), objective=Objective.DPO), name="mine")
    plan = trainer.asked[-1]["plan"]
    assert (plan.shape, plan.objective, report.adapter.name) == (LoraShape(4), Objective.TEXT, "mine")


def test_a_soft_prompt_is_worn_whole(me: Assistant, ids: list[int]) -> None:
    report = me.train("soft")
    assert (report.adapter.form, report.adapter.rank, report.adapter.alpha) == (AdapterForm.SOFT, 3, 0.0)
    assert me.adapters.worn()[0].scale == 1.0
    with pytest.raises(UsageError):
        me.adapters.use(report.adapter.id, scale=0.5)


def test_preferences_go_on_from_the_lora_that_is_worn(me: Assistant, ids: list[int], trainer: Any) -> None:
    for n, text in enumerate(L.notes(10)):
        me.prefer(f"{text} dear", "No.", prompt=f"What about {L.THINGS[n]}?")
    alone = me.train("dpo")
    assert (trainer.asked[-1]["start"], alone.adapter.parents) == (None, ())
    assert (alone.adapter.objective, alone.gate.accuracy_before) == (Objective.DPO, 0.0)
    me.engine.nats = L.helps(gain=2.0)  # type: ignore[attr-defined]
    texts = me.train(plan=Plan(shape=LoraShape(4)))
    report = me.train("dpo")
    assert report.adapter.parents == (texts.adapter.id,)
    assert trainer.asked[-1]["start"].alpha == 4.0
    assert trainer.asked[-1]["plan"].shape == LoraShape(4)
    assert len(me.vault.adapters.sources(report.adapter.id).pairs) == 6
    assert not report.live, "it gains nothing over the one it goes on from"


def test_a_stopped_training_keeps_its_place_in_the_vault(me: Assistant, ids: list[int], trainer: Any) -> None:
    trainer.stopped = "asked"
    with pytest.raises(Cancelled):
        me.train(stop=threading.Event())
    assert me.vault.checkpoints.names() == ["lora"]
    assert me.adapters.list() == []
    trainer.stopped = "done"
    assert me.train().live
    assert trainer.saves == [b"", b"state 1"]
    assert me.vault.checkpoints.names() == []


def test_forgetting_drops_the_place_of_a_training_that_saw_it(me: Assistant, ids: list[int], trainer: Any) -> None:
    trainer.stopped = "asked"
    with pytest.raises(Cancelled):
        me.train()
    me.forget(me.plan_forget(ids=(ids[0],)))
    assert me.vault.checkpoints.names() == []


def test_what_is_forgotten_while_it_is_learnt_is_not_stored(me: Assistant, ids: list[int], trainer: Any) -> None:
    trainer.during = lambda: me.forget(me.plan_forget(ids=(ids[0],)))
    with pytest.raises(AdapterRefused):
        me.train()
    assert me.adapters.list() == []


def test_it_trains_above_what_is_worn_below(me: Assistant, ids: list[int], trainer: Any) -> None:
    persona = me.train().adapter
    sql = "UPDATE adapters SET granularity = 'persona' WHERE id = ?"
    me.vault.database.execute(sql, (persona.id,))
    me.adapters.off(USER)
    me.adapters.use(persona.id, scale=0.25)
    me.train()
    [(frozen, scale)] = trainer.asked[-1]["frozen"]
    assert (frozen.alpha, scale) == (4.0, 0.25)
    assert [trace.granularity for trace in me.dress()] == [Granularity.PERSONA, USER]


class TestForgetting:
    def test_what_learnt_it_is_taken_off_at_once(self, me: Assistant, ids: list[int]) -> None:
        report = me.train()
        planned = me.plan_forget(ids=(ids[3],))
        assert planned.adapters == 1
        receipt = me.forget(planned)
        assert receipt.adapter_ids == (report.adapter.id,)
        assert me.engine.worn == ()
        assert me.adapters.show(report.adapter.id).state is AdapterState.TAINTED
        with pytest.raises(AdapterRefused):
            me.adapters.use(report.adapter.id, anyway=True)

    def test_an_edit_takes_it_off_too(self, me: Assistant, ids: list[int]) -> None:
        me.train()
        me.edit(ids[3], "Today I did nothing of the sort.")
        assert me.engine.worn == ()

    def test_what_only_judged_it_stays(self, me: Assistant, ids: list[int]) -> None:
        report = me.train()
        assert me.forget(me.plan_forget(ids=(ids[19],))).adapter_ids == ()
        assert [worn.key for worn in me.engine.worn] == [report.adapter.digest]

    def test_it_is_learnt_again_without_what_went_and_without_what_came(
        self, me: Assistant, ids: list[int], trainer: Any
    ) -> None:
        old = me.train(plan=Plan(shape=LoraShape(4), seed=9), name="mine")
        me.remember("Today I wrote something that is new.")
        receipt = me.forget(me.plan_forget(ids=(ids[3],)))
        [again] = me.relearn(receipt)
        assert trainer.texts == ["<" + text for n, text in enumerate(L.notes(20)[:16]) if n != 3]
        assert trainer.asked[-1]["plan"] == Plan(shape=LoraShape(4), seed=9)
        assert (again.live, again.adapter.name, again.adapter.report["relearns"]) == (True, "mine", old.adapter.id)
        assert again.trained.held_out == 4
        assert ids[3] not in me.vault.adapters.sources(again.adapter.id).memories

    def test_one_that_was_not_worn_is_not_learnt_again_unasked(self, me: Assistant, ids: list[int]) -> None:
        first, second = me.train(), me.train()
        receipt = me.forget(me.plan_forget(ids=(ids[3],)))
        assert set(receipt.adapter_ids) == {first.adapter.id, second.adapter.id}
        [again] = me.relearn(receipt)
        assert again.adapter.report["relearns"] == second.adapter.id
        asked_for = me.adapters.relearn(first.adapter.id)
        assert not asked_for.live, "it doesn't push out the one that is worn"

    def test_with_too_little_left_it_stays_off(self, me: Assistant, ids: list[int]) -> None:
        me.train()
        assert me.relearn(me.forget(me.plan_forget(ids=tuple(ids[:14])))) == []
        assert me.adapters.worn() == ()

    def test_preferences_are_learnt_again_from_the_successor(self, me: Assistant, ids: list[int]) -> None:
        for n, text in enumerate(L.notes(10)):
            me.prefer(f"{text} dear", "No.", prompt=f"What about {L.THINGS[n]}?")
        texts = me.train()
        pairs = me.train("dpo")
        me.adapters.use(pairs.adapter.id, anyway=True)
        receipt = me.forget(me.plan_forget(ids=(ids[3],)))
        assert set(receipt.adapter_ids) == {texts.adapter.id, pairs.adapter.id}
        again = me.adapters.relearn(texts.adapter.id)
        assert me.adapters.relearn(pairs.adapter.id).adapter.parents == (again.adapter.id,)


class TestShelf:
    def test_one_for_another_model_is_refused(self, me: Assistant, ids: list[int], tmp_path: Path) -> None:
        report = me.train()
        me.adapters.off(USER)
        other = L.Toy(tmp_path / "other.gguf", L.helps())
        other.info.path.write_bytes(b"other")
        me._engine = other
        with pytest.raises(AdapterMismatch):
            me.adapters.use(report.adapter.id)
        assert me.adapters.worn() == ()

    def test_two_are_compared_on_what_neither_learnt(self, me: Assistant, ids: list[int]) -> None:
        first = me.train(where=MemoryFilter(before_ms=L.NOW_MS - 8 * L.DAY_MS))
        second = me.train(where=MemoryFilter(before_ms=L.NOW_MS - 5 * L.DAY_MS))
        told: list[tuple[int, int | None]] = []
        compared = me.adapters.compare(
            first.adapter.id, second.adapter.id, progress=lambda _, done, total: told.append((done, total))
        )
        assert told[-1][0] == told[-1][1] == max(told)[0]
        assert [row.adapter_id for row in compared.rows] == [None, first.adapter.id, second.adapter.id]
        assert compared.texts == 9
        assert compared.rows[0].personal == pytest.approx(4.0)
        assert compared.rows[1].personal > compared.rows[2].personal
        assert compared.low < 0
        assert compared.high < 0
        assert [worn.key for worn in me.engine.worn] == [second.adapter.digest]
        third = me.train().adapter
        me.forget(me.plan_forget(ids=(ids[19],)))
        with pytest.raises(TooLittle):
            me.adapters.compare(first.adapter.id, third.id)

    def test_one_that_was_not_trained_here_is_not_learnt_again(self, me: Assistant, ids: list[int]) -> None:
        stored = me.train().adapter
        me.vault.database.execute("UPDATE adapters SET report = '{}' WHERE id = ?", (stored.id,))
        with pytest.raises(UsageError):
            me.adapters.relearn(stored.id)
