"""The schema, as named steps that each run once, in order, all or nothing."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

from edgeperso.errors import VaultTooNew
from edgeperso.events import Event, emit
from edgeperso.times import now_ms
from edgeperso.vault.database import Database

if TYPE_CHECKING:
    from edgeperso.types import Progress

__all__ = ["ADAPTERS_SCHEMA", "FIRST_SCHEMA", "MIGRATIONS", "STATES_SCHEMA", "migrate"]

FIRST_SCHEMA: Final = (
    "CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    "CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID",
    "INSERT INTO counters VALUES ('generation', 0)",
    """CREATE TABLE memories (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        text TEXT NOT NULL,
        kind TEXT NOT NULL,
        source TEXT NOT NULL,
        locator TEXT NOT NULL,
        title TEXT NOT NULL,
        author TEXT NOT NULL,
        thread TEXT NOT NULL,
        position INTEGER NOT NULL,
        occurred_ms INTEGER,
        recorded_ms INTEGER NOT NULL,
        scope TEXT NOT NULL,
        trust TEXT NOT NULL,
        digest BLOB NOT NULL,
        language TEXT NOT NULL DEFAULT '',
        revision INTEGER NOT NULL DEFAULT 0,
        superseded_by INTEGER REFERENCES memories (id),
        closed_ms INTEGER
    ) STRICT""",
    "CREATE UNIQUE INDEX memories_origin ON memories (source, coalesce(occurred_ms, 0) >> 26, digest)",
    "CREATE INDEX memories_thread ON memories (thread, position) WHERE thread <> ''",
    "CREATE INDEX memories_superseded ON memories (superseded_by) WHERE superseded_by IS NOT NULL",
    """CREATE TABLE spaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        embedder TEXT NOT NULL UNIQUE,
        dim INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE vectors (
        space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
        data BLOB NOT NULL,
        UNIQUE (space_id, memory_id)
    ) STRICT""",
    "CREATE INDEX vectors_memory ON vectors (memory_id)",
    """CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        space TEXT NOT NULL,
        number INTEGER NOT NULL,
        low_id INTEGER NOT NULL,
        high_id INTEGER NOT NULL,
        ids BLOB NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (kind, space, number)
    ) STRICT""",
    "CREATE TABLE profile (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID",
    """CREATE TABLE facts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        memory_id INTEGER NOT NULL REFERENCES memories (id),
        subject TEXT NOT NULL,
        attribute TEXT NOT NULL,
        value TEXT NOT NULL,
        valid_from_ms INTEGER NOT NULL,
        valid_to_ms INTEGER,
        recorded_ms INTEGER NOT NULL,
        closed_by INTEGER REFERENCES facts (id)
    ) STRICT""",
    "CREATE INDEX facts_memory ON facts (memory_id)",
    "CREATE INDEX facts_subject ON facts (subject, attribute)",
    "CREATE INDEX facts_closed ON facts (closed_by) WHERE closed_by IS NOT NULL",
    "CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, started_ms INTEGER NOT NULL) STRICT",
    """CREATE TABLE turns (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        trace TEXT,
        erased INTEGER NOT NULL DEFAULT 0
    ) STRICT""",
    "CREATE INDEX turns_conversation ON turns (conversation_id)",
    """CREATE TABLE imports (
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (source, digest)
    ) STRICT, WITHOUT ROWID""",
)

ADAPTERS_SCHEMA: Final = (
    """CREATE TABLE adapters (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        form TEXT NOT NULL,
        objective TEXT NOT NULL,
        granularity TEXT NOT NULL,
        base_sha256 TEXT NOT NULL,
        base_name TEXT NOT NULL,
        rank INTEGER NOT NULL,
        alpha REAL NOT NULL,
        state TEXT NOT NULL,
        report TEXT NOT NULL,
        card TEXT,
        evidence INTEGER NOT NULL,
        content TEXT NOT NULL,
        created_ms INTEGER NOT NULL,
        digest TEXT NOT NULL,
        size_bytes INTEGER NOT NULL
    ) STRICT""",
    "CREATE INDEX adapters_name ON adapters (name)",
    """CREATE TABLE adapter_chunks (
        adapter_id INTEGER NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (adapter_id, number)
    ) STRICT""",
    """CREATE TABLE adapter_sources (
        adapter_id INTEGER NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        source_id INTEGER NOT NULL,
        PRIMARY KEY (adapter_id, kind, source_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX adapter_sources_source ON adapter_sources (kind, source_id)",
    """CREATE TABLE worn_adapters (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        granularity TEXT NOT NULL,
        adapter_id INTEGER NOT NULL REFERENCES adapters (id) ON DELETE CASCADE,
        scale REAL NOT NULL,
        overruled INTEGER NOT NULL,
        since_ms INTEGER NOT NULL,
        until_ms INTEGER,
        place INTEGER
    ) STRICT""",
    "CREATE UNIQUE INDEX worn_adapters_now ON worn_adapters (granularity) WHERE until_ms IS NULL",
    "CREATE INDEX worn_adapters_adapter ON worn_adapters (adapter_id)",
    """CREATE TABLE checkpoints (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL UNIQUE,
        saved_ms INTEGER NOT NULL
    ) STRICT""",
    """CREATE TABLE checkpoint_chunks (
        checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (checkpoint_id, number)
    ) STRICT""",
    """CREATE TABLE checkpoint_sources (
        checkpoint_id INTEGER NOT NULL REFERENCES checkpoints (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        source_id INTEGER NOT NULL,
        PRIMARY KEY (checkpoint_id, kind, source_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX checkpoint_sources_source ON checkpoint_sources (kind, source_id)",
    """CREATE TABLE pairs (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        prompt TEXT NOT NULL,
        chosen TEXT NOT NULL,
        rejected TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        scope TEXT NOT NULL,
        turn_id INTEGER REFERENCES turns (id)
    ) STRICT""",
    "CREATE INDEX pairs_turn ON pairs (turn_id) WHERE turn_id IS NOT NULL",
    """CREATE TABLE pair_memories (
        pair_id INTEGER NOT NULL REFERENCES pairs (id) ON DELETE CASCADE,
        memory_id INTEGER NOT NULL REFERENCES memories (id),
        PRIMARY KEY (pair_id, memory_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX pair_memories_memory ON pair_memories (memory_id)",
    "ALTER TABLE turns ADD COLUMN accepted_ms INTEGER",
    "CREATE INDEX turns_accepted ON turns (accepted_ms) WHERE accepted_ms IS NOT NULL",
)

STATES_SCHEMA: Final = (
    """CREATE TABLE states (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        binding TEXT NOT NULL,
        prefix TEXT NOT NULL,
        digest TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        saved_ms INTEGER NOT NULL,
        UNIQUE (binding, prefix)
    ) STRICT""",
    """CREATE TABLE state_chunks (
        state_id INTEGER NOT NULL REFERENCES states (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (state_id, number)
    ) STRICT""",
    """CREATE TABLE state_sources (
        state_id INTEGER NOT NULL REFERENCES states (id) ON DELETE CASCADE,
        kind TEXT NOT NULL,
        source_id INTEGER NOT NULL,
        PRIMARY KEY (state_id, kind, source_id)
    ) STRICT, WITHOUT ROWID""",
    "CREATE INDEX state_sources_source ON state_sources (kind, source_id)",
    """CREATE TABLE memory_states (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        binding TEXT NOT NULL,
        prefix TEXT NOT NULL,
        memory_id INTEGER REFERENCES memories (id) ON DELETE CASCADE,
        tokens TEXT NOT NULL,
        digest TEXT NOT NULL,
        size_bytes INTEGER NOT NULL,
        worn INTEGER NOT NULL,
        worth REAL NOT NULL,
        saved_ms INTEGER NOT NULL,
        UNIQUE (binding, prefix, memory_id)
    ) STRICT""",
    "CREATE INDEX memory_states_memory ON memory_states (memory_id)",
    """CREATE TABLE memory_state_chunks (
        memory_state_id INTEGER NOT NULL REFERENCES memory_states (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        data BLOB NOT NULL,
        UNIQUE (memory_state_id, number)
    ) STRICT""",
    # Segments are large rows: to find those that hold a memory without it reads a page of each.
    "CREATE INDEX segments_span ON segments (low_id, high_id)",
)

_VECTORS_BY_KEY: Final = """CREATE TABLE vectors_by_key (
        key INTEGER PRIMARY KEY CHECK (key = memory_id * 65536 + space_id AND space_id < 65536),
        memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
        space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        data BLOB NOT NULL
    ) STRICT"""
_MOVE: Final = """INSERT INTO vectors_by_key (key, memory_id, space_id, data)
    SELECT memory_id * 65536 + space_id, memory_id, space_id, data FROM vectors WHERE memory_id <= ?
    ORDER BY memory_id, space_id"""
_MOVED_AT_ONCE: Final = 5000
"""So many vectors take a tenth of a second."""
_STAGE: Final = "upgrading the vault"


def _run(statements: tuple[str, ...], database: Database, _: Progress | None) -> None:
    for statement in statements:
        database.execute(statement)


def _give_vectors_keys(database: Database, progress: Progress | None) -> None:
    """One place for each vector: read by its memory and space it costs one page, not one of an index as well. (Without
    rowid, whole vectors would lie in the inner pages of the tree, which would have twice as many levels.)

    Moved in pieces, the new table takes over the pages that the old one leaves: it takes half the room, and half the
    time, of a copy beside it.
    """
    database.execute(_VECTORS_BY_KEY)
    total, done = int(database.rows("SELECT count(*) FROM vectors")[0][0]), 0
    while first := database.rows("SELECT memory_id FROM vectors ORDER BY memory_id LIMIT ?", (_MOVED_AT_ONCE,)):
        if progress is not None:
            progress(_STAGE, done, total)
        database.execute(_MOVE, first[-1])
        done += database.execute("DELETE FROM vectors WHERE memory_id <= ?", first[-1])
    database.execute("DROP TABLE vectors")
    database.execute("ALTER TABLE vectors_by_key RENAME TO vectors")
    database.execute("CREATE INDEX vectors_memory ON vectors (memory_id, space_id)")
    if progress is not None and total:
        progress(_STAGE, done, total)


MIGRATIONS: Final[dict[str, Callable[[Database, Progress | None], None]]] = {
    "2025-01 first": partial(_run, FIRST_SCHEMA),
    "2026-11 adapters": partial(_run, ADAPTERS_SCHEMA),
    "2026-11 states": partial(_run, STATES_SCHEMA),
    "2026-11 vectors by key": _give_vectors_keys,
}
"""By name, in order. A step that was ever released is never changed: add another one. One that may take longer than a
second tells how far it is."""


def migrate(database: Database, progress: Progress | None = None) -> int:
    """Bring the schema to this version's and return how many steps that took.

    Raises:
        VaultTooNew: the vault holds a step that this version doesn't know; nothing was changed.
        DiskFull, ReadOnly, VaultError: it can't be written; nothing was changed.
    """
    if _applied(database) == list(MIGRATIONS):
        return 0
    with database.transaction():
        database.execute(
            "CREATE TABLE IF NOT EXISTS migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, "
            "at_ms INTEGER NOT NULL) STRICT"
        )
        applied = _applied(database)
        missing = [name for name in MIGRATIONS if name not in applied]
        for name in missing:
            MIGRATIONS[name](database, progress)
            database.execute("INSERT INTO migrations (name, at_ms) VALUES (?, ?)", (name, now_ms()))
    if applied:  # not a new vault
        emit(Event.VAULT_MIGRATED, steps=len(missing))
    return len(missing)


def _applied(database: Database) -> list[str]:
    if database.row("SELECT 1 FROM sqlite_schema WHERE name = 'migrations'") is None:
        return []
    applied = [str(name) for (name,) in database.rows("SELECT name FROM migrations ORDER BY number")]
    unknown = [name for name in applied if name not in MIGRATIONS]
    if unknown:
        raise VaultTooNew(f"The vault was written by a newer edgeperso ({len(unknown)} unknown changes).")
    return applied
