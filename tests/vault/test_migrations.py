from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edgeperso.errors import VaultTooNew
from edgeperso.types import Kind, Record, Role
from edgeperso.vault import KeyFile, Vault, backup, erasure, migrations
from edgeperso.vault.database import Database
from edgeperso.vault.migrations import MIGRATIONS, migrate

KEY = bytes(range(32))
HERE = Path(__file__).parent
FIRST_SCHEMA = HERE / "schema_2025_01.sql"
"""The schema as the first version left it. It never changes: every later version must be able to open it."""
ADAPTERS_SCHEMA = HERE / "schema_2026_11.sql"
"""The same once adapters came."""
STATES_SCHEMA = HERE / "schema_2026_11_states.sql"
"""The same once the model's states came."""
KEYED_SCHEMA = HERE / "schema_2026_11_keyed.sql"
"""The same once vectors had keys."""


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


@pytest.mark.parametrize(
    ("steps", "frozen"), [(1, FIRST_SCHEMA), (2, ADAPTERS_SCHEMA), (3, STATES_SCHEMA), (4, KEYED_SCHEMA)]
)
def test_the_released_steps_make_the_frozen_schemas(database: Database, monkeypatch, steps: int, frozen: Path) -> None:
    monkeypatch.setattr(migrations, "MIGRATIONS", dict(list(MIGRATIONS.items())[:steps]))
    migrate(database)
    assert schema(database) == frozen.read_text()


def test_a_vault_of_the_first_version_opens(database: Database) -> None:
    for statement in FIRST_SCHEMA.read_text().split(";\n"):
        database.execute(statement)
    database.execute("INSERT INTO counters VALUES ('generation', 0)")
    database.execute("INSERT INTO migrations (name, at_ms) VALUES (?, 0)", (next(iter(MIGRATIONS)),))
    migrate(database)
    from edgeperso.vault.memories import Memories

    assert Memories(database).add([Record("x", Kind.NOTE, "a")]).ids == (1,)


@pytest.fixture
def old(home: Path, key: KeyFile, note, tmp_path: Path, monkeypatch) -> Path:
    """A home as the first version left it, with a memory and an answer; its backup is returned."""
    monkeypatch.setattr(migrations, "MIGRATIONS", dict(list(MIGRATIONS.items())[:1]))
    with Vault.create(home, key)[0] as vault:
        vault.memories.add([note("from before")])
        talk = vault.conversations.start()
        vault.conversations.add_turn(talk, Role.PERSON, "When?")
        vault.conversations.add_turn(talk, Role.ASSISTANT, "Now.", {"sources": [1]})
        assert "adapters" not in vault.database.counts()
        backup.write(vault, tmp_path / "old.backup")
    monkeypatch.undo()
    return tmp_path / "old.backup"


@pytest.mark.parametrize("restored", [False, True])
def test_an_old_vault_learns_and_forgets(old: Path, home: Path, key: KeyFile, tmp_path: Path, lora, restored) -> None:
    if restored:
        home = tmp_path / "restored"
        backup.restore(old, home, key)
    with Vault.open(home, key) as vault:
        assert [memory.text for memory in vault.memories.scan()] == ["from before"]
        assert vault.conversations.accepted_turns() == []
        vault.conversations.accept(2)
        pair = vault.pairs.add("When?", "Later.", "Now.", at_ms=0, scope="personal", turn_id=2).id
        vault.adapters.add(lora(), b"x", memories=[1], turns=[2], pairs=[pair])
        vault.check()
        receipt = erasure.erase(vault, erasure.plan(vault, ids=[1]))
        assert (receipt.answers, receipt.pairs, receipt.adapter_ids) == (1, 1, (1,))
        vault.check()


TWO_SPACES = {"one": np.eye(3, 4, dtype=np.float16), "two": np.eye(3, 5, 2, dtype=np.float16)}


@pytest.mark.parametrize("at_once", [1, 4, 5000])
def test_vectors_keep_their_memories_when_they_get_keys(
    home: Path, key: KeyFile, vault_without_keys, monkeypatch, at_once: int
) -> None:
    monkeypatch.setattr(migrations, "_MOVED_AT_ONCE", at_once)
    ids = vault_without_keys(home, key.path, TWO_SPACES)

    def broken(*_: object) -> None:
        raise KeyError

    monkeypatch.setattr(migrations, "MIGRATIONS", {**MIGRATIONS, "broken": broken})
    with pytest.raises(KeyError):  # after the old table was dropped: it comes back
        Vault.open(home, key)
    monkeypatch.setattr(migrations, "MIGRATIONS", MIGRATIONS)
    with Vault.open(home, key) as vault:
        assert vault.vectors.spaces() == [("one", 4, 3), ("two", 5, 3)]
        for embedder, vectors in TWO_SPACES.items():
            there, read = vault.vectors.load(embedder)
            assert (there.tolist(), read.tolist()) == (ids, vectors.tolist())
        erasure.erase(vault, erasure.plan(vault, ids=[ids[1]]))
        assert vault.vectors.of("two", ids)[0].tolist() == [ids[0], ids[2]]
        assert vault.database.row("SELECT count(*) FROM vectors") == (4,)
        vault.check()


@pytest.mark.parametrize("restored", [False, True])
def test_an_upgrade_says_how_far_it_is(
    home: Path, key: KeyFile, vault_without_keys, monkeypatch, caplog, restored: bool
) -> None:
    monkeypatch.setattr(migrations, "_MOVED_AT_ONCE", 2)
    vault_without_keys(home, key.path, TWO_SPACES)
    told: list[tuple[str, int, int | None]] = []
    caplog.set_level("INFO", "edgeperso")
    if restored:
        backup.restore(
            home.with_suffix(".backup"), home.with_name("restored"), key, progress=lambda *one: told.append(one)
        )
    else:
        Vault.open(home, key, progress=lambda *one: told.append(one)).close()
    assert told == [("upgrading the vault", done, 6) for done in (0, 2, 4, 6)]
    assert "vault.migrated steps=1" in caplog.messages
    told.clear()
    Vault.open(home.with_name("restored") if restored else home, key, progress=lambda *one: told.append(one)).close()
    assert not told


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
    def broken(database: Database, _: object) -> None:
        database.execute("CREATE TABLE half (x)")
        raise KeyError

    monkeypatch.setattr(migrations, "MIGRATIONS", {**MIGRATIONS, "broken": broken})
    with pytest.raises(KeyError):
        migrate(database)
    assert schema(database) == ""
    monkeypatch.undo()
    assert migrate(database) == len(MIGRATIONS)
