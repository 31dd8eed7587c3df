"""Adapters as the vault keeps them: their values, and how they lie in their table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from edgeperso.errors import UsageError
from edgeperso.types import AdapterForm, Granularity, Objective
from edgeperso.vault.database import Row

__all__ = ["ADAPTER_COLUMNS", "AdapterSources", "AdapterState", "NewAdapter", "StoredAdapter", "adapter", "values"]

ADAPTER_COLUMNS: Final = (
    "id, name, form, objective, granularity, base_sha256, base_name, rank, alpha, state, report, card, evidence, "
    "content, created_ms, digest, size_bytes"
)
_MAX_NAME: Final = 100


class AdapterState(StrEnum):
    """Whether an adapter may be worn."""

    READY = "ready"
    """It passed the gate, or the person overruled the gate knowingly."""
    REFUSED = "refused"
    """The gate refused it; it is worn only if the person overrules that."""
    TAINTED = "tainted"
    """It learnt from what was forgotten or edited since: its weights are gone, for good."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewAdapter:
    """What is known of an adapter before it is stored.

    Args:
        name: 1 to 100 characters, not a number; the newest of a name is meant by it.
        form: what its weights are.
        objective: what it was trained for.
        granularity: whom it speaks for.
        base_sha256: 64 hex digits of the base's file as published (`ModelInfo.base_sha256`).
        base_name: the base as people call it.
        rank: of a LoRA; of a soft prompt its number of virtual tokens.
        alpha: a LoRA's `lora_alpha`; 0 for a soft prompt.
        state: what the gate said; TAINTED can't be stored.
        report: numbers, ids and settings, as JSON has them; never a text.
        card: of a persona: what it takes to find who is near; tainting empties it.
        evidence: how many examples it was trained on.
        content: what its copies have in common (`fingerprint`), by which they are known when they come in again; stays
            when it is tainted. Empty: they are not known.
        parents: ids of the adapters that it was started from or made of, ascending.
    """

    name: str
    form: AdapterForm
    objective: Objective
    granularity: Granularity
    base_sha256: str
    base_name: str
    rank: int
    alpha: float
    state: AdapterState
    report: dict[str, object] = field(default_factory=dict)
    card: dict[str, object] | None = None
    evidence: int = 0
    content: str = ""
    parents: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.name.strip() or self.name.isdecimal() or len(self.name) > _MAX_NAME:
            raise UsageError(f"An adapter's name has 1 to {_MAX_NAME} characters and isn't a number.")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredAdapter(NewAdapter):
    """An adapter in the vault. ``id`` is positive and never used again; ``digest`` is the SHA-256 of its payload in
    hex, ``size_bytes`` its length, even when the payload is gone."""

    id: int
    created_ms: int
    digest: str
    size_bytes: int

    @property
    def has_payload(self) -> bool:
        return self.state is not AdapterState.TAINTED


@dataclass(frozen=True, slots=True)
class AdapterSources:
    """Ids of what an adapter learnt from and is still there, ascending."""

    memories: tuple[int, ...]
    turns: tuple[int, ...]
    pairs: tuple[int, ...]


def values(new: NewAdapter) -> tuple[str | int | float | None, ...]:
    """The columns from ``name`` to ``content``."""
    return (
        new.name,
        new.form.value,
        new.objective.value,
        new.granularity.value,
        new.base_sha256,
        new.base_name,
        new.rank,
        new.alpha,
        new.state.value,
        json.dumps(new.report),
        None if new.card is None else json.dumps(new.card),
        new.evidence,
        new.content,
    )


def adapter(row: Row, parents: tuple[int, ...]) -> StoredAdapter:
    """The adapter in a row of `ADAPTER_COLUMNS`."""
    id_, name, form, objective, granularity, base_sha256, base_name, rank, alpha, state, report, card, *rest = row
    evidence, content, created_ms, digest, size_bytes = rest
    return StoredAdapter(
        id=id_,
        name=name,
        form=AdapterForm(form),
        objective=Objective(objective),
        granularity=Granularity(granularity),
        base_sha256=base_sha256,
        base_name=base_name,
        rank=rank,
        alpha=alpha,
        state=AdapterState(state),
        report=json.loads(report),
        card=None if card is None else json.loads(card),
        evidence=evidence,
        content=content,
        parents=parents,
        created_ms=created_ms,
        digest=digest,
        size_bytes=size_bytes,
    )
