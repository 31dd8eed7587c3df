"""Facts derived from memories: who, what, since when. A newer one closes an older one and never deletes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from edgeperso.errors import DataInvalid, NotFound
from edgeperso.times import now_ms
from edgeperso.types import Fact
from edgeperso.vault.database import Database, Values
from edgeperso.vault.derived import pages

__all__ = ["Facts"]

_COLUMNS: Final = "id, memory_id, subject, attribute, value, valid_from_ms, valid_to_ms, recorded_ms, closed_by"


class Facts:
    """The facts of one vault. Open through `Vault.facts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, memory_id: int, subject: str, attribute: str, value: str, valid_from_ms: int) -> Fact:
        """Store a fact that the memory states.

        Raises:
            NotFound: there is no such memory.
        """
        with self._database.transaction():
            if self._database.row("SELECT 1 FROM memories WHERE id = ?", (memory_id,)) is None:
                raise NotFound(f"There is no memory {memory_id}.")
            recorded_ms = now_ms()
            id_ = self._database.insert(
                """INSERT INTO facts (memory_id, subject, attribute, value, valid_from_ms, recorded_ms)
                VALUES (?, ?, ?, ?, ?, ?)""",
                (memory_id, subject, attribute, value, valid_from_ms, recorded_ms),
            )
        return Fact(id_, memory_id, subject, attribute, value, valid_from_ms, None, recorded_ms)

    def current(self, subject: str | None = None, attribute: str | None = None) -> list[Fact]:
        """The open facts, oldest first; of one subject or attribute if given."""
        return self._select(
            "valid_to_ms IS NULL AND subject = coalesce(?, subject) AND attribute = coalesce(?, attribute) "
            "ORDER BY valid_from_ms, id",
            (subject, attribute),
        )

    def history(self, subject: str, attribute: str) -> list[Fact]:
        """All facts of a subject's attribute, closed ones too, oldest first."""
        return self._select("subject = ? AND attribute = ? ORDER BY valid_from_ms, id", (subject, attribute))

    def of_memories(self, ids: Iterable[int]) -> list[Fact]:
        """The facts that these memories state, by memory and id."""
        facts: list[Fact] = []
        for marks, page in pages(sorted({int(id_) for id_ in ids})):
            facts += self._select(f"memory_id IN {marks} ORDER BY memory_id, id", page)
        return facts

    def close(self, id_: int, *, by: int, at_ms: int) -> None:
        """End a fact at ``at_ms`` (exclusive): the fact ``by`` holds from then on.

        Raises:
            NotFound: one of the two is unknown.
            DataInvalid: ``by`` is the fact itself.
        """
        if id_ == by:
            raise DataInvalid(f"Fact {id_} can't close itself.", hint="Nothing was changed.")
        with self._database.transaction():
            if len(self._select("id IN (?, ?)", (id_, by))) != 2:
                raise NotFound(f"There is no fact {id_} or no fact {by}.")
            self._database.execute("UPDATE facts SET valid_to_ms = ?, closed_by = ? WHERE id = ?", (at_ms, by, id_))

    def reopen(self, id_: int) -> None:
        """Make a closed fact current again; nothing happens when it is.

        Raises:
            NotFound: there is no such fact.
        """
        if not self._database.execute("UPDATE facts SET valid_to_ms = NULL, closed_by = NULL WHERE id = ?", (id_,)):
            raise NotFound(f"There is no fact {id_}.")

    def clear(self) -> None:
        """Delete all facts: they can be derived again from the memories."""
        with self._database.transaction():
            self._database.execute("UPDATE facts SET closed_by = NULL")
            self._database.execute("DELETE FROM facts")

    def _select(self, condition: str, values: Values) -> list[Fact]:
        return [Fact(*row) for row in self._database.rows(f"SELECT {_COLUMNS} FROM facts WHERE {condition}", values)]  # noqa: S608
