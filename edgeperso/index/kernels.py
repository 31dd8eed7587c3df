"""Whether the extension is there. Without it numpy serves, with the same results."""

from __future__ import annotations

__all__ = ["AVAILABLE"]

AVAILABLE: bool
try:
    import edgeperso._native  # noqa: F401
except ImportError:
    AVAILABLE = False
else:
    AVAILABLE = True
