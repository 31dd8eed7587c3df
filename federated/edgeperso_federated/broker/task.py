"""A task: all that a server may have a device do in one round, and the bounds of it. It has no paths, no code, and no
names of files, memories or people.

What the round is about is its `Order`. Server and broker both make the schema from that and from their own model file,
and the task carries the digest of the server's: if they differ, nothing happens.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from edgeperso.adaptation.plan import LoraShape, Plan
from edgeperso.errors import UsageError
from edgeperso_federated.broker.protocol import Refusal, Refused
from edgeperso_federated.errors import FederationError
from edgeperso_federated.local import LOSS
from edgeperso_federated.orders import Order
from edgeperso_federated.privacy.plans import Central, Local
from edgeperso_federated.secagg import MOST_CLIENTS, SecaggPlan
from edgeperso_federated.secagg.fixed_point import Bits
from edgeperso_federated.update import MAX_EXAMPLES, Schema

__all__ = ["FEDERATION", "METRICS", "Group", "LocalPlan", "Task"]

FEDERATION: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
"""The form of a federation's name."""

METRICS: Final = frozenset({LOSS})
"""What a round without noise may ask for. With noise no metric leaves but the bit that its clipping follows."""

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_WHOLE: Final[Mapping[str, int]] = {
    "rank": 64, "virtual_tokens": 64, "round": 100_000, "attempt": 1_000_000, "max_examples": MAX_EXAMPLES,
    "cohort": 10**9, "asked": 10**9, "population": 10**9, "seed": 2**128 - 1,
    "epochs": 20, "batch_tokens": 4096, "max_tokens": 4096,
    "number": 2**16 - 1, "least_clients": MOST_CLIENTS, "most_clients": MOST_CLIENTS, "bits": 64,
}  # fmt: skip
"""Numbers from 0 up to this, by their name wherever it is in a task. Types of our own may bound them further."""
_REAL: Final[Mapping[str, float]] = {
    "alpha": 1024.0, "bound": 1e4, "clip": 1e4, "noise_multiplier": 1e4, "delta": 1.0,
    "rate": 0.1, "minutes": 120.0, "pull": 1000.0,
}  # fmt: skip
_LONGEST_SEED: Final = 64
"""Hex digits, where a seed is bytes."""
_FLAGS: Final = ("adaptive", "secure")
_LISTS: Final = ("metrics", "targets")
_WORDS: Final = ("base_sha256", "federation", "is", "method", "run", "sampling", "schema", "weighting")
_PARTS: Final = ("group", "order", "plan", "privacy", "shape")


@dataclass(frozen=True, slots=True)
class LocalPlan:
    """How a device trains; see `Plan`. ``rank`` of a LoRA is what this device trains of the run's; 0 is all of it."""

    rank: int = 0
    rate: float = 1e-3
    epochs: int = 1
    batch_tokens: int = 512
    max_tokens: int = 512
    minutes: float = 5.0
    pull: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.rank < 0 or self.seed < 0:
            raise UsageError("A device's rank and seed are 0 or more.")
        _ = self.training

    @property
    def training(self) -> Plan:
        """The training's plan, but for its shape, which is the order's."""
        return Plan(**{one.name: getattr(self, one.name) for one in fields(self) if one.name != "rank"})


@dataclass(frozen=True, slots=True)
class Group:
    """The cohort in which a round is summed in secret; see `SecaggPlan`."""

    number: int
    least_clients: int
    most_clients: int
    bits: Bits = 64

    def plan_for(self, order: Order, schema: Schema) -> SecaggPlan:
        """The cohort's plan, the same for the server and all devices.

        Raises:
            UsageError: a number is out of its range.
        """
        return SecaggPlan(
            run=order.run.encode(),
            round=order.attempt,
            schema=schema,
            least_clients=self.least_clients,
            most_clients=self.most_clients,
            group=self.number,
            weighting=order.weighting,
            bits=self.bits,
        )


@dataclass(frozen=True, slots=True)
class Task:
    """One round's.

    Args:
        federation: whose it is: 1 to 64 of a-z, 0-9 and dashes. The person consented to this name.
        order: what the round is about.
        plan: how the device trains.
        schema: 64 hex digits, ``order.schema(frame).digest()``.
        group: where the update is masked, else None.
    """

    federation: str
    order: Order
    plan: LocalPlan
    schema: str
    group: Group | None = None

    def to_header(self) -> dict[str, Any]:
        """As it travels."""
        return {
            "federation": self.federation,
            "order": json.loads(self.order.to_bytes()),
            "plan": asdict(self.plan),
            "schema": self.schema,
            "group": None if self.group is None else asdict(self.group),
        }

    @classmethod
    def from_header(cls, header: object) -> Task:
        """The task that a stranger sent.

        Raises:
            Refused: ``garbage``: other fields, of other types, or together not a round's order; ``bounds``.
        """
        if not isinstance(header, dict) or header.keys() != {one.name for one in fields(cls)}:
            raise Refused(Refusal.GARBAGE)
        _check_types(header)
        try:
            order = Order.from_bytes(json.dumps(header["order"]).encode())
            plan = LocalPlan(**header["plan"])
            group = None if header["group"] is None else Group(**header["group"])
            task = cls(header["federation"], order, plan, header["schema"], group)
            same = task.to_header() == header
        except (FederationError, TypeError):
            raise Refused(Refusal.GARBAGE) from None
        except UsageError:
            raise Refused(Refusal.BOUNDS) from None
        if not same:
            raise Refused(Refusal.GARBAGE)
        task._check()
        return task

    def _check(self) -> None:
        for text, form in ((self.federation, FEDERATION), (self.schema, _DIGEST), (self.order.base_sha256, _DIGEST)):
            if form.fullmatch(text) is None:
                raise Refused(Refusal.BOUNDS)
        order = self.order
        wide = self.plan.rank > order.shape.rank if isinstance(order.shape, LoraShape) else self.plan.rank > 0
        metrics = frozenset[str]() if order.privacy is not None else METRICS
        adaptive = not order.adaptive or (isinstance(order.privacy, Central) and not order.secure)
        masked = order.secure is (self.group is not None)
        clipped = not isinstance(order.privacy, Local) or order.privacy.clip == order.bound
        if wide or not (order.metrics <= metrics and adaptive and masked and clipped):
            raise Refused(Refusal.BOUNDS)


def _check_types(part: Mapping[str, Any]) -> None:
    """Whether each field is known, of its exact type (True is no 1 here) and within its bounds."""
    for name, value in part.items():
        if name in _PARTS and isinstance(value, dict):
            _check_types(value)
        elif (name in _WHOLE and type(value) is int) or (name in _REAL and type(value) in (int, float)):
            if not 0 <= value <= _WHOLE.get(name, 0) + _REAL.get(name, 0):
                raise Refused(Refusal.BOUNDS)
        elif not _is_word(name, value):
            raise Refused(Refusal.GARBAGE)


def _is_word(name: str, value: object) -> bool:
    match value:
        case None:
            return name in ("group", "privacy")
        case bool():
            return name in _FLAGS
        case str():
            return name in _WORDS or (name == "seed" and len(value) <= _LONGEST_SEED)
        case list():
            return name in _LISTS and all(type(one) is str for one in value)
        case _:
            return False
