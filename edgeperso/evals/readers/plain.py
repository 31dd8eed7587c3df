"""Our own form, for a user's own questions: JSON Lines in UTF-8, one object a line, blank lines skipped.

::

    {"user": "ann", "history": [{"text": "…", "when": "2024-03-12"}], "question": "…", "answer": "…"}

=============  ==========================  ============================================================================
field          value                       meaning
=============  ==========================  ============================================================================
``id``         text or whole number        optional; without it, the line: ``line 3``
``user``       text or whole number        whose history it is; lines with the same user are the same person's
``history``    list of objects             what is known of the user, in any order; may be empty
``question``   text                        what is asked
``answer``     text or number              optional: the right answer
``options``    list of two texts or more   optional: the answers to choose from
``right``      whole number                optional, only with ``options``: the place of the right one, from 0
=============  ==========================  ============================================================================

An object of ``history`` has ``text``, and may have ``when`` (ISO 8601: a date, or a date and time; UTC unless it has an
offset) and any further field that is a text or a number (``title``, ``score``), which is kept as text. Null is as good
as not there; fields not named here are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from edgeperso.evals.readers.fields import Fields
from edgeperso.evals.readers.source import DataFile

__all__ = ["PlainEntry", "PlainItem", "read_plain"]

_OWN: Final = frozenset({"text", "when"})


@dataclass(frozen=True, slots=True)
class PlainEntry:
    """A piece of a history; ``fields`` are its further fields, as text."""

    text: str
    when_ms: int | None
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class PlainItem:
    """A question about a user; ``options`` are empty and ``right`` None where there are none."""

    id: str
    user: str
    history: tuple[PlainEntry, ...]
    question: str
    answer: str | None
    options: tuple[str, ...]
    right: int | None


def read_plain(path: Path) -> Iterator[PlainItem]:
    """The questions in order, read as they are iterated.

    Raises:
        SourceNotFound: there is no such file.
        DataInvalid: a line isn't of this form; the message names file, line and field.
    """
    for record in DataFile(path, "a file in edgeperso's plain form").json_lines():
        item_id = record.label("id") if record.has("id") else record.where
        named = record.named(item_id) if record.has("id") else record
        options = named.texts("options") if named.has("options") else ()
        if named.has("options") and len(options) < 2:
            raise named.invalid("options", "a list of two texts or more")
        if named.has("right") and not options:
            raise named.invalid("options", "there, as it must be with right")
        yield PlainItem(
            id=item_id,
            user=named.label("user"),
            history=tuple(_entry(entry) for entry in named.items("history")),
            question=named.filled("question"),
            answer=named.scalar("answer") if named.has("answer") else None,
            options=options,
            right=named.whole("right", len(options)) if named.has("right") else None,
        )


def _entry(entry: Fields) -> PlainEntry:
    return PlainEntry(entry.filled("text"), entry.moment_ms("when"), entry.scalars(_OWN))
