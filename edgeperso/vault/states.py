"""The model's states of the beginnings of prompts, so that a new process need not evaluate them again.

A state tells what its tokens say, and what the adapters learnt that computed it, to whoever has the model. So it lies
in the encrypted database alone, and goes with what it holds: with any change of the profile, with the adapters, and as
soon as anything that it is bound to differs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from edgeperso.errors import AdapterRefused
from edgeperso.times import now_ms
from edgeperso.vault.database import Database
from edgeperso.vault.lineage import Learnt, add_sources
from edgeperso.vault.payloads import payload_of, store_payload

__all__ = ["STATES_BUDGET_BYTES", "States"]

STATES_BUDGET_BYTES: Final = 64 << 20
"""All states of a vault together: backups carry them."""


class States:
    """The states of one vault. Open through `Vault.states`."""

    def __init__(self, database: Database, *, budget_bytes: int = STATES_BUDGET_BYTES) -> None:
        self._database = database
        self._budget_bytes = budget_bytes

    def load(self, binding: str, prefix: str) -> bytes | None:
        """The state of a prefix; None where there is none, or not a whole one. States with another binding can't be
        used any more, and are dropped.

        Args:
            binding: 64 hex digits that change with all that a state depends on beside its tokens.
            prefix: 64 hex digits that change with the tokens.
        """
        if self._database.row("SELECT 1 FROM states WHERE binding <> ?", (binding,)) is not None:
            self._database.execute("DELETE FROM states WHERE binding <> ?", (binding,))
        row = self._database.row("SELECT id, digest FROM states WHERE binding = ? AND prefix = ?", (binding, prefix))
        if row is None:
            return None
        id_, digest = row
        state = payload_of(self._database, "state", id_)
        if state is None or hashlib.sha256(state).hexdigest() != digest:
            self._database.execute("DELETE FROM states WHERE id = ?", (id_,))
            return None
        return state

    def has(self, binding: str, prefix: str) -> bool:
        """Whether there is a state of that prefix, whole or not."""
        return (
            self._database.row("SELECT 1 FROM states WHERE binding = ? AND prefix = ?", (binding, prefix)) is not None
        )

    def save(
        self, binding: str, prefix: str, state: bytes, *, profile: Mapping[str, str], adapters: Collection[str] = ()
    ) -> bool:
        """Store a state in the place of an earlier one, whole or not at all; the oldest make way for it.

        Args:
            binding, prefix: as in `load`.
            state: 1 byte or more.
            profile: the attributes that the prefix was made of.
            adapters: digests of those worn.

        Returns:
            False where it may not be kept: it is larger than the budget, the profile is another by now, or an adapter
            is tainted or not one of this vault's.
        """
        if not 0 < len(state) <= self._budget_bytes:
            return False
        try:
            with self._database.transaction():
                worn = self._adapters(adapters)
                if worn is None or self._database.rows("SELECT * FROM profile ORDER BY name") != sorted(
                    profile.items()
                ):
                    return False
                self.drop(binding, prefix)
                self._make_room(len(state))
                id_ = self._database.insert(
                    "INSERT INTO states (binding, prefix, digest, size_bytes, saved_ms) VALUES (?, ?, ?, ?, ?)",
                    (binding, prefix, hashlib.sha256(state).hexdigest(), len(state), now_ms()),
                )
                store_payload(self._database, "state", id_, state)
                add_sources(self._database, "state", id_, Learnt.of(adapters=worn), None)
        except AdapterRefused:
            return False
        return True

    def drop(self, binding: str, prefix: str) -> None:
        """Delete the state of a prefix, if there is one."""
        self._database.execute("DELETE FROM states WHERE binding = ? AND prefix = ?", (binding, prefix))

    def _adapters(self, digests: Collection[str]) -> list[int] | None:
        """The ids of all adapters with these digests; None where one is missing."""
        found: list[int] = []
        for digest in digests:
            ids = [int(id_) for (id_,) in self._database.rows("SELECT id FROM adapters WHERE digest = ?", (digest,))]
            if not ids:
                return None
            found += ids
        return found

    def _make_room(self, size_bytes: int) -> None:
        left = self._budget_bytes - size_bytes
        for id_, size in self._database.rows("SELECT id, size_bytes FROM states ORDER BY id DESC"):
            left -= size
            if left < 0:
                self._database.execute("DELETE FROM states WHERE id <= ?", (id_,))
                break
