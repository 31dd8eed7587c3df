"""What is computed from a memory's text and must go with it, and the links that must close over the gap."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from edgeperso.vault.database import Database

__all__ = ["close_over", "drop_derived", "pages", "segments_holding"]

_PAGE: Final = 500


def pages(ids: Sequence[int]) -> Iterator[tuple[str, list[int]]]:
    """``ids`` in pages, each with its SQL list of question marks."""
    for start in range(0, len(ids), _PAGE):
        page = [int(id_) for id_ in ids[start : start + _PAGE]]
        yield f"({','.join('?' * len(page))})", page


def segments_holding(database: Database, ids: Sequence[int]) -> list[int]:
    """The row ids of the segments that hold at least one of ``ids``."""
    if not ids:
        return []
    wanted = np.sort(np.asarray(ids, dtype=np.int64))
    found = []
    for (segment,) in database.rows(
        "SELECT id FROM segments WHERE high_id >= ? AND low_id <= ?", (int(wanted[0]), int(wanted[-1]))
    ):
        row = database.row("SELECT ids FROM segments WHERE id = ?", (segment,))
        if row is not None and np.isin(np.frombuffer(row[0], dtype="<i8"), wanted).any():
            found.append(int(segment))
    return found


def drop_derived(database: Database, ids: Sequence[int]) -> None:
    """Delete all that was derived from the memories ``ids``, within the transaction of what changes them."""
    database.executemany("DELETE FROM segments WHERE id = ?", [(id_,) for id_ in segments_holding(database, ids)])
    facts: list[int] = []
    for marks, page in pages(ids):
        database.execute(f"DELETE FROM vectors WHERE memory_id IN {marks}", page)  # noqa: S608
        database.execute(f"DELETE FROM memory_states WHERE memory_id IN {marks}", page)  # noqa: S608
        facts += [id_ for (id_,) in database.rows(f"SELECT id FROM facts WHERE memory_id IN {marks}", page)]  # noqa: S608
    close_over(database, "facts", "closed_by", "valid_to_ms", facts)
    database.executemany("DELETE FROM facts WHERE id = ?", [(id_,) for id_ in facts])


def close_over(database: Database, table: str, link: str, end: str, ids: Sequence[int]) -> None:
    """Take the rows ``ids``, about to be deleted, out of the chains of "was replaced by".

    What one of them had replaced is replaced by its own successor from then on, at the moment that one took over;
    without a successor it is current again: nothing that is left says otherwise.
    """
    going: dict[int, tuple[int | None, int | None]] = {}
    for marks, page in pages(ids):
        for id_, successor, end_ms in database.rows(
            f"SELECT id, {link}, {end} FROM {table} WHERE id IN {marks}",  # noqa: S608
            page,
        ):
            going[id_] = (successor, end_ms)
    for marks, page in pages(ids):
        for id_, replaced_by in database.rows(
            f"SELECT id, {link} FROM {table} WHERE {link} IN {marks}",  # noqa: S608
            page,
        ):
            successor, end_ms = replaced_by, None
            seen = set()
            while successor in going and successor not in seen:
                seen.add(successor)
                successor, end_ms = going[successor]
            if id_ in going or successor in going or successor is None:
                successor, end_ms = None, None
            database.execute(
                f"UPDATE {table} SET {link} = ?, {end} = ? WHERE id = ?",  # noqa: S608
                (successor, end_ms, id_),
            )
