"""The encrypted file: the only place that speaks to SQLCipher.

Promises:

- A plaintext database never comes into being. Every connection is keyed before its first statement, no empty key is
  accepted anywhere, and the first 16 bytes of each file are looked at after it was made, opened or exported.
- Nothing acknowledged is lost to a crash: write-ahead log, ``synchronous=FULL``.
- Nothing of a person is written outside the encrypted pages: temporary tables stay in memory, deleted content is
  overwritten with zeros, and no message of SQLite (which may hold text) leaves this module.

One connection serves all threads of the process; a lock lets one thread at a time use it, and a transaction keeps the
lock until it ends. Several processes may hold the same file at once.
"""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from sqlcipher3 import dbapi2

from edgeperso.errors import (
    DataInvalid,
    DiskFull,
    EdgepersoError,
    PlaintextRefused,
    ReadOnly,
    VaultBusy,
    VaultDamaged,
    VaultError,
    VaultExists,
)
from edgeperso.secrecy import Secret
from edgeperso.vault.changes import Changes
from edgeperso.vault.database_files import (
    PAGE_BYTES,
    open_files,
    refuse_plaintext,
    refused_write,
    remove_database,
    sync_path,
)
from edgeperso.vault.key_storage import storage_error

if TYPE_CHECKING:
    import sqlite_utils

__all__ = ["BUSY_TIMEOUT_MS", "Database", "Row", "Values"]

Row = tuple[Any, ...]
_T = TypeVar("_T")
Values = Sequence[str | int | float | bytes | None]

BUSY_TIMEOUT_MS: Final = 10_000
KEY_BYTES: Final = 32
_SETTINGS: Final = (
    f"busy_timeout = {BUSY_TIMEOUT_MS}",
    "temp_store = MEMORY",
    "foreign_keys = ON",
    "secure_delete = ON",
    "synchronous = FULL",
    "wal_autocheckpoint = 1000",
)
# SHA-256 runs in hardware where SHA-512 doesn't, and larger pages cost fewer of either.
_CIPHER_SETTINGS: Final = ("cipher_hmac_algorithm = HMAC_SHA256", f"cipher_page_size = {PAGE_BYTES}")

_ERROR, _BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _TOOBIG, _NOTADB = (
    1,
    5,
    6,
    8,
    10,
    11,
    13,
    14,
    18,
    26,
)
# A disk that refuses to be written reports one of these (EDQUOT, EFBIG …) and not SQLITE_FULL.
_IOERR_WRITES: Final = {778, 1034, 1290, 1546, 4874}


def _import_sqlite_utils() -> Any:
    """Import sqlite_utils so that it speaks to SQLCipher's sqlite3; other users of pysqlite3 are left alone."""
    names = {"pysqlite3": importlib.import_module("sqlcipher3"), "pysqlite3.dbapi2": dbapi2}
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update(names)
    try:
        return importlib.import_module("sqlite_utils")
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


_sqlite_utils = _import_sqlite_utils()


def _translate(error: dbapi2.Error, folder: Path) -> EdgepersoError:
    """One of our errors for one of SQLite's, by its code alone: the message may hold a person's text."""
    code = getattr(error, "sqlite_errorcode", None) or 0
    if code in (_ERROR, _IOERR):  # SQLCipher reports a refused write so, too
        refused = refused_write(folder)
        if refused is not None:
            return refused
    family = code & 0xFF
    if family in (_BUSY, _LOCKED):
        return VaultBusy("Another process keeps the vault locked.")
    if family == _FULL or code in _IOERR_WRITES:
        return DiskFull("The disk is full, or refuses to be written.")
    if family == _READONLY:
        return ReadOnly("The vault can't be written.")
    if family in (_CORRUPT, _NOTADB, _IOERR):
        return VaultDamaged(f"The vault's database fails its checks (code {code}).")
    if family == _CANTOPEN:
        return VaultError("The vault's database can't be opened.", hint="Check that its folder exists and is yours.")
    if family == _TOOBIG:
        return DataInvalid("A text is too large for the vault (limit 1 GB).")
    return VaultError(f"The vault's database refused a statement (code {code}).")


def _translated(action: Callable[[], _T], folder: Path) -> _T:
    """The result of ``action``, or our error for SQLite's. Raised outside the ``except`` block, so that SQLite's own,
    which may hold text, doesn't ride along as context."""
    try:
        return action()
    except dbapi2.Error as error:
        failure = _translate(error, folder)
    except UnicodeEncodeError:
        failure = DataInvalid("A text holds characters that have no UTF-8 form.", hint="Decode it again.")
    raise failure


class Database:
    """One keyed connection to one encrypted file, shared by the threads of this process.

    Use `open`; every method raises a `VaultError` of the tree and nothing of SQLite's.
    """

    def __init__(self, connection: Any, path: Path, identity: tuple[int, int]) -> None:
        self._connection = connection
        self._path = path
        self._identity = identity
        self._lock = threading.RLock()
        self._depth = 0
        self.changes = Changes()
        self.tables: sqlite_utils.Database = _sqlite_utils.Database(
            connection, recursive_triggers=False, execute_plugins=False
        )

    @classmethod
    def create(cls, path: Path, key: Secret) -> None:
        """Make an empty encrypted database at ``path``, readable by its owner alone, and look at what was made.

        Raises:
            VaultExists: there is a file.
            PlaintextRefused: the key is not one, or the file came out unencrypted; it was removed.
            DiskFull, ReadOnly, VaultError: it can't be made.
        """
        _require_key(key)
        _touch(path)
        try:
            connection = _translated(lambda: _connect(path, key, "rw"), path.parent)
            try:
                _translated(lambda: connection.execute("PRAGMA journal_mode = WAL"), path.parent)
            finally:
                connection.close()
            refuse_plaintext(path)
        except BaseException:
            remove_database(path)
            raise

    @classmethod
    def open(cls, path: Path, key: Secret, *, readonly: bool = False) -> Database:
        """Open the database at ``path``.

        Args:
            path: the file, made by `create`.
            key: 32 random bytes.
            readonly: change nothing, not even by folding a write-ahead log into the file.

        Raises:
            PlaintextRefused: the file is not encrypted, or the key is not one.
            VaultDamaged: the file is missing, cut short, or can't be read with this key.
            VaultError: SQLite can't open it.
        """
        _require_key(key)
        with open_files.lock:
            refuse_plaintext(path)
            identity = open_files.add(path)
        connection = None
        try:
            connection = _translated(lambda: _connect(path, key, "ro" if readonly else "rw"), path.parent)
            _translated(lambda: connection.execute("SELECT count(*) FROM sqlite_schema").fetchone(), path.parent)
            return cls(connection, path, identity)
        except BaseException:
            if connection is not None:
                connection.close()
            open_files.remove(identity)
            raise

    @property
    def path(self) -> Path:
        return self._path

    @property
    def in_transaction(self) -> bool:
        """Whether this thread is within `transaction`; waits for other threads' to end."""
        with self._lock:
            return self._depth > 0

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the write-ahead log into the file."""
        with self._lock:
            _translated(self._connection.close, self._path.parent)
        open_files.remove(self._identity)

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement and return how many rows it changed."""
        return self._run(lambda: int(self._connection.execute(sql, values).rowcount))

    def executemany(self, sql: str, rows: Iterable[Values]) -> int:
        """Run one statement for each of ``rows`` and return how many rows were changed in all."""

        def run() -> int:
            before = self._connection.total_changes
            self._connection.executemany(sql, rows)
            return int(self._connection.total_changes - before)

        return self._run(run)

    def insert(self, sql: str, values: Values = ()) -> int:
        """Run one insertion and return the new row's id."""
        return self._run(lambda: int(self._connection.execute(sql, values).lastrowid))

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        def run() -> list[Row]:
            rows: list[Row] = self._connection.execute(sql, values).fetchall()
            return rows

        return self._run(run)

    def row(self, sql: str, values: Values = ()) -> Row | None:
        rows = self.rows(sql, values)
        return rows[0] if rows else None

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Only one writer at a time in all processes; a nested block joins the outer transaction, and
        when it fails only its own changes are taken back."""
        with self._lock:
            outermost = self._depth == 0
            name = f"nested_{self._depth}"
            self.execute("BEGIN IMMEDIATE" if outermost else f"SAVEPOINT {name}")
            self._depth += 1
            try:
                yield
                self.execute("COMMIT" if outermost else f"RELEASE {name}")
            except BaseException:
                self.changes.clear()
                self._take_back(None if outermost else name)
                raise
            finally:
                self._depth -= 1

    def export(self, path: Path, key: Secret) -> None:
        """Write a copy of all that is stored to a new file, encrypted under ``key`` and durable.

        Raises:
            VaultExists: there is a file.
            PlaintextRefused: the key is not one, or the copy came out unencrypted; it was removed.
            DiskFull, ReadOnly, VaultError: it can't be written; nothing is left of it.
        """
        _require_key(key)
        _touch(path)
        try:
            self._run(lambda: self._export(path, key))
            refuse_plaintext(path)
            sync_path(path)
        except BaseException:
            remove_database(path)
            raise

    def _export(self, path: Path, key: Secret) -> None:
        run = self._connection.execute
        run(f"ATTACH DATABASE ? AS export KEY \"x'{key.hex()}'\"", (str(path),))
        try:
            for setting in _CIPHER_SETTINGS:
                run(f"PRAGMA export.{setting}")
            # In one transaction: what others store meanwhile is in the copy whole or not at all.
            run("BEGIN")
            run("SELECT sqlcipher_export('export')").fetchone()
            run("COMMIT")
            run("PRAGMA export.journal_mode = WAL")
        finally:
            if self._connection.in_transaction:
                run("ROLLBACK")
            run("DETACH DATABASE export")

    def check_quickly(self) -> None:
        """Read every page that the database reaches.

        Raises:
            VaultDamaged: a page isn't authentic, or not where it belongs.
        """
        if self.rows("PRAGMA quick_check(1)") != [("ok",)]:
            raise VaultDamaged("The vault's database fails its checks.")

    def check(self) -> None:
        """Prove every page of the file and every index and reference between tables.

        Raises:
            VaultDamaged: one of them doesn't hold.
        """
        self.checkpoint()
        # As the only writer: a page that another process folds in while its MAC is taken would look damaged.
        with self.transaction():
            sound = (
                not self.rows("PRAGMA cipher_integrity_check")
                and self.rows("PRAGMA integrity_check(1)") == [("ok",)]
                and not self.rows("PRAGMA foreign_key_check")
            )
        if not sound:
            raise VaultDamaged("The vault's database fails its checks.")

    def counts(self) -> dict[str, int]:
        """How many rows each table has."""
        return self._run(lambda: {name: int(self.tables[name].count) for name in self.tables.table_names()})

    def checkpoint(self) -> bool:
        """Fold the write-ahead log into the file and empty it; False when another process is in the way."""
        row = self.row("PRAGMA wal_checkpoint(TRUNCATE)")
        return row is not None and row[0] == 0

    def _run(self, action: Callable[[], _T]) -> _T:
        with self._lock:
            return _translated(action, self._path.parent)

    def _take_back(self, savepoint: str | None) -> None:
        if not self._connection.in_transaction:  # SQLite did it already, as on a full disk
            return
        if savepoint is None:
            self.execute("ROLLBACK")
        else:
            self.execute(f"ROLLBACK TO {savepoint}")
            self.execute(f"RELEASE {savepoint}")


def _require_key(key: Secret) -> None:
    if len(key) != KEY_BYTES:
        raise PlaintextRefused(f"A database key has {KEY_BYTES} bytes.", hint="Nothing was written.")


def _touch(path: Path) -> None:
    try:
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        raise VaultExists(f"{path.name} exists already.") from None
    except OSError as cause:
        raise storage_error(cause, path) from None


def _connect(path: Path, key: Secret, mode: str) -> Any:
    """A keyed connection. The key goes in before anything else: a file that was made without one is plaintext."""
    connection = dbapi2.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )
    try:
        connection.execute("PRAGMA cipher_log_level = NONE")
        connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
        for setting in (*_CIPHER_SETTINGS, *_SETTINGS):
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection
