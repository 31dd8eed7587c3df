"""Whether the extension is there, and is this program's. Without it numpy and onnxruntime serve."""

from __future__ import annotations

import importlib
from types import ModuleType

__all__ = ["AVAILABLE", "STALE"]

_INTERFACE = 2
"""What this program calls: ``INTERFACE`` in ``native/module.cpp``, raised there and here when a signature changes."""
_NAMES = (
    "Bm25Index",
    "CodeIndex",
    "CodeRows",
    "Encoder",
    "SecretPages",
    "SegmentPostings",
    "encoders",
    "gather",
    "half_dots",
    "hamming",
    "implementations",
    "shift",
)


def _extension() -> ModuleType | None:
    try:
        return importlib.import_module("edgeperso._native")
    except ImportError:
        return None


def _fits(extension: ModuleType) -> bool:
    """Whether the extension was built from these sources, as far as what is called goes."""
    return getattr(extension, "INTERFACE", None) == _INTERFACE and all(hasattr(extension, name) for name in _NAMES)


_found = _extension()
AVAILABLE: bool = _found is not None and _fits(_found)
STALE: bool = _found is not None and not AVAILABLE
"""There is an extension, but of another version: a checkout was updated and not built again."""
