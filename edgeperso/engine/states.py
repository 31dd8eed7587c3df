"""The context's state of its first tokens as bytes, and what such bytes are bound to.

llama.cpp checks little of a state that it is given: bytes from elsewhere may be refused, or be believed. So callers
hand over only what they stored themselves and know to be whole, under a `binding` that names all that it depends on.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
from collections.abc import Sequence
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from llama_cpp import llama_cpp as ffi

from edgeperso.engine.adapters.values import Worn

__all__ = ["binding", "read_aside", "read_state", "settings_of", "write_aside", "write_state"]

_SCRATCH: Final = 1
"""A sequence that is empty between two calls."""
_WITHOUT_EFFECT: Final = frozenset({"n_threads", "n_threads_batch", "no_perf"})
_LIBRARIES: Final = (".so", ".dylib", ".dll")


def read_state(model: Any, context: Any, count: int) -> bytes | None:
    """The state of the first ``count`` positions of sequence 0; None where a model can't give that of a beginning alone
    (recurrent ones, and those that have let go of early tokens)."""
    if ffi.llama_model_is_recurrent(model) or ffi.llama_model_is_hybrid(model):
        return None
    memory = ffi.llama_get_memory(context)
    ffi.llama_memory_seq_cp(memory, 0, _SCRATCH, 0, count)
    try:
        return _read(context, 0, count)
    finally:
        ffi.llama_memory_seq_rm(memory, _SCRATCH, -1, -1)


def read_aside(context: Any, start: int, count: int) -> bytes | None:
    """The state of ``count`` positions from ``start`` on of the scratch sequence, which holds nothing after them, and
    afterwards nothing before; None where llama.cpp doesn't give it."""
    ffi.llama_memory_seq_rm(ffi.llama_get_memory(context), _SCRATCH, 0, start)
    return _read(context, start, count)


def write_aside(context: Any, state: bytes, start: int, count: int, target: int) -> bool:
    """Append to sequence 0 a state of ``count`` positions that was read at ``start``, moved to begin at ``target``, the
    next position. False: llama.cpp refused it, or it is another one; sequence 0 is as it was.

    Source: the parts of a cache of keys are reused after a shift of their rotation: Yao et al., "CacheBlend", 2024
    (arXiv:2405.16444); Hu et al., "EPIC", 2024 (arXiv:2410.15332).
    """
    memory = ffi.llama_get_memory(context)
    buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
    try:
        read = int(ffi.llama_state_seq_set_data(context, buffer, len(state), _SCRATCH))
        if not read == len(state) > 0 or not _covers(memory, _SCRATCH, start, count):
            return False
        ffi.llama_memory_seq_add(memory, _SCRATCH, start, start + count, target - start)
        ffi.llama_memory_seq_cp(memory, _SCRATCH, 0, -1, -1)
        return True
    finally:
        ffi.llama_memory_seq_rm(memory, _SCRATCH, -1, -1)


def _read(context: Any, start: int, count: int) -> bytes | None:
    """The whole scratch sequence, if it holds just these positions."""
    if not _covers(ffi.llama_get_memory(context), _SCRATCH, start, count):
        return None
    size = int(ffi.llama_state_seq_get_size(context, _SCRATCH))
    buffer = (ctypes.c_uint8 * size)()
    written = int(ffi.llama_state_seq_get_data(context, buffer, size, _SCRATCH))
    return bytes(buffer) if written == size > 0 else None


def write_state(context: Any, state: bytes, count: int) -> bool:
    """Put a state of ``count`` positions into sequence 0 of an empty context. False: llama.cpp refused it, or it is one
    of another length; what the context holds then is to be cleared."""
    buffer = (ctypes.c_uint8 * len(state)).from_buffer_copy(state)
    read = int(ffi.llama_state_seq_set_data(context, buffer, len(state), 0))
    return read == len(state) > 0 and _covers(ffi.llama_get_memory(context), 0, 0, count)


def _covers(memory: Any, sequence: int, start: int, count: int) -> bool:
    first, last = ffi.llama_memory_seq_pos_min(memory, sequence), ffi.llama_memory_seq_pos_max(memory, sequence)
    return (int(first), int(last)) == (start, start + count - 1)


def settings_of(params: Any) -> dict[str, int | float]:
    """The plain values of a llama.cpp parameter struct that may change what is computed."""
    values = {name: getattr(params, name) for name, *_ in params._fields_ if name not in _WITHOUT_EFFECT}
    return {name: value for name, value in values.items() if isinstance(value, int | float)}


def binding(model_sha256: str, settings: dict[str, int | float], worn: Sequence[Worn]) -> str:
    """64 hex digits that change with the model's file, the context's settings, the adapters worn or their scales, and
    the build of llama.cpp or the processor it runs on."""
    adapters = [(each.key, each.scale) for each in worn if each.scale != 0]
    return hashlib.sha256(json.dumps([model_sha256, settings, adapters, _build()]).encode()).hexdigest()


@lru_cache(maxsize=1)
def _build() -> list[object]:
    """llama.cpp as it is installed here. Of its libraries the main one is read, the others are known by their sizes:
    those for a GPU take seconds to read."""
    folder = Path(ffi.__file__).parent / "lib"
    files = sorted(path for path in folder.glob("*") if path.suffix in _LIBRARIES)
    main = [hashlib.sha256(path.read_bytes()).hexdigest() for path in files if "llama" in path.name]
    sizes = [(path.name, path.stat().st_size) for path in files]
    return [version("llama-cpp-python"), ffi.llama_print_system_info().decode("ascii", "replace"), main, sizes]
