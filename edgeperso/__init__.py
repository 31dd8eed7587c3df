"""edgeperso: a local language model that knows you, and nobody else does."""

from __future__ import annotations

__version__ = "0.1.0"
