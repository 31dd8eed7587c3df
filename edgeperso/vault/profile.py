"""The person's static attributes: name, language, what to be called."""

from __future__ import annotations

from edgeperso.errors import NotFound
from edgeperso.vault.database import Database

__all__ = ["Profile"]


class Profile:
    """Named values that the person set. Open through `Vault.profile`. Each prompt begins with them, so a change drops
    the model's states of beginnings and of what comes after them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def set(self, name: str, value: str) -> None:
        with self._database.transaction():
            self._database.execute("INSERT OR REPLACE INTO profile (name, value) VALUES (?, ?)", (name, value))
            self._drop_states()

    def all(self) -> dict[str, str]:
        """Every attribute, by name."""
        return {str(name): str(value) for name, value in self._database.rows("SELECT * FROM profile ORDER BY name")}

    def delete(self, name: str) -> None:
        """Raises:
        NotFound: there is no such attribute.
        """
        with self._database.transaction():
            if not self._database.execute("DELETE FROM profile WHERE name = ?", (name,)):
                raise NotFound("The profile has no such attribute.", hint="See `edgeperso profile`.")
            self._drop_states()

    def _drop_states(self) -> None:
        self._database.execute("DELETE FROM states")
        self._database.execute("DELETE FROM memory_states")
