"""Embeddings of memories, by the space they live in. Spaces are never mixed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import EmbedderMismatch, UsageError
from edgeperso.types import Float32, Int64
from edgeperso.vault.database import Database
from edgeperso.vault.meta import bump_generation

__all__ = ["Vectors"]

# A memory that was forgotten, or edited after its text was read, gets no vector: it would bring the old text back.
_PUT: Final = """INSERT OR REPLACE INTO vectors (space_id, memory_id, data)
    SELECT ?, id, ? FROM memories WHERE id = ? AND revision <= ?"""
_ANY_REVISION: Final = 2**62


class Vectors:
    """The vectors of one vault, stored as float16. Open through `Vault.vectors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, embedder_id: str, ids: Sequence[int] | Int64, vectors: Float32, *, as_of: int | None = None) -> int:
        """Store vectors, replacing those of the same memories in the same space.

        Args:
            embedder_id: the space.
            ids: memory ids; those that are no more are passed over.
            vectors: ``float32[len(ids), dim]``, unit length.
            as_of: the vault's generation when the texts were read: a memory edited since is passed over.

        Returns:
            How many were stored.

        Raises:
            EmbedderMismatch: the space has another dimension.
            UsageError: as many ids as vectors are needed, finite and two-dimensional.
        """
        if vectors.ndim != 2 or len(ids) != len(vectors) or not np.isfinite(vectors).all():
            raise UsageError("Vectors must be finite and as many as their ids.")
        if not len(ids):
            return 0
        data = np.ascontiguousarray(vectors, dtype="<f2")
        newest = _ANY_REVISION if as_of is None else as_of
        with self._database.transaction():
            space = self._space(embedder_id, vectors.shape[1])
            stored = self._database.executemany(
                _PUT, ((space, row.tobytes(), int(id_), newest) for id_, row in zip(ids, data, strict=True))
            )
            bump_generation(self._database)
        return stored

    def missing(self, embedder_id: str, limit: int) -> list[int]:
        """Ids, ascending, of at most ``limit`` memories without a vector in this space."""
        rows = self._database.rows(
            """SELECT id FROM memories WHERE NOT EXISTS (
                SELECT 1 FROM vectors WHERE memory_id = memories.id
                AND space_id = (SELECT id FROM spaces WHERE embedder = ?)
            ) ORDER BY id LIMIT ?""",
            (embedder_id, limit),
        )
        return [int(id_) for (id_,) in rows]

    def load(self, embedder_id: str, after_id: int = 0) -> tuple[Int64, NDArray[np.float16]]:
        """``int64[n]`` ids, ascending, and their ``float16[n, dim]`` vectors, of memories beyond ``after_id``."""
        row = self._database.row("SELECT id, dim FROM spaces WHERE embedder = ?", (embedder_id,))
        if row is None:
            return np.empty(0, dtype=np.int64), np.empty((0, 0), dtype=np.float16)
        space, dim = row
        rows = self._database.rows(
            "SELECT memory_id, data FROM vectors WHERE space_id = ? AND memory_id > ? ORDER BY memory_id",
            (space, after_id),
        )
        ids = np.fromiter((id_ for id_, _ in rows), dtype=np.int64, count=len(rows))
        data = np.frombuffer(b"".join([data for _, data in rows]), dtype="<f2")
        return ids, data.reshape(len(rows), dim)

    def spaces(self) -> list[tuple[str, int, int]]:
        """Embedder id, dimension and number of vectors of every space, oldest first."""
        rows = self._database.rows(
            """SELECT embedder, dim, (SELECT count(*) FROM vectors WHERE space_id = spaces.id)
            FROM spaces ORDER BY id"""
        )
        return [(str(embedder), int(dim), int(count)) for embedder, dim, count in rows]

    def drop(self, embedder_id: str) -> None:
        """Delete a space with all its vectors; nothing happens when there is none."""
        with self._database.transaction():
            self._database.execute(
                "DELETE FROM vectors WHERE space_id = (SELECT id FROM spaces WHERE embedder = ?)", (embedder_id,)
            )
            self._database.execute("DELETE FROM spaces WHERE embedder = ?", (embedder_id,))
            bump_generation(self._database)

    def _space(self, embedder_id: str, dim: int) -> int:
        row = self._database.row("SELECT id, dim FROM spaces WHERE embedder = ?", (embedder_id,))
        if row is None:
            return self._database.insert("INSERT INTO spaces (embedder, dim) VALUES (?, ?)", (embedder_id, dim))
        if row[1] != dim:
            raise EmbedderMismatch(f"The space has {row[1]} dimensions, the vectors {dim}.")
        return int(row[0])
