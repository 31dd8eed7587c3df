"""Small settings of a vault, and the counter that tells processes that its memories changed."""

from __future__ import annotations

from collections.abc import Iterable

from edgeperso.vault.database import Database

__all__ = ["Meta", "bump_generation", "generation"]


class Meta:
    """Named strings kept in the vault."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def get(self, name: str) -> str | None:
        row = self._database.row("SELECT value FROM meta WHERE name = ?", (name,))
        return None if row is None else str(row[0])

    def set(self, name: str, value: str) -> None:
        self._database.execute("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", (name, value))


def generation(database: Database) -> int:
    row = database.row("SELECT value FROM counters WHERE name = 'generation'")
    return int(row[0]) if row else 0


def bump_generation(database: Database, changed: Iterable[int] = ()) -> int:
    """Count one change, within the transaction that makes it, and return the new generation.

    Args:
        database: the vault's.
        changed: all memories that the transaction takes away or gives another text.
    """
    database.execute("UPDATE counters SET value = value + 1 WHERE name = 'generation'")
    made = generation(database)
    database.changes.note(made, changed)
    return made
