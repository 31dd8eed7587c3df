"""Others like the person: personas made of adapters that people shared, and the nearest one for somebody new."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from edgeperso.adaptation.personas import Card, card_of, centroid, group, nearest, persona_of
from edgeperso.embedding.passage import passage_text
from edgeperso.engine.adapters.file import adapter_to_bytes
from edgeperso.engine.adapters.values import Lora
from edgeperso.errors import AdapterInvalid, EmbedderMismatch, TooLittle, UsageError
from edgeperso.prompting import profile_card
from edgeperso.types import AdapterForm, Granularity, Objective, Trust
from edgeperso.vault.adapters import AdapterState, NewAdapter, StoredAdapter

if TYPE_CHECKING:
    from edgeperso.assistant.assistant import Assistant

__all__ = ["adopt", "make_personas", "own_card"]

_FIRST: Final = 32
"""So many memories of the person's own, the first ones, say who they are."""


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


def make_personas(assistant: Assistant, paths: Sequence[Path], *, most: int) -> list[StoredAdapter]:
    """See `Shelf.personas`."""
    from edgeperso.adaptation.bridge.exchange import import_adapter, import_card

    if not paths:
        raise UsageError("No adapter was given to make personas of.")
    info = assistant.engine.info
    loras: list[Lora] = []
    for path in paths:
        adapter = import_adapter(path, info.path, info)
        if not isinstance(adapter, Lora):
            raise AdapterInvalid("Personas are made of LoRAs; a soft prompt was given.")
        loras.append(adapter)
    cards = [import_card(path) for path in paths]
    made = []
    with assistant.vault.transaction():
        for number, members in enumerate(group(loras, most=most), 1):
            persona = persona_of([loras[place] for place in members])
            new = NewAdapter(
                name=f"persona-{number}",
                form=AdapterForm.LORA,
                objective=Objective.TEXT,
                granularity=Granularity.PERSONA,
                base_sha256=info.base_sha256,
                base_name=info.name,
                rank=max(pair.rank for pair in persona.pairs.values()),
                alpha=persona.alpha,
                state=AdapterState.READY,
                report={"members": len(members)},
                card=_centre([cards[place] for place in members]),
                evidence=len(members),
            )
            made.append(assistant.vault.adapters.add(new, adapter_to_bytes(persona)))
    return made


def _centre(cards: Sequence[Card | None]) -> dict[str, object] | None:
    """The members' common card; None unless all gave one of the same embedder."""
    given = [card for card in cards if card is not None]
    if len(given) < len(cards):
        return None
    try:
        return centroid(given).as_dict()
    except (EmbedderMismatch, AdapterInvalid):
        return None
