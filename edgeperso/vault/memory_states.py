"""The model's states of single memories, so that a prompt that quotes them need not evaluate them.

A state tells what its memory says, and what the adapters learnt that computed it, to whoever has the model. So it lies
in the encrypted database alone, and goes with what it holds: with the memory (forgotten, edited, superseded), with any
change of the profile, which stands before it, and with the adapters. States of another model or beginning are never
used, and are the first to make way.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from edgeperso.times import now_ms
from edgeperso.vault.database import Database
from edgeperso.vault.meta import Meta
from edgeperso.vault.payloads import payload_of, store_payload

__all__ = ["DEFAULT_BUDGET_BYTES", "MemoryStates", "NewState", "Saved"]

DEFAULT_BUDGET_BYTES: Final = 256 << 20
"""All states of memories together."""
_BUDGET: Final = "memory_states_bytes"
_ANSWERS: Final = 300
"""So many answers back it is looked which memories were of use."""
_HALF_LIFE_MS: Final = 30 * 86_400_000
_READING: Final = ("included", "excerpt")
_READ, _FOUND = 1.0, 0.25
"""What an answer says for a memory: that the model read it, or that it was found and there was no room for it."""


class Saved(Enum):
    """What became of a state: ``NO_ROOM``, there is none without dropping a more useful one; ``CHANGED``, what it was
    computed from or with has changed since."""

    KEPT = "kept"
    NO_ROOM = "no_room"
    CHANGED = "changed"


@dataclass(frozen=True, slots=True)
class NewState:
    """A state to be kept.

    ``memory_id``: None for that of the beginning itself. ``tokens``: 64 hex digits that change with the memory's
    tokens. ``worth``: how useful it is, see `MemoryStates.worths`. ``profile``: the attributes that the beginning was
    made of. ``adapters``: digests of those worn. ``as_of``: the vault's generation when the memory's text was read.
    """

    memory_id: int | None
    tokens: str
    state: bytes
    worth: float
    profile: Mapping[str, str]
    adapters: Collection[str]
    as_of: int


class MemoryStates:
    """The states of one vault's memories. Open through `Vault.memory_states`. In all methods ``binding`` are 64 hex
    digits that change with all that a state depends on beside tokens, ``prefix`` 64 that change with the beginning's.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._meta = Meta(database)

    @property
    def budget_bytes(self) -> int:
        return int(self._meta.get(_BUDGET) or DEFAULT_BUDGET_BYTES)

    def set_budget(self, size_bytes: int) -> None:
        """Keep at most so much from now on, 0 or more; the least useful make way at once."""
        with self._database.transaction():
            self._meta.set(_BUDGET, str(size_bytes))
            left = size_bytes
            for id_, size in self._database.rows("SELECT id, size_bytes FROM memory_states ORDER BY worth DESC, id"):
                left -= size
                if left < 0:
                    self._database.execute("DELETE FROM memory_states WHERE id = ?", (id_,))

    def kept(self, binding: str, prefix: str) -> dict[int, str]:
        """Of each memory that has a state, `NewState.tokens`."""
        rows = self._database.rows(
            "SELECT memory_id, tokens FROM memory_states WHERE binding = ? AND prefix = ? AND memory_id IS NOT NULL",
            (binding, prefix),
        )
        return {int(memory_id): str(tokens) for memory_id, tokens in rows}

    def has_beginning(self, binding: str, prefix: str) -> bool:
        """Whether there is a state of the beginning itself, whole or not."""
        row = self._database.row(
            "SELECT 1 FROM memory_states WHERE binding = ? AND prefix = ? AND memory_id IS NULL", (binding, prefix)
        )
        return row is not None

    def load(self, binding: str, prefix: str, memory_id: int | None, tokens: str) -> bytes | None:
        """The state of a memory's tokens, or of the beginning; None where there is none, or not a whole one."""
        row = self._database.row(
            "SELECT id, digest FROM memory_states WHERE binding = ? AND prefix = ? AND memory_id IS ? AND tokens = ?",
            (binding, prefix, memory_id, tokens),
        )
        if row is None:
            return None
        id_, digest = row
        state = payload_of(self._database, "memory_state", id_)
        if state is None or hashlib.sha256(state).hexdigest() != digest:
            self._database.execute("DELETE FROM memory_states WHERE id = ?", (id_,))
            return None
        return state

    def save(self, binding: str, prefix: str, new: NewState) -> Saved:
        """Store a state in the place of an earlier one of the same memory; less useful ones make way for it."""
        with self._database.transaction():
            worn = self._adapters_there(new.adapters)
            same_profile = self._database.rows("SELECT * FROM profile ORDER BY name") == sorted(new.profile.items())
            if not (worn and same_profile and self._memory_there(new)):
                return Saved.CHANGED
            before = self._database.row(
                "SELECT id, size_bytes FROM memory_states WHERE binding = ? AND prefix = ? AND memory_id IS ?",
                (binding, prefix, new.memory_id),
            ) or (0, 0)
            going = self._making_way(binding, prefix, new.worth, len(new.state) - int(before[1]), but=int(before[0]))
            if going is None:
                return Saved.NO_ROOM
            self._database.executemany(
                "DELETE FROM memory_states WHERE id = ?", [(id_,) for id_ in (before[0], *going)]
            )
            id_ = self._database.insert(
                "INSERT INTO memory_states "
                "(binding, prefix, memory_id, tokens, digest, size_bytes, worn, worth, saved_ms) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (
                    binding,
                    prefix,
                    new.memory_id,
                    new.tokens,
                    hashlib.sha256(new.state).hexdigest(),
                    len(new.state),
                    int(bool(new.adapters)),
                    new.worth,
                    now_ms(),
                ),
            )
            store_payload(self._database, "memory_state", id_, new.state)
        return Saved.KEPT

    def has_room(self, binding: str, prefix: str, worth: float, size_bytes: int) -> bool:
        """Whether a state of that worth and size would be kept."""
        return self._making_way(binding, prefix, worth, size_bytes, but=0) is not None

    def worths(self, at_ms: int) -> dict[int, float]:
        """How useful each memory was to the last answers: how often it was found for one, and more so read for one;
        half as much for each thirty days that have passed by ``at_ms``. The states' own worths are brought up to
        date."""
        rows = self._database.rows(
            "SELECT json_extract(hit.value, '$.memory_id'), json_extract(hit.value, '$.outcome'), answer.at_ms "
            "FROM (SELECT trace, at_ms FROM turns WHERE trace IS NOT NULL AND erased = 0 ORDER BY id DESC LIMIT ?) "
            "AS answer, json_each(answer.trace, '$.hits') AS hit",
            (_ANSWERS,),
        )
        worths: dict[int, float] = {}
        for memory_id, outcome, said_ms in rows:
            if outcome == "superseded":
                continue
            weight = _READ if outcome in _READING else _FOUND
            age = max(0, at_ms - said_ms) / _HALF_LIFE_MS
            worths[memory_id] = worths.get(memory_id, 0.0) + weight * float(0.5**age)
        ids = [id_ for (id_,) in self._database.rows("SELECT DISTINCT memory_id FROM memory_states")]
        self._database.executemany(
            "UPDATE memory_states SET worth = ? WHERE memory_id = ?",
            [(worths.get(id_, 0.0), id_) for id_ in ids if id_ is not None],
        )
        return worths

    def newest(self, before_id: int | None, limit: int) -> list[int]:
        """The current memories that came last before the memory ``before_id`` (None: before none), latest first."""
        rows = self._database.rows(
            "SELECT id FROM memories WHERE closed_ms IS NULL AND id < ? ORDER BY id DESC LIMIT ?",
            ((1 << 62) if before_id is None else before_id, limit),
        )
        return [int(id_) for (id_,) in rows]

    def size(self) -> tuple[int, int]:
        """How many states there are, and their bytes."""
        row = self._database.row("SELECT count(*), coalesce(sum(size_bytes), 0) FROM memory_states")
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _making_way(self, binding: str, prefix: str, worth: float, more: int, *, but: int) -> list[int] | None:
        """The rows that go so that ``more`` bytes have room: first those of other bindings and beginnings, then those
        worth less. None: that would not be enough."""
        over = self.size()[1] + more - self.budget_bytes
        going: list[int] = []
        if over <= 0:
            return going
        for id_, size in self._database.rows(
            "SELECT id, size_bytes FROM memory_states WHERE (binding <> ? OR prefix <> ? OR worth < ?) AND id <> ? "
            "ORDER BY binding = ? AND prefix = ?, worth, id",
            (binding, prefix, worth, but, binding, prefix),
        ):
            going.append(int(id_))
            over -= size
            if over <= 0:
                return going
        return None

    def _adapters_there(self, digests: Collection[str]) -> bool:
        """Whether all of them are this vault's, and not tainted."""
        return all(
            self._database.rows("SELECT DISTINCT state = 'tainted' FROM adapters WHERE digest = ?", (digest,)) == [(0,)]
            for digest in digests
        )

    def _memory_there(self, new: NewState) -> bool:
        """Whether the memory still says what was computed, and is current."""
        return new.memory_id is None or (
            self._database.row(
                "SELECT 1 FROM memories WHERE id = ? AND revision <= ? AND closed_ms IS NULL",
                (new.memory_id, new.as_of),
            )
            is not None
        )
