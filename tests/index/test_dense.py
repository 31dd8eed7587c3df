"""The vector scan against plain numpy in float64."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso import kernels
from edgeperso.index.dense import DenseScan, VectorBlock
from edgeperso.types import Float32


@pytest.fixture(params=[False, True], ids=["numpy", "native"], autouse=True)
def _kernels(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param and not kernels.AVAILABLE:
        pytest.skip("the extension is not built")
    monkeypatch.setattr(kernels, "AVAILABLE", request.param)


def blocks_of(sizes: tuple[int, ...], dim: int = 32) -> list[VectorBlock]:
    rng = np.random.default_rng(2)
    blocks = []
    for size in sizes:
        vectors = rng.standard_normal((size, dim))
        vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)
        present = rng.random(size) < 0.9
        vectors[~present] = 0
        blocks.append(VectorBlock(vectors, present))
    return blocks


def question_of(dim: int = 32) -> Float32:
    vector = np.random.default_rng(3).standard_normal(dim)
    return (vector / np.linalg.norm(vector)).astype(np.float32)


def exact(blocks: list[VectorBlock], question: Float32) -> np.ndarray:
    whole = [np.where(block.present[:, None], block.vectors.astype(np.float64), np.nan) for block in blocks]
    return np.concatenate(whole) @ question.astype(np.float64)


def test_the_scan_is_exact_and_says_what_is_missing() -> None:
    blocks, question = blocks_of((1, 1024, 1500)), question_of()
    np.testing.assert_allclose(DenseScan(blocks).scores(question), exact(blocks, question), atol=1e-5)


@pytest.mark.parametrize("k", [1, 10, 5000])
def test_the_best_rows_are_the_highest_cosines(k: int) -> None:
    blocks, question = blocks_of((1, 1024, 1500)), question_of()
    scan, expected = DenseScan(blocks), exact(blocks, question)
    mask = np.random.default_rng(k).random(len(expected)) < 0.4
    for allowed in (None, mask, np.zeros(len(expected), dtype=np.bool_)):
        found = scan.top(question, k, allowed)
        there = ~np.isnan(expected) if allowed is None else ~np.isnan(expected) & allowed
        assert len(found.rows) == min(k, there.sum())
        np.testing.assert_allclose(found.scores, np.sort(expected[there])[::-1][:k], atol=1e-5)
        np.testing.assert_allclose(found.scores, expected[found.rows], atol=1e-5)
        assert (found.mean, found.deviation) == pytest.approx((np.nanmean(expected), np.nanstd(expected)), abs=1e-5)


def test_single_rows() -> None:
    blocks, question = blocks_of((5, 0, 7)), question_of()
    rows = np.array([11, 0, 5, 4, 4])
    np.testing.assert_allclose(DenseScan(blocks).at(question, rows), exact(blocks, question)[rows], atol=1e-5)
    assert DenseScan([]).top(question, 3).rows.tolist() == []
