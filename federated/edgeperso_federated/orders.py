"""What a run is about, and what a client is told of a round: values without weights.

`RunPlan` is the server's. `Order` is what it sends with a round's tensors; a client works out the schema, and what it
may send at all, from the order and its own model file.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Final

from edgeperso.adaptation.plan import LoraShape, SoftShape
from edgeperso.errors import EdgepersoError, UsageError
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.errors import FederationError
from edgeperso_federated.factors import Frame, Method, fields_for, schema_for
from edgeperso_federated.privacy.clipping import WITHIN, Adaptive
from edgeperso_federated.privacy.noise import local_norm
from edgeperso_federated.privacy.plans import Central, Local, Sampling
from edgeperso_federated.secagg import LEAST_COHORT, MOST_CLIENTS
from edgeperso_federated.update import Schema

__all__ = ["Order", "Robust", "RunPlan"]

_LONGEST_RUN: Final = 64
_LARGEST_ORDER: Final = 64 * 1024


class Robust(StrEnum):
    """How a round withstands clients that lie within what the schema allows; see `robust`."""

    NONE = "none"
    NORM = "norm"
    COSINE = "cosine"
    MEDIAN = "median"
    TRIMMED = "trimmed"
    KRUM = "krum"


@dataclass(frozen=True, slots=True)
class Order:
    """What every client is told of a round.

    Args:
        run: names the run; 1 to 64 printable ASCII characters that no other run has.
        round: counted from 1.
        attempt: counted from 1 over the whole run; it rises also where a round is run again after a kill.
        base_sha256: of the model that the adapter is for.
        shape: of the adapter.
        seed: public; of ``a``.
        method: how updates are averaged.
        bound: the norm to which an update is clipped, above 0.
        weighting: what a client counts.
        max_examples: the greatest weight.
        metrics: that may be sent.
        privacy: what is promised.
        adaptive: whether `WITHIN` is asked for.
        secure: whether updates are masked.
    """

    run: str
    round: int
    attempt: int
    base_sha256: str
    shape: LoraShape | SoftShape
    seed: bytes | int
    method: Method
    bound: float
    weighting: Weighting = Weighting.EXAMPLES
    max_examples: int = 1000
    metrics: frozenset[str] = frozenset()
    privacy: Central | Local | None = None
    adaptive: bool = False
    secure: bool = False

    def __post_init__(self) -> None:
        named = self.run.isascii() and self.run.isprintable() and 1 <= len(self.run) <= _LONGEST_RUN
        if not named or not 1 <= self.round <= self.attempt or not 0 < self.bound < math.inf:
            raise UsageError("A run's name, a round's number or its bound is out of range.")

    def schema(self, frame: Frame) -> Schema:
        """What an update of this round may hold, noise included."""
        metrics = self.metrics | ({WITHIN} if self.adaptive else frozenset())
        longest = self.bound
        if isinstance(self.privacy, Local):
            longest = local_norm(self.privacy, sum(one.size for one in fields_for(frame, self.method, self.round)))
        return schema_for(
            frame, self.method, self.round, max_norm=longest, metrics=metrics, max_examples=self.max_examples
        )

    def to_bytes(self) -> bytes:
        """JSON, the same for the same order."""
        said = asdict(self)
        seed = self.seed if isinstance(self.seed, int) else self.seed.hex()
        said |= {"seed": seed, "metrics": sorted(self.metrics), "shape": _tagged(self.shape)}
        said["privacy"] = None if self.privacy is None else _tagged(self.privacy)
        return json.dumps(said, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """The order that a server sent.

        Raises:
            FederationError: it is none.
        """
        try:
            order = _order(data)
            same = order.to_bytes() == json.dumps(json.loads(data), sort_keys=True).encode()
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError, EdgepersoError):
            same = False
        if not same:
            raise FederationError("What the server asks for can't be read.", hint="Nothing was sent.")
        return order


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPlan:
    """One run, as the server planned it before it began.

    Args:
        run: see `Order`.
        frame: of the adapter.
        method: how updates are averaged.
        rounds: 1 or more.
        population: how many clients there are.
        cohort: answers that a round is planned for.
        asked: how many are asked for that: ``cohort`` up to ``population``; with Poisson's sampling on average.
        quorum: the fewest answers with which a round counts, 1 up to ``cohort``. Not asked about under central privacy:
            there a round publishes its noise whoever answered.
        bound: the norm to which an update is clipped (the first one, where it adapts).
        seed: of whom a round asks; secret in a real run.
        sampling, weighting, robust, privacy: see there.
        adaptive: how the bound follows the norms; with central privacy only.
        secure: whether the server sees sums alone.
        group: clients of a secure sum at least; 0: one sum over all. Robust rules then work on groups' means.
        hostile: how many clients (or groups) of a round may be, for Multi-Krum.
        max_examples, metrics: see `Order`.

    Raises:
        UsageError: a number is out of range, or things that don't go together.
    """

    run: str
    frame: Frame
    method: Method
    rounds: int
    population: int
    cohort: int
    asked: int
    bound: float
    seed: int
    quorum: int = 1
    sampling: Sampling = Sampling.FIXED
    weighting: Weighting = Weighting.EXAMPLES
    robust: Robust = Robust.NONE
    privacy: Central | Local | None = None
    adaptive: Adaptive | None = None
    secure: bool = False
    group: int = 0
    hostile: int = 0
    max_examples: int = 1000
    metrics: frozenset[str] = field(default_factory=frozenset)

    def __post_init__(self) -> None:
        counts = 1 <= self.quorum <= self.cohort <= self.asked <= self.population
        if not counts or self.rounds < 1 or self.group < 0 or self.hostile < 0:
            raise UsageError("A round's quorum, cohort, those asked and the population rise in this order, from 1.")
        if self.method is Method.FLORA and (self.secure or self.privacy or self.robust is not Robust.NONE):
            raise UsageError("FLoRA shows the server each client's factors: no sum, noise or filter goes with it.")
        if self.group and not (self.secure and LEAST_COHORT <= self.group <= MOST_CLIENTS // 2):
            raise UsageError(f"Groups are for secure sums, of {LEAST_COHORT} to {MOST_CLIENTS // 2} clients at least.")
        if self.secure and self.robust is not Robust.NONE and not self.group:
            raise UsageError("A robust rule over secure sums needs groups.")
        self._check_privacy()

    def _check_privacy(self) -> None:
        if isinstance(self.privacy, Local) and self.privacy.clip != self.bound:
            raise UsageError("The run clips to another bound than its privacy is reckoned with.")
        if self.adaptive and (self.secure or not isinstance(self.privacy, Central)):
            raise UsageError("A bound adapts under central privacy, and where the server sees who is within it.")
        if self.privacy is not None and self.metrics:
            raise UsageError("Metrics of single clients don't go with differential privacy: they aren't noised.")
        if not isinstance(self.privacy, Central):
            return
        mine = (self.bound, self.cohort, self.asked, self.population, self.sampling)
        said = self.privacy
        if mine != (said.clip, said.cohort, said.asked, said.population, said.sampling):
            raise UsageError("The run is planned with other numbers than its privacy is reckoned with.")
        if self.weighting is not Weighting.EQUAL or self.robust is not Robust.NONE:
            raise UsageError("Under central privacy every update counts once, and none is left out for the others'.")

    def order(self, turn: int, *, attempt: int, bound: float) -> Order:
        """What round ``turn`` asks of clients."""
        frame = self.frame
        return Order(
            run=self.run,
            round=turn,
            attempt=attempt,
            base_sha256=frame.base_sha256,
            shape=frame.shape,
            seed=frame.seed,
            method=self.method,
            bound=bound,
            weighting=self.weighting,
            max_examples=self.max_examples,
            metrics=self.metrics,
            privacy=self.privacy,
            adaptive=self.adaptive is not None,
            secure=self.secure,
        )

    def digest(self) -> bytes:
        """32 bytes that differ when the plan does: a state of another plan isn't gone on from."""
        mine = {name: repr(getattr(self, name)) for name in self.__slots__ if name not in ("frame", "metrics")}
        mine |= {"order": self.order(1, attempt=1, bound=self.bound).to_bytes().decode()}
        return hashlib.sha256(json.dumps(mine, sort_keys=True).encode()).digest()


def _order(data: bytes) -> Order:
    said = json.loads(data[: _LARGEST_ORDER + 1])
    said["shape"] = _untagged(said["shape"])
    said["privacy"] = None if said["privacy"] is None else _untagged(said["privacy"])
    said["seed"] = bytes.fromhex(said["seed"]) if isinstance(said["seed"], str) else int(said["seed"])
    said["metrics"] = frozenset(map(str, said["metrics"]))
    said |= {"method": Method(said["method"]), "weighting": Weighting(said["weighting"])}
    return Order(**said)


def _tagged(value: Any) -> dict[str, Any]:
    return {"is": type(value).__name__, **asdict(value)}


def _untagged(said: Mapping[str, Any]) -> Any:
    kinds = {kind.__name__: kind for kind in (LoraShape, SoftShape, Central, Local)}
    values = {name: value for name, value in said.items() if name != "is"}
    if "targets" in values:
        values["targets"] = tuple(values["targets"])
    if "sampling" in values:
        values["sampling"] = Sampling(values["sampling"])
    return kinds[said["is"]](**values)
