"""What deriving needs of the vault beyond its repositories: which memories changed, and where it stopped."""

from __future__ import annotations

from dataclasses import dataclass

from edgeperso.vault import Vault

__all__ = ["Bookmark", "edited_since", "reopen_fact"]

_NAME = "knowledge"


@dataclass(frozen=True, slots=True)
class Bookmark:
    """``last_id``: memories up to it were examined; ``count``: how many there were of them; ``generation``: the vault's
    when all was in order; ``settled``: whether it was at the end of the last step; ``rules``: by which rules."""

    rules: int
    last_id: int
    count: int
    generation: int
    settled: bool

    @classmethod
    def load(cls, vault: Vault) -> Bookmark | None:
        stored = vault.meta.get(_NAME)
        if stored is None:
            return None
        rules, last_id, count, generation, settled = (int(part) for part in stored.split())
        return cls(rules, last_id, count, generation, bool(settled))

    def save(self, vault: Vault) -> None:
        vault.meta.set(_NAME, f"{self.rules} {self.last_id} {self.count} {self.generation} {int(self.settled)}")


def edited_since(vault: Vault, generation: int, last_id: int) -> list[int]:
    """The memories up to ``last_id`` whose text was replaced after ``generation``."""
    rows = vault.database.rows(
        "SELECT id FROM memories WHERE revision > ? AND id <= ? ORDER BY id", (generation, last_id)
    )
    return [int(id_) for (id_,) in rows]


def reopen_fact(vault: Vault, id_: int) -> None:
    """Make a closed fact current again: what had replaced it is gone."""
    vault.database.execute("UPDATE facts SET valid_to_ms = NULL, closed_by = NULL WHERE id = ?", (id_,))
