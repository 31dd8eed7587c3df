"""The words that values and notes are made of, as they stand in ``topics/``."""

from __future__ import annotations

from pathlib import Path
from typing import Final

__all__ = ["ASIDES", "DOINGS", "FILLERS", "LETTERS", "POOLS", "TOPICS"]

TOPICS: Final = Path(__file__).parent / "topics"


def _pools() -> dict[str, tuple[str, ...]]:
    pools = {}
    for line in (TOPICS / "pools.txt").read_text(encoding="utf-8").splitlines():
        name, _, words = line.partition(": ")
        pools[name] = tuple(word.strip() for word in words.split(","))
    return pools


def _lines(name: str) -> tuple[str, ...]:
    lines = (TOPICS / name).read_text(encoding="utf-8").splitlines()
    return tuple(line for line in lines if line and not line.startswith("#"))


POOLS: Final = _pools()
FILLERS: Final = _lines("fillers.txt")
DOINGS: Final = _lines("doings.txt")
ASIDES: Final = _lines("asides.txt")
LETTERS: Final = _lines("letters.txt")
