"""What lies beside the best is gathered natively as by numpy, number for number."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso import kernels
from edgeperso.index.code_scan import CodeBlock, CodeScan
from edgeperso.index.codes import codes_of
from edgeperso.index.lexical import NativeBm25
from edgeperso.index.segment import Segment, term_hash
from edgeperso.retrieval.gathering import Asked, gathered, gathered_by_numpy
from edgeperso.types import Float32

native = pytest.mark.skipif(not kernels.AVAILABLE, reason="the extension is missing")
DIM = 24
TERMS = ("tea", "harbour", "cello")


def segment(chance: np.random.Generator, start: int, n: int) -> Segment:
    """Of ``n`` memories, each of which holds each of the terms or not."""
    hashes = sorted(term_hash(term) for term in TERMS)
    rows = [np.flatnonzero(chance.random(n) < 0.5).astype(np.uint16) for _ in hashes]
    kept = [place for place, some in enumerate(rows) if len(some)]
    together = np.concatenate([np.zeros(0, np.uint16), *(rows[place] for place in kept)])
    return Segment(
        ids=np.arange(start, start + n),
        hashes=np.array([hashes[place] for place in kept], np.uint64),
        starts=np.cumsum([0, *(len(rows[place]) for place in kept)]).astype(np.int32),
        rows=together,
        counts=chance.integers(1, 9, len(together)).astype(np.uint16),
        lengths=chance.integers(1, 40, n).astype(np.int32),
    )


def made(seed: int, sizes: list[int]) -> tuple[Any, Float32]:
    """As much of an index as gathering looks at, and a question's vector."""
    chance = np.random.default_rng(seed)
    vectors = [chance.standard_normal((n, DIM)).astype(np.float16) for n in sizes]
    blocks = [CodeBlock(*codes_of(some), chance.random(len(some)) < 0.9) for some in vectors]
    total = sum(sizes)
    segments = [segment(chance, sum(sizes[:place]), n) for place, n in enumerate(sizes)]
    links = [np.where(chance.random(total) < 0.7, chance.integers(0, total, total), -1).astype(np.int32) for _ in "pn"]
    every = np.concatenate(vectors)
    index = SimpleNamespace(
        dense=CodeScan(blocks, lambda rows: every[rows]),
        lexical=NativeBm25(segments, k1=1.2, b=0.5),
        columns=SimpleNamespace(previous=links[0], next=links[1]),
    )
    return index, chance.standard_normal(DIM).astype(np.float32)


@native
@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    sizes=st.lists(st.integers(1, 80), min_size=1, max_size=4),
    best=st.integers(1, 40),
    leading=st.integers(1, 50),
    steps=st.integers(0, 6),
    terms=st.lists(st.sampled_from([*TERMS, "whale"]), unique=True, max_size=4),
)
def test_natively_as_by_numpy(
    seed: int, sizes: list[int], best: int, leading: int, steps: int, terms: list[str]
) -> None:
    index, vector = made(seed, sizes)
    weights = dict.fromkeys(terms, 1.0)
    asked = Asked(vector, weights, index.dense.top(vector, best), index.lexical.top(weights, best))
    found = gathered(index, asked, leading=leading, steps=steps)
    expected = gathered_by_numpy(index, asked, leading=leading, steps=steps)
    for name in ("rows", "cosines", "words", "previous", "next"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)


@native
def test_what_lies_beside_the_best_comes_with_its_scores() -> None:
    index, vector = made(1, [50, 30])
    index.columns.previous[:] = np.arange(-1, 79)
    index.columns.next[:] = -1
    asked = Asked(vector, {"tea": 1.0}, index.dense.top(vector, 1), index.lexical.top({"tea": 1.0}, 1))
    found = gathered(index, asked, leading=1, steps=2)
    first, second = int(asked.by_vector.rows[0]), int(asked.by_words.rows[0])
    assert {first, second} < set(found.rows.tolist())
    assert len(found.rows) == 4  # one of the two leads, and brings the two before it
    np.testing.assert_array_equal(found.words, index.lexical.at({"tea": 1.0}, found.rows))
    np.testing.assert_array_equal(found.next, -1)
    there = found.previous >= 0
    np.testing.assert_array_equal(found.rows[found.previous[there]], found.rows[there] - 1)


@native
@pytest.mark.parametrize(
    ("changed", "error"),
    [
        ({"codes": np.ones(DIM - 1, np.int8)}, "dimensions"),
        ({"weights": np.ones(2)}, "weight"),
        ({"previous": np.zeros(9, np.int32)}, "rows"),
        ({"following": np.zeros(11, np.int32)}, "rows"),
        ({"by_vector": (np.array([3, 10]), np.ones(2, np.float32), 0.0, 1.0)}, "row"),
        ({"by_words": (np.array([-1]), np.ones(1, np.float32), 0.0, 1.0)}, "row"),
        ({"by_words": (np.array([1]), np.ones(2, np.float32), 0.0, 1.0)}, "score"),
        ({"by_words": (np.array([1.0]), np.ones(1, np.float32), 0.0, 1.0)}, "types"),
        ({"previous": np.zeros(10, np.int64)}, "types"),
        ({"steps": -1}, "types"),
    ],
)
def test_what_does_not_fit_is_refused(changed: dict[str, Any], error: str) -> None:
    from edgeperso._native import gather

    index, _ = made(2, [10])
    none = (np.zeros(0, np.int64), np.zeros(0, np.float32), 0.0, 0.0)
    given: dict[str, Any] = {
        "dense": index.dense.native, "lexical": index.lexical.native, "codes": np.ones(DIM, np.int8), "scale": 1.0,
        "hashes": np.array([1], np.uint64), "weights": np.ones(1), "previous": np.full(10, -1, np.int32),
        "following": np.full(10, -1, np.int32), "by_vector": none, "by_words": none, "leading": 5, "steps": 3,
    }  # fmt: skip
    assert all(len(each) == 0 for each in gather(**given))
    with pytest.raises((ValueError, IndexError, TypeError), match=error):
        gather(**given | changed)


@native
def test_links_to_rows_that_are_not_there_lead_nowhere() -> None:
    from edgeperso._native import gather

    index, _ = made(3, [10])
    wild = np.array([10, -7, 2**31 - 1, -(2**31)] * 3, np.int32)[:10]
    found = (np.arange(10), np.ones(10, np.float32), 0.0, 1.0)
    none = (np.zeros(0, np.int64), np.zeros(0, np.float32), 0.0, 0.0)
    rows, _, _, previous, following = gather(
        index.dense.native, index.lexical.native, np.ones(DIM, np.int8), 1.0, np.zeros(0, np.uint64), np.zeros(0),
        wild, wild, found, none, 10, 9,
    )  # fmt: skip
    assert rows.tolist() == list(range(10))
    assert (previous == -1).all()
    assert (following == -1).all()
