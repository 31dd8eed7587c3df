"""What was imported already, so that a second run does no work twice."""

from __future__ import annotations

from edgeperso.times import now_ms
from edgeperso.vault.database import Database

__all__ = ["Imports"]


class Imports:
    """A ledger of sources by the digest of their content. Forgetting a source's memories also forgets its entries, so
    that it can be imported again."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def seen(self, source: str, digest: str) -> bool:
        """Whether ``source`` was imported whole with this content."""
        row = self._database.row("SELECT 1 FROM imports WHERE source = ? AND digest = ?", (source, digest))
        return row is not None

    def mark(self, source: str, digest: str) -> None:
        """Note that ``source`` was imported whole with this content."""
        self._database.execute(
            "INSERT OR IGNORE INTO imports (source, digest, at_ms) VALUES (?, ?, ?)", (source, digest, now_ms())
        )

    def forget(self, source: str) -> None:
        """Drop the entries of ``source``, and of what lies in it when it is a folder."""
        folder = source.rstrip("/")
        self._database.execute(
            "DELETE FROM imports WHERE source = ? OR (source >= ? AND source < ?)",
            (folder, f"{folder}/", f"{folder}0"),
        )
