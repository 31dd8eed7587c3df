"""The retriever: one question in, ranked memories out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.errors import EmptyQuestion, UsageError
from edgeperso.events import Event, emit
from edgeperso.index import Index
from edgeperso.retrieval.candidates import Candidates, candidates, scored
from edgeperso.retrieval.fusion import from_neighbours, from_occasion
from edgeperso.retrieval.passages import fitting
from edgeperso.retrieval.question import asks_about_past, named_author
from edgeperso.retrieval.ranking import below_successors, without_duplicates
from edgeperso.retrieval.when import TimeSpan, find_event, find_span
from edgeperso.times import DAY_MS
from edgeperso.types import Hit, MemoryFilter

if TYPE_CHECKING:
    from edgeperso.types import Embedder, Float32, Int64, Query
    from edgeperso.vault import Vault

__all__ = ["Retriever"]

# Weights in standard deviations of the scores by words and by vectors. docs/explanation/retrieval.md says how they
# were chosen; all lie on plateaus.
_LEXICAL = 0.8
_BEFORE, _AFTER, _DECAY, _REACH = 0.4, 0.3, 0.6, 3
_OCCASION = 0.4
_AUTHOR = 0.75
_TIME = 1.5
_RECENCY = 0.1
_RECENCY_DAYS = 365.0
_CLOSED = -2.0

_NEAR_COSINE = 0.2
_NEIGHBOUR_GAIN = 1.0
_EVENT_COSINE = 0.35


class Retriever:
    """Searches one vault. It follows the vault's changes by itself, those of other processes too."""

    def __init__(self, vault: Vault, embedder: Embedder) -> None:
        self._vault = vault
        self._embedder = embedder
        self._index = Index(vault, embedder.id)

    def search(self, query: Query) -> list[Hit]:
        """The memories that bear on ``query``, best first, at most ``query.limit``; ties go to the lower id.

        What shares no word with the question, isn't near to it in meaning and stands beside nothing that is, is left
        out, however few are found. Of texts that say the same only the best is given. A closed memory stands below
        its successor, unless the question asks for the past.

        Raises:
            EmptyQuestion: no text.
            UsageError: ``limit`` below 1.
            EmbedderMismatch: another embedder serves the vault.
        """
        if not query.text.strip():
            raise EmptyQuestion("The question is empty.")
        if query.limit < 1:
            raise UsageError("The limit must be 1 or more.")
        query = replace(query, text=_encodable(query.text))
        self._index.refresh()
        if not len(self._index):
            return []
        vector, terms = self._asked(query.text)
        span = self._span(query)
        past = asks_about_past(query.text) or (span is not None and (span.before_ms or query.now_ms) < query.now_ms)
        mask = self._mask(query)
        found = candidates(self._index, vector, terms, mask, reach=_REACH)
        parts = self._parts(query, found, span, past=past)
        relevant = (found.cosine >= _NEAR_COSINE) | (found.words > 0)  # no vector, no cosine: not near
        relevant |= parts["neighbours"] >= _NEIGHBOUR_GAIN
        if query.signals == ("lexical",):
            relevant = found.words > 0
        if mask is not None:
            relevant &= mask[found.rows]
        if query.signals:
            parts = {name: part if name in query.signals else np.zeros_like(part) for name, part in parts.items()}
        score = np.asarray(sum(parts.values()), dtype=np.float32)
        places = self._best_first(found, score, np.flatnonzero(relevant))
        rows, repeated = without_duplicates(self._index, found.rows[places], query.limit)
        hits = self._hits(found, np.searchsorted(found.rows, rows), score, parts, repeated)
        emit(Event.SEARCHED, hits=len(hits), memories=len(self._index))
        return hits if past else below_successors(hits)

    def rank(self, ids: Sequence[int], query: Query) -> list[Hit]:
        """Those of the memories ``ids`` that the query's filter lets through, best first by words and vectors, none
        left out for fitting badly; at most ``query.limit``."""
        self._index.refresh()
        if not len(self._index):
            return []
        rows = np.flatnonzero(np.isin(self._index.columns.ids, ids))
        mask = self._mask(query)
        if mask is not None:
            rows = rows[mask[rows]]
        found = scored(self._index, *self._asked(_encodable(query.text)), rows)
        parts = {"dense": found.dense, "lexical": _LEXICAL * found.lexical}
        score = np.asarray(sum(parts.values()), dtype=np.float32)
        places = self._best_first(found, score, np.arange(len(rows)))[: query.limit]
        return self._hits(found, places, score, parts, {})

    def fit(self, question: str, passages: Sequence[tuple[str, str]]) -> Float32:
        """How well each of ``passages`` (text, language), parts of what was found, fits ``question``: float32[n], see
        `fitting`."""
        if not passages:
            return np.empty(0, dtype=np.float32)
        texts = [_encodable(text) for text, _ in passages]
        vector, asked = self._asked(_encodable(question))
        terms = [
            set(self._index.analyzer.terms(text, language)) for text, (_, language) in zip(texts, passages, strict=True)
        ]
        return fitting(self._embedder.embed(texts) @ vector, asked.keys(), terms)

    def refresh(self) -> None:
        """Follow the vault now, not first at the next search."""
        self._index.refresh()

    def load(self) -> None:
        """Wait until all of the index is in memory: a search answers before that, in a large vault less exactly and
        more slowly."""
        self._index.load()

    def _asked(self, text: str) -> tuple[Float32, dict[str, float]]:
        """The vector of a question, and its terms with their weights."""
        terms = self._index.analyzer.query_terms(text, self._index.columns.strings("language").values)
        return self._embedder.embed([text])[0], dict.fromkeys(terms, 1.0)

    def _mask(self, query: Query) -> NDArray[np.bool_] | None:
        """Which rows the query's filter lets through; None for all."""
        return None if query.where == MemoryFilter() else self._index.columns.mask(query.where)

    def _best_first(self, found: Candidates, score: Float32, places: Int64) -> Int64:
        """``places`` among the candidates by falling score, ties to the lower id."""
        return places[np.lexsort((self._index.columns.ids[found.rows[places]], -score[places]))]

    def _parts(self, query: Query, found: Candidates, span: TimeSpan | None, *, past: bool) -> dict[str, Float32]:
        columns = self._index.columns
        author = columns.strings("author")
        when_ms = columns.when_ms[found.rows]
        parts = {"dense": found.dense, "lexical": _LEXICAL * found.lexical}
        own = parts["dense"] + parts["lexical"]
        parts["neighbours"] = from_neighbours(
            own, found.previous, found.next, before=_BEFORE, after=_AFTER, decay=_DECAY, reach=_REACH
        )
        parts["occasion"] = from_occasion(own, found.occasion, _OCCASION)
        named = named_author(query.text, author.values, self._index.analyzer)
        if len(named):
            parts["author"] = _AUTHOR * np.isin(author.codes[found.rows], named).astype(np.float32)
        if span is not None:
            parts["time"] = _TIME * _inside(when_ms, span).astype(np.float32)
        age_days = np.maximum(query.now_ms - when_ms, 0) / DAY_MS
        parts["recency"] = (_RECENCY * np.exp(-age_days / _RECENCY_DAYS)).astype(np.float32)
        if not past:
            parts["closed"] = np.where(columns.open[found.rows], 0.0, _CLOSED).astype(np.float32)
        return parts

    def _span(self, query: Query) -> TimeSpan | None:
        """The time that the question speaks of; that of an event is when the memory that tells of it best happened."""
        span = find_span(query.text, query.now_ms)
        event = find_event(query.text) if span is None else None
        if event is None:
            return span
        mask = self._mask(query)
        found = candidates(self._index, *self._asked(event.text), mask, reach=0)
        score = found.dense + found.lexical
        if mask is not None:
            score[~mask[found.rows]] = -np.inf
        best = int(np.argmax(score)) if len(score) else -1
        if best < 0 or not (score[best] > -np.inf and found.cosine[best] >= _EVENT_COSINE):
            return None
        when_ms = int(self._index.columns.when_ms[found.rows[best]])
        return TimeSpan(None, when_ms) if event.before else TimeSpan(when_ms, None)

    def _hits(
        self, found: Candidates, places: Int64, score: Float32, parts: dict[str, Float32], repeated: dict[int, int]
    ) -> list[Hit]:
        rows = found.rows[places]
        ids = self._index.columns.ids[rows]
        memories = {memory.id: memory for memory in self._vault.memories.get(ids.tolist())}
        told = zip(*(part[places].tolist() for part in parts.values()), strict=True)
        return [
            Hit(
                memory=memories[id_],
                score=height,
                parts=dict(zip(parts, shares, strict=True)),
                repeats=repeated.get(row, 0),
            )
            for id_, row, height, shares in zip(ids.tolist(), rows.tolist(), score[places].tolist(), told, strict=True)
            if id_ in memories
        ]


def _encodable(text: str) -> str:
    """``text`` without lone surrogates, as a broken terminal sends them: they have no UTF-8 form."""
    return text.encode("utf-8", "replace").decode("utf-8")


def _inside(when_ms: Int64, span: TimeSpan) -> NDArray[np.bool_]:
    inside = np.ones(len(when_ms), dtype=np.bool_)
    if span.after_ms is not None:
        inside &= when_ms >= span.after_ms
    if span.before_ms is not None:
        inside &= when_ms < span.before_ms
    return inside
