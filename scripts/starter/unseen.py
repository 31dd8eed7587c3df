"""Keeps the lives that are measured out of what is trained on: no sentence of theirs, and no five words in a row."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Final

from edgeperso.errors import SourceNotFound
from scripts.starter.conversation import Conversation, conversations

__all__ = ["measured_texts", "overlaps", "unseen"]

_ROOT: Final = Path(__file__).resolve().parents[2]
_LIVES: Final = (_ROOT / "examples" / "life", _ROOT / "tests" / "data" / "life")
_RUN: Final = 5
_WORD: Final = re.compile(r"[^\W_]+")
_END: Final = re.compile(r"(?<=[.!?])\s+|\n+")


def measured_texts() -> Iterator[str]:
    """All that is written in the lives and in the questions about them.

    Raises:
        SourceNotFound: a life isn't there.
    """
    for life in _LIVES:
        files = sorted(path for path in life.rglob("*") if path.is_file())
        if not files:
            raise SourceNotFound(f"There is no life in {life.name}.")
        for path in files:
            text = path.read_text(encoding="utf-8")
            if path.suffix == ".json":
                yield from _strings(json.loads(text))
            elif path.suffix == ".jsonl":
                yield from (said for line in text.splitlines() if line.strip() for said in _strings(json.loads(line)))
            else:
                yield text


def _strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (said for inner in value.values() for said in _strings(inner))
    elif isinstance(value, list):
        yield from (said for inner in value for said in _strings(inner))


def _pieces(texts: Iterable[str]) -> set[str]:
    """Every run of five words, and every whole sentence of three or more, in small letters without punctuation."""
    pieces: set[str] = set()
    for text in texts:
        words = _WORD.findall(text.lower())
        pieces.update(" ".join(words[at : at + _RUN]) for at in range(len(words) - _RUN + 1))
        for sentence in _END.split(text):
            said = _WORD.findall(sentence.lower())
            if len(said) >= 3:
                pieces.add(" ".join(said))
    return pieces


@cache
def _measured() -> frozenset[str]:
    return frozenset(_pieces(measured_texts()))


def overlaps(conversation: Conversation) -> bool:
    """Whether anything in it stands in a life that is measured."""
    texts = [*(note.text for note in conversation.notes), conversation.question]
    return not _measured().isdisjoint(_pieces(texts))


def unseen(count: int, seed: int) -> Iterator[Conversation]:
    """The first ``count`` conversations of ``seed`` that share nothing with the lives that are measured."""
    fresh = (one for one in conversations(seed) if not overlaps(one))
    for _, conversation in zip(range(count), fresh, strict=False):
        yield conversation
