"""Which adapter is worn at each granularity, since when, and what was worn before."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from edgeperso.errors import AdapterRefused, NotFound, UsageError
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.types import Granularity
from edgeperso.vault.adapter_rows import AdapterState
from edgeperso.vault.database import Database, Row

__all__ = ["Wardrobe", "WornRow"]

_COLUMNS: Final = "granularity, adapter_id, scale, since_ms, overruled, until_ms"


@dataclass(frozen=True, slots=True)
class WornRow:
    """An adapter worn from ``since_ms`` on; ``until_ms`` is None while it still is. ``overruled``: the gate had refused
    it, and the person wore it all the same."""

    granularity: Granularity
    adapter_id: int
    scale: float
    since_ms: int
    overruled: bool
    until_ms: int | None = None


class Wardrobe:
    """What is worn: at most one adapter of each granularity."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def wear(self, granularity: Granularity, id_: int | None, *, scale: float = 1.0, overruled: bool = False) -> None:
        """Wear an adapter from now on instead of the one worn, or none (``id_`` None). What is worn already at this
        scale stays as it is.

        Args:
            granularity: the adapter's own.
            id_: the adapter.
            scale: multiplies a LoRA; finite.
            overruled: wear it though the gate refused it.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: it is tainted; or the gate refused it and ``overruled`` is False. Nothing was changed.
            UsageError: it speaks for others, or the scale is no number.
        """
        with self._database.transaction():
            if id_ is None:
                self._take_off(granularity)
            elif self._may_be_worn(granularity, id_, scale, overruled):
                self._put_on(granularity, id_, scale, overruled, None)
        emit(Event.ADAPTER_WORN, id=id_ or 0, scale=scale)

    def worn(self) -> tuple[WornRow, ...]:
        """What is worn now, in the order of `Granularity`."""
        rows = self._database.rows(f"SELECT {_COLUMNS} FROM worn_adapters WHERE until_ms IS NULL")  # noqa: S608
        order = list(Granularity)
        return tuple(sorted(map(_worn, rows), key=lambda row: order.index(row.granularity)))

    def history(self, granularity: Granularity) -> tuple[WornRow, ...]:
        """What was worn, the latest first, with what is worn now; tainted ones too, deleted ones no more."""
        rows = self._database.rows(
            f"SELECT {_COLUMNS} FROM worn_adapters WHERE granularity = ? ORDER BY number DESC",  # noqa: S608
            (granularity.value,),
        )
        return tuple(_worn(row) for row in rows)

    def rollback(self, granularity: Granularity) -> WornRow | None:
        """Wear what was worn before what is worn now, or what was worn last where nothing is. Called again, it goes
        further back. Tainted adapters are passed over, and so are refused ones that nobody overruled.

        Returns:
            What is worn now; None: nothing, because nothing was before.
        """
        with self._database.transaction():
            latest = self._database.row(
                "SELECT coalesce(place, number), until_ms IS NULL FROM worn_adapters WHERE granularity = ? "
                "ORDER BY number DESC LIMIT 1",
                (granularity.value,),
            )
            if latest is None:
                return None
            place, worn = latest
            before = self._database.row(
                "SELECT worn.number, adapter_id, scale, overruled FROM worn_adapters AS worn "
                "JOIN adapters ON adapters.id = adapter_id "
                "WHERE worn.granularity = ? AND place IS NULL AND worn.number < ? "
                "AND (state = 'ready' OR state = 'refused' AND overruled) ORDER BY worn.number DESC LIMIT 1",
                (granularity.value, place + (0 if worn else 1)),
            )
            if before is None:
                self._take_off(granularity)
            else:
                number, id_, scale, overruled = before
                self._put_on(granularity, id_, scale, bool(overruled), number)
            now = [row for row in self.worn() if row.granularity is granularity]
        emit(Event.ADAPTER_WORN, id=now[0].adapter_id if now else 0, scale=now[0].scale if now else 1.0)
        return now[0] if now else None

    def _may_be_worn(self, granularity: Granularity, id_: int, scale: float, overruled: bool) -> bool:
        """Whether it isn't worn just so already."""
        row = self._database.row("SELECT granularity, state FROM adapters WHERE id = ?", (id_,))
        if row is None:
            raise NotFound(f"There is no adapter {id_}.", hint="See `edgeperso adapter list`.")
        if not math.isfinite(scale):
            raise UsageError("An adapter's scale must be a finite number.")
        if row[0] != granularity.value:
            raise UsageError(f"Adapter {id_} is a {row[0]} adapter, not a {granularity.value} one.")
        state = AdapterState(row[1])
        if state is AdapterState.TAINTED:
            raise AdapterRefused(
                f"Adapter {id_} learnt from what was forgotten or changed.", hint="Train again without it."
            )
        if state is AdapterState.REFUSED and not overruled:
            raise AdapterRefused(f"The gate refused adapter {id_}.")
        same = (granularity, id_, scale, overruled and state is AdapterState.REFUSED)
        return all((row.granularity, row.adapter_id, row.scale, row.overruled) != same for row in self.worn())

    def _put_on(self, granularity: Granularity, id_: int, scale: float, overruled: bool, place: int | None) -> None:
        self._take_off(granularity)
        self._database.execute(
            "INSERT INTO worn_adapters (granularity, adapter_id, scale, overruled, since_ms, place) "
            "SELECT ?, id, ?, ? AND state = 'refused', ?, ? FROM adapters WHERE id = ?",
            (granularity.value, scale, overruled, now_ms(), place, id_),
        )

    def _take_off(self, granularity: Granularity) -> None:
        self._database.execute(
            "UPDATE worn_adapters SET until_ms = ? WHERE granularity = ? AND until_ms IS NULL",
            (now_ms(), granularity.value),
        )


def _worn(row: Row) -> WornRow:
    granularity, adapter_id, scale, since_ms, overruled, until_ms = row
    return WornRow(Granularity(granularity), adapter_id, scale, since_ms, bool(overruled), until_ms)
