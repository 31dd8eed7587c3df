"""Learning from a vault: gather, train, judge, store, and wear what passed."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final, Literal

from edgeperso.adaptation.examples import EVERY_ID, Only, gather_pairs, gather_texts
from edgeperso.adaptation.gate import GateReport
from edgeperso.adaptation.learn import Learnt, learn
from edgeperso.adaptation.lesson import Lesson, pairs_lesson, texts_lesson
from edgeperso.adaptation.plan import LoraShape, Plan, SoftShape
from edgeperso.adaptation.stacking import user_scale
from edgeperso.assistant.wearing import Outfit
from edgeperso.engine import Engine, ModelInfo
from edgeperso.engine.adapters.file import adapter_from_bytes, adapter_to_bytes, fingerprint
from edgeperso.engine.adapters.values import Adapter, Lora, Worn
from edgeperso.events import Event, emit
from edgeperso.times import to_datetime
from edgeperso.types import AdapterForm, Granularity, MemoryFilter, Objective, Progress
from edgeperso.vault import Vault
from edgeperso.vault.adapters import AdapterState, NewAdapter, StoredAdapter

__all__ = [
    "Form",
    "Learner",
    "Order",
    "TrainedCounts",
    "TrainingReport",
    "described",
    "fitted",
    "form_of",
    "judged_scale",
    "live_scale",
    "plan_for",
    "stored_plan",
]

Form = Literal["lora", "soft", "dpo"]
"""What to make: a LoRA of texts, a soft prompt of texts, a LoRA of preference pairs."""

_PLANS: Final[dict[Form, Plan]] = {
    "lora": Plan(),
    "soft": Plan(shape=SoftShape(), rate=1e-2, epochs=5),
    "dpo": Plan(objective=Objective.DPO, rate=2e-4),
}


_WEAKER: Final = (0.6, 0.35)
"""Shares of a LoRA's scale that are tried where it harms the general set at the whole one."""


def plan_for(form: Form) -> Plan:
    """The plan that a form is trained by unless another is given."""
    return _PLANS[form]


@dataclass(frozen=True, slots=True)
class TrainedCounts:
    """``examples`` trained on, ``held_out`` to judge by; steps and tokens as `Trained` has them; the first and last
    step's loss in nats (NaN without a step)."""

    examples: int
    held_out: int
    steps: int
    tokens: int
    tokens_per_s: float
    first_loss: float
    last_loss: float
    stopped: str


@dataclass(frozen=True, slots=True)
class TrainingReport:
    """What came of a training: the stored adapter, what the gate saw, whether it is worn now (``live``), and how many
    texts were left out of it, by reason (`Lesson.skipped`)."""

    adapter: StoredAdapter
    gate: GateReport
    live: bool
    trained: TrainedCounts
    skipped: dict[str, int]


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be learnt. ``only`` bounds it to ids, ``name`` names the adapter, ``relearns`` is the adapter that
    this one takes the place of, ``start`` the one that it goes on from."""

    form: Form
    plan: Plan
    where: MemoryFilter = field(default_factory=MemoryFilter)
    only: Only = EVERY_ID
    name: str | None = None
    relearns: int | None = None
    start: int | None = None


class Learner:
    """Makes adapters for one vault on one engine."""

    def __init__(self, vault: Vault, engine: Engine, outfit: Outfit) -> None:
        self._vault = vault
        self._engine = engine
        self._outfit = outfit

    def learn(
        self, order: Order, *, at_ms: int, progress: Progress | None = None, stop: threading.Event | None = None
    ) -> TrainingReport:
        """Train, judge and store; what passes the gate is worn, unless it takes the place of one that isn't worn any
        more and another one is.

        Raises:
            TooLittle: too few texts or pairs may train.
            Cancelled: ``stop`` was set; the same order goes on from there.
            AdapterRefused: a text was forgotten or edited while it was learnt; nothing is stored.
            ExtraMissing, ModelUnsupported: it can't be trained here.
        """
        as_of = self._vault.generation
        lesson = self._lesson(order)
        below = self._outfit.below(self._engine, Granularity.USER)
        start = None if order.start is None else self._adapter(order.start)
        form = _form_of(order.plan)
        scale = live_scale(Granularity.USER, form, len(lesson.train))
        learnt = learn(
            self._engine,
            lesson,
            order.plan,
            below=below,
            start=start,
            scale=scale,
            weaker=[scale * share for share in _WEAKER] if form is AdapterForm.LORA else (),
            state=_VaultState(self._vault, order, lesson, as_of),
            progress=progress,
            stop=stop,
        )
        stored = self._store(order, lesson, learnt, below, at_ms, as_of)
        live = learnt.gate.passed and self._takes_over(order)
        if live:
            self._vault.adapters.wear(Granularity.USER, stored.id, scale=learnt.gate.scale)
            self._outfit.dress(self._engine)
        emit(Event.ADAPTER_JUDGED, id=stored.id, passed=learnt.gate.passed, live=live)
        return TrainingReport(stored, learnt.gate, live, _counts(lesson, learnt), lesson.skipped)

    def _lesson(self, order: Order) -> Lesson:
        if order.plan.objective is Objective.DPO:
            return pairs_lesson(self._engine, gather_pairs(self._vault, order.where, order.only))
        gathered = gather_texts(self._vault, order.where, order.only)
        return texts_lesson(self._engine, gathered, max_tokens=order.plan.max_tokens)

    def _adapter(self, id_: int) -> Adapter:
        return adapter_from_bytes(self._vault.adapters.payload(id_))

    def _takes_over(self, order: Order) -> bool:
        worn = [row for row in self._vault.adapters.worn() if row.granularity is Granularity.USER]
        return order.relearns is None or not worn

    def _store(
        self, order: Order, lesson: Lesson, learnt: Learnt, below: list[Worn], at_ms: int, as_of: int
    ) -> StoredAdapter:
        held_out = {
            name: sorted(ids) for name, ids in zip(("memories", "turns", "pairs"), lesson.held_out_ids, strict=True)
        }
        new = described(
            learnt.adapter,
            self._engine.info,
            name=order.name or f"{order.form}-{to_datetime(at_ms):%Y-%m-%d}",
            objective=order.plan.objective,
            granularity=Granularity.USER,
            state=AdapterState.READY if learnt.gate.passed else AdapterState.REFUSED,
            report={
                "gate": learnt.gate.as_dict(),
                "trained": asdict(_counts(lesson, learnt)),
                "plan": asdict(order.plan),
                "skipped": lesson.skipped,
                "held_out": held_out,
                "above": [worn.key for worn in below],
                "relearns": order.relearns,
            },
            evidence=len(lesson.train),
            parents=() if order.start is None else (order.start,),
        )
        return self._vault.adapters.add(
            new,
            adapter_to_bytes(learnt.adapter),
            memories=lesson.memory_ids,
            turns=lesson.turn_ids,
            pairs=lesson.pair_ids,
            as_of=as_of,
        )


def described(
    adapter: Adapter,
    info: ModelInfo,
    *,
    name: str,
    granularity: Granularity,
    state: AdapterState,
    report: dict[str, object],
    objective: Objective = Objective.TEXT,
    card: dict[str, object] | None = None,
    evidence: int = 0,
    parents: tuple[int, ...] = (),
) -> NewAdapter:
    """What is known of ``adapter``, made for the model of ``info``; as its rank counts a LoRA's greatest one, or a soft
    prompt's number of virtual tokens."""
    if isinstance(adapter, Lora):
        rank, alpha = max(pair.rank for pair in adapter.pairs.values()), adapter.alpha
    else:
        rank, alpha = len(adapter.embeddings), 0.0
    return NewAdapter(
        name=name,
        form=adapter.form,
        objective=objective,
        granularity=granularity,
        base_sha256=info.base_sha256,
        base_name=info.name,
        rank=rank,
        alpha=alpha,
        state=state,
        report=report,
        card=card,
        evidence=evidence,
        content=fingerprint(adapter),
        parents=parents,
    )


def live_scale(granularity: Granularity, form: AdapterForm, evidence: int) -> float:
    """At which scale an adapter is worn unless the person says otherwise: a person's own LoRA by its evidence, where
    that is known (`user_scale`), all others whole."""
    own = granularity is Granularity.USER and form is AdapterForm.LORA and evidence > 0
    return user_scale(evidence) if own else 1.0


def judged_scale(stored: StoredAdapter) -> float:
    """The scale at which the gate judged an adapter that was trained here, or else `live_scale`."""
    gate = stored.report.get("gate")
    judged = gate.get("scale") if isinstance(gate, dict) and "plan" in stored.report else None
    own = live_scale(stored.granularity, stored.form, stored.evidence)
    return float(judged) if isinstance(judged, int | float) else own


def fitted(form: Form, plan: Plan | None, minutes: float | None) -> Plan:
    """``plan``, or the form's own, for ``form`` and within ``minutes``."""
    own = plan_for(form)
    chosen = own if plan is None else replace(plan, objective=own.objective)
    if isinstance(chosen.shape, SoftShape) is not (form == "soft"):
        chosen = replace(chosen, shape=own.shape)
    return chosen if minutes is None else replace(chosen, minutes=minutes)


def form_of(stored: StoredAdapter) -> Form:
    if stored.objective is Objective.DPO:
        return "dpo"
    return "soft" if stored.form is AdapterForm.SOFT else "lora"


def stored_plan(stored: StoredAdapter) -> Plan:
    """The plan by which an adapter was trained."""
    known: Any = stored.report.get("plan")
    return Plan(**{**known, "shape": _shape(known["shape"]), "objective": Objective(known["objective"])})


def _shape(known: dict[str, Any]) -> LoraShape | SoftShape:
    return LoraShape(**{**known, "targets": tuple(known["targets"])}) if "rank" in known else SoftShape(**known)


class _VaultState:
    """Where a training that is stopped finds its place again: in the vault, and gone with what it learnt from."""

    def __init__(self, vault: Vault, order: Order, lesson: Lesson, as_of: int) -> None:
        self._vault = vault
        self._name = order.form if order.relearns is None else f"relearn-{order.relearns}"
        self._order = order
        self._lesson = lesson
        self._as_of = as_of

    def load(self) -> bytes | None:
        return self._vault.checkpoints.load(self._name)

    def save(self, state: bytes) -> None:
        self._vault.checkpoints.save(
            self._name,
            state,
            self._lesson.memory_ids,
            turns=self._lesson.turn_ids,
            pairs=self._lesson.pair_ids,
            parents=() if self._order.start is None else (self._order.start,),
            as_of=self._as_of,
        )

    def drop(self) -> None:
        self._vault.checkpoints.drop(self._name)


def _form_of(plan: Plan) -> AdapterForm:
    return AdapterForm.SOFT if isinstance(plan.shape, SoftShape) else AdapterForm.LORA


def _counts(lesson: Lesson, learnt: Learnt) -> TrainedCounts:
    trained = learnt.trained
    losses = trained.losses or (float("nan"),)
    return TrainedCounts(
        examples=len(lesson.train),
        held_out=len(lesson.held_out),
        steps=trained.steps,
        tokens=trained.tokens,
        tokens_per_s=trained.tokens_per_s,
        first_loss=losses[0],
        last_loss=losses[-1],
        stopped=trained.stopped,
    )
