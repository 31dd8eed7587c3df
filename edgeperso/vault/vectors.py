"""Embeddings of memories, by the space they live in. Spaces are never mixed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import EmbedderMismatch, UsageError
from edgeperso.types import Float32, Int64
from edgeperso.vault.database import Database
from edgeperso.vault.derived import pages
from edgeperso.vault.meta import bump_generation

__all__ = ["Vectors"]

# A memory that was forgotten, or edited after its text was read, gets no vector: it would bring the old text back.
_PUT: Final = """INSERT OR REPLACE INTO vectors (key, memory_id, space_id, data)
    SELECT ?, id, ?, ? FROM memories WHERE id = ? AND revision <= ?"""
_ANY_REVISION: Final = 2**62
_LAST_ID: Final = 2**47 - 2
_SPACES: Final = 1 << 16
"""A vector's key is its memory's id, times this, plus its space's."""


class Vectors:
    """The vectors of one vault, stored as float16. Open through `Vault.vectors`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, embedder_id: str, ids: Sequence[int] | Int64, vectors: Float32, *, as_of: int | None = None) -> int:
        """Store vectors, replacing those of the same memories in the same space. Segments that an index keeps under
        ``embedder_id`` go when a vector is replaced.

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
            self._drop_codes_of_replaced(embedder_id, space, [int(id_) for id_ in ids])
            stored = self._database.executemany(
                _PUT,
                (
                    (_key(int(id_), space), space, row.tobytes(), int(id_), newest)
                    for id_, row in zip(ids, data, strict=True)
                ),
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

    def load(self, embedder_id: str, after_id: int = 0, up_to_id: int = _LAST_ID) -> tuple[Int64, NDArray[np.float16]]:
        """``int64[n]`` ids, ascending, and their ``float16[n, dim]`` vectors, of the memories beyond ``after_id`` and
        up to ``up_to_id``."""
        first, last = (_key(min(id_, _LAST_ID) + 1, 0) for id_ in (after_id, up_to_id))
        space, dim = self._known(embedder_id)
        return self._read(dim, [("key >= ? AND key < ? AND space_id = ?", [first, last, space])])

    def of(self, embedder_id: str, ids: Sequence[int] | Int64) -> tuple[Int64, NDArray[np.float16]]:
        """``int64[n]`` and ``float16[n, dim]``: those of the memories ``ids`` that have a vector, ascending, and it."""
        space, dim = self._known(embedder_id)
        return self._read(dim, _having(sorted({int(id_) for id_ in ids}), space))

    def _read(self, dim: int, conditions: Iterable[tuple[str, list[int]]]) -> tuple[Int64, NDArray[np.float16]]:
        sql = "SELECT memory_id, data FROM vectors WHERE {} ORDER BY key"
        rows = [row for condition, values in conditions for row in self._database.rows(sql.format(condition), values)]
        ids = np.fromiter((id_ for id_, _ in rows), dtype=np.int64, count=len(rows))
        data = np.frombuffer(b"".join([data for _, data in rows]), dtype="<f2")
        return ids, data.reshape(len(rows), dim)

    def dim(self, embedder_id: str) -> int | None:
        """The dimension of a space, None where there is none."""
        return self._known(embedder_id)[1] or None

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
            self._database.execute("DELETE FROM segments WHERE space = ?", (embedder_id,))
            bump_generation(self._database)

    def _drop_codes_of_replaced(self, embedder_id: str, space: int, ids: Sequence[int]) -> None:
        """Before vectors are stored: where one is there already, what segments keep of this space is out of date."""
        sql = "SELECT 1 FROM vectors WHERE {} LIMIT 1"
        if any(self._database.row(sql.format(condition), keys) for condition, keys in _having(ids, space)):
            self._database.execute("DELETE FROM segments WHERE space = ?", (embedder_id,))

    def _known(self, embedder_id: str) -> tuple[int, int]:
        """A space's id and dimension; zeros where there is none, which no vector has."""
        row = self._database.row("SELECT id, dim FROM spaces WHERE embedder = ?", (embedder_id,))
        return (0, 0) if row is None else (int(row[0]), int(row[1]))

    def _space(self, embedder_id: str, dim: int) -> int:
        space, known = self._known(embedder_id)
        if not space:
            return self._database.insert("INSERT INTO spaces (embedder, dim) VALUES (?, ?)", (embedder_id, dim))
        if known != dim:
            raise EmbedderMismatch(f"The space has {known} dimensions, the vectors {dim}.")
        return space


def _key(id_: int, space: int) -> int:
    return id_ * _SPACES + space


def _having(ids: Sequence[int], space: int) -> Iterator[tuple[str, list[int]]]:
    """Conditions for the vectors of ``ids``, in pages, each with its values."""
    for marks, page in pages([_key(id_, space) for id_ in ids]):
        yield f"key IN {marks}", page
