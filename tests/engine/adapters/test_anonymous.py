"""Loading leaves nothing that can be read: no file appears on the way that this system takes."""

from __future__ import annotations

import builtins
import ctypes
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edgeperso.engine.adapters import anonymous
from edgeperso.engine.adapters.anonymous import anonymous_file
from edgeperso.errors import ModelError

DATA = bytes(range(256)) * 300


def read(file: ctypes.c_void_p, size: int) -> bytes:
    library = ctypes.CDLL(None)
    library.fread.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, ctypes.c_void_p]
    library.fread.restype = ctypes.c_size_t
    buffer = ctypes.create_string_buffer(size)
    count = library.fread(buffer, 1, size, file)
    return buffer.raw[:count]


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir())) if sys.platform == "linux" else 0


posix = pytest.mark.skipif(sys.platform == "win32", reason="as POSIX systems do it")


@posix
def test_in_memory_there_is_no_file_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise AssertionError("a file was opened")

    before = open_files()
    for target, name in ((os, "open"), (builtins, "open"), (os, "mkdir")):
        monkeypatch.setattr(target, name, refuse)
    with anonymous_file(DATA) as file:
        monkeypatch.undo()
        assert open_files() == before
        assert read(file, len(DATA) + 1) == DATA


@posix
def test_the_way_of_other_systems_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with anonymous._temporary(DATA) as file:
        assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
        assert read(file, len(DATA) + 1) == DATA
    assert list(tmp_path.iterdir()) == []


@posix
def test_nothing_is_left_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = open_files()
    with pytest.raises(ZeroDivisionError), anonymous._temporary(DATA):
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    assert open_files() == before


@posix
def test_a_system_that_gives_no_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anonymous, "_c_library", lambda: SimpleNamespace(fmemopen=lambda *_args: None))
    with pytest.raises(ModelError), anonymous_file(DATA):
        pass
