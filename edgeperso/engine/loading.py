"""Loading a model file, with llama.cpp kept off stderr."""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

# When llama.cpp aborts it would let a debugger print the process's stack, with what lies there, to stderr.
os.environ.setdefault("GGML_NO_BACKTRACE", "1")

from llama_cpp import llama_cpp as ffi

__all__ = ["ffi", "load_model"]

_load_errors: list[str] | None = None
"""llama.cpp's errors while a file is being loaded: they speak of the file. At other times nothing is kept."""
_ERROR_LEVEL = 4
_load_lock = threading.Lock()


@ffi.llama_log_callback  # type: ignore[untyped-decorator,unused-ignore]
def _on_log(level: int, text: bytes, _data: object) -> None:
    """Keep llama.cpp off stderr."""
    if level == _ERROR_LEVEL and _load_errors is not None:
        _load_errors.append(text.decode("utf-8", "replace"))


ffi.llama_log_set(_on_log, ctypes.c_void_p(0))
ffi.llama_backend_init()


def load_model(path: Path, params: Any) -> tuple[Any, list[str]]:
    """The model, or None and what llama.cpp had to say. One load at a time: llama.cpp's log belongs to the process."""
    global _load_errors
    with _load_lock:
        errors = _load_errors = []
        try:
            return ffi.llama_model_load_from_file(str(path).encode(), params) or None, errors
        finally:
            _load_errors = None
