"""Writing a model file anew in another layout, by llama.cpp."""

from __future__ import annotations

import ctypes
from pathlib import Path

from edgeperso.engine.machine import physical_cores
from edgeperso.engine.native import ffi
from edgeperso.errors import ModelError

__all__ = ["quantize_file"]


def quantize_file(source: Path, target: Path, layout: str) -> None:
    """Write the model at ``source`` to ``target`` with its large tensors in ``layout`` (``Q8_0``, ``BF16``, ``F32`` …).

    Raises:
        ModelError: llama.cpp could not; what it wrote is removed.
    """
    params = ffi.llama_model_quantize_default_params()
    params.ftype = ffi.LLAMA_FTYPE_ALL_F32 if layout == "F32" else getattr(ffi, f"LLAMA_FTYPE_MOSTLY_{layout}")
    params.allow_requantize = True
    params.nthread = physical_cores()
    if ffi.llama_model_quantize(str(source).encode(), str(target).encode(), ctypes.byref(params)) != 0:
        target.unlink(missing_ok=True)
        raise ModelError(f"{source.name} can't be written as {layout}.", hint="Check the room on the disk.")
