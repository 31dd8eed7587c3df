"""The states of trainings under way, so that a stopped one can go on."""

from __future__ import annotations

from collections.abc import Iterable

from edgeperso.times import now_ms
from edgeperso.vault.database import Database
from edgeperso.vault.lineage import Learnt, add_sources
from edgeperso.vault.payloads import payload_of, store_payload

__all__ = ["Checkpoints"]


class Checkpoints:
    """The checkpoints of one vault. Open through `Vault.checkpoints`. Forgetting or editing something that a training
    saw drops its checkpoint."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save(
        self,
        name: str,
        payload: bytes,
        memories: Iterable[int] = (),
        *,
        turns: Iterable[int] = (),
        pairs: Iterable[int] = (),
        parents: Iterable[int] = (),
        as_of: int | None = None,
    ) -> None:
        """Store a training's state in the place of the one of the same name, whole or not at all.

        Args:
            name: of the training, the program's own word.
            payload: 1 byte to 512 MiB.
            memories: ids of the memories that the training sees.
            turns: ids of the accepted answers that it sees.
            pairs: ids of the preference pairs that it sees.
            parents: ids of the adapters that it was started from.
            as_of: `Vault.generation` when the texts were read; None: just now.

        Raises:
            AdapterRefused: some of these were forgotten or edited meanwhile: the training must not go on.
            AdapterInvalid: the payload's size is out of range.
        """
        with self._database.transaction():
            self.drop(name)
            id_ = self._database.insert("INSERT INTO checkpoints (name, saved_ms) VALUES (?, ?)", (name, now_ms()))
            store_payload(self._database, "checkpoint", id_, payload)
            add_sources(self._database, "checkpoint", id_, Learnt.of(memories, turns, pairs, parents), as_of)

    def load(self, name: str) -> bytes | None:
        """The state saved under this name, or None."""
        row = self._database.row("SELECT id FROM checkpoints WHERE name = ?", (name,))
        return None if row is None else payload_of(self._database, "checkpoint", row[0])

    def drop(self, name: str) -> None:
        """Delete the state saved under this name, if there is one."""
        self._database.execute("DELETE FROM checkpoints WHERE name = ?", (name,))

    def names(self) -> list[str]:
        """The names of all saved states, in order."""
        return [str(name) for (name,) in self._database.rows("SELECT name FROM checkpoints ORDER BY name")]
