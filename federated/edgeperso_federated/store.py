"""Where a device keeps what it must not forget between rounds."""

from __future__ import annotations

from typing import Protocol

__all__ = ["Store"]


class Store(Protocol):
    """Some bytes. ``save`` has written for good, whole or not at all, when it returns."""

    def load(self) -> bytes | None: ...

    def save(self, data: bytes) -> None: ...
