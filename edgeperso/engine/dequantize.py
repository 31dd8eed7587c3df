"""Weights out of a GGUF file as float32, by ggml's own dequantizers: the very numbers that llama.cpp computes with."""

from __future__ import annotations

import ctypes
import itertools
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import llama_cpp
import numpy as np

from edgeperso.engine.gguf import TENSOR_BLOCKS
from edgeperso.engine.native import ffi
from edgeperso.errors import ModelUnsupported, UsageError
from edgeperso.types import Float32

__all__ = ["dequantize", "dequantize_into"]

Bytes = bytes | bytearray | memoryview

_F32: Final = 0
_THREAD_ELEMENTS: Final = 1 << 16
"""Least work for a thread of its own."""

_ToFloat = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)


class _Traits(ctypes.Structure):
    """``struct ggml_type_traits`` of ggml.h."""

    _fields_ = (
        ("type_name", ctypes.c_char_p),
        ("blck_size", ctypes.c_int64),
        ("blck_size_interleave", ctypes.c_int64),
        ("type_size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.c_void_p),
        ("from_float_ref", ctypes.c_void_p),
    )


class _Kind(NamedTuple):
    """``block`` elements take ``size`` bytes; ``to_float`` (source, target, elements) is None for float32 itself."""

    block: int
    size: int
    to_float: Callable[[int, int, int], None] | None


def dequantize(data: Bytes, kind: int, count: int, *, threads: int = 1) -> Float32:
    """``float32[count]``: the elements of a tensor of ggml's type ``kind``, in its order.

    Args:
        data: its bytes (`TensorPlace`), which may be a view of a mapped file: nothing is copied.
        count: how many elements ``data`` holds.
        threads: large tensors are shared out among so many.

    Raises:
        ModelUnsupported: ggml can't turn this type into floats.
        UsageError: ``data`` is not of the size that ``count`` elements take.
    """
    out = np.empty(count, dtype=np.float32)
    threads = min(threads, count // _THREAD_ELEMENTS)
    if threads < 2:
        dequantize_into(data, kind, out)
        return out
    _check(data, kind, count)
    block, size, _ = _kind(kind)
    view = memoryview(data).cast("B")
    bounds = [part * (count // block) // threads for part in range(threads + 1)]
    with ThreadPoolExecutor(threads) as pool:
        for done in [
            pool.submit(dequantize_into, view[low * size : high * size], kind, out[low * block : high * block])
            for low, high in itertools.pairwise(bounds)
        ]:
            done.result()
    return out


def dequantize_into(data: Bytes, kind: int, out: Float32) -> None:
    """Write the elements of ``data`` into ``out``, a contiguous array of as many elements, of any shape.

    Raises:
        As `dequantize`; UsageError also for an array that is not contiguous float32.
    """
    if out.dtype != np.float32 or not out.flags.c_contiguous or not out.flags.writeable:
        raise UsageError("Weights are written into a contiguous array of float32.")
    _check(data, kind, out.size)
    to_float = _kind(kind).to_float
    if to_float is None:
        out.reshape(-1)[:] = np.frombuffer(data, np.float32)
        return
    to_float(np.frombuffer(data, dtype=np.uint8).ctypes.data, out.ctypes.data, out.size)


def _check(data: Bytes, kind: int, count: int) -> None:
    block, size, _ = _kind(kind)
    given = memoryview(data).nbytes
    if count % block or count // block * size != given:
        raise UsageError(f"{count} elements of tensor type {kind} don't take {given} bytes.")


@cache
def _kind(kind: int) -> _Kind:
    # ggml ends the process on a number that it doesn't know.
    block, size = TENSOR_BLOCKS.get(kind, (0, 0))
    if kind == _F32:
        return _Kind(block, size, None)
    traits = _base_library().ggml_get_type_traits(kind).contents if block else _Traits()
    if not traits.to_float or (traits.blck_size, traits.type_size) != (block, size):
        raise ModelUnsupported(
            f"Weights of tensor type {kind} can't be read.", hint="Use a model file of another quantization."
        )
    return _Kind(block, size, _ToFloat(traits.to_float))


@cache
def _base_library() -> ctypes.CDLL:
    """The library of ggml's types, which libllama has loaded already."""
    names = {"win32": "ggml-base.dll", "darwin": "libggml-base.dylib"}
    path = Path(llama_cpp.__file__).parent / "lib" / names.get(sys.platform, "libggml-base.so")
    library = ctypes.CDLL(str(path)) if path.is_file() else ffi._lib  # noqa: SLF001  static builds have it in libllama
    library.ggml_get_type_traits.argtypes = [ctypes.c_int]
    library.ggml_get_type_traits.restype = ctypes.POINTER(_Traits)
    return library
