"""The vault: one person's memories in one encrypted folder.

A home holds the key header (``header.json``), the encrypted database (``vault.db``, with SQLite's ``-wal`` and ``-shm``
beside it while it is open) and ``vault.lock``. Only its owner may read it: the folder is 0700, its files 0600.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from edgeperso.errors import VaultExists, VaultNotFound
from edgeperso.events import Event, emit
from edgeperso.vault.conversations import Conversations
from edgeperso.vault.database import Database
from edgeperso.vault.facts import Facts
from edgeperso.vault.imports import Imports
from edgeperso.vault.memories import Memories
from edgeperso.vault.meta import Meta, generation
from edgeperso.vault.migrations import migrate
from edgeperso.vault.profile import Profile
from edgeperso.vault.segments import Segments
from edgeperso.vault.vectors import Vectors

__all__ = ["DATABASE_NAME", "Vault"]

DATABASE_NAME: Final = "vault.db"


class Vault:
    """An unlocked vault. Make one with `create`, unlock one with `open`; it is a context manager.

    Threads may share it: they take turns. Processes may open the same home at once.
    """

    def __init__(self, home: Path, vault_id: str, database: Database) -> None:
        self._home = home
        self._id = vault_id
        self._database = database
        self.memories = Memories(database)
        self.vectors = Vectors(database)
        self.segments = Segments(database)
        self.profile = Profile(database)
        self.facts = Facts(database)
        self.conversations = Conversations(database)
        self.imports = Imports(database)
        self.meta = Meta(database)

    @classmethod
    def with_key(cls, home: Path, key: bytes, *, create: bool = False) -> Vault:
        """Open, or make, a vault whose 32-byte database key the caller keeps. There is no header."""
        path = home / DATABASE_NAME
        if create:
            if path.exists():
                raise VaultExists("There is a vault already.")
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
        elif not path.exists():
            raise VaultNotFound("There is no vault in this home.")
        database = Database.open(path, key, create=create)
        try:
            migrate(database)
        except BaseException:
            database.close()
            raise
        emit(Event.VAULT_CREATED if create else Event.VAULT_OPENED)
        return cls(home, "", database)

    @property
    def home(self) -> Path:
        return self._home

    @property
    def id(self) -> str:
        return self._id

    @property
    def generation(self) -> int:
        """Grows with each change to memories or their vectors, in any process."""
        return generation(self._database)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: what is done inside is stored together at its end. Nested calls join the outer one."""
        return self._database.transaction()

    def close(self) -> None:
        self._database.close()
        emit(Event.VAULT_CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
