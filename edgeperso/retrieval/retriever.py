"""The retriever: one question in, ranked memories out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from edgeperso.errors import EmptyQuestion, UsageError
from edgeperso.events import Event, emit
from edgeperso.index import Index
from edgeperso.retrieval.fusion import standardized, with_neighbours
from edgeperso.types import Hit, Query

if TYPE_CHECKING:
    from edgeperso.types import Embedder
    from edgeperso.vault import Vault

__all__ = ["Retriever"]

_NEIGHBOUR = 0.3


class Retriever:
    """Searches one vault. It follows the vault's changes by itself, those of other processes too."""

    def __init__(self, vault: Vault, embedder: Embedder) -> None:
        self._vault = vault
        self._embedder = embedder
        self._index = Index(vault, embedder.id)

    def search(self, query: Query) -> list[Hit]:
        """The memories that bear on ``query``, best first, at most ``query.limit``; ties go to the lower id.

        Raises:
            EmptyQuestion: no text.
            UsageError: ``limit`` below 1.
            EmbedderMismatch: another embedder serves the vault.
        """
        if not query.text.strip():
            raise EmptyQuestion("The question is empty.")
        if query.limit < 1:
            raise UsageError("The limit must be 1 or more.")
        self._index.refresh()
        if not len(self._index):
            return []
        columns = self._index.columns
        analyzer = self._index.analyzer
        terms = analyzer.query_terms(query.text, columns.strings("language").values)
        parts = {
            "dense": standardized(self._index.dense.scores(self._embedder.embed([query.text])[0])),
            "lexical": standardized(self._index.lexical.scores(dict.fromkeys(terms, 1.0))),
        }
        parts["neighbours"] = with_neighbours(
            parts["dense"] + parts["lexical"], columns.previous, columns.next, _NEIGHBOUR
        )
        score = np.sum(list(parts.values()), axis=0)
        candidates = np.flatnonzero(columns.mask(query.where))
        order = candidates[np.lexsort((columns.ids[candidates], -score[candidates]))][: query.limit]
        memories = {memory.id: memory for memory in self._vault.memories.get(columns.ids[order].tolist())}
        emit(Event.SEARCHED, hits=len(memories), memories=len(self._index))
        return [
            Hit(memories[columns.ids[row]], float(score[row]), {name: float(part[row]) for name, part in parts.items()})
            for row in order
            if columns.ids[row] in memories
        ]
