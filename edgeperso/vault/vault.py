"""The vault: one person's memories in one encrypted folder.

A home holds the key header (``header.json`` and its copy), the encrypted database (``vault.db``, with SQLite's ``-wal``
and ``-shm`` beside it while it is open) and ``vault.lock``. Only its owner may read it: the folder is 0700, its files
0600. The key is in memory alone, from `Vault.open` to `Vault.close`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from edgeperso.errors import VaultDamaged, VaultExists
from edgeperso.events import Event, emit
from edgeperso.vault.adapters import Adapters
from edgeperso.vault.checkpoints import Checkpoints
from edgeperso.vault.conversations import Conversations
from edgeperso.vault.credentials import Credential
from edgeperso.vault.database import Database
from edgeperso.vault.database_files import refuse_plaintext
from edgeperso.vault.facts import Facts
from edgeperso.vault.guard import HomeLock, private_folder, prove_log, publish, sweep
from edgeperso.vault.header import Header
from edgeperso.vault.header_files import refuse_existing
from edgeperso.vault.imports import Imports
from edgeperso.vault.key_storage import make_folder, storage_error
from edgeperso.vault.keys import Argon2Cost, MasterKey, Purpose
from edgeperso.vault.memories import Memories
from edgeperso.vault.memory_states import MemoryStates
from edgeperso.vault.meta import Meta, generation
from edgeperso.vault.migrations import migrate
from edgeperso.vault.pairs import Pairs
from edgeperso.vault.profile import Profile
from edgeperso.vault.segments import Segments
from edgeperso.vault.states import States
from edgeperso.vault.vectors import Vectors

if TYPE_CHECKING:
    from edgeperso.types import Progress

__all__ = ["DATABASE_NAME", "Vault", "database_master", "move_in", "refuse_taken", "tidy"]

DATABASE_NAME: Final = "vault.db"


class Vault:
    """An unlocked vault. Make one with `create`, unlock one with `open`; it is a context manager.

    Threads may share it: they take turns. Processes may open the same home at once.
    """

    def __init__(self, home: Path, header: Header, master: MasterKey, database: Database, lock: HomeLock) -> None:
        self._home = home
        self._lock = lock
        self._closed = False
        self.header = header
        self.master = master
        self.database = database
        self.memories = Memories(database)
        self.vectors = Vectors(database)
        self.segments = Segments(database)
        self.profile = Profile(database)
        self.facts = Facts(database)
        self.conversations = Conversations(database)
        self.imports = Imports(database)
        self.adapters = Adapters(database)
        self.pairs = Pairs(database)
        self.checkpoints = Checkpoints(database)
        self.states = States(database)
        self.memory_states = MemoryStates(database)
        self.meta = Meta(database)

    @classmethod
    def create(cls, home: Path, credential: Credential, *, cost: Argon2Cost | None = None) -> tuple[Vault, str]:
        """Make a vault in ``home`` that ``credential`` opens, and open it. A crash leaves no vault or a whole one.

        Returns:
            The vault, and its recovery key to be printed once: it is kept nowhere.

        Raises:
            VaultExists: there is a vault, or a part of one; nothing was changed.
            UnlockError, UsageError: the credential can't be used.
            DiskFull, ReadOnly, VaultError: it can't be written.
        """
        make_folder(home)
        lock = HomeLock(home)
        try:
            lock.alone()
            refuse_taken(home)
            sweep(home)
            with private_folder(home) as folder:
                header, master, recovery = Header.create(folder, credential, cost=cost)
                Database.create(folder / DATABASE_NAME, master.derive(Purpose.DATABASE))
                header = move_in(folder, header, home)
            lock.share()
            database = _open_database(home, master)
        except BaseException:
            lock.release()
            raise
        emit(Event.VAULT_CREATED)
        return cls(home, header, master, database, lock), recovery

    @classmethod
    def open(cls, home: Path, credential: Credential, *, progress: Progress | None = None) -> Vault:
        """Unlock the vault in ``home``.

        Args:
            home: its folder.
            credential: opens it.
            progress: told how far the upgrade is of a vault that an older version wrote; a large one takes seconds.

        Raises:
            VaultNotFound: there is none.
            UnlockError: the credential doesn't open it, or the key header is damaged.
            VaultDamaged, VaultTooNew, PlaintextRefused: the database can't be used; nothing was changed.
            VaultBusy: another process is changing its keys or restoring it.
            DiskFull, ReadOnly, VaultError: the home can't be written.
        """
        while True:
            header = Header.load(home)
            master = header.unlock(credential)
            lock = HomeLock(home)
            try:
                if lock.try_alone():
                    tidy(home, header, master)
                lock.share()
                if Header.load(home).generation != header.generation:  # the keys were changed meanwhile
                    lock.release()
                    continue
                master = database_master(home, header, master)
                database = _open_database(home, master, progress)
            except BaseException:
                lock.release()
                raise
            emit(Event.VAULT_OPENED)
            return cls(home, header, master, database, lock)

    @property
    def home(self) -> Path:
        return self._home

    @property
    def id(self) -> str:
        """32 hex digits, random, for the vault's whole life."""
        return self.header.vault_id

    @property
    def generation(self) -> int:
        """Grows with each change to memories or their vectors, in any process."""
        return generation(self.database)

    def transaction(self) -> AbstractContextManager[None]:
        """All or nothing: what is done inside is stored together at its end. Nested calls join the outer one, and one
        that fails takes back its own part alone. Other writers wait, so keep it short."""
        return self.database.transaction()

    def check(self) -> None:
        """Prove every page, index and reference of the database.

        Raises:
            VaultDamaged: one of them doesn't hold.
        """
        self.database.check()

    def close(self) -> None:
        """Close the database and overwrite the key. Closing twice is harmless."""
        if self._closed:
            return
        self._closed = True
        try:
            self.database.close()
        finally:
            self.master.wipe()
            self._lock.release()
        emit(Event.VAULT_CLOSED)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def refuse_taken(home: Path) -> None:
    """Raises:
    VaultExists: ``home`` holds a vault, or a part of one.
    """
    refuse_existing(home)
    if (home / DATABASE_NAME).exists():
        raise VaultExists(f"There is a {DATABASE_NAME} without its key header in this home.")


def move_in(folder: Path, header: Header, home: Path) -> Header:
    """Move a finished database from ``folder`` to ``home`` and install its header, last: a home with a header holds a
    whole vault."""
    target = home / DATABASE_NAME
    try:
        home.chmod(0o700)
    except OSError as cause:
        raise storage_error(cause, home) from None
    publish(folder / DATABASE_NAME, target)
    try:
        return Header.from_bytes(header.to_bytes()).install(home)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def database_master(home: Path, header: Header, master: MasterKey) -> MasterKey:
    """The master key whose database key opens the database: ``master``, or the pending one where a change of keys was
    cut off after the database was exchanged.

    Raises:
        VaultDamaged: neither does.
    """
    pending = header.pending(master) if header.rotating else None
    if pending is not None and _opens(home, pending):
        return pending
    return master


def _opens(home: Path, master: MasterKey) -> bool:
    try:
        Database.open(home / DATABASE_NAME, master.derive(Purpose.DATABASE), readonly=True).close()
    except VaultDamaged:
        return False
    return True


def tidy(home: Path, header: Header, master: MasterKey) -> None:
    """Clear what a crash may have left, while nobody else is in the home."""
    sweep(home)
    path = home / DATABASE_NAME
    refuse_plaintext(path)
    prove_log(path, database_master(home, header, master).derive(Purpose.DATABASE))


def _open_database(home: Path, master: MasterKey, progress: Progress | None = None) -> Database:
    database = Database.open(home / DATABASE_NAME, master.derive(Purpose.DATABASE))
    try:
        migrate(database, progress)
    except BaseException:
        database.close()
        raise
    return database
