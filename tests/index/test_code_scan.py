"""Search over codes: every implementation against numpy's, and all of them against the exact cosines."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from edgeperso import kernels
from edgeperso.index import code_scan
from edgeperso.index.code_scan import CodeBlock, CodeScan, NumpyStages, Stages
from edgeperso.index.codes import codes_of
from edgeperso.index.dense import DenseScan, VectorBlock
from edgeperso.types import Int64

SIZES = (1, 1500, 0, 1024, 700)


def implementations() -> list[str]:
    if not kernels.AVAILABLE:
        return []
    from edgeperso import _native

    return _native.implementations()


def native(implementation: str, blocks: list[CodeBlock]) -> Stages:
    from edgeperso._native import CodeIndex, CodeRows

    return CodeIndex([CodeRows(one.bits, one.codes, one.scales, one.present) for one in blocks], implementation)


def vectors_of(sizes: tuple[int, ...], dim: int, seed: int = 0) -> list[VectorBlock]:
    """Vectors in clusters, with twins among them, so that there are near neighbours and ties."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((20, dim))
    blocks = []
    for size in sizes:
        vectors = centres[rng.integers(0, 20, size)] + rng.standard_normal((size, dim))
        vectors[size // 2 :] = vectors[: size - size // 2]
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        present = rng.random(size) < 0.9
        vectors[~present] = 0
        blocks.append(VectorBlock(vectors, present))
    return blocks


def coded(blocks: list[VectorBlock]) -> list[CodeBlock]:
    return [CodeBlock(*codes_of(block.vectors), block.present) for block in blocks]


def fetch(blocks: list[VectorBlock]) -> Callable[[Int64], NDArray[np.float16]]:
    whole = np.concatenate([block.vectors for block in blocks])
    return lambda rows: whole[rows]


@pytest.mark.parametrize("implementation", implementations())
@pytest.mark.parametrize("dim", [8, 37, 64, 384, 1000])
@pytest.mark.parametrize("candidates", [1, 100, 5000])
def test_the_stages_give_the_same_numbers_everywhere(implementation: str, dim: int, candidates: int) -> None:
    blocks = coded(vectors_of(SIZES, dim))
    oracle, ours = NumpyStages(blocks), native(implementation, blocks)
    total = sum(SIZES)
    rng = np.random.default_rng(dim)
    masks = [None, rng.random(total) < 0.2, np.zeros(total, dtype=np.bool_), np.arange(total) == total - 3]
    for seed, mask in enumerate(masks):
        question = codes_of(np.random.default_rng(seed).standard_normal((1, dim)).astype(np.float32))
        bits, codes = question.bits[0], question.codes[0]
        for keep in (1, 50, candidates):
            expected = oracle.nearest(bits, codes, candidates, keep, mask)
            rows, estimates = ours.nearest(bits, codes, candidates, keep, mask)
            np.testing.assert_array_equal(rows, expected[0])
            np.testing.assert_array_equal(estimates, expected[1])
        some = rng.integers(0, total, 3000)
        np.testing.assert_array_equal(ours.estimates(codes, some), oracle.estimates(codes, some))
        for step in (1, 7):
            assert ours.moments(codes, step) == pytest.approx(oracle.moments(codes, step), rel=1e-9)


@pytest.mark.parametrize("implementation", implementations())
def test_nothing_is_missed_where_the_nearest_rows_lie_unevenly(implementation: str) -> None:
    """The first guess of how near the candidates are looks at every 128th row or so, here at the nearest alone."""
    vectors = np.random.default_rng(5).standard_normal((4096, 64)).astype(np.float16)
    for start in range(0, 4096, 1024):
        vectors[start : start + 8] = 1.0
    blocks = [CodeBlock(*codes_of(vectors), np.ones(4096, dtype=np.bool_))]
    question = codes_of(np.ones((1, 64), dtype=np.float32))
    for candidates in (5, 8, 100, 500):
        found = native(implementation, blocks).nearest(question.bits[0], question.codes[0], candidates, 4096)
        expected = NumpyStages(blocks).nearest(question.bits[0], question.codes[0], candidates, 4096)
        np.testing.assert_array_equal(found[0], expected[0])
        assert len(found[0]) == candidates


@pytest.mark.parametrize("implementation", ["numpy", *implementations()])
@pytest.mark.parametrize("k", [1, 10, 128, 600])
def test_a_search_finds_what_an_exact_scan_finds(implementation: str, k: int) -> None:
    blocks = vectors_of(SIZES, 128)
    codes = coded(blocks)
    stages = NumpyStages(codes) if implementation == "numpy" else native(implementation, codes)
    scan, exact = CodeScan(codes, fetch(blocks), stages), DenseScan(blocks)
    mask = np.random.default_rng(k).random(sum(SIZES)) < 0.3
    question = blocks[1].vectors[7].astype(np.float32)
    for allowed in (None, mask, np.zeros(sum(SIZES), dtype=np.bool_)):
        found, wanted = scan.top(question, k, allowed), exact.top(question, k, allowed)
        sure = min(k, 10)
        np.testing.assert_array_equal(found.rows[:sure], wanted.rows[:sure])
        np.testing.assert_allclose(found.scores[:sure], wanted.scores[:sure], atol=1e-6)
        np.testing.assert_allclose(found.scores, exact.at(question, found.rows), atol=0.01)
        assert len(found.rows) == len(wanted.rows)
        assert (np.diff(found.scores) <= 0).all()
        assert (found.mean, found.deviation) == pytest.approx((wanted.mean, wanted.deviation), abs=2e-3)


def test_scores_of_rows() -> None:
    blocks = vectors_of(SIZES, 96)
    scan, exact = CodeScan(coded(blocks), fetch(blocks)), DenseScan(blocks)
    question = blocks[3].vectors[1].astype(np.float32)
    rows = np.array([5, 0, 3224, 5, 1501])
    np.testing.assert_allclose(scan.at(question, rows), exact.at(question, rows), atol=1e-6)
    np.testing.assert_allclose(scan.estimates(question, rows), exact.at(question, rows), atol=0.01)
    np.testing.assert_allclose(scan.scores(question), exact.scores(question), atol=0.01)


def test_beyond_the_sample_statistics_are_of_evenly_spaced_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_scan, "_SAMPLE", 100)
    blocks = vectors_of((250, 60), 32)
    scan, exact = CodeScan(coded(blocks), fetch(blocks)), DenseScan(blocks)
    question = blocks[0].vectors[0].astype(np.float32)
    sample = exact.scores(question)[::4]
    found = scan.top(question, 3)
    assert (found.mean, found.deviation) == pytest.approx((np.nanmean(sample), np.nanstd(sample)), abs=2e-3)


@pytest.mark.parametrize("implementation", ["numpy", *implementations()])
def test_blocks_without_any_vector(implementation: str) -> None:
    blocks = coded(vectors_of((10, 5), 64))
    empty = CodeBlock(*codes_of(np.zeros((4, 0), dtype=np.float16)), np.zeros(4, dtype=np.bool_))
    mixed = [empty, blocks[0], empty, blocks[1]]
    stages = NumpyStages(mixed) if implementation == "numpy" else native(implementation, mixed)
    question = codes_of(np.ones((1, 64), dtype=np.float32))
    rows, _ = stages.nearest(question.bits[0], question.codes[0], 100, 100)
    present = np.concatenate([block.present for block in mixed])
    assert sorted(rows.tolist()) == np.flatnonzero(present).tolist()
    assert np.isnan(stages.estimates(question.codes[0], np.arange(23)))[~present].all()
    assert stages.moments(question.codes[0], 1)[1] > 0


@pytest.mark.parametrize("implementation", ["numpy", *implementations()])
def test_nothing_at_all(implementation: str) -> None:
    stages = NumpyStages([]) if implementation == "numpy" else native(implementation, [])
    scan = CodeScan([], lambda rows: np.zeros((len(rows), 0), dtype=np.float16), stages)
    found = scan.top(np.zeros(0, dtype=np.float32), 3)
    assert (len(found.rows), found.mean, found.deviation) == (0, 0.0, 0.0)


def test_the_stages_are_numpys_where_the_extension_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    native_there = kernels.AVAILABLE
    blocks = vectors_of((30, 20), 16)
    question = np.ones(16, dtype=np.float32)
    scan = CodeScan(coded(blocks), fetch(blocks))
    monkeypatch.setattr(kernels, "AVAILABLE", False)
    without = CodeScan(coded(blocks), fetch(blocks))
    assert (scan.native is None, without.native) == (not native_there, None)
    np.testing.assert_array_equal(without.top(question, 7).rows, scan.top(question, 7).rows)
