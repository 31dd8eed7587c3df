from __future__ import annotations

import numpy as np
import pytest

from edgeperso.index.codes import codes_of


def unit(n: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(dim).standard_normal((n, dim))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float16)


@pytest.mark.parametrize("dim", [8, 32, 37, 384])
def test_codes_stand_for_their_vectors(dim: int) -> None:
    vectors = unit(200, dim)
    bits, codes, scales = codes_of(vectors)
    assert (bits.dtype, codes.dtype, scales.dtype) == (np.uint8, np.int8, np.float32)
    assert bits.shape == (200, -(-dim // 8))
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1)[:, :dim].astype(bool), vectors > 0)
    assert np.abs(codes).max(axis=1).tolist() == [127] * 200
    np.testing.assert_allclose(codes * scales[:, None], vectors, atol=float(scales.max()) * 0.501)


def test_zeros_and_what_is_no_number_have_codes_of_zeros() -> None:
    vectors = np.zeros((3, 16), dtype=np.float16)
    vectors[1, 2] = np.nan
    vectors[2, 3] = np.inf
    bits, codes, scales = codes_of(vectors)
    assert not bits.any()
    assert not codes.any()
    assert not scales.any()


def test_the_smallest_numbers_do_not_overflow() -> None:
    tiny = np.full((1, 8), 6e-8, dtype=np.float16)
    assert codes_of(tiny).codes.tolist() == [[127] * 8]


def test_no_rows() -> None:
    bits, codes, scales = codes_of(np.zeros((0, 24), dtype=np.float16))
    assert (bits.shape, codes.shape, scales.shape) == ((0, 3), (0, 24), (0,))
