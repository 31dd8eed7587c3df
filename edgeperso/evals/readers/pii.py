"""Synthetic sentences with personal data, as the generator of Presidio's research repository writes them.

Microsoft, presidio-research (https://github.com/microsoft/presidio-research, MIT): a JSON list of
``{"full_text": …, "spans": [{"entity_type", "entity_value", "start_position", "end_position"}]}``. Positions count
characters, the end exclusive. Nobody's data: names, numbers and addresses are made up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile

__all__ = ["PiiItem", "PiiSpan", "read_pii"]


@dataclass(frozen=True, slots=True)
class PiiSpan:
    """A value in a text, from ``start`` to before ``end``; ``kind`` is like ``IBAN_CODE``."""

    kind: str
    value: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class PiiItem:
    """A text and the values in it, in order; there may be none. ``id`` is its place in the file: ``record 3``."""

    id: str
    text: str
    spans: tuple[PiiSpan, ...]


def read_pii(path: Path) -> Iterator[PiiItem]:
    """The texts in order, read as they are iterated.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a record isn't of this form, or a span isn't where it says; the message names record and field.
    """
    for record in DataFile(path, "synthetic sentences in Presidio's form, whole").objects():
        text = record.filled("full_text")
        spans = sorted((_span(span, text) for span in record.items("spans")), key=lambda span: (span.start, span.end))
        yield PiiItem(record.where, text, tuple(spans))


def _span(span: Fields, text: str) -> PiiSpan:
    start = span.whole("start_position", len(text))
    end = span.whole("end_position", len(text) + 1)
    value = span.filled("entity_value")
    if text[start:end] != value:
        raise span.invalid("entity_value", "what stands there in the text")
    return PiiSpan(span.filled("entity_type"), value, start, end)
