"""How a record lies in the table of memories, and how it is told that it lies there already.

Bulk insertion is bound by this module and by how many pages it makes SQLCipher encrypt. So the key of uniqueness keeps
records that come together close together: source first, then a coarse time, and only then the hash.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Final

from edgeperso.types import Kind, Memory, Record, Trust
from edgeperso.vault.database import Row

__all__ = ["CHUNK_ROWS", "COLUMNS", "DAY", "digest_of", "flat_rows", "insertion", "memory"]

COLUMNS: Final = (
    "id, text, kind, source, locator, title, author, thread, position, occurred_ms, recorded_ms, scope, trust, "
    "language, superseded_by, closed_ms"
)
_STORED: Final = (
    "text, kind, source, locator, title, author, thread, position, occurred_ms, scope, trust, recorded_ms, digest"
)
_WIDTH: Final = _STORED.count(",") + 1
DAY: Final = "coalesce(occurred_ms, 0) >> 26"
"""A memory's coarse time, some 18.6 hours, as the index of uniqueness has it."""
CHUNK_ROWS: Final = 64
"""Rows in one statement: fewer cost more calls, many more cost more memory than a processor caches."""

# One C call for eleven attributes; the enums' own ``value`` is a Python property, ten times slower.
_fields = attrgetter(
    "text", "kind._value_", "source", "locator", "title", "author", "thread", "position", "occurred_ms", "scope",
    "trust._value_",
)  # fmt: skip
_KINDS: Final = {kind.value: kind for kind in Kind}
_TRUSTS: Final = {trust.value: trust for trust in Trust}


@lru_cache(maxsize=CHUNK_ROWS)
def insertion(rows: int) -> str:
    """The statement that inserts this many rows and passes over those that are known."""
    marks = f"({','.join('?' * _WIDTH)})"
    return f"INSERT OR IGNORE INTO memories ({_STORED}) VALUES {','.join([marks] * rows)}"  # noqa: S608


def flat_rows(batch: Iterable[Record], recorded_ms: int) -> list[str | int | bytes | None]:
    """The parameters of `insertion` for ``batch``, row after row.

    A row ends in its digest: 8 bytes of BLAKE2b over all that makes the record the one it is. Two of a million records
    of one source and day are taken for one with a chance of 3e-8.
    """
    values: list[str | int | bytes | None] = []
    for record in batch:
        fields = _fields(record)
        text, _, source, locator, _, author, thread, _, occurred_ms, _, _ = fields
        if not text.isascii():
            text = unicodedata.normalize("NFC", text)
        whole = f"{text.strip()}\x1f{source}\x1f{locator}\x1f{thread}\x1f{author}\x1f{occurred_ms}"
        digest = blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=8).digest()
        values += (*fields, recorded_ms, digest)
    return values


def digest_of(memory: Memory, text: str) -> bytes:
    """The digest of ``memory`` if its text were ``text``."""
    record = Record(
        text=text,
        kind=memory.kind,
        source=memory.source,
        locator=memory.locator,
        author=memory.author,
        thread=memory.thread,
        occurred_ms=memory.occurred_ms,
    )
    digest = flat_rows([record], 0)[-1]
    assert isinstance(digest, bytes)
    return digest


def memory(row: Row) -> Memory:
    """The memory in a row of `COLUMNS`."""
    id_, text, kind, source, locator, title, author, thread, position, occurred_ms, recorded_ms, scope, trust, *rest = (
        row
    )
    language, superseded_by, closed_ms = rest
    return Memory(
        id_,
        text,
        _KINDS[kind],
        source,
        locator,
        title,
        author,
        thread,
        position,
        occurred_ms,
        recorded_ms,
        scope,
        _TRUSTS[trust],
        language,
        superseded_by,
        closed_ms,
    )
