"""Ready-made pieces of the search index, kept as rows so that forgetting reaches them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from edgeperso.errors import UsageError
from edgeperso.types import Int64
from edgeperso.vault.database import Database

__all__ = ["Segment", "Segments"]

_LAST: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """A piece of an index: the memories it covers (``int64[n]``, ascending) and bytes that only its index reads."""

    number: int
    ids: Int64
    payload: bytes


class Segments:
    """The index segments of one vault. Forgetting or editing a memory drops every segment that holds it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, kind: str, space: str, number: int, ids: Int64, payload: bytes) -> None:
        """Store a segment, replacing the one of the same kind, space and number.

        Raises:
            UsageError: ``ids`` is empty or doesn't ascend.
        """
        data = np.ascontiguousarray(ids, dtype="<i8")
        if not len(data) or not (np.diff(data) > 0).all():
            raise UsageError("A segment's ids must ascend, and be at least one.")
        self._database.execute(
            """INSERT OR REPLACE INTO segments (kind, space, number, low_id, high_id, ids, payload)
            VALUES (?, ?, ?, ?, ?, ?, ?)""",
            (kind, space, number, int(data[0]), int(data[-1]), data.tobytes(), payload),
        )

    def numbers(self, kind: str, space: str, first: int = 0, last: int = _LAST) -> list[int]:
        """The numbers, from ``first`` to ``last`` (both inclusive), of all segments of a kind and space, ascending; an
        index alone is read."""
        rows = self._database.rows(
            "SELECT number FROM segments WHERE kind = ? AND space = ? AND number BETWEEN ? AND ? ORDER BY number",
            (kind, space, first, last),
        )
        return [int(number) for (number,) in rows]

    def one(self, kind: str, space: str, number: int) -> Segment | None:
        """The segment with this number, None where there is none."""
        row = self._database.row(
            "SELECT ids, payload FROM segments WHERE kind = ? AND space = ? AND number = ?", (kind, space, number)
        )
        return None if row is None else Segment(number=number, ids=np.frombuffer(row[0], dtype="<i8"), payload=row[1])

    def load(self, kind: str, space: str) -> list[Segment]:
        """The segments of a kind and space, by number."""
        found = [self.one(kind, space, number) for number in self.numbers(kind, space)]
        return [segment for segment in found if segment is not None]

    def drop(self, kind: str, space: str, number: int | None = None) -> None:
        """Delete one segment, or all of a kind and space."""
        self._database.execute(
            "DELETE FROM segments WHERE kind = ? AND space = ? AND number = coalesce(?, number)", (kind, space, number)
        )

    def covered(self, low_id: int, high_id: int) -> tuple[Int64, Int64]:
        """What segments of the ids from ``low_id`` to ``high_id`` (both inclusive) should hold: ``int64[n]`` ids of the
        memories there, ascending, and the generation of the vault in which each text was last changed."""
        rows = self._database.rows(
            "SELECT id, revision FROM memories WHERE id BETWEEN ? AND ? ORDER BY id", (low_id, high_id)
        )
        table = np.array(rows, dtype=np.int64).reshape(-1, 2)
        return table[:, 0], table[:, 1]

    def unchanged(self, low_id: int, high_id: int, since: int) -> Int64:
        """``int64[n]``: the ids from ``low_id`` to ``high_id`` (both inclusive) of the memories that are still there
        with the text that they had at the generation ``since``."""
        # As one row: 4,096 of them take several times as long to hand over as to read.
        row = self._database.row(
            "SELECT group_concat(id) FROM memories WHERE id BETWEEN ? AND ? AND revision <= ?", (low_id, high_id, since)
        )
        listed = row[0] if row and row[0] is not None else ""
        return np.fromstring(listed, dtype=np.int64, sep=",") if listed else np.zeros(0, dtype=np.int64)

    def closed(self) -> Int64:
        """``int64[n]``: the ids of the superseded memories, ascending; the open ones are not read."""
        rows = self._database.rows("SELECT id FROM memories WHERE superseded_by IS NOT NULL")
        return np.sort(np.fromiter((id_ for (id_,) in rows), dtype=np.int64, count=len(rows)))
