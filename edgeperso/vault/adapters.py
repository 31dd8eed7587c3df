"""Adapters: what was learnt of the person, as weights, with where that came from. Sealed like every row of the vault.

Promises: an adapter is stored whole or not at all; what learnt from something that is forgotten or edited is tainted in
the same transaction (`lineage`); a tainted one is never worn again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

from edgeperso.errors import AdapterRefused, NotFound, UsageError, VaultDamaged
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.vault.adapter_rows import (
    ADAPTER_COLUMNS,
    AdapterSources,
    AdapterState,
    NewAdapter,
    StoredAdapter,
    adapter,
    values,
)
from edgeperso.vault.database import Values
from edgeperso.vault.lineage import Learnt, add_sources, drop_computed, drop_sources, learnt_from, taint
from edgeperso.vault.payloads import payload_of, store_payload
from edgeperso.vault.worn import Wardrobe, WornRow

__all__ = ["AdapterSources", "AdapterState", "Adapters", "NewAdapter", "StoredAdapter", "WornRow"]


class Adapters(Wardrobe):
    """The adapters of one vault. Open through `Vault.adapters`."""

    def add(
        self,
        new: NewAdapter,
        payload: bytes,
        *,
        memories: Iterable[int] = (),
        turns: Iterable[int] = (),
        pairs: Iterable[int] = (),
        as_of: int | None = None,
    ) -> StoredAdapter:
        """Store an adapter with what it learnt from.

        Args:
            new: what is known of it.
            payload: its weights (`adapter_to_bytes`), 1 byte to 512 MiB.
            memories: ids of the memories that it learnt from.
            turns: ids of the accepted answers that it learnt from.
            pairs: ids of the preference pairs that it learnt from.
            as_of: `Vault.generation` when the texts were read; None: just now.

        Raises:
            AdapterRefused: some of what it learnt from, or a parent, was forgotten or edited meanwhile.
            AdapterInvalid: the payload's size is out of range.
            UsageError: it is tainted.
        """
        if new.state is AdapterState.TAINTED:
            raise UsageError("A tainted adapter can't be stored.")
        digest = hashlib.sha256(payload).hexdigest()
        with self._database.transaction():
            id_ = self._database.insert(
                f"INSERT INTO adapters ({ADAPTER_COLUMNS.removeprefix('id, ')}) "  # noqa: S608
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (*values(new), now_ms(), digest, len(payload)),
            )
            store_payload(self._database, "adapter", id_, payload)
            add_sources(self._database, "adapter", id_, Learnt.of(memories, turns, pairs, new.parents), as_of)
            stored = self.get(id_)
        emit(Event.ADAPTER_STORED, id=id_, bytes=len(payload))
        return stored

    def get(self, id_: int) -> StoredAdapter:
        """Raises:
        NotFound: there is no such adapter.
        """
        found = self._select("id = ?", (id_,))
        if not found:
            raise NotFound(f"There is no adapter {id_}.", hint="See `edgeperso adapter list`.")
        return found[0]

    def named(self, name_or_id: str) -> StoredAdapter:
        """The newest adapter of that name, or the one with that id.

        Raises:
            NotFound: there is none.
        """
        if name_or_id.isdecimal():
            return self.get(min(int(name_or_id), (1 << 63) - 1))
        found = self._select("name = ? ORDER BY id DESC LIMIT 1", (name_or_id,))
        if not found:
            raise NotFound("There is no adapter of that name.", hint="See `edgeperso adapter list`.")
        return found[0]

    def all(self) -> list[StoredAdapter]:
        """Every adapter, oldest first."""
        return self._select("1 ORDER BY id", ())

    def originals(self, content: str) -> tuple[int, ...]:
        """Ids of the adapters here that have this content (`NewAdapter.content`), ascending: the parents of a copy that
        comes in.

        Raises:
            AdapterRefused: one of them is tainted, so the copy knows what was forgotten.
        """
        found = self._select("content = ? AND content <> '' ORDER BY id", (content,))
        if tainted := [one.id for one in found if not one.has_payload]:
            raise AdapterRefused(
                f"It is a copy of adapter {tainted[0]}, which learnt from what was forgotten or changed.",
                hint="Nothing was stored. Delete the copy, too.",
            )
        return tuple(one.id for one in found)

    def payload(self, id_: int) -> bytes:
        """The weights as they were stored.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: it is tainted; its weights are gone.
        """
        payload = payload_of(self._database, "adapter", id_)
        stored = self.get(id_)
        if not stored.has_payload:
            raise AdapterRefused(
                f"Adapter {id_} learnt from what was forgotten or changed: its weights are gone.",
                hint="Train again without it.",
            )
        if payload is None or len(payload) != stored.size_bytes:
            raise VaultDamaged(f"Adapter {id_} isn't as it was stored.")
        return payload

    def sources(self, id_: int) -> AdapterSources:
        """What an adapter learnt from, as far as it is still there; what its parents learnt from is theirs.

        Raises:
            NotFound: there is no such adapter.
        """
        self.get(id_)
        learnt = learnt_from(self._database, "adapter", id_)
        return AdapterSources(learnt.memories, learnt.turns, learnt.pairs)

    def set_state(self, id_: int, state: AdapterState) -> None:
        """Change what the gate says of an adapter. A worn one that it now refuses is taken off.

        Raises:
            NotFound: there is no such adapter.
            AdapterRefused: it is tainted, which is for good.
            UsageError: ``state`` is TAINTED: `taint` does that.
        """
        if state is AdapterState.TAINTED:
            raise UsageError("An adapter is tainted by what it learnt from.")
        with self._database.transaction():
            if self.get(id_).state is AdapterState.TAINTED:
                raise AdapterRefused(f"Adapter {id_} is tainted; its weights are gone.", hint="Train again without it.")
            self._database.execute("UPDATE adapters SET state = ? WHERE id = ?", (state.value, id_))
            if state is AdapterState.REFUSED:
                self._database.execute(
                    "UPDATE worn_adapters SET until_ms = ? WHERE adapter_id = ? AND until_ms IS NULL AND NOT overruled",
                    (now_ms(), id_),
                )

    def delete(self, id_: int) -> None:
        """Delete an adapter with its weights and its place in the history of what was worn. What it learnt
        from is its children's from then on: they know it through it. A training that it began can't go on.

        Raises:
            NotFound: there is no such adapter.
        """
        with self._database.transaction():
            self.get(id_)
            self._database.execute(
                "INSERT OR IGNORE INTO adapter_sources (adapter_id, kind, source_id) "
                "SELECT child.adapter_id, own.kind, own.source_id FROM adapter_sources AS child "
                "JOIN adapter_sources AS own ON own.adapter_id = child.source_id "
                "WHERE child.kind = 'adapter' AND child.source_id = ?",
                (id_,),
            )
            drop_computed(self._database, Learnt.of(adapters=[id_]))
            drop_sources(self._database, Learnt.of(adapters=[id_]))
            self._database.execute("DELETE FROM adapters WHERE id = ?", (id_,))
        if not self._database.in_transaction:
            self._database.checkpoint()

    def taint(self, memories: Iterable[int] = (), turns: Iterable[int] = (), pairs: Iterable[int] = ()) -> list[int]:
        """Taint the adapters that learnt from any of these, and all that descend from them: their weights are
        overwritten, they are taken off, and no training goes on from what it had learnt of these. Returns their ids.
        `erasure.erase`, `Memories.edit` and `Pairs.delete` do this by themselves."""
        with self._database.transaction():
            tainted = taint(self._database, Learnt.of(memories, turns, pairs))
        if tainted:
            emit(Event.ADAPTERS_TAINTED, adapters=len(tainted))
        return tainted

    def _select(self, condition: str, given: Values) -> list[StoredAdapter]:
        rows = self._database.rows(f"SELECT {ADAPTER_COLUMNS} FROM adapters WHERE {condition}", given)  # noqa: S608
        parents: dict[int, list[int]] = {}
        for child, parent in self._database.rows(
            "SELECT adapter_id, source_id FROM adapter_sources WHERE kind = 'adapter' ORDER BY source_id"
        ):
            parents.setdefault(child, []).append(parent)
        return [adapter(row, tuple(parents.get(row[0], ()))) for row in rows]
