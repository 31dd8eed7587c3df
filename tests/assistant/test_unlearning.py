"""A forgotten text is no better known afterwards than to an adapter that never saw it: by likelihood, on a real model
file that is tiny, with the real training."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.adaptation.gate import mean_nats
from edgeperso.adaptation.lesson import text_example
from edgeperso.adaptation.plan import EVERY_MATRIX, LoraShape, Plan
from edgeperso.assistant import Assistant, open_assistant
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import Worn
from edgeperso.types import Embedder, Granularity
from edgeperso.vault import KeyFile, Vault

pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
L = SimpleNamespace(**runpy.run_path(str(Path(__file__).with_name("learners.py"))))
tiny_model = runpy.run_path(str(ROOT / "engine" / "gguf_files.py"))["tiny_model"]

CANARY = "Qyx vub zojk wem hrilf pazd, and nobody may know."
PLAN = Plan(shape=LoraShape(16, 32.0, EVERY_MATRIX), rate=2e-2, epochs=12, batch_tokens=256, threads=1)
Life = Callable[[bool], Assistant]


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    path = tmp_path / "tiny.gguf"
    path.write_bytes(tiny_model())
    with Engine.open(path, n_threads=1) as engine:
        yield engine


@pytest.fixture
def live(tmp_path: Path, engine: Engine, fake_embedder: Embedder) -> Iterator[Life]:
    """``live(with_canary)`` is somebody's vault of 16 notes, and maybe the canary as its fourth."""
    opened: list[Assistant] = []

    def run(with_canary: bool) -> Assistant:
        home, key = tmp_path / f"home-{with_canary}", KeyFile(tmp_path / f"{with_canary}.key")
        vault, _ = Vault.create(home, key)
        vault.close()
        me = open_assistant(home, key=key, models_dir=tmp_path, clock=lambda: L.NOW_MS)
        me._engine, me._own_engine, me._embedder = engine, False, fake_embedder
        opened.append(me)
        texts = L.notes(16)
        for n, text in enumerate([*texts[:3], CANARY, *texts[3:]] if with_canary else texts):
            me.remember(text, occurred_ms=L.NOW_MS - (30 - n) * L.DAY_MS)
        return me

    yield run
    for me in opened:
        me.close()


def nats(me: Assistant, adapter_id: int, text: str) -> float:
    """The text's mean loss with that adapter alone, in full."""
    stored = me.adapters.show(adapter_id)
    me.engine.wear([Worn(stored.digest, adapter_from_bytes(me.vault.adapters.payload(adapter_id)))])
    try:
        return float(mean_nats(me.engine, [text_example(me.engine, "", text)])[0])
    finally:
        me.engine.wear(())


def test_a_forgotten_canary_is_no_better_known_than_to_an_adapter_that_never_saw_it(live: Life) -> None:
    me, stranger = live(True), live(False)
    report = me.train(plan=PLAN)
    me.adapters.use(report.adapter.id, anyway=True)
    never = nats(stranger, stranger.train(plan=PLAN).adapter.id, CANARY)
    known = nats(me, report.adapter.id, CANARY)
    assert known < never - 1.0, "it had learnt it"

    canary = next(memory.id for memory in me.vault.memories.scan() if memory.text == CANARY)
    receipt = me.forget(me.plan_forget(ids=(canary,)))
    assert receipt.adapter_ids == (report.adapter.id,)
    assert me.engine.worn == ()
    [again] = me.relearn(receipt)
    assert nats(me, again.adapter.id, CANARY) >= never - 1e-3
    assert nats(me, again.adapter.id, L.notes(16)[0]) < never - 1.0, "and still knows the rest"


def test_a_persons_adapter_leaves_and_comes_to_another_as_a_persona(live: Life, tmp_path: Path) -> None:
    me, other = live(True), live(False)
    own = me.train(plan=PLAN).adapter
    file = tmp_path / "mine.gguf"
    me.adapters.export(own.id, file, card=True)
    taken = other.adapters.import_(file, Granularity.PERSONA)
    assert (taken.name, taken.rank, taken.evidence) == ("from mine", 16, 0)
    assert taken.card is not None
    assert other.adapters.worn() == ()
    theirs = tmp_path / "theirs.gguf"
    other.adapters.export(other.train(plan=PLAN).adapter.id, theirs, card=True)
    other.adapters.off(Granularity.USER)
    [persona] = other.adapters.personas([file, theirs], most=1).made
    assert (persona.granularity, persona.evidence, persona.name) == (Granularity.PERSONA, 2, "persona-1")
    found = other.nearest_persona()
    assert found is not None
    assert found.granularity is Granularity.PERSONA
    assert [row.adapter_id for row in other.adapters.worn()] == [found.id]
