from __future__ import annotations

import errno
import traceback
from pathlib import Path

import pytest
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
from edgeperso.vault import database as database_module
from edgeperso.vault.database import Database
from edgeperso.vault.database_files import PAGE_BYTES, refuse_plaintext

KEY, OTHER = bytes(range(32)), bytes(range(1, 33))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "v.db"
    Database.create(path, KEY)
    return path


@pytest.fixture
def opened(path: Path):
    database = Database.open(path, KEY)
    database.execute("CREATE TABLE t (a TEXT UNIQUE)")
    yield database
    database.close()


def test_what_is_made_is_encrypted(opened: Database, path: Path) -> None:
    opened.execute("INSERT INTO t VALUES ('canary-value')")
    assert opened.checkpoint()
    data = path.read_bytes()
    assert not data.startswith(b"SQLite format 3")
    assert b"canary" not in data
    assert b"CREATE TABLE" not in data
    assert len(data) % PAGE_BYTES == 0


@pytest.mark.parametrize("key", [b"", b"short", bytes(31), bytes(33)])
def test_no_key_no_database(key: bytes, path: Path, opened: Database, tmp_path: Path) -> None:
    target = tmp_path / "new.db"
    for act in (
        lambda: Database.create(target, key),
        lambda: Database.open(path, key),
        lambda: opened.export(target, key),
    ):
        with pytest.raises(PlaintextRefused):
            act()
    assert not target.exists()


def test_a_database_that_comes_out_plain_is_removed(tmp_path: Path, opened: Database, monkeypatch) -> None:
    """As if the key pragma had been forgotten, or had no effect."""
    real = dbapi2.connect

    def keyless(*args: object, **kwargs: object) -> object:
        class Keyless:
            def __init__(self) -> None:
                self._real = real(*args, **kwargs)

            def execute(self, sql: str, *rest: object) -> object:
                if "key" in sql or "cipher" in sql:
                    return None
                return self._real.execute(sql, *rest)

            def close(self) -> None:
                self._real.execute("CREATE TABLE x (y)")
                self._real.close()

        return Keyless()

    monkeypatch.setattr(dbapi2, "connect", keyless)
    with pytest.raises(PlaintextRefused):
        Database.create(tmp_path / "plain.db", KEY)
    assert not (tmp_path / "plain.db").exists()


def test_plain_empty_and_short_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    plain = dbapi2.connect(str(path))
    plain.execute("CREATE TABLE t (a)")
    plain.close()
    before = path.read_bytes()
    with pytest.raises(PlaintextRefused):
        Database.open(path, KEY)
    assert path.read_bytes() == before
    for data in (b"", b"x", bytes(PAGE_BYTES - 1)):
        path.write_bytes(data)
        with pytest.raises(VaultDamaged):
            Database.open(path, KEY)
    path.unlink()
    with pytest.raises(VaultDamaged):
        refuse_plaintext(path)


def test_the_wrong_key_changes_nothing(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(VaultDamaged):
        Database.open(path, OTHER)
    assert path.read_bytes() == before
    Database.open(path, KEY).close()


def test_create_and_export_never_overwrite(path: Path, opened: Database) -> None:
    for act in (lambda: Database.create(path, KEY), lambda: opened.export(path, KEY)):
        with pytest.raises(VaultExists):
            act()


def test_export_holds_everything_under_the_other_key(opened: Database, tmp_path: Path) -> None:
    opened.execute("CREATE TABLE n (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)")
    for value in ("x", "y"):
        opened.insert("INSERT INTO n (a) VALUES (?)", (value,))
    opened.execute("DELETE FROM n WHERE a = 'y'")
    target = tmp_path / "copy.db"
    opened.export(target, OTHER)
    assert {each.name for each in tmp_path.iterdir()} <= {"v.db", "v.db-wal", "v.db-shm", "copy.db"}
    copy = Database.open(target, OTHER)
    copy.check()
    assert copy.insert("INSERT INTO n (a) VALUES ('z')") == 3
    assert copy.row("PRAGMA journal_mode") == ("wal",)
    copy.close()
    assert target.stat().st_mode & 0o777 == 0o600


def test_settings_of_a_connection(opened: Database) -> None:
    for pragma, value in (
        ("journal_mode", "wal"),
        ("synchronous", 2),
        ("temp_store", 2),
        ("secure_delete", 1),
        ("foreign_keys", 1),
        ("page_size", str(PAGE_BYTES)),
    ):
        assert opened.row(f"PRAGMA {pragma}") == (value,), pragma


def test_a_readonly_connection_changes_nothing(opened: Database, path: Path) -> None:
    reader = Database.open(path, KEY, readonly=True)
    with pytest.raises(ReadOnly):
        reader.execute("INSERT INTO t VALUES ('x')")
    reader.close()


def raised(code: int, tmp_path: Path) -> EdgepersoError:
    error = dbapi2.OperationalError("canary text in SQLite's own message")
    error.sqlite_errorcode = code

    def fail() -> None:
        raise error

    with pytest.raises(EdgepersoError) as caught:
        database_module._translated(fail, tmp_path)
    return caught.value


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (5, VaultBusy),
        (6, VaultBusy),
        (517, VaultBusy),
        (8, ReadOnly),
        (1032, ReadOnly),
        (11, VaultDamaged),
        (26, VaultDamaged),
        (266, VaultDamaged),
        (13, DiskFull),
        (778, DiskFull),
        (4874, DiskFull),
        (14, VaultError),
        (18, DataInvalid),
        (1, VaultError),
        (19, VaultError),
        (0, VaultError),
    ],
)
def test_every_error_of_sqlite_becomes_ours_and_says_nothing(
    code: int, kind: type[EdgepersoError], tmp_path: Path
) -> None:
    error = raised(code, tmp_path)
    assert type(error) is kind
    assert "canary" not in "".join(traceback.format_exception(error))
    assert error.__context__ is None


def test_a_value_never_shows_in_an_error(opened: Database) -> None:
    opened.execute("INSERT INTO t VALUES ('canary-value')")
    with pytest.raises(VaultError) as caught:
        opened.execute("INSERT INTO t VALUES ('canary-value')")
    assert "canary" not in "".join(traceback.format_exception(caught.value)).replace(
        "INSERT INTO t VALUES ('canary", ""
    )


def test_a_transaction_that_sqlite_ended_itself(opened: Database) -> None:
    """On a full disk SQLite rolls back by itself; our own ROLLBACK must not hide the error."""

    def fail() -> None:
        with opened.transaction():
            opened.execute("INSERT INTO t VALUES ('x')")
            opened._connection.execute("ROLLBACK")
            raise DiskFull("simulated")

    with pytest.raises(DiskFull):
        fail()
    assert opened.counts() == {"t": 0}
    with opened.transaction():
        opened.execute("INSERT INTO t VALUES ('x')")
    assert opened.counts() == {"t": 1}


def test_a_folder_that_takes_no_files(tmp_path: Path, monkeypatch) -> None:
    for number, kind in ((errno.ENOSPC, DiskFull), (errno.EROFS, ReadOnly), (errno.EIO, VaultError)):

        def fail(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, "simulated")

        monkeypatch.setattr(Path, "touch", fail)
        with pytest.raises(kind):
            Database.create(tmp_path / "x.db", KEY)
        monkeypatch.undo()
