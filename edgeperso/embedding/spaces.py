"""Filling a vault's vector spaces. Vectors of two embedders are never mixed: one space serves, named in the vault."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from edgeperso.embedding.passage import passage_text
from edgeperso.errors import Cancelled, EmbedderMismatch
from edgeperso.events import Event, emit

if TYPE_CHECKING:
    from edgeperso.types import Embedder, Progress
    from edgeperso.vault import Vault

__all__ = ["active_space", "embed_missing", "reindex"]

_BATCH = 256
_META = "embedder"


def active_space(vault: Vault) -> str | None:
    """The id of the embedder whose vectors serve, or None before the first."""
    return vault.meta.get(_META)


def embed_missing(
    vault: Vault, embedder: Embedder, progress: Progress | None = None, cancel: Callable[[], bool] | None = None
) -> int:
    """Give every memory without a vector its vector, and say how many that were.

    Each few hundred are kept as soon as they are made, so that a run that was stopped goes on where it was. The first
    embedder of a vault becomes the one that serves.

    Raises:
        EmbedderMismatch: another embedder serves this vault; `reindex` switches.
        Cancelled: ``cancel`` said so; what was made is kept.
    """
    serving = active_space(vault)
    if serving is None:
        vault.meta.set(_META, embedder.id)
    elif serving != embedder.id:
        raise EmbedderMismatch("This vault's memories were embedded by another model.")
    return _fill(vault, embedder, progress, cancel)


def reindex(
    vault: Vault, embedder: Embedder, progress: Progress | None = None, cancel: Callable[[], bool] | None = None
) -> int:
    """Switch the vault to ``embedder``: the old space serves until the new one is whole, then goes.

    Resumable: what a stopped run made is kept and found again. A run that gives up for another embedder leaves a
    part of a space; the next finished `reindex` drops it.

    Returns:
        how many memories were embedded by this call.

    Raises:
        Cancelled: ``cancel`` said so; the old space still serves.
    """
    made = _fill(vault, embedder, progress, cancel)
    while True:
        with vault.transaction():
            # A memory may have come in after the last look; the switch and the proof are one transaction.
            if not vault.vectors.missing(embedder.id, 1):
                vault.meta.set(_META, embedder.id)
                for space, _, _ in vault.vectors.spaces():
                    if space != embedder.id:
                        vault.vectors.drop(space)
                return made
        made += _fill(vault, embedder, progress, cancel)


def _fill(vault: Vault, embedder: Embedder, progress: Progress | None, cancel: Callable[[], bool] | None) -> int:
    made = 0
    total: int | None = None
    while ids := vault.vectors.missing(embedder.id, _BATCH):
        if cancel is not None and cancel():
            raise Cancelled("Embedding was stopped.", hint="What was made is kept; run the same command again.")
        if total is None:
            total = _count_missing(vault, embedder)
        # A memory that is edited meanwhile is passed over by `put`, and found missing again.
        read_at = vault.generation
        memories = vault.memories.get(ids)
        vectors = embedder.embed([passage_text(memory) for memory in memories])
        stored = vault.vectors.put(embedder.id, [memory.id for memory in memories], vectors, as_of=read_at)
        made += stored
        if progress is not None:
            progress("embedding", made, max(total, made))
        emit(Event.EMBEDDED, memories=stored)
    return made


def _count_missing(vault: Vault, embedder: Embedder) -> int:
    done = sum(count for space, _, count in vault.vectors.spaces() if space == embedder.id)
    return max(vault.memories.count() - done, 0)
