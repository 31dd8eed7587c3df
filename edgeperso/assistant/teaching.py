"""What the assistant learns from the person: adapters, preferences, what was right and what should have been said."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable

from edgeperso.adaptation.plan import Plan
from edgeperso.assistant import preferring
from edgeperso.assistant.learning import Form, Learner, Order, TrainingReport, fitted
from edgeperso.assistant.shelf import Shelf
from edgeperso.assistant.trace import AdapterTrace
from edgeperso.assistant.wearing import Outfit
from edgeperso.engine import Engine
from edgeperso.types import MemoryFilter, Progress
from edgeperso.vault import Vault
from edgeperso.vault.erasure import Receipt
from edgeperso.vault.pairs import PreferencePair

__all__ = ["EVERYTHING", "Taught"]

EVERYTHING = MemoryFilter()


class Taught(ABC):
    """The half of `Assistant` that learns."""

    vault: Vault
    adapters: Shelf
    _outfit: Outfit
    _clock: Callable[[], int]

    @property
    @abstractmethod
    def engine(self) -> Engine: ...

    def now_ms(self) -> int:
        """The time by the assistant's clock."""
        return self._clock()

    def train(
        self,
        form: Form = "lora",
        *,
        where: MemoryFilter = EVERYTHING,
        plan: Plan | None = None,
        minutes: float | None = None,
        progress: Progress | None = None,
        stop: threading.Event | None = None,
        name: str | None = None,
    ) -> TrainingReport:
        """Make an adapter of what the person wrote (``lora``, ``soft``) or prefers (``dpo``), let the gate judge it,
        and wear it if it passes. A training that was stopped goes on where it was when called again alike.

        Args:
            form: what to make.
            where: which memories count; see `edgeperso.adaptation.examples` for what else decides.
            plan: None takes the form's own (`plan_for`).
            minutes: at most; what was learnt by then is judged.
            progress: told what is done.
            stop: once set, the training keeps its place and ends.
            name: what to call it.

        Raises:
            TooLittle: too few texts or pairs.
            Cancelled: ``stop`` was set.
            ExtraMissing: the libraries of ``edgeperso[train]`` aren't there.
            ModelUnsupported: a model of this architecture can't be trained.
        """
        order = Order(form, fitted(form, plan, minutes), where, name=name)
        if form == "dpo":
            order = self.adapters.from_worn(order)
        learner = Learner(self.vault, self.engine, self._outfit)
        return learner.learn(order, at_ms=self._clock(), progress=progress, stop=stop)

    def relearn(
        self, receipt: Receipt, *, progress: Progress | None = None, stop: threading.Event | None = None
    ) -> list[TrainingReport]:
        """Train the adapters again that were worn when something that they had learnt was forgotten, without it. Those
        for which too little is left stay out of service.

        Raises:
            As `train`, but for TooLittle.
        """
        return self.adapters.relearn_worn(receipt.adapter_ids, progress=progress, stop=stop)

    def prefer(self, chosen: str, rejected: str, *, prompt: str, scope: str = "personal") -> PreferencePair:
        """Note that ``chosen`` is the better answer to ``prompt``.

        Raises:
            DataInvalid: an answer is empty, or both are the same.
        """
        return self.vault.pairs.add(prompt, chosen, rejected, at_ms=self._clock(), scope=scope)

    def correct(self, text: str, *, turn_id: int | None = None) -> PreferencePair:
        """Note that an answer, the last one unless ``turn_id`` names it, should have read ``text``.

        Raises:
            NotFound: there is no such answer, or it was forgotten.
            DataInvalid: ``text`` is empty or says the same.
        """
        return preferring.correct(self.vault, text, turn_id=turn_id, at_ms=self._clock())

    def accept(self, turn_id: int | None = None) -> int:
        """Note that an answer, the last one unless ``turn_id`` names it, is as it should be; returns its turn.

        Raises:
            NotFound: there is no such answer, or it was forgotten.
            AdapterRefused: it was given with an adapter that learnt from what was forgotten or edited since.
        """
        return preferring.accept(self.vault, turn_id)

    def dress(self) -> tuple[AdapterTrace, ...]:
        """Let the model wear what the vault wears now; done before each answer. What doesn't fit is left out, and the
        entries say why."""
        return self._outfit.dress(self.engine)
