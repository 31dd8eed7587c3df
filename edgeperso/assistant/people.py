"""Others like the person: personas made of adapters that people shared, and the nearest one for somebody new."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeperso.adaptation.personas import Card, card_of, centroid, group, nearest, persona_of
from edgeperso.assistant.learning import described
from edgeperso.embedding.passage import passage_text
from edgeperso.engine.adapters.file import adapter_to_bytes, fingerprint
from edgeperso.engine.adapters.values import Lora
from edgeperso.errors import AdapterInvalid, EmbedderMismatch, TooLittle, UsageError
from edgeperso.prompting import profile_card
from edgeperso.types import Granularity, Trust
from edgeperso.vault.adapters import AdapterState, StoredAdapter

if TYPE_CHECKING:
    from edgeperso.assistant.assistant import Assistant

__all__ = ["Personas", "adopt", "make_personas", "own_card"]

_FIRST: Final = 32
"""So many memories of the person's own, the first ones, say who they are."""
_LEAST: Final = 2
"""Members of a persona: one of a single person would be that person's adapter, given to others."""


@dataclass(frozen=True, slots=True)
class Personas:
    """The personas that were ``made``, and how many of the adapters given are in none: copies of another one, and those
    that are like no other."""

    made: tuple[StoredAdapter, ...]
    left_out: int


def own_card(assistant: Assistant) -> Card:
    """What the person writes about, from their profile and first memories.

    Raises:
        TooLittle: there is neither.
    """
    vault = assistant.vault
    own = (memory for memory in vault.memories.scan() if memory.trust is Trust.SELF and memory.closed_ms is None)
    texts = [passage_text(memory) for memory in islice(own, _FIRST)]
    if profile := profile_card(vault.profile.all()):
        texts.insert(0, profile)
    if not texts:
        raise TooLittle("Nothing is known of you yet.")
    return card_of(assistant.embedder.id, assistant.embedder.embed(texts))


def adopt(assistant: Assistant) -> StoredAdapter | None:
    """Wear the persona whose card lies nearest to the person's own; None where none points that way.

    Only personas for the model in use, with a card of the embedder in use, that the gate lets pass.

    Raises:
        TooLittle: as `own_card`.
    """
    adapters = assistant.vault.adapters
    fitting = [
        (one.id, Card.from_dict(one.card))
        for one in adapters.all()
        if one.granularity is Granularity.PERSONA
        and one.state is AdapterState.READY
        and one.card is not None
        and one.base_sha256 == assistant.base_sha256
    ]
    own = own_card(assistant)
    found = nearest(own.vector, [(id_, card.vector) for id_, card in fitting if card.embedder == own.embedder])
    if found is None:
        return None
    adapters.wear(Granularity.PERSONA, found)
    return adapters.get(found)


def make_personas(assistant: Assistant, paths: Sequence[Path], *, most: int) -> Personas:
    """See `Shelf.personas`."""
    if not paths:
        raise UsageError("No adapter was given to make personas of.")
    members = _members(assistant, paths)
    info, kept = assistant.engine.info, assistant.vault.adapters
    made: list[StoredAdapter] = []
    with assistant.vault.transaction():
        for places in group([member.lora for member in members], most=most):
            if len(places) < _LEAST:
                continue
            alike = [members[place] for place in places]
            persona = persona_of([member.lora for member in alike])
            new = described(
                persona,
                info,
                name=f"persona-{len(made) + 1}",
                granularity=Granularity.PERSONA,
                state=AdapterState.READY,
                report={"members": len(alike)},
                card=_centre([member.card for member in alike]),
                evidence=len(alike),
                parents=tuple(sorted({id_ for member in alike for id_ in member.originals})),
            )
            made.append(kept.add(new, adapter_to_bytes(persona)))
    return Personas(tuple(made), len(paths) - sum(one.evidence for one in made))


@dataclass(frozen=True, slots=True)
class _Member:
    """An adapter that was shared; ``originals`` are those here that it is a copy of."""

    lora: Lora
    card: Card | None
    originals: tuple[int, ...]


def _members(assistant: Assistant, paths: Sequence[Path]) -> list[_Member]:
    """Those at ``paths``, copies of each other once."""
    from edgeperso.adaptation.bridge.exchange import import_adapter, import_card

    info = assistant.engine.info
    members: dict[str, _Member] = {}
    for path in paths:
        adapter = import_adapter(path, info.path, info)
        if not isinstance(adapter, Lora):
            raise AdapterInvalid("Personas are made of LoRAs; a soft prompt was given.")
        content = fingerprint(adapter)
        originals = assistant.vault.adapters.originals(content)
        members.setdefault(content, _Member(adapter, import_card(path), originals))
    return list(members.values())


def _centre(cards: Sequence[Card | None]) -> dict[str, object] | None:
    """The members' common card; None unless all gave one of the same embedder."""
    given = [card for card in cards if card is not None]
    if len(given) < len(cards):
        return None
    try:
        return centroid(given).as_dict()
    except (EmbedderMismatch, AdapterInvalid):
        return None
