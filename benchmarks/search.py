"""How fast the best of a million memories are found by words and by vectors, beside other ways to do the same.

Corpus: `benchmarks/_corpus.py`; vectors of the default embedder. Questions: sentences that are not in the corpus, by
vector; four terms out of one memory, by words. Everything on one thread.

- ``dense_p50_ms``, ``dense_p95_ms``: the ten best with the statistics of all, exact vectors fetched from an array.
- ``dense_recall_at_10``: the share of the ten best that an exact float32 search of the vectors, before any rounding,
  finds too.
- ``bm25_p50_ms``, ``bm25_p95_ms``: the ten best of four terms. ``bm25_same``: the share of questions for which bm25s
  gives the same ten scores.
- ``bandwidth_gb_s``: how fast 256 MB and more are read; ``dense_floor_ms``: what reading the bits alone takes then.
- ``…_vs_…``: the median of a peer's times over the median of ours, which take turns of the same length: after each
  question to the peer as many to ours as there is time for. ``dense_after_…_ms``: the first of each turn, which finds
  the caches full of the peer's data.

A peer that can't be imported, or takes too long to build, is named on standard error and left out. For a million
memories: ours 0.05 GB of bits, 0.4 of codes, 0.8 of exact vectors; the peers' copies 1.5 GB (numpy), 0.4 (usearch), 0.4
(faiss SQ8), 0.05 (faiss binary), 0.8 (sqlite-vec), 1.7 (hnswlib), 0.5 (FTS5), 1.5 while bm25s builds. Each is dropped
before the next is made.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain, cycle
from time import perf_counter
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from benchmarks._corpus import Words, embedded, tiled
from benchmarks._model import MODEL, default_embedder
from benchmarks._peers import DENSE, LEXICAL
from benchmarks._report import arguments, report
from edgeperso.index.codes import Codes, codes_of
from edgeperso.index.room import Room
from edgeperso.index.scoring import CodeBlock, CodeScan, lexical_scorer
from edgeperso.types import Float32, Int64

SOURCES, QUESTIONS = 2_400, 200
K = 10
K1, B = 1.2, 0.5
PEER_SECONDS = 4.0

Q = TypeVar("Q")
T = TypeVar("T")


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--n", type=int, default=100_000, help="memories (100,000)")
    parser.add_argument("--peers", default=",".join([*DENSE, *LEXICAL]), help="those to compare with (all)")
    options = parser.parse_args()
    peers = set(filter(None, options.peers.split(",")))
    figures = by_words(options.n, options.seed, peers)
    figures |= by_vectors(real_vectors(options.seed), options.n, options.seed, peers)
    report("search", figures, n=options.n, seed=options.seed, models={MODEL: MODEL}, as_json=options.json)


# ---- by vectors ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Vectors:
    """Attributes:
    exact: float16[n, dim].
    blocks: their codes.
    truth: int64[questions, 10], the best rows of each question in float32.
    """

    exact: NDArray[np.float16]
    blocks: list[CodeBlock]
    truth: Int64


def real_vectors(seed: int) -> Float32:
    """float32[SOURCES + QUESTIONS, dim]: what the corpus is made of, then the questions."""
    return embedded(default_embedder(), SOURCES + QUESTIONS, seed)


def by_vectors(every: Float32, n: int, seed: int, peers: set[str]) -> dict[str, float]:
    questions = list(every[SOURCES:])
    vectors = made(every[:SOURCES], every[SOURCES:], n, seed)
    ours = CodeScan(vectors.blocks, lambda rows: vectors.exact[rows])
    times, found = timed(lambda question: ours.top(question, K).rows, questions)
    speed = bandwidth(vectors.exact)
    bits = sum(block.bits.nbytes for block in vectors.blocks)
    figures = {
        "dense_p50_ms": percentile(times, 50),
        "dense_p95_ms": percentile(times, 95),
        "dense_recall_at_10": recall(found, vectors.truth),
        "bandwidth_gb_s": speed,
        "dense_floor_ms": bits / speed / 1e6,
    }
    for name in DENSE:
        search = prepared(DENSE[name], name, peers, vectors.exact, vectors.blocks)
        if search is not None:
            own, theirs, rows = in_turn(lambda question: ours.top(question, K), ten(search), questions)
            figures[f"{name}_p50_ms"] = percentile(theirs, 50)
            figures[f"{name}_recall_at_10"] = recall(rows, vectors.truth)
            figures[f"dense_vs_{name}"] = percentile(theirs, 50) / percentile(list(chain(*own)), 50)
            figures[f"dense_after_{name}_ms"] = percentile([turn[0] for turn in own], 50)
    return figures


def made(sources: Float32, questions: Float32, n: int, seed: int) -> Vectors:
    exact = np.empty((n, sources.shape[1]), dtype=np.float16)
    blocks: list[CodeBlock] = []
    best = np.full((len(questions), 0), 0, dtype=np.float32)
    truth = np.zeros((len(questions), 0), dtype=np.int64)
    dim = sources.shape[1]
    rooms = Room(n, -(-dim // 8), np.uint8), Room(n, dim, np.int8)
    start = 0
    for block in tiled(sources, n, seed):
        own = exact[start : start + len(block)]
        own[:] = block
        blocks.append(held(codes_of(own), rooms))
        cosines = questions @ block.T
        near = np.argpartition(-cosines, min(K, len(block)) - 1, axis=1)[:, :K]
        best = np.hstack([best, np.take_along_axis(cosines, near, axis=1)])
        truth = np.hstack([truth, near + start])
        order = np.argsort(-best, axis=1, kind="stable")[:, :K]
        best, truth = np.take_along_axis(best, order, axis=1), np.take_along_axis(truth, order, axis=1)
        start += len(block)
    return Vectors(exact, blocks, truth)


def held(codes: Codes, rooms: tuple[Room, Room]) -> CodeBlock:
    """``codes`` in memory as an index of a vault has it."""
    bits, numbers = (room.take(*each.shape) for room, each in zip(rooms, codes[:2], strict=True))
    bits[:], numbers[:] = codes[:2]
    return CodeBlock(bits, numbers, codes.scales, np.ones(len(bits), dtype=np.bool_))


def bandwidth(vectors: NDArray[np.float16]) -> float:
    """Gigabytes a second, the best of ten readings on one thread."""
    numbers = vectors.reshape(-1)[: vectors.size // 4 * 4].view(np.uint64)
    return numbers.nbytes / min(timed(np.sum, [numbers] * 10)[0]) / 1e9


def recall(found: Sequence[Int64], truth: Int64) -> float:
    return float(np.mean([len(np.intersect1d(rows, wanted)) / K for rows, wanted in zip(found, truth, strict=False)]))


# ---- by words --------------------------------------------------------------------------------------------------------


def by_words(n: int, seed: int, peers: set[str]) -> dict[str, float]:
    words = Words.drawn(n, seed)
    questions = words.questions(QUESTIONS, seed + 1)
    start = perf_counter()
    ours = lexical_scorer(words.segments, k1=K1, b=B)
    figures = {"bm25_build_s": perf_counter() - start}
    times, found = timed(lambda question: ours.top(question, K), questions)
    figures |= {"bm25_p50_ms": percentile(times, 50), "bm25_p95_ms": percentile(times, 95)}
    for name in LEXICAL:
        search = prepared(LEXICAL[name], name, peers, words, K1, B)
        if search is None:
            continue
        own, theirs, scores = in_turn(lambda question: ours.top(question, K), ten(search), questions)
        figures[f"{name}_p50_ms"] = percentile(theirs, 50)
        figures[f"{name}_p95_ms"] = percentile(theirs, 95)
        figures[f"bm25_vs_{name}"] = percentile(theirs, 50) / percentile(list(chain(*own)), 50)
        if name == "bm25s":
            same = [np.allclose(mine.scores, other, rtol=1e-4) for mine, other in zip(found, scores, strict=False)]
            figures["bm25_same"] = float(np.mean(same))
    return figures


# ---- both ------------------------------------------------------------------------------------------------------------


def prepared(make: Callable[..., T], name: str, peers: set[str], *corpus: object) -> T | None:
    """The peer's search over the corpus; None where it isn't wanted, isn't there or takes too long."""
    if name not in peers:
        return None
    try:
        return make(*corpus)
    except (ImportError, TimeoutError) as error:
        sys.stderr.write(f"search: {name} is left out: {error}\n")
        return None


def ten(search: Callable[[Q, int], T]) -> Callable[[Q], T]:
    return lambda question: search(question, K)


def timed(search: Callable[[Q], T], questions: Sequence[Q]) -> tuple[list[float], list[T]]:
    """Seconds that each question takes, and what it gives, after three for warmth."""
    for question in questions[:3]:
        search(question)
    times, results = [], []
    for question in questions:
        start = perf_counter()
        results.append(search(question))
        times.append(perf_counter() - start)
    return times, results


def in_turn(
    ours: Callable[[Q], object], theirs: Callable[[Q], T], questions: Sequence[Q]
) -> tuple[list[list[float]], list[float], list[T]]:
    """Seconds of each side, ours by turn: after one question to the peer as many to ours as it took, at least one,
    until the peer has had its share of time. And what the peer found."""
    own: list[list[float]] = []
    other: list[float] = []
    results: list[T] = []
    theirs(questions[0])
    asked = cycle(questions)
    for question in questions:
        start = perf_counter()
        results.append(theirs(question))
        other.append(perf_counter() - start)
        own.append([])
        while not own[-1] or sum(own[-1]) < other[-1]:
            start = perf_counter()
            ours(next(asked))
            own[-1].append(perf_counter() - start)
        if sum(other) > PEER_SECONDS:
            break
    return own, other, results


def percentile(seconds: Sequence[float], share: float) -> float:
    """In milliseconds."""
    return float(np.percentile(seconds, share)) * 1000


if __name__ == "__main__":
    main()
