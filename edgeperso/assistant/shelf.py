"""The adapters of a vault, and what can be done with them."""

from __future__ import annotations

import builtins
import contextlib
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeperso.adaptation.examples import Only, gather_texts
from edgeperso.adaptation.gate import Told, judge, mean_nats, paired_gain
from edgeperso.adaptation.general import general_examples
from edgeperso.adaptation.lesson import text_example
from edgeperso.adaptation.plan import Example
from edgeperso.adaptation.split import LEAST_HELD_OUT, MOST_HELD_OUT, without_repetitions
from edgeperso.assistant.learning import Learner, Order, TrainingReport, described, form_of, judged_scale, stored_plan
from edgeperso.assistant.people import Personas, make_personas, own_card
from edgeperso.assistant.wearing import Outfit
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes, adapter_to_bytes, fingerprint
from edgeperso.engine.adapters.values import Lora, Worn
from edgeperso.errors import AdapterMismatch, TooLittle, UsageError
from edgeperso.types import AdapterForm, Float32, Granularity, MemoryFilter, Progress
from edgeperso.vault.adapters import AdapterState, StoredAdapter, WornRow

if TYPE_CHECKING:
    from edgeperso.assistant.assistant import Assistant

__all__ = ["Compared", "ComparedRow", "Shelf"]

_EVERYTHING: Final = MemoryFilter()
_NAME_CHARS: Final = 100


@dataclass(frozen=True, slots=True)
class ComparedRow:
    """Mean losses in nats a token: on the person's texts that neither adapter learnt from, and on the general set.
    ``adapter_id`` is None for the model with neither."""

    adapter_id: int | None
    personal: float
    general: float


@dataclass(frozen=True, slots=True)
class Compared:
    """Two adapters on the same ``texts``; the difference second − first on them lies between ``low`` and ``high`` with
    95 % (above 0: the first is better)."""

    rows: tuple[ComparedRow, ...]
    texts: int
    low: float
    high: float

    def as_dict(self) -> dict[str, object]:
        return asdict(self)


class Shelf:
    """The adapters of one vault. Open through `Assistant.adapters`; the model is loaded only where it is needed."""

    def __init__(self, assistant: Assistant, outfit: Outfit) -> None:
        self._assistant = assistant
        self._outfit = outfit
        self._kept = assistant.vault.adapters

    def list(self) -> builtins.list[StoredAdapter]:
        """Every adapter, oldest first."""
        return self._kept.all()

    def show(self, id_: int) -> StoredAdapter:
        """Raises:
        NotFound: there is no such adapter.
        """
        return self._kept.get(id_)

    def worn(self) -> tuple[WornRow, ...]:
        """What the vault wears now, in the order of `Granularity`."""
        return self._kept.worn()

    def use(self, id_: int, *, scale: float | None = None, anyway: bool = False) -> WornRow:
        """Wear an adapter instead of the one of its granularity that is worn.

        Args:
            id_: the adapter.
            scale: multiplies a LoRA; None: as it was judged (a person's own by how much it learnt from), others whole.
            anyway: also where the gate refused it.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: the gate refused it, or it is tainted.
            AdapterMismatch: it was made for another model than the one in use.
            UsageError: a scale other than 1 for a soft prompt.
        """
        stored = self._kept.get(id_)
        if stored.has_payload and stored.base_sha256 != self._assistant.base_sha256:
            raise AdapterMismatch(
                f"Adapter {id_} was made for another model.", hint=f"It fits {stored.base_name} alone."
            )
        if stored.form is AdapterForm.SOFT and scale not in (None, 1.0):
            raise UsageError("A soft prompt has no scale.")
        if scale is None:
            scale = judged_scale(stored)
        self._kept.wear(stored.granularity, id_, scale=scale, overruled=anyway)
        return next(row for row in self._kept.worn() if row.adapter_id == id_)

    def off(self, granularity: Granularity) -> None:
        """Take off what is worn; it is kept."""
        self._kept.wear(granularity, None)

    def rollback(self, granularity: Granularity = Granularity.USER) -> WornRow | None:
        """Wear what was worn before; None: nothing was."""
        return self._kept.rollback(granularity)

    # ---- leaving and coming ------------------------------------------------------------------------------------------

    def export(self, id_: int, path: str | Path, *, peft: bool = False, card: bool = False) -> None:
        """Write an adapter, unencrypted, to a new file (GGUF), or with ``peft`` to a new folder as PEFT writes it.

        Args:
            id_: the adapter.
            path: what doesn't exist yet.
            peft: a LoRA for transformers.
            card: also write a vector of what the person writes about, for the makers of personas, beside it.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: it is tainted.
            UsageError: ``path`` exists, or a soft prompt is to be in PEFT's form.
            ReadOnly, DiskFull, ExtraMissing: it can't be written.
        """
        from edgeperso.adaptation.bridge.exchange import export_adapter, export_card
        from edgeperso.adaptation.bridge.peft import export_peft

        path = Path(path)
        adapter = adapter_from_bytes(self._kept.payload(id_))
        if not peft:
            export_adapter(adapter, path)
        elif isinstance(adapter, Lora):
            export_peft(adapter, self._assistant.model_path, path)
        else:
            raise UsageError("A soft prompt can't be written in PEFT's form.")
        if card:
            export_card(own_card(self._assistant), path)

    def import_(
        self, path: str | Path, granularity: Granularity, name: str | None = None, *, progress: Progress | None = None
    ) -> StoredAdapter:
        """Check an adapter of somebody else and store it. The gate holds it against the general set alone; it is worn
        once somebody says `use`. A copy of one that is here descends from it: what taints that one taints it.

        Raises:
            AdapterRefused: it is a copy of one that is tainted.
            SourceNotFound, AdapterInvalid, AdapterMismatch, ExtraMissing: as `import_adapter`; nothing is stored.
        """
        from edgeperso.adaptation.bridge.exchange import import_adapter, import_card

        path = Path(path)
        engine = self._assistant.engine
        adapter = import_adapter(path, engine.info.path, engine.info)
        card = import_card(path)
        originals = self._kept.originals(fingerprint(adapter))
        gate = judge(engine, self._outfit.below(engine, granularity), adapter, None, progress=progress)
        new = described(
            adapter,
            engine.info,
            name=(name or f"from {path.stem}")[:_NAME_CHARS],
            granularity=granularity,
            state=AdapterState.READY if gate.passed else AdapterState.REFUSED,
            report={"gate": gate.as_dict(), "imported": True},
            card=None if card is None else card.as_dict(),
            parents=originals,
        )
        return self._kept.add(new, adapter_to_bytes(adapter))

    def personas(self, paths: Sequence[str | Path], *, most: int = 4) -> Personas:
        """Put adapters that people shared into at most ``most`` groups by likeness, and store the mean of each group of
        two or more as a persona, which descends from those of them that are here.

        Raises:
            UsageError: no file was given.
            The rest as `import_`; nothing is stored.
        """
        return make_personas(self._assistant, [Path(path) for path in paths], most=most)

    # ---- learning again ----------------------------------------------------------------------------------------------

    def relearn(
        self,
        id_: int,
        *,
        minutes: float | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
    ) -> TrainingReport:
        """Train an adapter anew, from its start, on what it learnt from and is still there; judged by what judged it.

        Raises:
            NotFound: there is no such adapter.
            UsageError: it wasn't trained in this vault.
            The rest as `Learner.learn`.
        """
        old = self._kept.get(id_)
        if "plan" not in old.report:
            raise UsageError(f"Adapter {id_} was not trained here.", hint="Import it again from whoever made it.")
        sources = self._kept.sources(id_)
        held_out = old.report.get("held_out")
        known = held_out if isinstance(held_out, dict) else {}
        plan = stored_plan(old)
        order = Order(
            form_of(old),
            replace(plan, minutes=minutes),
            only=Only(
                frozenset({*sources.memories, *known.get("memories", ())}),
                frozenset({*sources.turns, *known.get("turns", ())}),
                frozenset({*sources.pairs, *known.get("pairs", ())}),
            ),
            name=old.name,
            relearns=id_,
            start=self._successor(old.parents[0]) if old.parents else None,
        )
        learner = Learner(self._assistant.vault, self._assistant.engine, self._outfit)
        return learner.learn(order, at_ms=self._assistant.now_ms(), progress=progress, stop=stop)

    def relearn_worn(
        self, ids: Sequence[int], *, progress: Progress | None = None, stop: threading.Event | None = None
    ) -> builtins.list[TrainingReport]:
        """`relearn` those of the tainted adapters ``ids`` that were worn until they were tainted and can be trained
        here, but for those of which too little is left."""
        reports = []
        for granularity in Granularity:
            history = self._kept.history(granularity)
            if not history or history[0].adapter_id not in ids:
                continue
            last = self._kept.get(history[0].adapter_id)
            if "plan" in last.report:
                with contextlib.suppress(TooLittle):
                    reports.append(self.relearn(last.id, progress=progress, stop=stop))
        return reports

    def from_worn(self, order: Order) -> Order:
        """``order``, to go on from the person's own LoRA that is worn, in its shape, if it was trained here."""
        worn = [row.adapter_id for row in self._kept.worn() if row.granularity is Granularity.USER]
        stored = self._kept.get(worn[0]) if worn else None
        if stored is None or "plan" not in stored.report or stored.base_sha256 != self._assistant.base_sha256:
            return order
        if stored.form is not AdapterForm.LORA:
            return order
        return replace(order, start=stored.id, plan=replace(order.plan, shape=stored_plan(stored).shape))

    def _successor(self, id_: int) -> int | None:
        """The adapter itself while it has weights, else the newest that took its place, if any."""
        kept = {one.id: one for one in self._kept.all() if one.has_payload}
        if id_ in kept:
            return id_
        return max((one.id for one in kept.values() if one.report.get("relearns") == id_), default=None)

    # ---- comparing ---------------------------------------------------------------------------------------------------

    def compare(self, first: int, second: int, *, progress: Progress | None = None) -> Compared:
        """Measure two adapters, above what is worn below them, on the newest texts that neither learnt from.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: one is tainted.
            AdapterMismatch: one was made for another model.
            TooLittle: there are too few such texts.
        """
        engine = self._assistant.engine
        examples, general = self._unseen(engine, (first, second)), general_examples(engine)
        told = Told(progress, 3 * (len(examples) + len(general)))
        wore = engine.worn
        personal: builtins.list[Float32] = []
        rows: builtins.list[ComparedRow] = []
        try:
            for id_ in (None, first, second):
                engine.wear(self._alone(engine, id_))
                personal.append(mean_nats(engine, examples, told))
                mean = float(mean_nats(engine, general, told).mean())
                rows.append(ComparedRow(id_, float(personal[-1].mean()), mean))
        finally:
            engine.wear(wore)
        low, high = paired_gain(personal[2], personal[1], seed=0)
        return Compared(tuple(rows), len(examples), low, high)

    def _alone(self, engine: Engine, id_: int | None) -> builtins.list[Worn]:
        if id_ is None:
            return self._outfit.below(engine, Granularity.USER)
        stored = self._kept.get(id_)
        adapter = adapter_from_bytes(self._kept.payload(id_))
        scale = judged_scale(stored)
        return [*self._outfit.below(engine, stored.granularity), Worn(stored.digest, adapter, scale)]

    def _unseen(self, engine: Engine, ids: Sequence[int]) -> builtins.list[Example]:
        seen = [self._kept.sources(id_) for id_ in ids]
        memories = {id_ for sources in seen for id_ in sources.memories}
        turns = {id_ for sources in seen for id_ in sources.turns}
        pairs = {id_ for sources in seen for id_ in sources.pairs}
        new = [
            source
            for source in without_repetitions(gather_texts(self._assistant.vault, _EVERYTHING).items)
            if source.memory_id not in memories and source.turn_id not in turns and source.pair_id not in pairs
        ]
        if len(new) < LEAST_HELD_OUT:
            raise TooLittle(f"Only {len(new)} texts are left that neither adapter learnt from.")
        return [text_example(engine, source.prompt, source.text) for source in new[-MOST_HELD_OUT:]]
