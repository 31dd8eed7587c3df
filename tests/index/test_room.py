"""Tables that many parts share: nobody's rows are another's, and nothing stays of what was dropped."""

from __future__ import annotations

import gc
import mmap
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeperso import kernels
from edgeperso.index.codes import codes_of
from edgeperso.index.room import Room
from edgeperso.index.scoring import CodeBlock, CodeScan


def test_each_has_rows_of_its_own_and_the_last_ones_an_array() -> None:
    room = Room(5, 3, np.int8)
    arrays = [room.take(2, 3), room.take(2, 3), room.take(2, 3), room.take(1, 4)]
    for number, array in enumerate(arrays, 1):
        assert not array.any()
        array[:] = number
    assert [array.shape for array in arrays] == [(2, 3), (2, 3), (2, 3), (1, 4)]
    assert [set(array.flat) for array in arrays] == [{1}, {2}, {3}, {4}]
    assert room.left == 1


def test_what_a_dropped_array_held_is_gone() -> None:
    room = Room(4, 2, np.uint8)
    first, second = room.take(2, 2), room.take(2, 2)
    first[:], second[:] = 7, 8
    del first
    gc.collect()
    assert room._table.tolist() == [[0, 0], [0, 0], [8, 8], [8, 8]]


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is given back")
def test_the_memory_of_a_dropped_array_is_given_back() -> None:
    room = Room(2, 32 << 20, np.uint8)
    kept, dropped = room.take(1, 32 << 20), room.take(1, 32 << 20)
    kept[:] = dropped[:] = 1
    before = resident_bytes()
    del dropped
    gc.collect()
    assert before - resident_bytes() > 24 << 20
    assert kept.all()
    assert not room._table[1].any()


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * mmap.PAGESIZE


@pytest.mark.parametrize("native", [False, True])
def test_who_searches_keeps_the_rows(native: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if native and not kernels.AVAILABLE:
        pytest.skip("the extension is not built")
    monkeypatch.setattr(kernels, "AVAILABLE", native)
    vectors = np.random.default_rng(3).standard_normal((40, 16)).astype(np.float32)
    made = codes_of(vectors)
    bits, codes = Room(40, 2, np.uint8).take(40, 2), Room(40, 16, np.int8).take(40, 16)
    bits[:], codes[:] = made.bits, made.codes
    scan = CodeScan([CodeBlock(bits, codes, made.scales, np.ones(40, np.bool_))], lambda rows: vectors[rows])
    expected = scan.scores(vectors[0])
    del bits, codes
    gc.collect()
    np.testing.assert_array_equal(scan.scores(vectors[0]), expected)
    assert expected.any()
