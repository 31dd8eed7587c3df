"""Segments that lie, fed to what reads them: the decoders, then the searches over what they let through.

What is stored is authenticated by pages, so a payload like these comes from a defect, not from a stranger; all the same
it must be refused (`SegmentInvalid`, whose payload is dropped and built anew) or be searched without harm. Each payload
here is sealed anew after it was changed: its checksum is right, and only its contents lie.

`attack` is one such try, whole in its seed. ``scripts/fuzz_segments.py`` runs it for as long as one likes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index import payload
from edgeperso.index.attributes import STRING_COLUMNS, decode_attributes
from edgeperso.index.blocks import BitStages
from edgeperso.index.code_scan import CodeBlock, CodeScan
from edgeperso.index.code_store import CodeStore
from edgeperso.index.codes import codes_of
from edgeperso.index.columns import Columns
from edgeperso.index.lexical import Bm25
from edgeperso.index.parts import Part
from edgeperso.index.payload import SegmentInvalid
from edgeperso.index.scoring import lexical_scorer
from edgeperso.index.segment import decode, joined
from edgeperso.types import MemoryFilter
from edgeperso.vault.segments import Segment as Stored

Array = NDArray[Any]
SPACE, DIM, WIDTH = "space", 20, 3
EXTREMES = (0, 1, 2, 7, 127, 128, 255, 4095, 4096, 65_535, 65_536, 2**31 - 1, 2**31, 2**32, 2**63 - 1, 2**64 - 1)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a payload."""

    kind: str
    refused: bool


def attack(seed: int) -> Outcome:
    """Make one payload, feed it to its reader, search in what comes out.

    Raises:
        Exception: anything but a refusal: a defect.
    """
    chance = np.random.default_rng(seed)
    kind = ("words", "attributes", "bits", "codes")[int(chance.integers(4))]
    ids = np.sort(chance.choice(1000, int(chance.integers(1, 40)), replace=False)).astype(np.int64) + 1
    arrays = [array.copy() for array in _MADE[kind](chance, ids)]
    for _ in range(int(chance.integers(0, 4))):
        arrays = changed(chance, arrays)
    sealed = payload.seal(kind, SPACE, ids, arrays)
    if chance.random() < 0.3:
        sealed = _with_lying_sizes(chance, sealed, kind, ids, len(arrays))
    try:
        with np.errstate(all="ignore"):
            _READ[kind](sealed, ids)
    except SegmentInvalid:
        return Outcome(kind, refused=True)
    return Outcome(kind, refused=False)


def changed(chance: np.random.Generator, arrays: Sequence[Array]) -> list[Array]:
    """``arrays`` with one lie in one of them."""
    out = list(arrays)
    at = int(chance.integers(len(out)))
    array = out[at]
    place = int(chance.integers(max(len(array), 1)))
    match int(chance.integers(8)):
        case 0 if len(array):
            raw = array[place : place + 1].view(np.uint8)
            value = int(chance.choice(len(EXTREMES)))
            raw[:] = np.frombuffer(EXTREMES[value].to_bytes(8, "little"), np.uint8)[: len(raw)]
        case 1 if len(array):
            array[place : place + 1].view(np.uint8)[:] = chance.integers(0, 256, array.itemsize, dtype=np.uint8)
        case 2 if array.dtype.kind == "f" and len(array):
            array[place] = chance.choice(np.array([np.nan, np.inf, -np.inf, 3e38, -1.0], array.dtype))
        case 3 if len(array) > 1:
            array[[place, place - 1]] = array[[place - 1, place]]
        case 4:
            out[at] = array[:place]
        case 5:
            out[at] = np.concatenate([array, array[:place], array[:1]])
        case 6:
            chance.shuffle(array)
        case _ if len(array) > 1:
            array[place] = array[place - 1]
    return out


def _with_lying_sizes(chance: np.random.Generator, sealed: bytes, kind: str, ids: Array, count: int) -> bytes:
    head, body = payload._HEAD, bytearray(sealed[payload._HEAD.size :])
    at = 8 * int(chance.integers(count))
    size = int.from_bytes(body[at : at + 8], "little")
    lie = (size + int(chance.integers(-9, 10)), EXTREMES[int(chance.choice(len(EXTREMES)))])[int(chance.integers(2))]
    body[at : at + 8] = (lie % 2**64).to_bytes(8, "little")
    body = body[: int(chance.integers(len(body) + 1))] if chance.random() < 0.2 else body
    checksum = payload._checksum(kind, SPACE, ids, memoryview(body))
    return head.pack(payload._MAGIC, payload._VERSION, count, checksum) + bytes(body)


# ---- sound arrays --------------------------------------------------------------------------------------------------


def _words(chance: np.random.Generator, ids: Array) -> list[Array]:
    n, terms = len(ids), int(chance.integers(0, 30))
    hashes = np.sort(chance.choice(2**63 - 1, terms)).astype(np.uint64)
    if terms:
        hashes[-1] = 2**64 - 1
    held = [np.sort(chance.choice(n, int(chance.integers(1, n + 1)), replace=False)) for _ in range(terms)]
    starts = np.cumsum([0, *map(len, held)]).astype(np.int32)
    rows = np.concatenate([np.zeros(0, np.int64), *held]).astype(np.uint16)
    counts = chance.integers(1, 9, len(rows)).astype(np.uint16)
    return [hashes, starts, rows, counts, chance.integers(0, 99, n).astype(np.int32)]


def _attributes(chance: np.random.Generator, ids: Array) -> list[Array]:
    n = len(ids)
    out: list[Array] = [chance.integers(0, 2**40, n), chance.integers(0, 9, n), chance.integers(0, 2**63, n, np.uint64)]
    for name in STRING_COLUMNS:
        out += [each.copy() for each in payload.pack_strings([name, "é", ""])]
        out.append(chance.integers(0, 3, n).astype(chance.choice(["<i1", "<i2", "<i4"])))
    return out


def _bits(chance: np.random.Generator, ids: Array) -> list[Array]:
    return [chance.integers(0, 256, len(ids) * WIDTH, dtype=np.uint8)]


def _codes(chance: np.random.Generator, ids: Array) -> list[Array]:
    codes = chance.integers(-127, 128, len(ids) * DIM, dtype=np.int8)
    return [codes, (chance.random(len(ids)) / 100).astype(np.float32)]


_MADE: dict[str, Callable[[np.random.Generator, Array], list[Array]]] = {
    "words": _words,
    "attributes": _attributes,
    "bits": _bits,
    "codes": _codes,
}

# ---- readers, and searches in what they gave -------------------------------------------------------------------------


def _read_words(sealed: bytes, ids: Array) -> None:
    found = decode(sealed, SPACE, ids)
    segments = [found, joined([found, replace(found, ids=ids + 1000)]), found.kept(ids % 2 == 0)]
    terms = np.concatenate([found.hashes[:3], found.hashes[-1:], np.array([5], np.uint64)])
    oracle = Bm25(segments, k1=1.2, b=0.5)
    scorer = lexical_scorer(segments, k1=1.2, b=0.5)
    assert scorer.idf("tea") == oracle.idf("tea")
    if not kernels.AVAILABLE:
        return
    from edgeperso._native import Bm25Index, SegmentPostings

    parts = [SegmentPostings(each.hashes, each.starts, each.rows, each.counts, each.lengths) for each in segments]
    rows = np.arange(sum(len(segment.ids) for segment in segments))
    weights = np.ones(len(terms))
    index = Bm25Index(parts, 1.2, 0.5, 3.0)
    scores = index.scores(terms, weights)
    assert np.isfinite(scores).all()
    assert (index.at(terms, weights, rows) == scores).all()
    best, _, _ = index.top(terms, weights, 7, rows % 3 == 0)
    assert len(best[0]) <= 7


def _read_attributes(sealed: bytes, ids: Array) -> None:
    found = decode_attributes(sealed, SPACE, ids)
    columns = Columns()
    columns.replace(0, 0, [(ids, found), (ids + 1000, found)])
    columns.mask(MemoryFilter(sources=("source",)))
    again = columns.attributes(np.arange(len(ids)))
    assert [again.strings["kind"].values[code] for code in again.strings["kind"].codes] == [
        found.strings["kind"].values[code] for code in found.strings["kind"].codes
    ]
    columns.remove(0, np.arange(len(ids)) % 2 == 0)


class _Vault:
    """As much of a vault as stored codes need: one payload of each kind."""

    def __init__(self, stored: dict[str, Stored]) -> None:
        self._stored = stored
        self.segments = self.vectors = self
        self.refused = False

    def one(self, kind: str, space: str, number: int) -> Stored | None:
        return self._stored.get(kind)

    def transaction(self) -> Any:
        raise SegmentInvalid  # what isn't sound is dropped, in a transaction


def _store(kind: str, sealed: bytes, ids: Array) -> CodeStore:
    return CodeStore(_Vault({kind: Stored(1 << 24, ids, sealed)}), SPACE)  # type: ignore[arg-type]


def _part(ids: Array) -> Part:
    segment = decode(payload.seal("words", SPACE, ids, _words(np.random.default_rng(0), ids)), SPACE, ids)
    return Part(segment, CodeBlock(*codes_of(np.zeros((len(ids), DIM), np.float16)), np.ones(len(ids), np.bool_)))


QUESTION = np.linspace(-1, 1, DIM, dtype=np.float32)


def _read_bits(sealed: bytes, ids: Array) -> None:
    found = _store("bits", sealed, ids).bits(_part(ids), [int(ids[0]) << 24], DIM)
    assert found is not None
    codes = codes_of(QUESTION[None, :])
    rows, scores = BitStages([found]).nearest(codes.bits[0], codes.codes[0], 5, 5)
    assert len(rows) == min(5, len(ids))
    assert np.isfinite(scores).all()


def _read_codes(sealed: bytes, ids: Array) -> None:
    block = _part(ids).block
    assert isinstance(block, CodeBlock)
    found = _store("codes", sealed, ids).codes(ids, [int(ids[0]) << 24], block, DIM)
    blocks = [found, CodeBlock(*codes_of(np.zeros((0, DIM), np.float16)), np.zeros(0, np.bool_)), found]
    scan = CodeScan(blocks, lambda rows: np.ones((len(rows), DIM), np.float16))
    best = scan.top(QUESTION, 5)
    assert len(best.rows) == min(5, 2 * len(ids))
    estimates = scan.scores(QUESTION)
    assert not np.isnan(estimates).any()


_READ: dict[str, Callable[[bytes, Array], None]] = {
    "words": _read_words,
    "attributes": _read_attributes,
    "bits": _read_bits,
    "codes": _read_codes,
}
