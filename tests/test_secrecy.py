"""Buffers that keep secrets: what the kernel says of their pages, what is left of them, and who may read a process."""

from __future__ import annotations

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeperso import secrecy
from edgeperso.errors import UsageError
from edgeperso.secrecy import MappedPages, SecretBytes, granted, plain, secret_array

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(params=["native", "python"])
def backend(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(secrecy, "_make", MappedPages)
    elif secrecy._make is MappedPages:
        if os.environ.get("CI"):
            pytest.fail("the extension is not built")
        pytest.skip("the extension is not built (Python's headers?)")
    return str(request.param)


def flags_at(address: int) -> set[str]:
    """What the kernel says of the mapping that holds ``address``: ``dd`` not in dumps, ``lo`` locked, ``wf`` wiped on
    fork."""
    inside = False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0]:
            start, end = (int(part, 16) for part in words[0].split("-"))
            inside = start <= address < end
        elif inside and words[0] == "VmFlags:":
            return set(words[1:])
    raise AssertionError("no such mapping")


def address_of(data: memoryview) -> int:
    return int(np.frombuffer(data, np.uint8).ctypes.data)


@linux
def test_a_key_stays_out_of_dumps_swap_and_forks(backend: str) -> None:
    key = SecretBytes.of(b"k" * 32)
    found = flags_at(address_of(key.view()))
    assert {"dd", "wf"} <= found
    told = granted()
    assert (told.backend, told.excluded_from_dumps, told.wiped_on_fork) == (backend, True, True)
    assert ("lo" in found) == told.locked
    if backend == "native" and (told.limit_bytes is None or told.limit_bytes >= 1 << 20):
        assert told.locked
    assert bool(told.why) is not told.locked


@linux
def test_an_array_stays_out_of_dumps_and_an_ordinary_one_does_not(backend: str) -> None:
    shape = (1000, 384)
    assert "dd" in flags_at(secret_array(shape, np.int8).ctypes.data)
    assert "dd" not in flags_at(np.zeros(shape, np.int8).ctypes.data)


@linux
@pytest.mark.skipif(secrecy._make is MappedPages, reason="the extension is not built")
def test_nobody_reaches_a_key_from_beside_it() -> None:
    for beside in (-1, 4096):
        code = (
            "import ctypes, numpy as np; from edgeperso.secrecy import SecretBytes; key = SecretBytes(32)\n"
            f"ctypes.string_at(np.frombuffer(key.view(), np.uint8).ctypes.data + {beside}, 1)"
        )
        assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -11


def test_a_closed_key_is_zeros_and_serves_nobody(backend: str) -> None:
    key = SecretBytes.of(b"k" * 32)
    view, slice_of_it = key.view(), key.view()[4:]
    key.close()
    key.close()
    assert slice_of_it == bytes(28)
    with pytest.raises(ValueError, match="released"):
        view[0]
    for use in (key.view, key.hex, lambda: key == b"k" * 32, lambda: plain(key)):
        with pytest.raises(UsageError):
            use()
    with SecretBytes.of(b"x" * 8) as other:
        read = np.frombuffer(other.view(), np.uint8)  # as a library that is still at it
    assert not read.any()


def test_a_forgotten_key_is_wiped(backend: str) -> None:
    key = SecretBytes.of(b"k" * 32)
    kept = key.view()[:]
    del key
    assert kept == bytes(32)


def test_an_array_lives_as_long_as_anything_over_it_and_is_wiped_then(
    backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiped: list[bool] = []
    if backend == "python":
        original = secrecy._Mapping.__del__

        def watched(mapping: secrecy._Mapping) -> None:
            original(mapping)
            wiped.append(not any(mapping[:]))

        monkeypatch.setattr(secrecy._Mapping, "__del__", watched)
    array = secret_array((300, 5), "<u2")
    assert array.shape == (300, 5)
    assert array.dtype == np.uint16
    assert not array.any()
    assert array.ctypes.data % 64 == 0
    array[:] = 7
    part = array[100:].reshape(-1)[3:]
    del array
    assert (part == 7).all()
    assert not wiped
    del part
    assert wiped == ([True] if backend == "python" else [])  # of the native one: tests/native/kernels_test.cpp


def test_sizes(backend: str) -> None:
    assert secret_array((0, 4), np.float32).shape == (0, 4)
    assert secret_array(3, np.bool_).tolist() == [False] * 3
    assert len(SecretBytes(0).view()) == 0
    assert secret_array(1 << 23, np.uint8).nbytes == 1 << 23  # of large pages, where there are some
    with pytest.raises((MemoryError, OSError)):
        secret_array(1 << 62, np.uint8)


def test_the_bytes_never_show() -> None:
    key = SecretBytes.of(b"\xab" * 32)
    for shown in (repr(key), str(key), f"{key}", f"{[key]}"):
        assert "ab" * 4 not in shown
        assert "xab" not in shown
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(key)
    with pytest.raises(TypeError):
        hash(key)
    assert not hasattr(key, "__dict__")


def test_equal_is_what_holds_the_same_bytes() -> None:
    key = SecretBytes.of(b"abc")
    assert key == b"abc"
    assert key == SecretBytes.of(bytearray(b"abc"))
    assert key != b"abd"
    assert key != SecretBytes.of(b"abcd")
    assert key != "abc"


@linux
def test_a_key_does_not_come_along_into_a_fork(backend: str) -> None:
    key = SecretBytes.of(b"k" * 32)
    child = os.fork()
    if child == 0:
        try:
            key.view()
        except UsageError as error:
            os._exit(7 if "forked" in str(error) else 1)
        except BaseException:  # noqa: BLE001 - whatever it is, the parent shall know
            os._exit(2)
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    assert key == b"k" * 32


@linux
@pytest.mark.skipif(secrecy._make is MappedPages, reason="the extension is not built")
def test_a_key_that_cannot_be_locked_is_counted_and_said() -> None:
    """In a process without the right to lock anything: root may, whatever the limit says, until it gives that up."""
    code = (
        "import ctypes, os, resource\n"
        "from edgeperso.secrecy import SecretBytes, granted\n"
        "resource.setrlimit(resource.RLIMIT_MEMLOCK, (0, 0))\n"
        "if os.getuid() == 0: os.setresuid(65534, 65534, 65534)\n"
        "key = SecretBytes.of(b'k' * 32)\n"
        "told = granted()\n"
        "print(key == b'k' * 32, told.locked, told.excluded_from_dumps, told.limit_bytes, told.refused, told.why)"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert told.startswith("True False True 0 1 a program may lock 0 KB of memory here (allow more: `ulimit -l")


@linux
def test_a_secluded_process_can_be_read_by_no_other_and_leaves_no_image() -> None:
    code = (
        "import ctypes, resource\n"
        "from edgeperso.secrecy import seclude\n"
        "seclude()\n"
        "print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), *resource.getrlimit(resource.RLIMIT_CORE))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["0", "0", "0"]
    assert not secrecy._traced()
