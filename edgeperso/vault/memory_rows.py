"""How a record lies in the table of memories, and how it is told that it lies there already.

Bulk insertion is bound by this module and by how many pages it makes SQLCipher encrypt. So the key of uniqueness keeps
records that come together close together: source first, then a coarse time, and only then the hash.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from operator import attrgetter
from typing import Final

from edgeperso.types import Kind, Memory, Record, Trust
from edgeperso.vault.database import Row, Values

__all__ = ["COLUMNS", "MAX_ROWS", "digest", "flat_rows", "insertion", "memory"]

COLUMNS: Final = (
    "id, text, kind, source, locator, title, author, thread, position, occurred_ms, recorded_ms, scope, trust, "
    "language, superseded_by, closed_ms"
)
_STORED: Final = (
    "text, kind, source, locator, title, author, thread, position, occurred_ms, scope, trust, recorded_ms, digest"
)
_WIDTH: Final = _STORED.count(",") + 1
MAX_ROWS: Final = 32_766 // _WIDTH
"""Rows in one statement: SQLite allows 32,766 parameters wherever it was built without a limit of its own."""

# One C call for eleven attributes; the enums' own ``value`` is a Python property, ten times slower.
_fields = attrgetter(
    "text", "kind._value_", "source", "locator", "title", "author", "thread", "position", "occurred_ms", "scope",
    "trust._value_",
)  # fmt: skip
_KINDS: Final = {kind.value: kind for kind in Kind}
_TRUSTS: Final = {trust.value: trust for trust in Trust}
_HASH_BYTES: Final = 8
_COARSE_BITS: Final = 26  # of a millisecond count: 18.6 hours
_NO_TIME: Final = bytes(3)


@lru_cache(maxsize=4)
def insertion(rows: int) -> str:
    """The statement that inserts this many rows and passes over those that are known: one step of SQLite, in which
    Python's lock is free."""
    marks = f"({','.join('?' * _WIDTH)})"
    return f"INSERT OR IGNORE INTO memories ({_STORED}) VALUES {','.join([marks] * rows)}"  # noqa: S608


def flat_rows(batch: Sequence[Record], recorded_ms: int) -> Values:
    """The parameters of `insertion` for ``batch``, row after row."""
    values: list[str | int | bytes | None] = []
    for record in batch:
        fields = _fields(record)
        values += fields
        text, _, source, locator, _, author, thread, _, occurred_ms, _, _ = fields
        values += (recorded_ms, digest(text, source, locator, thread, author, occurred_ms))
    return values


def digest(text: str, source: str, locator: str, thread: str, author: str, occurred_ms: int | None) -> bytes:
    """What tells a record from others of its source: 3 bytes of coarse time, then 8 of BLAKE2b over all that makes it
    the one it is. Two of a million records of one source and day collide with a chance of 3e-8."""
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    whole = f"{text.strip()}\x1f{source}\x1f{locator}\x1f{thread}\x1f{author}\x1f{occurred_ms}"
    coarse = _NO_TIME if occurred_ms is None else (occurred_ms >> _COARSE_BITS & 0xFFFFFF).to_bytes(3, "big")
    return coarse + blake2b(whole.encode("utf-8", "surrogatepass"), digest_size=_HASH_BYTES).digest()


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
