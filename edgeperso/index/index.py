"""The index of one vault: loaded from its segments, kept in step with its memories."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.embedding import active_space
from edgeperso.errors import EdgepersoError, EmbedderMismatch
from edgeperso.events import Event, emit
from edgeperso.index.attributes import Attributes
from edgeperso.index.blocks import BitStages, Block, dim_of, kept, lacks_codes, no_vectors, unpacked
from edgeperso.index.code_store import CodeStore
from edgeperso.index.columns import Columns
from edgeperso.index.parts import Part, PartStore, number_of
from edgeperso.index.room import give_back
from edgeperso.index.scoring import (
    CodeBlock,
    CodeScan,
    DenseScan,
    DenseScorer,
    LexicalScorer,
    VectorBlock,
    lexical_scorer,
)
from edgeperso.index.segment import MAX_MEMORIES, Segment, joined
from edgeperso.index.words import Analyzer
from edgeperso.types import Float32, Int64

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["Index"]

Float16 = NDArray[np.float16]

_WHOLE_ROWS = 16_384
"""Up to so many memories their vectors are held whole, and scores are those of all of them."""
_LOOSE = 512
"""So many memories are worth a stored segment; fewer are indexed in memory at each opening (some 20 ms)."""
_SCRAPS = 8
"""So many parts of a few memories each are put together to one."""
_MANY_GAPS = 1000
_PAUSE_S = 0.005
"""Whoever starts the work in the background goes on first: the interpreter changes threads every 5 ms only."""
_LAST_ID = 2**62
_K1 = 1.2
_B = 0.5


class Index:
    """Words, vectors and columns of all memories of a vault, in one embedder's space.

    `refresh` follows the vault: whatever any process added, edited, closed or forgot is as in the vault afterwards.
    Rows are the index's own numbers, good until the next `refresh` that returns True. In a large vault `refresh`
    returns when the index can be searched by words and bits; int8 codes follow on a thread of their own, and `load`
    waits for them.
    """

    def __init__(self, vault: Vault, embedder_id: str) -> None:
        self._vault = vault
        self._embedder_id = embedder_id
        self._analyzer = Analyzer()
        self._store = PartStore(vault, self._analyzer)
        self._codes = CodeStore(vault, embedder_id)
        self._generation: int | None = None
        self._lock = threading.RLock()
        self._lexical = lexical_scorer([], k1=_K1, b=_B)
        self._worker: threading.Thread | None = None
        self._expected: int | None = None
        self._clear()

    @property
    def analyzer(self) -> Analyzer:
        return self._analyzer

    @property
    def columns(self) -> Columns:
        return self._columns

    @property
    def lexical(self) -> LexicalScorer:
        return self._lexical

    @property
    def dense(self) -> DenseScorer:
        return self._dense

    def __len__(self) -> int:
        return len(self._columns)

    @property
    def is_small(self) -> bool:
        """Whether a pass over all rows takes no longer than finding the best of them."""
        return len(self) <= _WHOLE_ROWS

    def vectors(self, rows: Int64) -> Float32:
        """float32[len(rows), dim]; zeros for a memory without a vector. In a large vault each number is within 1/254 of
        the largest of its vector."""
        if self._reading:
            return self._exact(rows).astype(np.float32)
        part_of = np.searchsorted(self._starts, rows, side="right") - 1
        local = rows - self._starts[part_of]
        return unpacked([self._parts[number].block for number in part_of.tolist()], local.tolist(), self._dim)

    def _exact(self, rows: Int64) -> Float16:
        ids = self._columns.ids[rows]
        found, vectors = self._vault.vectors.of(self._embedder_id, ids)
        out = np.zeros((len(rows), vectors.shape[1]), dtype=np.float16)
        if len(found):
            at = np.minimum(np.searchsorted(found, ids), len(found) - 1)
            there = found[at] == ids
            out[there] = vectors[at[there]]
        return out

    def refresh(self) -> bool:
        """Follow the vault; True if anything changed.

        Raises:
            EmbedderMismatch: another embedder's vectors serve this vault now.
        """
        serving = active_space(self._vault)
        if serving not in (None, self._embedder_id):
            raise EmbedderMismatch("This vault's memories were embedded by another model.")
        generation = self._vault.generation
        if generation == self._generation:
            return False
        with self._lock:
            # Read before anything else: what changes from here on is seen by the next refresh.
            before, self._generation = self._generation, generation
            try:
                self._follow(before, generation)
            except BaseException:
                self._generation = None
                raise
        return True

    def load(self) -> None:
        """Wait until all of the index is in memory."""
        self.refresh()
        worker = self._worker
        if worker is not None and not self._vault.database.in_transaction:  # which the worker would wait for
            worker.join()

    def _clear(self) -> None:
        self._parts: list[Part] = []
        self._columns = Columns()
        self._closed = np.zeros(0, dtype=np.int64)
        self._last_id = 0
        self._assemble()

    # ---- following the vault ---------------------------------------------------------------------------------------

    def _follow(self, before: int | None, generation: int) -> None:
        stored = self._store.numbers()
        known = {part.number for part in self._parts} | {self._expected}
        built = 0
        if before is None or not stored <= known:
            self._clear()
            new = self._load_stored(stored)
        else:
            new = self._cut(stored, before, generation)
        fresh, _ = self._vault.segments.covered(self._last_id + 1, _LAST_ID)
        new = np.concatenate([new, fresh])
        for start in range(0, len(new), MAX_MEMORIES):
            made = self._store.build(new[start : start + MAX_MEMORIES])
            if made is not None:
                built += 1
                self._put_last([made])
                if not made[0].is_small:
                    self._store.keep(*made, generation)
        self._last_id = max(self._last_id, int(new.max(initial=0)))
        self._pack(generation)
        self._follow_vectors(generation)
        self._follow_closed()
        self._assemble()
        self._start_work()
        emit(Event.INDEX_LOADED, memories=len(self), segments=len(self._parts), built=built)

    def _load_stored(self, numbers: set[int]) -> Int64:
        """Take the vault's sound parts, and return the ids up to the last of theirs that none of them holds."""
        loaded = self._store.load(sorted(numbers))
        held = np.sort(np.concatenate([np.zeros(0, np.int64), *(part.ids for part, _ in loaded)]))
        if (np.diff(held) == 0).any():  # no two parts hold the same memory, unless something went wrong
            for part, _ in loaded:
                assert part.number is not None
                self._store.drop(part.number)
            return np.zeros(0, dtype=np.int64)
        # Small ones stand last: what is new is put together with them.
        loaded.sort(key=lambda pair: pair[0].is_small)
        self._put_last(loaded)
        if not len(held):
            return held
        self._last_id = int(held[-1])
        before = np.concatenate(([0], held[:-1]))
        gaps = np.flatnonzero(held - before > 1)
        if len(gaps) > _MANY_GAPS:
            return np.setdiff1d(self._vault.segments.covered(0, self._last_id)[0], held, assume_unique=True)
        between = [self._vault.segments.covered(int(before[at]) + 1, int(held[at]) - 1)[0] for at in gaps]
        return np.concatenate([held[:0], *between])

    def _cut(self, stored: set[int], before: int, generation: int) -> Int64:
        """Take out of the parts that aren't stored (any more) what was forgotten or edited since the generation
        ``before``, and return the ids of what was edited."""
        changed = self._vault.database.changes.between(before, generation)
        edited = [np.zeros(0, dtype=np.int64)]
        start = 0
        for part in list(self._parts):
            if part.number is None or part.number not in stored:
                part.number = None
                keep = self._store.unchanged(part, before) if changed is None else part.without(changed)
                if keep.all():
                    start += len(part)
                    continue
                gone = part.ids[~keep]
                there, _ = self._vault.segments.covered(int(gone[0]), int(gone[-1]))
                edited.append(np.intersect1d(gone, there, assume_unique=True))
                self._columns.remove(start, keep)
                if keep.any():
                    part.segment, part.block = part.segment.kept(keep), kept(part.block, keep)
                else:
                    self._parts.remove(part)
                    continue
            start += len(part)
        return np.concatenate(edited)

    def _put_last(self, new: list[tuple[Part, Attributes]]) -> None:
        self._columns.replace(len(self), len(self), [(part.ids, attributes) for part, attributes in new])
        self._parts += [part for part, _ in new]

    def _pack(self, generation: int) -> None:
        """Put small parts at the end together: many of a few memories each, or enough to be worth storing."""
        first = self._first_small()
        loose = [part for part in self._parts[first:] if part.number is None]
        if sum(map(len, loose)) >= _LOOSE:
            self._join_last(first, generation, store=True)
        elif len(loose) > _SCRAPS:
            self._join_last(self._parts.index(loose[0]), generation, store=False)

    def _first_small(self) -> int:
        """Where the run of small parts at the end begins."""
        first = len(self._parts)
        while first and self._parts[first - 1].is_small:
            first -= 1
        return first

    def _join_last(self, first: int, generation: int, *, store: bool) -> None:
        """Put the parts from ``first`` on together, as many as make a whole one."""
        while first < len(self._parts):
            last, rows = first, 0
            while last < len(self._parts) and rows + len(self._parts[last]) <= MAX_MEMORIES:
                rows += len(self._parts[last])
                last += 1
            if last - first > 1 or self._parts[first].number is None:
                self._join(first, last, generation, store=store)
            first += 1

    def _join(self, first: int, last: int, generation: int, *, store: bool) -> None:
        group = self._parts[first:last]
        start = sum(map(len, self._parts[:first]))
        rows = start + np.argsort(np.concatenate([part.ids for part in group]))
        attributes = self._columns.attributes(rows)
        segment = joined([part.segment for part in group])
        self._columns.replace(start, start + len(rows), [(segment.ids, attributes)])
        self._closed = self._closed[:0]  # the new rows are open
        pieces = {number for part in group for number in part.pieces}
        part = Part(segment, no_vectors(segment.ids), pieces=pieces)
        self._parts[first:last] = [part]
        if store:
            replaced = [old.number for old in group if old.number is not None]
            self._store.keep(part, attributes, generation, replaced)

    def _attributes(self, part: Part) -> Attributes:
        start = sum(map(len, self._parts[: self._parts.index(part)]))
        return self._columns.attributes(np.arange(start, start + len(part)))

    def _follow_closed(self) -> None:
        closed = self._vault.segments.closed()
        if not np.array_equal(closed, self._closed):
            self._columns.close(closed)
            self._closed = closed

    # ---- vectors ---------------------------------------------------------------------------------------------------

    def _follow_vectors(self, generation: int) -> None:
        """Give every part its vectors, whole or as codes."""
        whole = self.is_small
        dim = self._vault.vectors.dim(self._embedder_id) or 0
        lacking = [part for part in self._parts if not (part.complete and isinstance(part.block, VectorBlock) == whole)]
        numbers = [] if whole else self._codes.numbers(lacking)
        if not whole:
            self._codes.expect(sum(len(part) for part in lacking if isinstance(part.block, VectorBlock)), dim)
        for part in lacking:
            block: Block | None = None
            if not whole and not isinstance(part.block, CodeBlock):
                block = self._codes.bits(part, numbers, dim)
            if block is None:
                block = self._codes.vectors(part.ids, whole=whole)
                part.block = block
                self._codes.keep(part, numbers, generation)
            part.block, part.complete = block, bool(block.present.all())

    # ---- in the background -----------------------------------------------------------------------------------------

    def _start_work(self) -> None:
        """Read the codes that aren't in memory yet, and store again what forgetting dropped with a memory."""
        if self._worker is None and (any(lacks_codes(part.block) for part in self._parts) or self._unstored(())):
            self._worker = threading.Thread(target=self._work, name="edgeperso-index", daemon=True)
            self._worker.start()

    def _unstored(self, tried: Collection[tuple[Segment, int | None]]) -> list[Part]:
        """Parts worth storing that aren't, but for those that were ``tried`` in vain at this generation."""
        return [
            part
            for part in self._parts
            if part.number is None and not part.is_small and (part.segment, self._generation) not in tried
        ]

    def _work(self) -> None:
        tried: list[tuple[Segment, int | None]] = []
        time.sleep(_PAUSE_S)
        try:
            while self._read_codes() or self._keep_one(tried):
                pass
            give_back()
        except EdgepersoError:
            return  # the vault was closed, or can't be read: the next search says so
        finally:
            with self._lock:
                if self._worker is threading.current_thread():
                    self._worker = None

    def _read_codes(self) -> bool:
        """Read the codes of one part, if there is one without. What asks the vault never holds the index's lock: who
        searches within a transaction has the vault's."""
        with self._lock:
            part = next((part for part in self._parts if lacks_codes(part.block)), None)
            if part is None:
                return False
            ids, pieces, block = part.ids, set(part.pieces), part.block
        assert isinstance(block, CodeBlock)
        read = self._codes.codes(ids, pieces, block, self._vault.vectors.dim(self._embedder_id) or 0)
        with self._lock:
            if part.block is block:  # not cut meanwhile
                part.block = read
                if not any(lacks_codes(part.block) for part in self._parts):
                    self._assemble()
        return True

    def _keep_one(self, tried: list[tuple[Segment, int | None]]) -> bool:
        """Store one part that forgetting cut; False where none is left, and the work with it."""
        with self._lock:
            part = next(iter(self._unstored(tried)), None)
            if part is None or self._generation is None:
                self._worker = None
                return False
            copy = Part(part.segment, part.block, pieces=set(part.pieces))
            attributes, generation = self._attributes(part), self._generation
            tried.append((part.segment, generation))
            self._expected = number_of(part.ids, generation)
        self._store.keep(copy, attributes, generation)
        self._codes.keep(copy, self._codes.numbers([copy]), generation)
        with self._lock:
            if part.segment is copy.segment:  # not cut meanwhile
                part.number, part.pieces = copy.number, copy.pieces
            self._expected = None
        return True

    def _assemble(self) -> None:
        segments = [part.segment for part in self._parts]
        self._lexical = lexical_scorer(segments, k1=_K1, b=_B, reuse=self._lexical)
        blocks = [part.block for part in self._parts]
        self._starts = np.cumsum([0, *(len(segment.ids) for segment in segments)])
        self._dim = max(map(dim_of, blocks), default=0)
        self._reading = any(map(lacks_codes, blocks))
        codes = [block for block in blocks if isinstance(block, CodeBlock)]
        if codes:
            self._dense: DenseScorer = CodeScan(codes, self._exact, BitStages(codes) if self._reading else None)
        else:
            self._dense = DenseScan(block for block in blocks if isinstance(block, VectorBlock))
