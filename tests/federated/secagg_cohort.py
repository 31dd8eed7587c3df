"""Small cohorts for the tests of secure aggregation."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from edgeperso_federated.secagg import (
    Advert,
    Confirmation,
    Confirmations,
    Delivery,
    Identity,
    KeyList,
    Masked,
    Opening,
    RoundMemory,
    SecaggClient,
    SecaggPlan,
    SecaggServer,
    Shares,
    Survivors,
)
from edgeperso_federated.update import Field, Schema, Update

SCHEMA = Schema((Field("blk.0.attn_q.b", (5, 2)), Field("soft", (7,))), max_norm=4.0, max_bytes=1000, max_examples=500)


class Store:
    """A memory's place that keeps what was saved."""

    def __init__(self, state: bytes | None = None) -> None:
        self.state = state

    def load(self) -> bytes | None:
        return self.state

    def save(self, state: bytes) -> None:
        self.state = state


def plan_for(clients: int, **changes: object) -> SecaggPlan:
    said: dict[str, object] = {"run": b"a run", "round": 1, "schema": SCHEMA, "least_clients": 3}
    return SecaggPlan(**{**said, "most_clients": max(clients, 3), **changes})  # type: ignore[arg-type]


def identity(number: int) -> Identity:
    return Identity(hashlib.sha256(b"identity %d" % number).digest())


def update_for(member: bytes, schema: Schema = SCHEMA) -> Update:
    """A member's update: anything, the same each time, about half as long as may be."""
    random = np.random.default_rng(int.from_bytes(hashlib.sha256(member).digest()[:8], "big"))
    vectors = {one.name: random.standard_normal(one.shape) for one in schema.fields}
    length = np.sqrt(sum(float(np.sum(values**2)) for values in vectors.values()))
    scale = schema.max_norm / 2 / length
    tensors = {name: (values * scale).astype(np.float32) for name, values in vectors.items()}
    return Update(tensors, int(random.integers(1, schema.max_examples + 1)), {})


def expected(plan: SecaggPlan, members: Iterable[bytes]) -> tuple[NDArray[np.float64], int]:
    """Σ weight · update and Σ weight in float64, without any of the code that is tested."""
    values, weight = np.zeros(plan.schema.size), 0
    for member in members:
        update = update_for(member, plan.schema)
        flat = np.concatenate([update.tensors[one.name].ravel() for one in plan.schema.fields])
        values += flat.astype(np.float64) * update.examples
        weight += update.examples
    return values, weight


@dataclass
class Stage:
    """A round that can be stopped anywhere: clients by ascending identity, and all that was said."""

    plan: SecaggPlan
    clients: list[SecaggClient]
    server: SecaggServer
    update_of: Callable[[bytes], Update] = update_for
    keys: KeyList = field(default_factory=lambda: KeyList(()))
    adverts: list[Advert] = field(default_factory=list)
    shares: list[Shares] = field(default_factory=list)
    deliveries: list[Delivery] = field(default_factory=list)
    masked: dict[int, Masked] = field(default_factory=dict)
    survivors: Survivors = field(default_factory=lambda: Survivors(()))
    confirmations: dict[int, Confirmation] = field(default_factory=dict)
    confirmed: Confirmations = field(default_factory=lambda: Confirmations({}))
    openings: dict[int, Opening] = field(default_factory=dict)

    def advertise(self) -> Stage:
        self.adverts = [client.advertise() for client in self.clients]
        for advert in self.adverts:
            self.server.take_advert(advert)
        self.keys = self.server.close_adverts()
        return self

    def share(self) -> Stage:
        self.advertise()
        self.shares = [client.share(self.keys) for client in self.clients]
        for shares in self.shares:
            self.server.take_shares(shares)
        delivery = self.server.close_shares()
        self.deliveries = [delivery(client.identity) for client in self.clients]
        return self

    def mask(self, dead: Iterable[int] = ()) -> Stage:
        """All but the dead send their masked updates."""
        self.share()
        for number, client in enumerate(self.clients):
            if number not in set(dead):
                self.masked[number] = client.masked(self.deliveries[number], self.update_of(client.identity))
                self.server.take_masked(self.masked[number])
        self.survivors = self.server.close_masked()
        return self

    def confirm(self, dead: Iterable[int] = ()) -> Stage:
        self.mask(dead)
        for number in self.masked:
            self.confirmations[number] = self.clients[number].confirm(self.survivors)
            self.server.take_confirmation(self.confirmations[number])
        self.confirmed = self.server.close_confirmations()
        return self

    def unmask(self, dead: Iterable[int] = ()) -> Stage:
        self.confirm(dead)
        for number in self.masked:
            self.openings[number] = self.clients[number].unmask(self.confirmed)
            self.server.take_opening(self.openings[number])
        return self


def stage(
    clients: int = 7, *, update_of: Callable[[bytes], Update] = update_for, floor: int = 3, **changes: object
) -> Stage:
    plan = plan_for(clients, **changes)
    identities = sorted((identity(number) for number in range(clients)), key=lambda one: one.public)
    roster = frozenset(one.public for one in identities)
    people = [SecaggClient(plan, one, roster, RoundMemory(Store()), floor=floor) for one in identities]
    return Stage(plan, people, SecaggServer(plan, roster), update_of)
