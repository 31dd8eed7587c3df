"""The search classes refuse what doesn't fit, whoever calls them, and serve several threads."""

from __future__ import annotations

import os
import threading
from typing import Any

import numpy as np
import pytest

if os.environ.get("CI"):
    from edgeperso import _native
else:
    _native = pytest.importorskip(
        "edgeperso._native", reason="the extension is not built (Python's headers?)", exc_type=ImportError
    )

DIM, WIDTH = 20, 3


def block(n: int = 5, **changed: Any) -> Any:
    rng = np.random.default_rng(n)
    arrays = {
        "bits": rng.integers(0, 256, (n, WIDTH), dtype=np.uint8),
        "codes": rng.integers(-127, 128, (n, DIM), dtype=np.int8),
        "scales": np.ones(n, dtype=np.float32),
        "present": np.ones(n, dtype=np.bool_),
    }
    return _native.CodeRows(*(arrays | changed).values())


BITS, CODES = np.zeros(WIDTH, dtype=np.uint8), np.ones(DIM, dtype=np.int8)


@pytest.mark.parametrize(
    "changed",
    [
        {"bits": np.zeros((4, WIDTH), np.uint8)},
        {"bits": np.zeros((5, WIDTH + 1), np.uint8)},
        {"codes": np.zeros((4, DIM), np.int8)},
        {"codes": np.zeros((5, DIM + 8), np.int8)},
        {"codes": np.zeros((5, 0), np.int8)},
        {"scales": np.ones(6, np.float32)},
        {"present": np.ones(6, np.bool_)},
    ],
)
def test_blocks_whose_arrays_do_not_fit_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"size|vectors"):
        _native.CodeIndex([block(3), block(5, **changed)])


@pytest.mark.parametrize(
    "changed",
    [
        {"bits": np.zeros((5, WIDTH), np.int8)},
        {"codes": np.zeros((5, 2 * DIM), np.int8)[:, ::2]},
        {"scales": np.ones(5, np.float64)},
        {"present": np.ones(5, np.uint8)},
        {"codes": None},
    ],
)
def test_blocks_of_other_types_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(TypeError):
        _native.CodeIndex([block(5, **changed)])


def test_too_many_dimensions_are_refused() -> None:
    dim = 65_544
    wide = {"bits": np.zeros((1, dim // 8), np.uint8), "codes": np.zeros((1, dim), np.int8)}
    with pytest.raises(ValueError, match="dimensions"):
        _native.CodeIndex([block(1, **wide)])


def test_questions_that_do_not_fit_the_rows_are_refused() -> None:
    index = _native.CodeIndex([block(5), block(4)])
    with pytest.raises(ValueError, match="width"):
        index.nearest(BITS[:2], CODES, 5, 5)
    with pytest.raises(ValueError, match="dimensions"):
        index.nearest(BITS, CODES[:7], 5, 5)
    with pytest.raises(ValueError, match="mask"):
        index.nearest(BITS, CODES, 5, 5, np.ones(8, dtype=np.bool_))
    with pytest.raises(ValueError, match="asked"):
        index.nearest(BITS, CODES, 0, 5)
    with pytest.raises(TypeError):
        index.nearest(BITS, CODES, -1, 5)
    for rows in ([9], [-1], [0, 2**40]):
        with pytest.raises(IndexError):
            index.estimates(CODES, np.array(rows))
    with pytest.raises(ValueError, match="step"):
        index.moments(CODES, 0)
    with pytest.raises(ValueError, match="implementation"):
        _native.CodeIndex([block(5)], "abacus")


def test_more_candidates_than_rows_are_all_rows() -> None:
    index = _native.CodeIndex([block(5), block(4)])
    rows, _ = index.nearest(BITS, CODES, 2**63, 2**63)
    assert sorted(rows.tolist()) == list(range(9))


def postings(**changed: Any) -> tuple[Any, ...]:
    arrays = {
        "hashes": np.array([3, 2**50, 2**64 - 1], dtype=np.uint64),
        "starts": np.array([0, 2, 2, 5], dtype=np.int32),
        "rows": np.array([0, 3, 0, 1, 3], dtype=np.uint16),
        "counts": np.array([1, 2, 1, 1, 7], dtype=np.uint16),
        "lengths": np.array([2, 1, 0, 9], dtype=np.int32),
    }
    return tuple((arrays | changed).values())


@pytest.mark.parametrize(
    "changed",
    [
        {"rows": np.array([0, 4, 0, 1, 3], np.uint16)},
        {"rows": np.array([3, 0, 0, 1, 3], np.uint16)},
        {"rows": np.array([3, 3, 0, 1, 3], np.uint16)},
        {"rows": np.array([0, 3, 0, 1], np.uint16)},
        {"starts": np.array([0, 2, 2, 6], np.int32)},
        {"starts": np.array([0, 2, 1, 5], np.int32)},
        {"starts": np.array([-1, 2, 2, 5], np.int32)},
        {"starts": np.array([0, 2**31 - 1, 2, 5], np.int32)},
        {"starts": np.array([0, 2, 5], np.int32)},
        {"starts": np.array([], np.int32)},
        {"hashes": np.array([3, 3, 4], np.uint64)},
        {"hashes": np.array([3, 2, 4], np.uint64)},
        {"lengths": np.array([2, 1, 0], np.int32)},
    ],
)
def test_broken_postings_are_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"size|order"):
        _native.SegmentPostings(*postings(**changed))


def test_questions_of_words_that_do_not_fit_are_refused() -> None:
    index = _native.Bm25Index([_native.SegmentPostings(*postings())], 1.2, 0.5, 3.0)
    hashes, weights = np.array([3], dtype=np.uint64), np.ones(1)
    assert index.top(hashes, weights, 5)[0][0].tolist() == [0, 3]
    with pytest.raises(ValueError, match="weight"):
        index.scores(hashes, np.ones(2))
    with pytest.raises(ValueError, match="mask"):
        index.top(hashes, weights, 5, np.ones(3, dtype=np.bool_))
    with pytest.raises(ValueError, match="k must"):
        index.top(hashes, weights, 0)
    for row in (-1, 4):
        with pytest.raises(IndexError):
            index.at(hashes, weights, np.array([row]))
    with pytest.raises((TypeError, RuntimeError)):
        _native.Bm25Index([None], 1.2, 0.5, 3.0)


def test_what_an_index_is_made_of_lives_as_long_as_it() -> None:
    lexical = _native.Bm25Index([_native.SegmentPostings(*postings()) for _ in range(50)], 1.2, 0.5, 3.0)
    dense = _native.CodeIndex([block(500) for _ in range(50)])
    np.random.default_rng(0).random(10**6)  # takes the room of whatever was let go
    assert len(lexical.top(np.array([3], dtype=np.uint64), np.ones(1), 1000)[0][0]) == 100
    assert len(dense.nearest(BITS, CODES, 30_000, 30_000)[0]) == 25_000


def test_rows_are_shifted_in_place() -> None:
    rows = np.array([-1, 0, 6, 7, 8, 100], dtype=np.int32)
    _native.shift(rows[1:], 7, -3)
    assert rows.tolist() == [-1, 0, 6, 4, 5, 97]
    for wrong in (rows.astype(np.int64), rows[::2]):
        with pytest.raises(TypeError):
            _native.shift(wrong, 7, -3)
    rows.flags.writeable = False
    with pytest.raises(TypeError):
        _native.shift(rows, 7, -3)


def test_several_threads_search_at_once() -> None:
    index = _native.CodeIndex([block(3000), block(2000)])
    expected = index.nearest(BITS, CODES, 100, 50), index.moments(CODES, 7)
    wrong: list[object] = []

    def search(step: int) -> None:
        for _ in range(50):
            rows, scores = index.nearest(BITS, CODES, 100, 50)
            same = np.array_equal(rows, expected[0][0]) and np.array_equal(scores, expected[0][1])
            if not same or (index.moments(CODES, step) != expected[1]) == (step == 7):
                wrong.append(rows)

    threads = [threading.Thread(target=search, args=(step,)) for step in (7, 7, 5, 3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


@pytest.mark.parametrize("implementation", _native.implementations())
@pytest.mark.parametrize("dim", [1, 7, 8, 9, 16, 33, 384])
def test_products_of_halves_are_numpys(implementation: str, dim: int) -> None:
    rng = np.random.default_rng(dim)
    vectors = rng.standard_normal((21, dim)).astype(np.float16)
    vectors[0] = 6e-8  # the smallest there is
    vectors[1] = -0.0
    query = rng.standard_normal(dim).astype(np.float32)
    expected = vectors.astype(np.float64) @ query.astype(np.float64)
    np.testing.assert_allclose(_native.half_dots(vectors, query, implementation), expected, atol=2e-5)


def test_halves_of_other_shapes_and_types_are_refused() -> None:
    vectors, query = np.zeros((3, 8), dtype=np.float16), np.zeros(8, dtype=np.float32)
    with pytest.raises(ValueError, match="dimensions"):
        _native.half_dots(vectors, query[:7])
    with pytest.raises(TypeError):
        _native.half_dots(vectors.astype(np.float32), query)
    with pytest.raises(TypeError):
        _native.half_dots(vectors[:, ::2], query[:4])
