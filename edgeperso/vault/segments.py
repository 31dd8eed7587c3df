"""Ready-made pieces of the search index, kept as rows so that forgetting reaches them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from edgeperso.errors import UsageError
from edgeperso.types import Int64
from edgeperso.vault.database import Database

__all__ = ["Segment", "Segments"]


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

    def load(self, kind: str, space: str) -> list[Segment]:
        """The segments of a kind and space, by number."""
        rows = self._database.rows(
            "SELECT number, ids, payload FROM segments WHERE kind = ? AND space = ? ORDER BY number", (kind, space)
        )
        return [
            Segment(number=int(number), ids=np.frombuffer(ids, dtype="<i8"), payload=payload)
            for number, ids, payload in rows
        ]

    def drop(self, kind: str, space: str, number: int | None = None) -> None:
        """Delete one segment, or all of a kind and space."""
        self._database.execute(
            "DELETE FROM segments WHERE kind = ? AND space = ? AND number = coalesce(?, number)", (kind, space, number)
        )
