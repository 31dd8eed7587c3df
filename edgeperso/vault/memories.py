"""Memories: pieces of text with where, when and from whom. Added once, superseded, edited; erased only by `erasure`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final

import numpy as np

from edgeperso.errors import DataInvalid, NotFound
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.types import AddReport, Int64, Memory, MemoryFilter, Record
from edgeperso.vault.database import Database
from edgeperso.vault.derived import drop_derived
from edgeperso.vault.language import language_of
from edgeperso.vault.lineage import Learnt, taint
from edgeperso.vault.memory_rows import CHUNK_ROWS, COLUMNS, DAY, digest_of, flat_rows, insertion, memory
from edgeperso.vault.meta import bump_generation

__all__ = ["Memories", "conditions"]

_PAGE: Final = 500


class Memories:
    """The memories of one vault. Open through `Vault.memories`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, records: Iterable[Record], *, batch_size: int = 2000) -> AddReport:
        """Store what is new among ``records``, one transaction a batch.

        A record is known already when text (apart from white space at its ends and Unicode composition), source,
        locator, thread, author and time are those of a stored memory: to import the same thing twice adds nothing.

        Args:
            records: taken as they come; nothing is held but the batch.
            batch_size: records in a transaction, 1 or more. What a finished batch holds survives a crash.

        Returns:
            The new memories' ids, in the order of their records, and how many records were known.

        Raises:
            DataInvalid: a text that has no UTF-8 form; its batch is not stored.
            VaultError: as `Database` does; the batches before it are stored.
        """
        source = iter(records)
        ids: list[int] = []
        given = 0
        while batch := list(islice(source, batch_size)):
            given += len(batch)
            ids += self._store(batch)
        emit(Event.MEMORIES_ADDED, added=len(ids), duplicates=given - len(ids))
        return AddReport(ids=tuple(ids), duplicates=given - len(ids))

    def _store(self, batch: list[Record]) -> Iterable[int]:
        recorded_ms = now_ms()
        added = 0
        with self._database.transaction():
            last = self._last_id()
            for start in range(0, len(batch), CHUNK_ROWS):
                chunk = batch[start : start + CHUNK_ROWS]
                added += self._database.execute(insertion(len(chunk)), flat_rows(chunk, recorded_ms))
            if not added:
                return ()
            bump_generation(self._database)
            newest = self._last_id()
            if newest - last == added:
                return range(last + 1, newest + 1)
            return [id_ for (id_,) in self._database.rows("SELECT id FROM memories WHERE id > ? ORDER BY id", (last,))]

    def _last_id(self) -> int:
        row = self._database.row("SELECT seq FROM sqlite_sequence WHERE name = 'memories'")
        return int(row[0]) if row else 0

    def get(self, ids: Iterable[int]) -> list[Memory]:
        """The memories with these ids, in the order given; unknown ids are left out."""
        wanted = [int(id_) for id_ in ids]
        found: dict[int, Memory] = {}
        for start in range(0, len(wanted), _PAGE):
            page = wanted[start : start + _PAGE]
            marks = ",".join("?" * len(page))
            for row in self._database.rows(f"SELECT {COLUMNS} FROM memories WHERE id IN ({marks})", page):  # noqa: S608
                found[row[0]] = memory(row)
        return [found[id_] for id_ in wanted if id_ in found]

    def one(self, id_: int) -> Memory:
        """The memory with this id.

        Raises:
            NotFound: there is none.
        """
        row = self._database.row(f"SELECT {COLUMNS} FROM memories WHERE id = ?", (id_,))  # noqa: S608
        if row is None:
            raise NotFound(f"There is no memory {id_}.", hint="See `edgeperso recall`.")
        return memory(row)

    def scan(self, where: MemoryFilter = MemoryFilter(), *, after_id: int = 0) -> Iterator[Memory]:  # noqa: B008
        """The memories that match, by id, from ``after_id`` (exclusive) on. Memories may be added or forgotten
        meanwhile, by this or another process."""
        clause, values = conditions(where)
        sql = f"SELECT {COLUMNS} FROM memories WHERE id > ? AND {clause} ORDER BY id LIMIT {_PAGE}"  # noqa: S608
        while rows := self._database.rows(sql, (after_id, *values)):
            after_id = rows[-1][0]
            yield from map(memory, rows)

    def ids(self, where: MemoryFilter = MemoryFilter()) -> Int64:  # noqa: B008
        """``int64[n]``: the ids of the memories that match, ascending."""
        clause, values = conditions(where)
        rows = self._database.rows(f"SELECT id FROM memories WHERE {clause} ORDER BY id", values)  # noqa: S608
        return np.fromiter((id_ for (id_,) in rows), dtype=np.int64, count=len(rows))

    def count(self, where: MemoryFilter = MemoryFilter()) -> int:  # noqa: B008
        clause, values = conditions(where)
        row = self._database.row(f"SELECT count(*) FROM memories WHERE {clause}", values)  # noqa: S608
        return int(row[0]) if row else 0

    def thread(self, thread: str) -> list[Memory]:
        """The memories of a thread by position, then id; none for the empty name, which is no thread."""
        rows = self._database.rows(
            f"SELECT {COLUMNS} FROM memories WHERE thread = ? AND thread <> '' ORDER BY position, id",  # noqa: S608
            (thread,),
        )
        return [memory(row) for row in rows]

    def sources(self) -> list[tuple[str, int]]:
        """Every source with how many memories it has, by name."""
        return [
            (str(source), int(count))
            for source, count in self._database.rows("SELECT source, count(*) FROM memories GROUP BY source ORDER BY 1")
        ]

    def edit(self, id_: int, text: str) -> Memory:
        """Replace a memory's text. What was derived from the old one (vectors, facts, segments) goes with it, and
        the adapters that learnt from it are tainted.

        Raises:
            NotFound: there is no such memory.
            DataInvalid: another memory of the same origin says just this already.
        """
        with self._database.transaction():
            old = self.one(id_)
            digest = digest_of(old, text)
            twin = self._database.row(
                f"SELECT id FROM memories WHERE source = ? AND digest = ? AND id <> ? "  # noqa: S608
                f"AND {DAY} = (SELECT {DAY} FROM memories WHERE id = ?)",
                (old.source, digest, id_, id_),
            )
            if twin is not None:
                raise DataInvalid(
                    f"Memory {twin[0]} says the same already.", hint=f"Forget memory {id_} instead of editing it."
                )
            drop_derived(self._database, [id_])
            tainted = taint(self._database, Learnt.of(memories=[id_]))
            self._database.execute(
                "UPDATE memories SET text = ?, digest = ?, language = '', revision = ? WHERE id = ?",
                (text, digest, bump_generation(self._database, [id_]), id_),
            )
        emit(Event.MEMORY_EDITED, id=id_, adapters=len(tainted))
        return self.one(id_)

    def name_languages(self, *, batch_size: int = 1000) -> int:
        """Tell the language of the memories that have none yet, and return how many those were.

        `add` leaves it out: it would take several times as long. Call this before the texts are indexed.
        """
        done = 0
        while rows := self._database.rows(
            "SELECT id, text, revision FROM memories WHERE language = '' ORDER BY id LIMIT ?", (batch_size,)
        ):
            named = [(language_of(text), id_, revision) for id_, text, revision in rows]
            with self._database.transaction():
                self._database.executemany("UPDATE memories SET language = ? WHERE id = ? AND revision = ?", named)
            done += len(named)
        return done

    def supersede(self, id_: int, *, by: int, at_ms: int) -> None:
        """Close a memory: ``by`` says something newer, true from ``at_ms`` on. Nothing is deleted.

        Raises:
            NotFound: one of the two is unknown.
            DataInvalid: ``by`` is the memory itself, or is superseded by it in turn.
        """
        with self._database.transaction():
            self.one(id_)
            seen, link = {id_}, self.one(by)
            while link.id not in seen and link.superseded_by is not None:
                seen.add(link.id)
                link = self.one(link.superseded_by)
            if link.id in seen:
                raise DataInvalid(f"Memories {id_} and {by} can't supersede each other.", hint="Nothing was changed.")
            self._database.execute(
                "UPDATE memories SET superseded_by = ?, closed_ms = ? WHERE id = ?", (by, at_ms, id_)
            )
            self._database.execute("DELETE FROM memory_states WHERE memory_id = ?", (id_,))
            bump_generation(self._database)
        emit(Event.MEMORY_SUPERSEDED, id=id_, by=by)

    def reopen(self, id_: int) -> None:
        """Make a closed memory current again.

        Raises:
            NotFound: there is no such memory.
        """
        with self._database.transaction():
            self.one(id_)
            self._database.execute("UPDATE memories SET superseded_by = NULL, closed_ms = NULL WHERE id = ?", (id_,))
            bump_generation(self._database)


def conditions(where: MemoryFilter) -> tuple[str, list[str | int]]:
    """``where`` as an SQL condition on the table of memories, and its values."""
    clauses: list[str] = []
    values: list[str | int] = []
    if where.sources:
        parts = []
        for source in where.sources:
            folder = source.rstrip("/")
            # "/" is followed by "0": everything in the folder lies between the two, and an index finds it.
            parts.append("source = ? OR (source >= ? AND source < ?)")
            values += [folder, f"{folder}/", f"{folder}0"]
        clauses.append(f"({' OR '.join(parts)})")
    for column, words in (("kind", where.kinds), ("scope", where.scopes)):
        if words:
            clauses.append(f"{column} IN ({','.join('?' * len(words))})")
            values += [str(word) for word in words]
    if where.after_ms is not None:
        clauses.append("coalesce(occurred_ms, recorded_ms) >= ?")
        values.append(where.after_ms)
    if where.before_ms is not None:
        clauses.append("coalesce(occurred_ms, recorded_ms) < ?")
        values.append(where.before_ms)
    if not where.include_closed:
        clauses.append("closed_ms IS NULL")
    return " AND ".join(clauses) or "1", values
