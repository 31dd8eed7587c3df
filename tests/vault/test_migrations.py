from __future__ import annotations

from pathlib import Path

import pytest

from edgeperso.errors import VaultTooNew
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault, migrations
from edgeperso.vault.database import Database
from edgeperso.vault.migrations import MIGRATIONS, migrate

KEY = bytes(range(32))
FIRST_SCHEMA = Path(__file__).parent / "schema_2025_01.sql"
"""The schema as the first version left it. It never changes: every later version must be able to open it."""


@pytest.fixture
def database(tmp_path: Path):
    path = tmp_path / "v.db"
    Database.create(path, KEY)
    database = Database.open(path, KEY)
    yield database
    database.close()


def schema(database: Database) -> str:
    rows = database.rows(
        "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY name"
    )
    return "".join(f"{sql};\n" for (sql,) in rows)


def test_the_first_step_makes_the_frozen_schema(database: Database, monkeypatch) -> None:
    name = next(iter(MIGRATIONS))
    monkeypatch.setattr(migrations, "MIGRATIONS", {name: MIGRATIONS[name]})
    migrate(database)
    assert schema(database) == FIRST_SCHEMA.read_text()


def test_a_vault_of_the_first_version_opens(database: Database) -> None:
    for statement in FIRST_SCHEMA.read_text().split(";\n"):
        database.execute(statement)
    database.execute("INSERT INTO counters VALUES ('generation', 0)")
    database.execute("INSERT INTO migrations (name, at_ms) VALUES (?, 0)", (next(iter(MIGRATIONS)),))
    migrate(database)
    from edgeperso.vault.memories import Memories

    assert Memories(database).add([Record("x", Kind.NOTE, "a")]).ids == (1,)


def test_each_step_runs_once(database: Database) -> None:
    assert migrate(database) == len(MIGRATIONS)
    assert migrate(database) == 0


def test_a_newer_vault_is_left_as_it_is(home: Path, key: KeyFile, vault: Vault) -> None:
    vault.database.execute("INSERT INTO migrations (name, at_ms) VALUES ('2099 unheard of', 0)")
    vault.close()
    before = (home / "vault.db").read_bytes()
    with pytest.raises(VaultTooNew):
        Vault.open(home, key)
    assert (home / "vault.db").read_bytes() == before


def test_a_step_that_fails_leaves_nothing(database: Database, monkeypatch) -> None:
    def broken(database: Database) -> None:
        database.execute("CREATE TABLE half (x)")
        raise KeyError

    monkeypatch.setattr(migrations, "MIGRATIONS", {**MIGRATIONS, "broken": broken})
    with pytest.raises(KeyError):
        migrate(database)
    assert schema(database) == ""
    monkeypatch.undo()
    assert migrate(database) == len(MIGRATIONS)
