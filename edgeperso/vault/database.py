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
from collections import Counter
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
    VaultExists,
)
from edgeperso.vault.key_storage import storage_error

if TYPE_CHECKING:
    import sqlite_utils

__all__ = ["BUSY_TIMEOUT_MS", "Database", "Row", "Values", "refuse_plaintext"]

Row = tuple[Any, ...]
Values = Sequence[str | int | float | bytes | None]

BUSY_TIMEOUT_MS: Final = 10_000
KEY_BYTES: Final = 32
PAGE_BYTES: Final = 4096
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


class _OpenFiles:
    """The database files that this process has open, by device and inode.

    POSIX drops all locks that a process has on a file as soon as it closes any descriptor of it. So a database that is
    open here must not be opened by anything but SQLite: another process would take itself for the last one.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self._counts: Counter[tuple[int, int]] = Counter()

    def holds(self, path: Path) -> bool:
        return self._counts[_identity(path)] > 0

    def add(self, path: Path) -> tuple[int, int]:
        identity = _identity(path)
        self._counts[identity] += 1
        return identity

    def remove(self, identity: tuple[int, int]) -> None:
        with self.lock:
            self._counts[identity] -= 1


_open_files = _OpenFiles()


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def refuse_plaintext(path: Path) -> None:
    """Raise if the file at ``path`` is empty, or begins as an unencrypted database does.

    A file that this process has open was looked at when it was opened first.

    Raises:
        PlaintextRefused: the file is a plain SQLite database.
        VaultDamaged: the file is empty or shorter than a page.
        VaultError: the file is missing or can't be read.
    """
    with _open_files.lock:
        try:
            if _open_files.holds(path):
                return
            with path.open("rb") as file:
                head = file.read(PAGE_BYTES)
        except OSError:
            raise VaultDamaged(f"{path.name} is missing or can't be read.") from None
    if head.startswith(PLAIN_MAGIC):
        raise PlaintextRefused(f"{path.name} is an unencrypted database.")
    if len(head) < PAGE_BYTES:
        raise VaultDamaged(f"{path.name} is cut short.")


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

    def __init__(self, connection: Any, path: Path, identity: tuple[int, int]) -> None:
        self._connection = connection
        self._path = path
        self._identity = identity
        self._lock = threading.RLock()
        self._depth = 0
        self.tables: sqlite_utils.Database = _sqlite_utils.Database(
            connection, recursive_triggers=False, execute_plugins=False
        )

    @classmethod
    def create(cls, path: Path, key: bytes) -> None:
        """Make an empty encrypted database at ``path``, readable by its owner alone, and look at what was made.

        Raises:
            VaultExists: there is a file.
            PlaintextRefused: the key is not one, or the file came out unencrypted; it was removed.
            DiskFull, ReadOnly, VaultError: it can't be made.
        """
        _require_key(key)
        try:
            path.touch(mode=0o600, exist_ok=False)
        except FileExistsError:
            raise VaultExists(f"{path.name} exists already.") from None
        except OSError as cause:
            raise storage_error(cause, path) from None
        with _translated():
            connection = _connect(path, "rw")
            try:
                _prepare(connection, key)
                connection.execute("PRAGMA journal_mode = WAL")
            finally:
                connection.close()
        refuse_plaintext(path)

    @classmethod
    def open(cls, path: Path, key: bytes, *, readonly: bool = False) -> Database:
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
        with _open_files.lock:
            refuse_plaintext(path)
            identity = _open_files.add(path)
        connection = None
        try:
            with _translated():
                connection = _connect(path, "ro" if readonly else "rw")
                _prepare(connection, key)
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return cls(connection, path, identity)
        except BaseException:
            if connection is not None:
                connection.close()
            _open_files.remove(identity)
            raise

    @property
    def path(self) -> Path:
        return self._path

    def close(self) -> None:
        """Close the connection; the last one of all processes folds the write-ahead log into the file."""
        with self._lock, _translated():
            self._connection.close()
        _open_files.remove(self._identity)

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
        sound = (
            not self.rows("PRAGMA cipher_integrity_check")
            and self.rows("PRAGMA integrity_check(1)") == [("ok",)]
            and not self.rows("PRAGMA foreign_key_check")
        )
        if not sound:
            raise VaultDamaged("The vault's database fails its checks.")

    def checkpoint(self) -> bool:
        """Fold the write-ahead log into the file and empty it; False when another process is in the way."""
        row = self.row("PRAGMA wal_checkpoint(TRUNCATE)")
        return row is not None and row[0] == 0

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


def _require_key(key: bytes) -> None:
    if len(key) != KEY_BYTES:
        raise PlaintextRefused(f"A database key has {KEY_BYTES} bytes.", hint="Nothing was written.")


def _connect(path: Path, mode: str) -> Any:
    return dbapi2.connect(
        f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, check_same_thread=False
    )


def _prepare(connection: Any, key: bytes) -> None:
    connection.execute("PRAGMA cipher_log_level = NONE")
    connection.execute(f"PRAGMA key = \"x'{key.hex()}'\"")
    connection.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_MS}")
    connection.execute("PRAGMA temp_store = MEMORY")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA secure_delete = ON")
    connection.execute("PRAGMA synchronous = FULL")
