"""The bit-scan kernels against numpy, on every width around a register's edge."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

if os.environ.get("CI"):
    from edgeperso import _native
else:
    _native = pytest.importorskip(
        "edgeperso._native", reason="the extension is not built (Python's headers?)", exc_type=ImportError
    )


def oracle(codes: NDArray[np.uint8], query: NDArray[np.uint8]) -> NDArray[np.uint32]:
    return np.unpackbits(codes ^ query, axis=1).sum(axis=1, dtype=np.uint32)


def random_codes(seed: int, n: int, width: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (n, width), dtype=np.uint8), rng.integers(0, 256, width, dtype=np.uint8)


@pytest.mark.parametrize("implementation", _native.implementations())
@pytest.mark.parametrize("width", [1, 7, 8, 9, 31, 32, 33, 48, 63, 64, 65, 96, 127, 128, 129, 200])
def test_every_implementation_agrees_with_numpy(implementation: str, width: int) -> None:
    codes, query = random_codes(width, 37, width)
    np.testing.assert_array_equal(_native.hamming(codes, query, implementation), oracle(codes, query))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), n=st.integers(0, 70), width=st.integers(0, 140))
def test_any_size_agrees_with_numpy(seed: int, n: int, width: int) -> None:
    codes, query = random_codes(seed, n, width)
    expected = oracle(codes, query) if n and width else np.zeros(n, dtype=np.uint32)
    for implementation in (None, *_native.implementations()):
        np.testing.assert_array_equal(_native.hamming(codes, query, implementation), expected)


@pytest.mark.parametrize("implementation", _native.implementations())
def test_no_lane_overflows_when_all_bits_differ(implementation: str) -> None:
    width = 1 << 16
    codes = np.full((3, width), 255, dtype=np.uint8)
    assert _native.hamming(codes, np.zeros(width, dtype=np.uint8), implementation).tolist() == [8 * width] * 3


def test_rows_of_a_buffer_that_is_not_aligned() -> None:
    codes, query = random_codes(5, 20, 48)
    shifted = np.empty(codes.size + 1, dtype=np.uint8)[1:].reshape(codes.shape)
    shifted[:] = codes
    np.testing.assert_array_equal(_native.hamming(shifted, query), oracle(codes, query))


def test_wrong_shapes_types_and_layouts_are_refused() -> None:
    codes, query = random_codes(1, 4, 48)
    with pytest.raises(ValueError, match="width"):
        _native.hamming(codes, query[:47])
    with pytest.raises(ValueError, match="implementation"):
        _native.hamming(codes, query, "abacus")
    with pytest.raises(TypeError):
        _native.hamming(codes.astype(np.float32), query)
    with pytest.raises(TypeError):
        _native.hamming(codes[:, ::2], query[:24])
    with pytest.raises(TypeError):
        _native.hamming(codes[0], query)
    with pytest.raises(TypeError):
        _native.hamming(codes, None)


def test_the_result_outlives_its_inputs_and_can_be_written() -> None:
    codes, query = random_codes(2, 1000, 48)
    expected = oracle(codes, query)
    result = _native.hamming(codes, query)
    del codes, query
    np.testing.assert_array_equal(result, expected)
    result[0] = 0
    assert result[0] == 0


def test_several_threads_scan_at_once() -> None:
    codes, query = random_codes(3, 5000, 48)
    expected = oracle(codes, query)
    results: list[NDArray[np.uint32]] = []
    threads = [threading.Thread(target=lambda: results.append(_native.hamming(codes, query))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 4
    for result in results:
        np.testing.assert_array_equal(result, expected)


def test_scalar_is_always_there_and_last() -> None:
    assert _native.implementations()[-1] == "scalar"
