"""The index of one vault: loaded from its segments, kept in step with its memories."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from edgeperso.embedding import active_space
from edgeperso.errors import DiskFull, EmbedderMismatch, ReadOnly, VaultBusy
from edgeperso.events import Event, emit
from edgeperso.index.columns import Columns
from edgeperso.index.scoring import Bm25, DenseScan, DenseScorer, LexicalScorer, VectorBlock
from edgeperso.index.segment import MAX_MEMORIES, Segment, SegmentInvalid, build_segment, decode, encode
from edgeperso.index.words import ANALYZER_VERSION, Analyzer
from edgeperso.types import Float32, Int64, MemoryFilter

if TYPE_CHECKING:
    from edgeperso.vault import Vault

__all__ = ["Index"]

Float16 = NDArray[np.float16]

_KIND = "words"
_SPACE = "default"
_LOOSE = 512
"""So many memories are worth a stored segment; fewer are indexed in memory at each opening (some 20 ms)."""
_K1 = 1.2
_B = 0.5


@dataclass(frozen=True, slots=True)
class _Part:
    """A segment with its vectors; ``checksum`` is the stored payload's, empty for one that lives in memory alone."""

    segment: Segment
    block: VectorBlock
    checksum: bytes


class Index:
    """Words, vectors and columns of all memories of a vault, in one embedder's space.

    `refresh` follows the vault: whatever any process added, edited, closed or forgot is as in the vault afterwards.
    Rows are the index's own numbers, good until the next `refresh` that returns True.
    """

    def __init__(self, vault: Vault, embedder_id: str) -> None:
        self._vault = vault
        self._embedder_id = embedder_id
        self._analyzer = Analyzer()
        self._generation: int | None = None
        self._parts: list[_Part] = []
        self._assemble()

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
        return len(self._columns.ids)

    def vectors(self, rows: Int64) -> Float32:
        """float32[len(rows), dim]; zeros for a memory without a vector."""
        dim = max((part.block.vectors.shape[1] for part in self._parts), default=0)
        out = np.zeros((len(rows), dim), dtype=np.float32)
        part_of = np.searchsorted(self._offsets, rows, side="right") - 1
        for number in np.unique(part_of):
            chosen = part_of == number
            found = self._parts[number].block.vectors[rows[chosen] - self._offsets[number]]
            out[chosen, : found.shape[1]] = found
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
        # Read before anything else: what changes from here on is seen by the next refresh.
        self._generation = generation
        self._follow(generation)
        return True

    def _follow(self, generation: int) -> None:
        alive = self._vault.memories.ids()
        stored, loose = self._load_stored(alive)
        fresh: list[tuple[Segment, bytes]] = []
        if len(loose) >= _LOOSE:
            # A small last segment is packed again with what is new, so that small ones don't pile up.
            small = [number for number, (segment, _) in stored.items() if len(segment.ids) < MAX_MEMORIES // 2]
            for number in small:
                loose = np.union1d(loose, stored.pop(number)[0].ids)
            fresh = list(self._pack(loose, generation, small))
        elif len(loose):
            fresh = [(build_segment(self._vault.memories.get(loose.tolist()), self._analyzer), b"")]
        self._parts = self._with_vectors([*stored.values(), *fresh])
        self._assemble()
        emit(Event.INDEX_LOADED, memories=len(self), segments=len(self._parts), built=len(fresh))

    def _load_stored(self, alive: Int64) -> tuple[dict[int, tuple[Segment, bytes]], Int64]:
        """The vault's sound segments by number, with their checksums, and the ids that none of them holds."""
        known = {part.checksum: part.segment for part in self._parts if part.checksum}
        sound: dict[int, tuple[Segment, bytes]] = {}
        held = np.zeros(len(alive), dtype=np.bool_)
        for stored in self._vault.segments.load(_KIND, _SPACE):
            checksum = stored.payload[:24]
            ids = np.asarray(stored.ids, dtype=np.int64)
            segment = known.get(checksum)
            if segment is None or not np.array_equal(segment.ids, ids):
                segment = _decoded(stored.payload, ids)
            at = np.minimum(np.searchsorted(alive, ids), max(len(alive) - 1, 0))
            if segment is None or not len(alive) or (alive[at] != ids).any() or held[at].any():
                self._drop([stored.number])
                continue
            sound[stored.number] = (segment, checksum)
            held[at] = True
        return sound, alive[~held]

    def _pack(self, ids: Int64, generation: int, replaced: list[int]) -> Iterator[tuple[Segment, bytes]]:
        """Build segments of ``ids`` and keep them in the vault, where it can be written."""
        self._drop(replaced)
        for start in range(0, len(ids), MAX_MEMORIES):
            memories = self._vault.memories.get(ids[start : start + MAX_MEMORIES].tolist())
            if not memories:
                continue
            segment = build_segment(memories, self._analyzer)
            payload = encode(segment, _space_key())
            yield segment, payload[:24] if self._keep(segment, payload, generation) else b""
        emit(Event.INDEX_BUILT, memories=len(ids))

    def _keep(self, segment: Segment, payload: bytes, generation: int) -> bool:
        try:
            with self._vault.transaction():
                # A memory may have been edited or forgotten since it was read: its old words must not come back.
                if self._vault.generation != generation:
                    return False
                self._vault.segments.put(_KIND, _SPACE, int(segment.ids[0]), segment.ids, payload)
        except (ReadOnly, DiskFull, VaultBusy):
            return False
        return True

    def _drop(self, numbers: list[int]) -> None:
        try:
            for number in numbers:
                self._vault.segments.drop(_KIND, _SPACE, number)
        except (ReadOnly, DiskFull, VaultBusy):
            return

    def _with_vectors(self, segments: list[tuple[Segment, bytes]]) -> list[_Part]:
        """Vectors for each segment: those at hand for one that is unchanged and whole, the vault's for the others."""
        known = {part.checksum: part for part in self._parts if part.checksum and part.block.present.all()}
        first_new = min((int(segment.ids[0]) for segment, mark in segments if mark not in known), default=None)
        if first_new is None:
            return [known[mark] for _, mark in segments]
        ids, vectors = self._vault.vectors.load(self._embedder_id, after_id=first_new - 1)
        return [
            known[mark] if mark in known else _Part(segment, _block(segment.ids, ids, vectors), mark)
            for segment, mark in segments
        ]

    def _assemble(self) -> None:
        segments = [part.segment for part in self._parts]
        self._offsets = np.concatenate(([0], np.cumsum([len(segment.ids) for segment in segments]))).astype(np.int64)
        open_ids = self._vault.memories.ids(MemoryFilter(include_closed=False)) if segments else self._offsets[:0]
        self._columns = Columns(segments, open_ids)
        self._lexical = Bm25(segments, k1=_K1, b=_B)
        self._dense = DenseScan(part.block for part in self._parts)


def _space_key() -> str:
    return f"{_SPACE}:{ANALYZER_VERSION}"


def _decoded(payload: bytes, ids: Int64) -> Segment | None:
    try:
        return decode(payload, _space_key(), ids)
    except SegmentInvalid:
        return None


def _block(ids: Int64, found: Int64, vectors: Float16) -> VectorBlock:
    """The vectors of ``ids`` out of ``found`` (ascending)."""
    out = np.zeros((len(ids), vectors.shape[1]), dtype=np.float16)
    present = np.zeros(len(ids), dtype=np.bool_)
    if len(found):
        at = np.minimum(np.searchsorted(found, ids), len(found) - 1)
        present = found[at] == ids
        out[present] = vectors[at[present]]
    return VectorBlock(out, present)
