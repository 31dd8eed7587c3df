"""Forgetting: memories and all that was made of them leave the vault, and no page keeps a trace.

Promises, once `erase` has returned:

- The memories' rows are gone, with their vectors, facts and every index segment that held them.
- The assistant's answers that drew from them have lost their text. The person's own questions stay: they are theirs to
  forget with the conversation.
- The preference pairs that drew from them or from those answers are gone. Every adapter that learnt from any of these,
  or descends from one that did, is tainted: its weights are overwritten, and it is taken off. The state of a training
  that saw them is gone, and so are the model's states that hold one of them or were computed with such an adapter.
  Answers given with such an adapter are accepted no more.
- Freed pages are overwritten (``secure_delete``) and the write-ahead log is folded in and emptied. If another process
  was reading at that moment, the log is emptied when the last process closes; `Receipt.log_emptied` says so.
- What a forgotten memory had replaced is replaced by its successor from then on, or current again without one.
- The source can be imported again: its entries in the ledger of imports are dropped.

Backups made before still hold what was forgotten: delete them too.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from edgeperso.errors import UsageError
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.types import MemoryFilter
from edgeperso.vault.database import Database
from edgeperso.vault.derived import close_over, drop_derived, pages, segments_holding
from edgeperso.vault.lineage import Learnt, drop_sources, taint, tainted_by
from edgeperso.vault.meta import bump_generation
from edgeperso.vault.pairs import delete_pairs, pairs_of
from edgeperso.vault.vault import Vault

__all__ = ["ErasurePlan", "Receipt", "erase", "plan"]

_QUOTING: Final = """SELECT DISTINCT turns.id FROM turns, json_each(turns.trace, '$.sources') AS source
    WHERE turns.erased = 0 AND turns.trace IS NOT NULL AND source.value IN """


@dataclass(frozen=True, slots=True)
class ErasurePlan:
    """What `erase` would take away: the memories' ids, and how many rows hang on them; ``adapters`` would be
    tainted."""

    ids: tuple[int, ...]
    sources: tuple[str, ...]
    vectors: int
    facts: int
    segments: int
    answers: int
    pairs: int
    adapters: int

    @property
    def memories(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Receipt:
    """What was taken away, when, from which vault; ``generation`` is the vault's after it. ``adapter_ids`` are the
    adapters tainted."""

    vault_id: str
    at_ms: int
    generation: int
    memories: int
    vectors: int
    facts: int
    segments: int
    answers: int
    pairs: int
    adapters: int
    adapter_ids: tuple[int, ...]
    log_emptied: bool


def plan(vault: Vault, *, ids: Iterable[int] = (), where: MemoryFilter | None = None) -> ErasurePlan:
    """Count what forgetting would take away; nothing is touched.

    Args:
        vault: the vault.
        ids: memories to forget; unknown ones are passed over.
        where: forget these too. None is nothing; ``MemoryFilter()`` is everything.
    """
    with vault.transaction():
        known = {memory.id for memory in vault.memories.get(ids)}
        if where is not None:
            known.update(vault.memories.ids(where).tolist())
        sources = () if where is None else where.sources
        return _planned(vault.database, _going(vault.database, known), sources)


def erase(vault: Vault, plan: ErasurePlan) -> Receipt:
    """Take away what ``plan`` names, all or nothing. What hangs on the memories is counted anew.

    Raises:
        UsageError: called within a transaction: what is not yet stored can't be wiped.
        VaultBusy, DiskFull, ReadOnly: nothing was taken away.
    """
    database = vault.database
    if database.in_transaction:
        raise UsageError("Forgetting can't be part of a larger transaction.")
    with database.transaction():
        known = {memory.id for memory in vault.memories.get(plan.ids)}
        going = _going(database, known)
        done = _planned(database, going, plan.sources)
        tainted = taint(database, going)
        delete_pairs(database, going.pairs)
        drop_sources(database, going)
        _erase_answers(database, going)
        _forget_imports(vault, done)
        drop_derived(database, done.ids)
        close_over(database, "memories", "superseded_by", "closed_ms", done.ids)
        for marks, page in pages(done.ids):
            database.execute(f"DELETE FROM memories WHERE id IN {marks}", page)  # noqa: S608
        generation = bump_generation(database, done.ids)
    emptied = database.checkpoint()
    emit(Event.FORGOTTEN, memories=done.memories, answers=done.answers, adapters=len(tainted), log_emptied=emptied)
    return Receipt(
        vault_id=vault.id,
        at_ms=now_ms(),
        generation=generation,
        memories=done.memories,
        vectors=done.vectors,
        facts=done.facts,
        segments=done.segments,
        answers=done.answers,
        pairs=done.pairs,
        adapters=len(tainted),
        adapter_ids=tuple(tainted),
        log_emptied=emptied,
    )


def _going(database: Database, memories: Iterable[int]) -> Learnt:
    """These memories, and the answers and pairs that go with them."""
    going = Learnt.of(memories)
    answers = {turn for marks, page in pages(going.memories) for (turn,) in database.rows(f"{_QUOTING}{marks}", page)}
    return Learnt.of(going.memories, answers, pairs_of(database, going.memories, answers))


def _planned(database: Database, going: Learnt, sources: tuple[str, ...]) -> ErasurePlan:
    return ErasurePlan(
        ids=going.memories,
        sources=sources,
        vectors=_count(database, "vectors", going.memories),
        facts=_count(database, "facts", going.memories),
        segments=len(segments_holding(database, going.memories)),
        answers=len(going.turns),
        pairs=len(going.pairs),
        adapters=len(tainted_by(database, going)),
    )


def _count(database: Database, table: str, ids: Sequence[int]) -> int:
    return sum(
        int(count)
        for marks, page in pages(ids)
        for (count,) in database.rows(f"SELECT count(*) FROM {table} WHERE memory_id IN {marks}", page)  # noqa: S608
    )


def _erase_answers(database: Database, going: Learnt) -> None:
    """Empty the text of the answers, and of their traces all but the sources that are left."""
    gone = set(going.memories)
    for turn in going.turns:
        row = database.row("SELECT trace FROM turns WHERE id = ?", (turn,))
        sources = json.loads(row[0])["sources"] if row else []
        trace = {"forgotten": True, "sources": [source for source in sources if source not in gone]}
        database.execute(
            "UPDATE turns SET text = '', erased = 1, accepted_ms = NULL, trace = ? WHERE id = ?",
            (json.dumps(trace), turn),
        )


def _forget_imports(vault: Vault, plan: ErasurePlan) -> None:
    sources = set(plan.sources)
    for marks, page in pages(plan.ids):
        rows = vault.database.rows(f"SELECT DISTINCT source FROM memories WHERE id IN {marks}", page)  # noqa: S608
        sources.update(str(source) for (source,) in rows)
    for source in sources:
        vault.imports.forget(source)
