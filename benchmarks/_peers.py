"""Other ways to search, each exact or as exact as its form allows, on one thread.

`DENSE`: name to ``make(vectors float16[n, dim], blocks of codes)``, which gives ``search(question float32[dim], k)`` to
rows, best first. `LEXICAL`: name to ``make(words, k1, b)``, which gives ``search(terms, k)`` to scores, best first.
A ``make`` that takes longer than a run of this benchmark can wait for ends with `TimeoutError`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._corpus import Words
from edgeperso.index.codes import codes_of
from edgeperso.index.scoring import CodeBlock
from edgeperso.types import Float32, Int64

__all__ = ["DENSE", "LEXICAL"]

Float16 = NDArray[np.float16]
Search = Callable[[Float32, int], Int64]
Terms = Mapping[str, float]
TermSearch = Callable[[Terms, int], NDArray[np.floating[Any]]]

_STEP = 16_384
_SQ8_TRAINING = 20_000
_HNSW_SECONDS = 420.0


def numpy_float32(vectors: Float16, _: Sequence[CodeBlock]) -> Search:
    matrix = vectors.astype(np.float32)

    def search(question: Float32, k: int) -> Int64:
        cosines = matrix @ question
        near = np.argpartition(-cosines, k)[:k]
        return near[np.argsort(-cosines[near])]

    return search


def usearch_exact(_: Float16, blocks: Sequence[CodeBlock]) -> Search:
    """int8, one query at a time, its exact search."""
    library = import_module("usearch.index")
    matrix = np.concatenate([block.codes for block in blocks])

    def search(question: Float32, k: int) -> Int64:
        query = codes_of(question[None, :]).codes
        found = library.search(matrix, query, k, library.MetricKind.Cos, exact=True, threads=1)
        return np.asarray(found.keys, dtype=np.int64).reshape(-1)

    return search


def faiss_sq8(vectors: Float16, _: Sequence[CodeBlock]) -> Search:
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexScalarQuantizer(vectors.shape[1], faiss.ScalarQuantizer.QT_8bit, faiss.METRIC_INNER_PRODUCT)
    index.train(vectors[:_SQ8_TRAINING].astype(np.float32))
    for start in range(0, len(vectors), _STEP):
        index.add(vectors[start : start + _STEP].astype(np.float32))
    return lambda question, k: np.asarray(index.search(question[None, :], k)[1][0], dtype=np.int64)


def faiss_binary(vectors: Float16, blocks: Sequence[CodeBlock]) -> Search:
    """The same bits as ours, and nothing after them."""
    faiss = import_module("faiss")
    faiss.omp_set_num_threads(1)
    index = faiss.IndexBinaryFlat(vectors.shape[1])
    index.add(np.concatenate([block.bits for block in blocks]))
    return lambda question, k: np.asarray(index.search(codes_of(question[None, :]).bits, k)[1][0], dtype=np.int64)


def hnswlib(vectors: Float16, _: Sequence[CodeBlock]) -> Search:
    """float32 in a graph of 16 links a row, built on all cores; what a search visits is set to 100 rows.

    Raises:
        TimeoutError: the graph isn't whole after seven minutes.
    """
    index = import_module("hnswlib").Index(space="ip", dim=vectors.shape[1])
    index.init_index(max_elements=len(vectors), M=16, ef_construction=100)
    start_s = perf_counter()
    for start in range(0, len(vectors), _STEP):
        if perf_counter() - start_s > _HNSW_SECONDS:
            raise TimeoutError(f"its graph had {start:,} of {len(vectors):,} rows after {_HNSW_SECONDS:.0f} s")
        some = vectors[start : start + _STEP].astype(np.float32)
        index.add_items(some, np.arange(start, start + len(some)))
    index.set_ef(100)
    return lambda question, k: np.asarray(index.knn_query(question, k, num_threads=1)[0][0], dtype=np.int64)


def sqlite_vec(vectors: Float16, blocks: Sequence[CodeBlock]) -> Search:
    """int8 in memory, unencrypted."""
    extension = import_module("sqlite_vec")
    # Python's own module may come without extensions.
    database = import_module("sqlcipher3.dbapi2").connect(":memory:")
    database.enable_load_extension(True)
    database.load_extension(extension.loadable_path())
    database.execute(f"CREATE VIRTUAL TABLE v USING vec0(e int8[{vectors.shape[1]}] distance_metric=cosine)")
    codes = (code for block in blocks for code in block.codes)
    statement = "INSERT INTO v(rowid, e) VALUES (?, vec_int8(?))"
    database.executemany(statement, ((row, code.tobytes()) for row, code in enumerate(codes)))

    def search(question: Float32, k: int) -> Int64:
        query = codes_of(question[None, :]).codes.tobytes()
        found = database.execute(
            "SELECT rowid FROM v WHERE e MATCH vec_int8(?) AND k = ? ORDER BY distance", (query, k)
        )
        return np.array([row for (row,) in found], dtype=np.int64)

    return search


def fts5(words: Words, *_: float) -> TermSearch:
    """SQLite's full-text index in memory, unencrypted, with its own BM25; the texts are stems already."""
    database = sqlite3.connect(":memory:")
    database.execute("CREATE VIRTUAL TABLE t USING fts5(x, content='', tokenize='unicode61')")
    vocabulary = words.vocabulary
    texts = (" ".join([vocabulary[term] for term in terms.tolist()]) for terms in words.memories())
    database.executemany("INSERT INTO t(rowid, x) VALUES (?, ?)", enumerate(texts, 1))

    def search(terms: Terms, k: int) -> NDArray[np.floating[Any]]:
        query = " OR ".join(f'"{term}"' for term in terms)
        found = database.execute("SELECT -rank FROM t WHERE t MATCH ? ORDER BY rank LIMIT ?", (query, k))
        return np.array([score for (score,) in found])

    return search


def bm25s(words: Words, k1: float, b: float) -> TermSearch:
    library = import_module("bm25s")
    tokenized = import_module("bm25s.tokenization").Tokenized
    numbers = {term: number for number, term in enumerate(words.vocabulary)}
    index = library.BM25(k1=k1, b=b, method="lucene")
    index.index(tokenized([terms.tolist() for terms in words.memories()], numbers), show_progress=False)

    def search(terms: Terms, k: int) -> NDArray[np.floating[Any]]:
        found = index.retrieve([list(terms)], k=k, show_progress=False, n_threads=1)
        return np.asarray(found.scores[0])

    return search


DENSE: dict[str, Callable[[Float16, Sequence[CodeBlock]], Search]] = {
    "numpy": numpy_float32,
    "usearch": usearch_exact,
    "faiss_sq8": faiss_sq8,
    "faiss_binary": faiss_binary,
    "sqlite_vec": sqlite_vec,
    "hnswlib": hnswlib,
}
LEXICAL: dict[str, Callable[[Words, float, float], TermSearch]] = {"fts5": fts5, "bm25s": bm25s}
