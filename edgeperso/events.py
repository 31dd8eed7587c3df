"""What the package logs: a closed vocabulary of events with ids, counts and durations, never a text.

Nothing is logged unless the host program configures the ``edgeperso`` logger.
"""

from __future__ import annotations

import logging
from enum import StrEnum

__all__ = ["Event", "emit"]

_LOGGER = logging.getLogger("edgeperso")
_LOGGER.addHandler(logging.NullHandler())


class Event(StrEnum):
    VAULT_CREATED = "vault.created"
    VAULT_OPENED = "vault.opened"
    VAULT_CLOSED = "vault.closed"
    VAULT_MIGRATED = "vault.migrated"
    WAL_REJECTED = "vault.wal_rejected"
    KEY_CHANGED = "key.changed"
    KEY_ROTATED = "key.rotated"
    BACKUP_WRITTEN = "backup.written"
    BACKUP_RESTORED = "backup.restored"
    IMPORT_STARTED = "import.started"
    IMPORT_FINISHED = "import.finished"
    MEMORIES_ADDED = "memories.added"
    MEMORY_EDITED = "memory.edited"
    MEMORY_SUPERSEDED = "memory.superseded"
    FORGOTTEN = "memories.forgotten"
    INDEX_LOADED = "index.loaded"
    INDEX_BUILT = "index.built"
    EMBEDDED = "embedding.batch"
    SEARCHED = "retrieval.searched"
    MODEL_LOADED = "model.loaded"
    ADAPTERS_WORN = "model.adapters_worn"
    PREFIX_RESTORED = "model.prefix_restored"
    PREFIX_SAVED = "model.prefix_saved"
    MEMORY_READ_AHEAD = "model.memory_read_ahead"
    MODEL_PULLED = "model.pulled"
    ANSWERED = "assistant.answered"
    TRAINED = "adapter.trained"
    CANCELLED = "assistant.cancelled"
    ADAPTER_STORED = "adapter.stored"
    ADAPTER_WORN = "adapter.worn"
    ADAPTERS_TAINTED = "adapters.tainted"
    ADAPTERS_DRESSED = "adapters.dressed"
    ADAPTER_JUDGED = "adapter.judged"
    PAIRS_DELETED = "pairs.deleted"
    ROUND_CLOSED = "federation.round_closed"


def emit(event: Event, **fields: int | float | bool) -> None:
    """Log ``event`` with numbers alone; a string field is a TypeError, so that no text can slip through.

    Raises:
        TypeError: a field is not a number.
    """
    for name, value in fields.items():
        if not isinstance(value, int | float):
            raise TypeError(f"event field {name} must be a number")
    _LOGGER.info("%s %s", event.value, " ".join(f"{name}={value}" for name, value in fields.items()))
