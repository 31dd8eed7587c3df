"""The values that cross rooms. Frozen, slotted, free of behaviour beyond their own invariants.

Times are ``int`` milliseconds since the Unix epoch, UTC, and end in ``_ms``; ``None`` means unknown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "AdapterForm",
    "AddReport",
    "Asking",
    "Embedder",
    "Fact",
    "Float32",
    "Granularity",
    "Hit",
    "Int64",
    "Kind",
    "Memory",
    "MemoryFilter",
    "Objective",
    "Progress",
    "Query",
    "Record",
    "Role",
    "Trust",
    "Turn",
]

Float32 = NDArray[np.float32]
Int64 = NDArray[np.int64]

Progress = Callable[[str, int, int | None], None]
"""``progress(stage, done, total)``: stage is a word of ours, never a person's; total is None when unknown."""


class Kind(StrEnum):
    """What sort of text a memory is."""

    NOTE = "note"
    DOCUMENT = "document"
    MAIL = "mail"
    CHAT = "chat"
    PREFERENCE = "preference"
    FACT = "fact"


class Trust(StrEnum):
    """Who vouches for a memory's text. Only SELF may speak for the person."""

    SELF = "self"
    """The person wrote or said it."""
    OTHER = "other"
    """Somebody else wrote it to the person: a mail, a chat partner, an assistant's earlier answer."""


class Role(StrEnum):
    """Who speaks in a turn of a conversation with the assistant."""

    PERSON = "person"
    ASSISTANT = "assistant"


class Asking(StrEnum):
    """A way of asking a model which of several texts fits."""

    LETTER = "letter"
    """All options in a list; the probability of each one's letter."""
    ROTATED = "rotated"
    """The same for the list in every rotation, averaged: a favourite letter then helps all options alike."""
    LIKELIHOOD = "likelihood"
    """How likely the option's own text is as the answer, per token."""
    GAIN = "gain"
    """How much likelier the notes make that text."""
    APART = "apart"
    """Each option by itself: the log-odds of Yes against No to whether it respects what the person said."""
    APART_GAIN = "apart-gain"
    """The same, less what the model says without the notes."""
    REASONED = "reasoned"
    """For each note the model says in a sentence what a suggestion must have or avoid; by that sentence alone it is
    then asked for each option by itself. The note counts that an option fits least."""


class AdapterForm(StrEnum):
    """What an adapter's weights are."""

    LORA = "lora"
    """Low-rank additions to weight matrices."""
    SOFT = "soft"
    """A soft prompt: vectors read before the first token."""


class Objective(StrEnum):
    """What an adapter was trained for."""

    TEXT = "text"
    """The likelihood of texts."""
    DPO = "dpo"
    """Preference of one answer over another (direct preference optimisation)."""


class Granularity(StrEnum):
    """Whom an adapter speaks for. In a stack they are applied in this order, each with its scale."""

    GLOBAL = "global"
    PERSONA = "persona"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Record:
    """One piece of text as an importer yields it; the vault turns it into a `Memory`.

    ``source`` names where it comes from as the person would (a path relative to what was imported, a file name),
    ``locator`` the place in it (heading, line, message id). ``thread`` groups texts that belong together in the order
    of ``position`` (a conversation, a document): neighbours in a thread help each other to be found.
    """

    text: str
    kind: Kind
    source: str
    locator: str = ""
    title: str = ""
    author: str = ""
    thread: str = ""
    position: int = 0
    occurred_ms: int | None = None
    scope: str = "personal"
    trust: Trust = Trust.SELF


@dataclass(frozen=True, slots=True)
class Memory:
    """A stored `Record`. ``id`` is positive and never used again after the memory was forgotten.

    ``superseded_by`` is the id of the memory that replaced what this one says, ``closed_ms`` since when: a closed
    memory stays, and is never given as current.
    """

    id: int
    text: str
    kind: Kind
    source: str
    locator: str
    title: str
    author: str
    thread: str
    position: int
    occurred_ms: int | None
    recorded_ms: int
    scope: str
    trust: Trust
    language: str
    superseded_by: int | None = None
    closed_ms: int | None = None

    @property
    def when_ms(self) -> int:
        """When it happened, or else when it was stored."""
        return self.recorded_ms if self.occurred_ms is None else self.occurred_ms


@dataclass(frozen=True, slots=True)
class Fact:
    """A statement derived from a memory, bi-temporal: true in the world from ``valid_from_ms`` (inclusive) to
    ``valid_to_ms`` (exclusive, None: still), known since ``recorded_ms``. ``attribute`` is a normalized key such as
    ``home``; ``value`` is as the person wrote it."""

    id: int
    memory_id: int
    subject: str
    attribute: str
    value: str
    valid_from_ms: int
    valid_to_ms: int | None
    recorded_ms: int
    closed_by: int | None = None


@dataclass(frozen=True, slots=True)
class MemoryFilter:
    """Which memories count. An empty tuple means any. ``sources`` match whole or as a path prefix (``notes/``);
    ``after_ms`` is inclusive, ``before_ms`` exclusive, both on `Memory.when_ms`."""

    sources: tuple[str, ...] = ()
    kinds: tuple[Kind, ...] = ()
    scopes: tuple[str, ...] = ()
    after_ms: int | None = None
    before_ms: int | None = None
    include_closed: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A question to the retriever. ``limit`` bounds the hits, 1 or more; ``now_ms`` anchors words like "last March".
    ``signals`` names the parts of the score that count (see `Hit.parts`); all of them where it is empty."""

    text: str
    now_ms: int
    limit: int = 50
    where: MemoryFilter = field(default_factory=MemoryFilter)
    signals: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A memory and how well it fits: higher is better, comparable only within one search. ``parts`` are the addends
    of the score by name (``dense``, ``lexical``, ``neighbours``, ``time``, ``recency`` …); ``repeats`` is how many
    other memories were left out because they say the same; ``states`` are facts that it states and that are asked for,
    in a few words each (``employer: Acme``)."""

    memory: Memory
    score: float
    parts: dict[str, float]
    repeats: int = 0
    states: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class AddReport:
    """What became of the records given: ``ids`` of the new memories in order, and how many were there already."""

    ids: tuple[int, ...]
    duplicates: int

    @property
    def added(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance in a conversation with the assistant. ``trace`` is what `why` shows: ids, numbers and settings,
    no text of memories."""

    id: int
    conversation_id: int
    role: Role
    text: str
    at_ms: int
    trace: dict[str, object] | None = None


class Embedder(Protocol):
    """Text to vectors. ``id`` names model, file hash and pooling: vectors of two ids never meet."""

    @property
    def id(self) -> str: ...

    @property
    def dim(self) -> int: ...

    def embed(self, texts: list[str], progress: Progress | None = None) -> Float32:
        """``float32[len(texts), dim]``, every row of unit length, in the order given."""
        ...
