CREATE TABLE conversations (id INTEGER PRIMARY KEY AUTOINCREMENT, started_ms INTEGER NOT NULL) STRICT;
CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE facts (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        memory_id INTEGER NOT NULL REFERENCES memories (id),
        subject TEXT NOT NULL,
        attribute TEXT NOT NULL,
        value TEXT NOT NULL,
        valid_from_ms INTEGER NOT NULL,
        valid_to_ms INTEGER,
        recorded_ms INTEGER NOT NULL,
        closed_by INTEGER REFERENCES facts (id)
    ) STRICT;
CREATE INDEX facts_closed ON facts (closed_by) WHERE closed_by IS NOT NULL;
CREATE INDEX facts_memory ON facts (memory_id);
CREATE INDEX facts_subject ON facts (subject, attribute);
CREATE TABLE imports (
        source TEXT NOT NULL,
        digest TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        PRIMARY KEY (source, digest)
    ) STRICT, WITHOUT ROWID;
CREATE TABLE memories (
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
    ) STRICT;
CREATE UNIQUE INDEX memories_origin ON memories (source, coalesce(occurred_ms, 0) >> 26, digest);
CREATE INDEX memories_superseded ON memories (superseded_by) WHERE superseded_by IS NOT NULL;
CREATE INDEX memories_thread ON memories (thread, position) WHERE thread <> '';
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE migrations (number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, at_ms INTEGER NOT NULL) STRICT;
CREATE TABLE profile (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE segments (
        id INTEGER PRIMARY KEY,
        kind TEXT NOT NULL,
        space TEXT NOT NULL,
        number INTEGER NOT NULL,
        low_id INTEGER NOT NULL,
        high_id INTEGER NOT NULL,
        ids BLOB NOT NULL,
        payload BLOB NOT NULL,
        UNIQUE (kind, space, number)
    ) STRICT;
CREATE TABLE spaces (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        embedder TEXT NOT NULL UNIQUE,
        dim INTEGER NOT NULL
    ) STRICT;
CREATE TABLE turns (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        conversation_id INTEGER NOT NULL REFERENCES conversations (id) ON DELETE CASCADE,
        role TEXT NOT NULL,
        text TEXT NOT NULL,
        at_ms INTEGER NOT NULL,
        trace TEXT,
        erased INTEGER NOT NULL DEFAULT 0
    ) STRICT;
CREATE INDEX turns_conversation ON turns (conversation_id);
CREATE TABLE vectors (
        space_id INTEGER NOT NULL REFERENCES spaces (id) ON DELETE CASCADE,
        memory_id INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
        data BLOB NOT NULL,
        UNIQUE (space_id, memory_id)
    ) STRICT;
CREATE INDEX vectors_memory ON vectors (memory_id);
