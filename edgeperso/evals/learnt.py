"""The adapters that methods wear.

``user-lora`` is trained on the person's own history, which ends before the question. ``global-lora`` and
``persona-lora`` are trained on other people: everybody belongs to one half of them, told by a digest of their id, and
wears what was trained on the other half, so that nobody's adapter has read them and few adapters serve everybody. In
each half people are parted into groups by the mean embeddings of their texts; ``persona-lora`` is trained jointly on
the members of the group whose centre is nearest to the person, ``global-lora`` on people of all groups. An adapter that
is worn above others is trained above them. Nothing of an adapter is written anywhere: after a stop it is trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from functools import cached_property
from typing import Final

import numpy as np

from edgeperso.adaptation.gate import adapter_key
from edgeperso.adaptation.plan import Example, Pair, Plan
from edgeperso.engine import Engine
from edgeperso.engine.adapters.values import Adapter, Lora, Worn
from edgeperso.evals.methods import Method
from edgeperso.evals.people import groups, mean_vector
from edgeperso.evals.raw import digest
from edgeperso.evals.setup import Setup
from edgeperso.types import Float32, Granularity, Record

__all__ = ["Tailor", "train_adapter", "wearing"]

Teach = Callable[[str, Method, int], list[Example]]
"""``teach(person, method, most)``: examples of the person's ``most`` latest entries, put as ``method`` asks."""

_VERSION: Final = 1
"""Part of each adapter's key: goes up when what trains it changes."""
_OWN: Final = 8
"""Latest entries of a person that their own adapter learns."""
_EACH: Final = 6
"""Latest entries of one person that an adapter of several people learns."""
_MOST: Final = {Granularity.PERSONA: 64, Granularity.GLOBAL: 128}
"""Entries that such an adapter learns altogether, about."""
_EPOCHS: Final = {Granularity.USER: 3, Granularity.PERSONA: 1, Granularity.GLOBAL: 1}
_RATE: Final = 5e-4
_GROUPS: Final = 3
_LEAST: Final = 8
"""People of a group on average, at least: with fewer there are fewer groups."""


class Tailor:
    """Makes what each person wears under each method.

    Args:
        setup: what it runs on; the seed draws whom a group's adapter learns from, and what training draws.
        people: those who are asked, with their history.
        donors: those who may be learnt from, with theirs; people may be among them.
        teach: gives examples of a person's own history.
        lend: gives examples of a donor's history.
    """

    def __init__(
        self,
        setup: Setup,
        people: Mapping[str, Sequence[Record]],
        donors: Mapping[str, Sequence[Record]],
        *,
        teach: Teach,
        lend: Teach,
    ) -> None:
        self._setup = setup
        self._people = people
        self._donors = donors
        self._teach = teach
        self._lend = lend
        self._shared: dict[str, Lora] = {}

    def keys(self, person: str, method: Method) -> list[str]:
        """A digest for each adapter, of all that determines it; none for one that there is nothing to train on."""
        keys: list[str] = []
        for granularity in method.learnt:
            if key := self._key(person, method, granularity, keys):
                keys.append(key)
        return keys

    def stack(self, person: str, method: Method) -> list[Worn]:
        """The adapters, trained now; those of groups are kept, a person's own isn't."""
        stack: list[Worn] = []
        keys: list[str] = []
        for granularity in method.learnt:
            if key := self._key(person, method, granularity, keys):
                lora = self._lora(key, person, method, granularity, stack)
                stack.append(Worn(adapter_key(lora), lora))
                keys.append(key)
        return stack

    def _key(self, person: str, method: Method, granularity: Granularity, below: Sequence[str]) -> str:
        members = self._members(person, granularity)
        histories = self._people if granularity is Granularity.USER else self._donors
        read = [[one, [[record.text, record.occurred_ms] for record in histories[one]]] for one in members]
        if not any(records for _, records in read):
            return ""
        plan = asdict(self._plan(granularity))
        asked = [method.choice, sorted(method.additions & {"reminder"}), self._setup.most, _OWN, _EACH]
        return digest([_VERSION, self._setup.models["engine"], granularity, plan, asked, read, list(below)])

    def _lora(self, key: str, person: str, method: Method, granularity: Granularity, below: Sequence[Worn]) -> Lora:
        if granularity is Granularity.USER:
            return self._trained(self._teach(person, method, _OWN), granularity, below)
        if key not in self._shared:
            members = self._members(person, granularity)
            examples = [example for member in members for example in self._lend(member, method, _EACH)]
            self._shared[key] = self._trained(examples, granularity, below)
        return self._shared[key]

    def _trained(self, examples: Sequence[Example], granularity: Granularity, below: Sequence[Worn]) -> Lora:
        return train_adapter(self._setup, examples, self._plan(granularity), below)

    def _plan(self, granularity: Granularity) -> Plan:
        # Nothing is cut: notes come first in a prompt, and are what a method that reads them is about.
        cut = self._setup.engine.info.n_ctx
        return Plan(rate=_RATE, epochs=_EPOCHS[granularity], max_tokens=cut, seed=self._setup.seed)

    # ---- whom an adapter learns from ---------------------------------------------------------------------------------

    def _members(self, person: str, granularity: Granularity) -> list[str]:
        if granularity is Granularity.USER:
            return [person]
        other = 1 - _half(person)
        if granularity is Granularity.GLOBAL:
            return self._drawn([one for one in self._known if _half(one) == other], _MOST[granularity])
        texts = [record.text for record in self._people[person]]
        if not texts or not self._circles[other]:
            return []
        own = mean_vector(self._setup.embedder.embed(texts))
        nearest = max(self._circles[other], key=lambda circle: float(own @ circle[0]))
        return self._drawn(nearest[1], _MOST[granularity])

    def _drawn(self, members: Sequence[str], most: int) -> list[str]:
        """So many of ``members`` that their entries are about ``most``, in an order of the seed."""
        drawn: list[str] = []
        entries = 0
        for member in sorted(members, key=lambda one: digest([self._setup.seed, one])):
            if entries >= most:
                break
            drawn.append(member)
            entries += min(_EACH, len(self._donors[member]))
        return drawn

    @cached_property
    def _known(self) -> list[str]:
        return sorted(one for one, records in self._donors.items() if records)

    @cached_property
    def _circles(self) -> tuple[list[tuple[Float32, list[str]]], ...]:
        """For each half its groups: the centre, the members."""
        return tuple(self._parted([one for one in self._known if _half(one) == half]) for half in (0, 1))

    def _parted(self, members: list[str]) -> list[tuple[Float32, list[str]]]:
        if not members:
            return []
        embed = self._setup.embedder.embed
        means = np.stack([mean_vector(embed([record.text for record in self._donors[one]])) for one in members])
        parts = groups(means, max(1, min(_GROUPS, len(members) // _LEAST)))
        return [(mean_vector(means[part]), [members[place] for place in part]) for part in parts]


def _half(person: str) -> int:
    return int(digest(["half", person])[0], 16) % 2


def train_adapter(
    setup: Setup, examples: Sequence[Example] | Sequence[Pair], plan: Plan, below: Sequence[Worn] = ()
) -> Lora:
    """An adapter for the model that ``setup`` runs on, trained above those ``below``.

    Raises:
        ExtraMissing: the ``[train]`` extra isn't installed.
        ModelUnsupported: the model is of an architecture that can't be trained.
    """
    from edgeperso.adaptation.training import train

    info = setup.engine.info
    frozen = [(worn.adapter, worn.scale) for worn in below if isinstance(worn.adapter, Lora)]
    trained = train(info.path, info.base_sha256, examples, plan, frozen=frozen, progress=setup.progress)
    return _lora_of(trained.adapter)


def _lora_of(adapter: Adapter) -> Lora:
    if not isinstance(adapter, Lora):
        raise TypeError("a plan with a LoRA's shape gave another form")
    return adapter


@contextmanager
def wearing(engine: Engine, stack: Sequence[Worn]) -> Iterator[None]:
    """``engine`` wears ``stack`` meanwhile, and nothing afterwards."""
    engine.wear(stack)
    try:
        yield
    finally:
        engine.wear(())
