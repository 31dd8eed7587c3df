"""Choosing another embedder, and switching to it once its vectors are whole."""

from __future__ import annotations

from typing import Final

from edgeperso.assistant import DEFAULT_EMBEDDER, Assistant
from edgeperso.embedding import load_embedder, reindex
from edgeperso.types import Progress

__all__ = ["choose_embedder", "switch_embedder"]

_SERVING: Final = "embedder_name"
_WANTED: Final = "embedder_wanted"


def choose_embedder(me: Assistant, name: str) -> str:
    """Note that the next `switch_embedder` is to ``name``, and give its id.

    Raises:
        ModelNotFound, ModelCorrupt, ModelUnsupported: it can't be used; nothing was noted.
    """
    embedder = load_embedder(me.catalogue, name)
    me.vault.meta.set(_WANTED, name)
    return embedder.id


def switch_embedder(me: Assistant, progress: Progress) -> tuple[str, int]:
    """Embed what the chosen embedder lacks, then let it serve: its name, and how many memories that were."""
    meta = me.vault.meta
    name = meta.get(_WANTED) or meta.get(_SERVING) or DEFAULT_EMBEDDER
    made = reindex(me.vault, load_embedder(me.catalogue, name), progress)
    meta.set(_SERVING, name)
    return name, made
