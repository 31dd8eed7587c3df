"""Text to the sentences in which a person may state something, without what they quote or ask."""

from __future__ import annotations

import re
from collections.abc import Iterator

__all__ = ["asks", "clause_around", "clause_before", "cut", "sentences", "without_quotes"]

_QUOTED = re.compile(r"\"[^\"]*\"|“[^”]*”|«[^»]*»|^>.*$", re.MULTILINE)
_END = re.compile(
    r"(?<!\bDr)(?<!\bMr)(?<!\bMs)(?<!\bMrs)(?<!\bSt)(?<!\bProf)(?<!\bNo)(?<!\b[A-Z])([.!?])+[\s)*_]+|\n\s*\n|\n(?=\s*[-*•#\d])"
)
_SPACE = re.compile(r"\s+")
_CLAUSE = re.compile(r"[,;:()–—]|\b(?:and|but|so|then)\b", re.IGNORECASE)
_ASKING = re.compile(r"[?\uff1f\u061f][\s\"'\u201d\u2019»)*_]*$")
_MARKUP = re.compile(r"^[\s*_#>•-]+|[*_`]+")


def sentences(text: str) -> list[str]:
    """The sentences in order; questions and empty ones are kept as ``""``, so that places stay right."""
    found = []
    for piece in cut(without_quotes(text)):
        sentence = _SPACE.sub(" ", _MARKUP.sub("", piece)).strip()
        if sentence:
            found.append("" if asks(sentence) else sentence)
    return found


def asks(sentence: str) -> bool:
    """Whether it ends as a question, in Latin, Chinese or Arabic script; quotes and brackets may close behind."""
    return _ASKING.search(sentence) is not None


def cut(text: str) -> Iterator[str]:
    """``text`` in pieces, one after the other: each ends with a sentence, a paragraph, or before a line of a list."""
    start = 0
    for end in [*(match.end() for match in _END.finditer(text)), len(text)]:
        yield text[start:end]
        start = end


def without_quotes(text: str) -> str:
    """``text`` with a mark for all that stands in quotation marks, or in lines quoted from a mail."""
    return _QUOTED.sub(" ″ ", text)


def clause_before(sentence: str, position: int) -> str:
    """The words of the clause that lead up to ``position``."""
    start = 0
    for match in _CLAUSE.finditer(sentence, 0, position):
        start = match.end()
    return sentence[start:position]


def clause_around(sentence: str, start: int, end: int) -> str:
    """The clause that holds what lies from ``start`` to ``end``."""
    following = _CLAUSE.search(sentence, end)
    return clause_before(sentence, start) + sentence[start : following.start() if following else len(sentence)]
