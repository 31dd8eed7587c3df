"""Preference pairs: of two answers to the same words, which one the person would rather have."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from edgeperso.errors import DataInvalid, NotFound
from edgeperso.events import Event, emit
from edgeperso.vault.database import Database
from edgeperso.vault.derived import pages
from edgeperso.vault.lineage import Learnt, drop_sources, taint

__all__ = ["Pairs", "PreferencePair", "delete_pairs", "pairs_of"]


@dataclass(frozen=True, slots=True)
class PreferencePair:
    """After ``prompt`` the person prefers ``chosen`` to ``rejected``. ``turn_id`` is the answer that it judges, if any;
    ``memories`` are those that the texts draw from, ascending. ``id`` is positive and never used again."""

    id: int
    prompt: str
    chosen: str
    rejected: str
    at_ms: int
    scope: str
    turn_id: int | None
    memories: tuple[int, ...]


class Pairs:
    """The preference pairs of one vault. Open through `Vault.pairs`. A pair is deleted with the memories or the answer
    that it draws from."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(
        self,
        prompt: str,
        chosen: str,
        rejected: str,
        *,
        at_ms: int,
        scope: str,
        turn_id: int | None = None,
        memories: Iterable[int] = (),
    ) -> PreferencePair:
        """Store a pair. An accepted answer that it rejects is accepted no more.

        Raises:
            NotFound: a memory or the answer is unknown, or forgotten.
            DataInvalid: an answer is empty, or both are the same.
        """
        if not chosen.strip() or not rejected.strip() or chosen.strip() == rejected.strip():
            raise DataInvalid("A preference needs two answers that differ.", hint="Nothing was stored.")
        drawn = tuple(sorted({int(id_) for id_ in memories}))
        with self._database.transaction():
            self._require(turn_id, drawn)
            id_ = self._database.insert(
                "INSERT INTO pairs (prompt, chosen, rejected, at_ms, scope, turn_id) VALUES (?, ?, ?, ?, ?, ?)",
                (prompt, chosen, rejected, at_ms, scope, turn_id),
            )
            self._database.executemany(
                "INSERT INTO pair_memories (pair_id, memory_id) VALUES (?, ?)", [(id_, memory) for memory in drawn]
            )
            self._database.execute("UPDATE turns SET accepted_ms = NULL WHERE id = ? AND text = ?", (turn_id, rejected))
        return PreferencePair(id_, prompt, chosen, rejected, at_ms, scope, turn_id, drawn)

    def all(self) -> list[PreferencePair]:
        """Every pair, in the order in which they were stored."""
        drawn: dict[int, list[int]] = {}
        for pair, memory in self._database.rows("SELECT pair_id, memory_id FROM pair_memories ORDER BY 1, 2"):
            drawn.setdefault(pair, []).append(memory)
        rows = self._database.rows("SELECT id, prompt, chosen, rejected, at_ms, scope, turn_id FROM pairs ORDER BY id")
        return [
            PreferencePair(id_, prompt, chosen, rejected, at_ms, scope, turn_id, tuple(drawn.get(id_, ())))
            for id_, prompt, chosen, rejected, at_ms, scope, turn_id in rows
        ]

    def count(self) -> int:
        row = self._database.row("SELECT count(*) FROM pairs")
        return int(row[0]) if row else 0

    def delete(self, ids: Iterable[int]) -> list[int]:
        """Delete pairs and taint the adapters that learnt from them; unknown ids are passed over.

        Returns:
            The ids of the adapters tainted.
        """
        gone = Learnt.of(pairs=ids)
        with self._database.transaction():
            tainted = taint(self._database, gone)
            delete_pairs(self._database, gone.pairs)
        if not self._database.in_transaction:
            self._database.checkpoint()
        emit(Event.PAIRS_DELETED, pairs=len(gone.pairs), adapters=len(tainted))
        return tainted

    def _require(self, turn_id: int | None, memories: tuple[int, ...]) -> None:
        if (
            turn_id is not None
            and self._database.row("SELECT 1 FROM turns WHERE id = ? AND erased = 0", (turn_id,)) is None
        ):
            raise NotFound(f"There is no turn {turn_id}, or it was forgotten.")
        known = sum(
            int(count)
            for marks, page in pages(memories)
            for (count,) in self._database.rows(f"SELECT count(*) FROM memories WHERE id IN {marks}", page)  # noqa: S608
        )
        if known != len(memories):
            raise NotFound(f"{len(memories) - known} of the pair's memories are unknown.")


def pairs_of(database: Database, memories: Iterable[int], turns: Iterable[int]) -> list[int]:
    """The pairs that draw from these memories or judge these answers, ascending."""
    found: set[int] = set()
    for marks, page in pages(sorted(memories)):
        rows = database.rows(f"SELECT DISTINCT pair_id FROM pair_memories WHERE memory_id IN {marks}", page)  # noqa: S608
        found.update(int(pair) for (pair,) in rows)
    for marks, page in pages(sorted(turns)):
        found.update(int(pair) for (pair,) in database.rows(f"SELECT id FROM pairs WHERE turn_id IN {marks}", page))  # noqa: S608
    return sorted(found)


def delete_pairs(database: Database, ids: Iterable[int]) -> None:
    """Delete pairs, within the transaction that taints what learnt from them."""
    gone = Learnt.of(pairs=ids)
    database.executemany("DELETE FROM pairs WHERE id = ?", [(id_,) for id_ in gone.pairs])
    drop_sources(database, gone)
