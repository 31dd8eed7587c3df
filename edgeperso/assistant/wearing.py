"""What the model wears for a vault: its adapters, put on before each answer, when they changed.

A vault's choice is followed at once, whichever process made it. An engine that somebody else owns keeps what its owner
made it wear for as long as this vault wears nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from edgeperso.assistant.trace import AdapterTrace
from edgeperso.engine import Engine
from edgeperso.engine.adapters.file import adapter_from_bytes
from edgeperso.engine.adapters.values import SoftPrompt, Worn
from edgeperso.errors import AdapterInvalid, AdapterMismatch, AdapterRefused, NotFound
from edgeperso.events import Event, emit
from edgeperso.types import Granularity
from edgeperso.vault import Vault
from edgeperso.vault.adapters import WornRow

__all__ = ["Outfit", "worn_as"]

_WORN: Final = "worn"
_OTHER_BASE: Final = "other_base"
_INVALID: Final = "invalid"
_SECOND_SOFT: Final = "second_soft_prompt"


def worn_as(vault: Vault, row: WornRow) -> Worn:
    """A row of the vault as the engine wears it.

    Raises:
        NotFound, AdapterRefused: it was deleted or tainted meanwhile.
        AdapterInvalid: its weights can't be read.
    """
    payload = vault.adapters.payload(row.adapter_id)
    return Worn(vault.adapters.get(row.adapter_id).digest, adapter_from_bytes(payload), row.scale)


class Outfit:
    """Puts on what one vault wears, and knows what was left out and why."""

    def __init__(self, vault: Vault) -> None:
        self._vault = vault
        self._rows: tuple[WornRow, ...] = ()
        self._stack: tuple[Worn, ...] = ()
        self._traces: tuple[AdapterTrace, ...] = ()
        self._base = ""

    def dress(self, engine: Engine) -> tuple[AdapterTrace, ...]:
        """Let ``engine`` wear what the vault says; what doesn't fit it is left out. Returns an entry for each adapter
        that the vault wears, in the order of `Granularity`."""
        rows = self._vault.adapters.worn()
        if not rows and not self._stack:
            self._rows, self._traces = (), ()
            return ()
        base = engine.info.base_sha256
        if rows != self._rows or base != self._base or not _same(engine.worn, self._stack):
            self._change(engine, rows, base)
        return self._traces

    def below(self, engine: Engine, granularity: Granularity) -> list[Worn]:
        """What the vault wears under adapters of ``granularity`` and fits ``engine``."""
        self.dress(engine)
        order = list(Granularity)
        worn = [trace.granularity for trace in self._traces if trace.outcome == _WORN]
        lower = order[: order.index(granularity)]
        return [one for whose, one in zip(worn, self._stack, strict=True) if whose in lower]

    def undress(self, engine: Engine) -> None:
        """Take off what this vault put on, so that the next one to use ``engine`` doesn't speak with it."""
        if self._stack:
            engine.wear(())
        self._rows, self._stack, self._traces = (), (), ()

    def _change(self, engine: Engine, rows: tuple[WornRow, ...], base: str) -> None:
        stack: list[Worn] = []
        traces: list[AdapterTrace] = []
        for row in rows:
            outcome = self._try_on(engine, row, base, stack)
            traces.append(AdapterTrace(row.adapter_id, row.granularity, row.scale, outcome))
        engine.wear(stack)
        self._rows, self._stack, self._traces, self._base = rows, tuple(stack), tuple(traces), base
        emit(Event.ADAPTERS_DRESSED, worn=len(stack), left_out=len(rows) - len(stack))

    def _try_on(self, engine: Engine, row: WornRow, base: str, stack: list[Worn]) -> str:
        """Add the row's adapter to ``stack`` if the engine takes it there; the outcome as `AdapterTrace` has it."""
        try:
            worn = worn_as(self._vault, row)
        except (AdapterInvalid, AdapterRefused, NotFound):
            return _INVALID
        if worn.adapter.base_sha256 != base:
            return _OTHER_BASE
        if isinstance(worn.adapter, SoftPrompt) and any(isinstance(one.adapter, SoftPrompt) for one in stack):
            return _SECOND_SOFT
        try:
            engine.wear([*stack, worn])
        except AdapterMismatch:
            return _OTHER_BASE
        except AdapterInvalid:
            return _INVALID
        stack.append(worn)
        return _WORN


def _same(one: Sequence[Worn], other: Sequence[Worn]) -> bool:
    return [(worn.key, worn.scale) for worn in one] == [(worn.key, worn.scale) for worn in other]
