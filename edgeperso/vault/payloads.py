"""Large payloads in chunks.

A payload of 200 MB in one row takes a third more memory than in chunks of 1 MiB, to be written and read, and is no
faster; larger chunks are slower (measured, 2 cores).
"""

from __future__ import annotations

from typing import Final, Literal

from edgeperso.errors import AdapterInvalid
from edgeperso.vault.database import Database

__all__ = ["MAX_PAYLOAD_BYTES", "drop_payload", "payload_of", "store_payload"]

MAX_PAYLOAD_BYTES: Final = 512 << 20
_CHUNK_BYTES: Final = 1 << 20
Owner = Literal["adapter", "checkpoint", "state", "memory_state"]


def store_payload(database: Database, owner: Owner, id_: int, payload: bytes) -> None:
    """Store the payload of an adapter, checkpoint or state that has none, within the transaction that makes it.

    Raises:
        AdapterInvalid: it is empty, or larger than `MAX_PAYLOAD_BYTES`.
    """
    if not 0 < len(payload) <= MAX_PAYLOAD_BYTES:
        raise AdapterInvalid(f"It has {len(payload):,} bytes; 1 to {MAX_PAYLOAD_BYTES:,} can be stored.")
    database.executemany(
        f"INSERT INTO {owner}_chunks ({owner}_id, number, data) VALUES (?, ?, ?)",  # noqa: S608
        (
            (id_, number, payload[start : start + _CHUNK_BYTES])
            for number, start in enumerate(range(0, len(payload), _CHUNK_BYTES))
        ),
    )


def payload_of(database: Database, owner: Owner, id_: int) -> bytes | None:
    """The payload, or None where there is none."""
    rows = database.rows(f"SELECT data FROM {owner}_chunks WHERE {owner}_id = ? ORDER BY number", (id_,))  # noqa: S608
    return b"".join(data for (data,) in rows) or None


def drop_payload(database: Database, owner: Owner, id_: int) -> None:
    """Take the payload away; SQLite overwrites its pages with zeros."""
    database.execute(f"DELETE FROM {owner}_chunks WHERE {owner}_id = ?", (id_,))  # noqa: S608
