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
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

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
)

if TYPE_CHECKING:
    import sqlite_utils

__all__ = ["BUSY_TIMEOUT_MS", "Database", "Row", "Values", "refuse_plaintext"]

Row = tuple[Any, ...]
Values = Sequence[str | int | float | bytes | None]

BUSY_TIMEOUT_MS: Final = 10_000
KEY_BYTES: Final = 32
PLAIN_MAGIC: Final = b"SQLite format 3\x00"

_BUSY, _LOCKED, _READONLY, _IOERR, _CORRUPT, _FULL, _CANTOPEN, _TOOBIG, _NOTADB = 5, 6, 8, 10, 11, 13, 14, 18, 26
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


def refuse_plaintext(path: Path) -> None:
    """Raise if the file at ``path`` begins as an unencrypted database does; a missing or empty file passes.

    Raises:
        PlaintextRefused: the file is a plain SQLite database.
    """
    try:
        with path.open("rb") as file:
            head = file.read(len(PLAIN_MAGIC))
    except FileNotFoundError:
        return
    if head == PLAIN_MAGIC:
        raise PlaintextRefused(f"{path.name} is an unencrypted database.")


def _translate(error: dbapi2.Error) -> EdgepersoError:
    """One of our errors for one of SQLite's, by its code alone: the message may hold a person's text."""
    code = getattr(error, "sqlite_errorcode", None) or 0
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


@contextmanager
def _translated() -> Iterator[None]:
    failure: EdgepersoError | None = None
    try:
        yield
    except dbapi2.Error as error:
        failure = _translate(error)
    except UnicodeEncodeError:
        failure = DataInvalid("A text holds characters that have no UTF-8 form.", hint="Decode it again.")
    if failure is not None:
        # Raised outside the except block: SQLite's message must not ride along as context.
        raise failure


class Database:
    """One keyed connection to one encrypted file, shared by the threads of this process.

    Use `open`; every method raises a `VaultError` of the tree and nothing of SQLite's.
    """

    def __init__(self, connection: Any, path: Path) -> None:
        self._connection = connection
        self._path = path
        self._lock = threading.RLock()
        self._depth = 0
        self.tables: sqlite_utils.Database = _sqlite_utils.Database(
            connection, recursive_triggers=False, execute_plugins=False
        )

    @classmethod
    def open(cls, path: Path, key: bytes, *, create: bool = False) -> Database:
        """Open the file at ``path``, or make it.

        Args:
            path: the database file; its folder exists.
            key: 32 random bytes.
            create: make the file; it must not exist yet.

        Raises:
            PlaintextRefused: the file is not encrypted.
            VaultDamaged: the file can't be read with this key.
            VaultError: the file is missing or can't be opened.
        """
        if len(key) != KEY_BYTES:
            raise PlaintextRefused("A database key has 32 bytes.", hint="Nothing was written.")
        if create == path.exists():
            raise VaultError(
                f"{path.name} {'exists already' if create else 'is missing'}.", hint="Nothing was changed."
            )
        refuse_plaintext(path)
        if not create and path.stat().st_size == 0:
            raise VaultDamaged(f"{path.name} is empty.")
        if create:
            path.touch(mode=0o600)
        with _translated():
            connection = dbapi2.connect(
                f"{path.absolute().as_uri()}?mode=rw", uri=True, isolation_level=None, check_same_thread=False
            )
        try:
            with _translated():
                _prepare(connection, key, create=create)
            refuse_plaintext(path)
            return cls(connection, path)
        except BaseException:
            connection.close()
            raise

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the write-ahead log into the file."""
        with self._lock, _translated():
            self._connection.close()

    def execute(self, sql: str, values: Values = ()) -> int:
        """Run one statement and return how many rows it changed."""
        with self._lock, _translated():
            return int(self._connection.execute(sql, values).rowcount)

    def executemany(self, sql: str, rows: Iterable[Values]) -> int:
        """Run one statement for each of ``rows`` and return how many rows were changed in all."""
        with self._lock, _translated():
            before = self._connection.total_changes
            self._connection.executemany(sql, rows)
            return int(self._connection.total_changes - before)

    def insert(self, sql: str, values: Values = ()) -> int:
        """Run one insertion and return the new row's id."""
        with self._lock, _translated():
            return int(self._connection.execute(sql, values).lastrowid)

    def rows(self, sql: str, values: Values = ()) -> list[Row]:
        with self._lock, _translated():
            rows: list[Row] = self._connection.execute(sql, values).fetchall()
            return rows

    def row(self, sql: str, values: Values = ()) -> Row | None:
        with self._lock, _translated():
            row: Row | None = self._connection.execute(sql, values).fetchone()
            return row

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing. Only one writer at a time in all processes; a nested block joins the outer transaction, and
        when it fails only its own changes are taken back."""
        with self._lock:
            outermost = self._depth == 0
            name = f"nested_{self._depth}"
            self._run("BEGIN IMMEDIATE" if outermost else f"SAVEPOINT {name}")
            self._depth += 1
            try:
                yield
                self._run("COMMIT" if outermost else f"RELEASE {name}")
            except BaseException:
                self._take_back(None if outermost else name)
                raise
            finally:
                self._depth -= 1

    def _run(self, sql: str) -> None:
        with _translated():
            self._connection.execute(sql)

    def _take_back(self, savepoint: str | None) -> None:
        if not self._connection.in_transaction:  # SQLite did it already, as on a full disk
            return
        if savepoint is None:
            self._run("ROLLBACK")
        else:
            self._run(f"ROLLBACK TO {savepoint}")
            self._run(f"RELEASE {savepoint}")


def _prepare(connection: Any, key: bytes, *, create: bool) -> None:
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if create:
        connection.execute("PRAGMA journal_mode = WAL")
