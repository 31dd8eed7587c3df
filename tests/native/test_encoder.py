"""The native encoder against numpy in float64, on a small random model; its products against exact ones."""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import erf
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

if os.environ.get("CI"):
    from edgeperso import _native
else:
    _native = pytest.importorskip(
        "edgeperso._native", reason="the extension is not built (Python's headers?)", exc_type=ImportError
    )

MODEL, HEADS, INNER, WORDS, POSITIONS = 64, 2, 80, 40, 100
SCALE, EPSILON = 0.17, 1e-12
LENGTHS = [5, 0, 1, 16, 17, 33, 100, 90]

Matrix = tuple[NDArray[np.int8], NDArray[np.float32], NDArray[np.float32]]


@dataclass
class Model:
    words: tuple[NDArray[np.int8], NDArray[np.float32]]
    positions: tuple[NDArray[np.int8], NDArray[np.float32]]
    type: NDArray[np.float32]
    first: tuple[NDArray[np.float32], NDArray[np.float32]]
    layers: list[Any]

    def encoder(self, implementation: str | None = None, heads: int = HEADS) -> _native.Encoder:
        parts = (self.words, self.positions, self.type, self.first, self.layers)
        return _native.Encoder(*parts, heads, SCALE, EPSILON, implementation)


def made(seed: int = 3) -> Model:
    rng = np.random.default_rng(seed)

    def table(rows: int, scale: float) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
        return codes(rows, MODEL), np.full(rows, scale, dtype=np.float32)

    def codes(rows: int, columns: int) -> NDArray[np.int8]:
        return rng.integers(-127, 128, (rows, columns)).astype(np.int8)

    def matrix(depth: int, columns: int) -> Matrix:
        scales = rng.uniform(5e-4, 15e-4, columns).astype(np.float32)
        return codes(depth, columns), scales, rng.normal(0, 0.1, columns).astype(np.float32)

    def norm() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return rng.uniform(0.5, 1.5, MODEL).astype(np.float32), rng.normal(0, 0.1, MODEL).astype(np.float32)

    layers = [
        (matrix(MODEL, 3 * MODEL), matrix(MODEL, MODEL), norm(), matrix(MODEL, INNER), matrix(INNER, MODEL), norm())
        for _ in range(2)
    ]
    type_ = rng.normal(0, 0.1, MODEL).astype(np.float32)
    return Model(table(WORDS, 0.01), table(POSITIONS, 0.005), type_, norm(), layers)


def reference(model: Model, ids: NDArray[np.int32]) -> NDArray[np.float64]:
    """Of one text, in float64, with the same weights."""

    def norm(x: NDArray[np.float64], pair: Any) -> NDArray[np.float64]:
        x = x - x.mean(axis=-1, keepdims=True)
        return x / np.sqrt((x * x).mean(axis=-1, keepdims=True) + EPSILON) * pair[0] + pair[1]

    def times(x: NDArray[np.float64], matrix: Matrix) -> NDArray[np.float64]:
        return x @ (matrix[0].astype(np.float64) * matrix[1]) + matrix[2]

    (words, word_scales), (positions, position_scales) = model.words, model.positions
    n = len(ids)
    x = words[ids] * word_scales[ids, None].astype(np.float64) + model.type
    x = norm(x + positions[:n] * position_scales[:n, None].astype(np.float64), model.first)
    for qkv, attended, after_attention, up, down, after_all in model.layers:
        q, k, v = (part.reshape(n, HEADS, -1).transpose(1, 0, 2) for part in np.split(times(x, qkv), 3, axis=1))
        shares = np.exp(q @ k.transpose(0, 2, 1) * SCALE)
        mixed = (shares / shares.sum(axis=-1, keepdims=True)) @ v
        x = norm(times(mixed.transpose(1, 0, 2).reshape(n, MODEL), attended) + x, after_attention)
        wide = times(x, up)
        x = norm(times(wide * (0.5 + 0.5 * np.vectorize(erf)(wide / np.sqrt(2))), down) + x, after_all)
    pooled = x.mean(axis=0)
    return np.asarray(pooled / np.linalg.norm(pooled))


def texts(lengths: list[int], seed: int = 5) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return rng.integers(0, WORDS, starts[-1]).astype(np.int32), starts


@pytest.mark.parametrize("implementation", _native.encoders())
def test_vectors_are_those_of_the_formulas(implementation: str) -> None:
    model = made()
    ids, starts = texts(LENGTHS)
    vectors = model.encoder(implementation).encode(ids, starts, 1)
    for row, length in enumerate(LENGTHS):
        if length:
            expected = reference(model, ids[starts[row] : starts[row + 1]])
            np.testing.assert_allclose(np.linalg.norm(vectors[row]), 1.0, atol=1e-5)
            assert vectors[row] @ expected >= 0.999999
        else:
            assert not vectors[row].any()


@pytest.mark.parametrize("implementation", _native.encoders())
def test_a_vector_is_the_same_bytes_alone_among_others_and_on_more_threads(implementation: str) -> None:
    encoder = made().encoder(implementation)
    ids, starts = texts(LENGTHS * 2)
    vectors = encoder.encode(ids, starts, 1)
    np.testing.assert_array_equal(encoder.encode(ids, starts, 3), vectors)
    for row, expected in enumerate(vectors):
        own = ids[starts[row] : starts[row + 1]]
        np.testing.assert_array_equal(encoder.encode(own, np.array([0, len(own)]), 2)[0], expected)


@pytest.mark.parametrize("implementation", _native.encoders())
def test_products_are_exact(implementation: str) -> None:
    rng = np.random.default_rng(7)
    for depth in (4, 60, 64, 100, 1536):
        for rows, columns in ((1, 16), (7, 32), (8, 48), (9, 64), (35, 112)):
            codes = rng.integers(0, 256, (rows, depth)).astype(np.uint8)
            weights = rng.integers(-128, 128, (depth, columns)).astype(np.int8)
            expected = codes.astype(np.int64) @ weights.astype(np.int64)
            np.testing.assert_array_equal(_native.multiply(codes, weights, implementation), expected)
    full = np.full((3, 1536), 255, dtype=np.uint8)
    assert (_native.multiply(full, np.full((1536, 16), -128, np.int8), implementation) == -255 * 128 * 1536).all()


def test_a_row_without_numbers_harms_nothing_else() -> None:
    model = made()
    model.words[1][3] = np.nan
    model.words[1][4] = 1e38
    ids = np.array([0, 1, 2, 3, 3, 4, 4, 4, 0, 1, 2], dtype=np.int32)
    vectors = model.encoder().encode(ids, np.array([0, 3, 5, 8, 11]), 1)
    assert not np.isfinite(vectors[1]).all()
    np.testing.assert_array_equal(vectors[0], vectors[3])
    assert np.isfinite(vectors[0]).all()


def test_nothing_gives_nothing() -> None:
    assert made().encoder().encode(np.zeros(0, np.int32), np.zeros(1, np.int64), 1).shape == (0, MODEL)


def test_texts_that_do_not_fit_are_refused() -> None:
    encoder = made().encoder()
    ids, starts = texts([3, 4])
    for wrong in ([], [1, 3, 7], [0, 3, 6], [0, 3, 8], [0, 9, 7], [0, -1, 7]):
        with pytest.raises(ValueError, match="sequence"):
            encoder.encode(ids, np.array(wrong, dtype=np.int64), 1)
    with pytest.raises(ValueError, match="longer"):
        encoder.encode(np.zeros(POSITIONS + 1, np.int32), np.array([0, POSITIONS + 1]), 1)
    with pytest.raises(ValueError, match="thread"):
        encoder.encode(ids, starts, 0)
    for token in (-1, WORDS):
        ids[2] = token
        with pytest.raises(IndexError):
            encoder.encode(ids, starts, 1)
    with pytest.raises(TypeError):
        encoder.encode(ids.astype(np.int64), starts, 1)


def test_models_whose_parts_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="16"):
        made().encoder(heads=8)
    with pytest.raises(ValueError, match="implementation"):
        made().encoder("abacus")
    for part in range(6):
        model = made()
        layer = list(model.layers[0])
        layer[part] = (layer[part][0][:-16], *layer[part][1:])
        model.layers[0] = tuple(layer)
        with pytest.raises(ValueError, match="encoder"):
            model.encoder()
    for field in ("words", "positions"):
        model = made()
        setattr(model, field, (getattr(model, field)[0], getattr(model, field)[1][:-1]))
        with pytest.raises(ValueError, match="tables"):
            model.encoder()
    with pytest.raises(ValueError, match="fit"):
        _native.multiply(np.zeros((2, 8), np.uint8), np.zeros((4, 16), np.int8))


def test_an_encoder_outlives_what_it_was_made_of() -> None:
    encoder = made().encoder()
    ids, starts = texts(LENGTHS)
    first = encoder.encode(ids, starts, 1)
    np.testing.assert_array_equal(made().encoder().encode(ids, starts, 1), first)
    np.testing.assert_array_equal(encoder.encode(ids, starts, 1), first)
