"""Learning once with the real small model, from notes to an answer given with what was learnt."""

from __future__ import annotations

import pytest

from edgeperso.adaptation import gate
from edgeperso.adaptation.general import general_examples
from edgeperso.adaptation.plan import Plan
from edgeperso.assistant import Assistant
from edgeperso.types import Granularity

pytest.importorskip("torch")

DAYS = ("the mill", "the coast", "the library", "the garden", "the tower", "the market", "the quarry", "the lake",
    "the chapel", "the station", "the orchard", "the bridge")  # fmt: skip


def test_a_way_of_writing_is_learnt_judged_worn_and_taken_off(me: Assistant, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gate, "general_examples", lambda engine: general_examples(engine)[::8])
    for n, place in enumerate(DAYS):
        text = (
            f"Hark! On day {n} of my voyage I beheld {place}, forsooth, and wrote {n * 7} lines thereof. Thus ends it."
        )
        me.remember(text, occurred_ms=1_700_000_000_000 + n * 86_400_000)
    report = me.train(plan=Plan(rate=2e-3, epochs=4, batch_tokens=128, threads=1))
    assert report.trained.last_loss < report.trained.first_loss
    assert report.gate.gain_low > 0
    assert report.gate.personal_after < report.gate.personal_before
    me.adapters.use(report.adapter.id, anyway=True)
    reply = me.ask("Where was I on day 3?")
    [worn] = reply.trace.adapters
    assert (worn.id, worn.granularity, worn.outcome) == (report.adapter.id, Granularity.USER, "worn")
    assert me.why().adapters == reply.trace.adapters
    receipt = me.forget(me.plan_forget(ids=(1,)))
    assert receipt.adapter_ids == (report.adapter.id,)
    assert me.engine.worn == ()
    assert me.ask("Where was I on day 5?").trace.adapters == ()
