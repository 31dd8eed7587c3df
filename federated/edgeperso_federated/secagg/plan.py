"""What a round of secure aggregation is about, agreed before it starts; and how many must stay.

Everything that gives a number its meaning is in the plan's digest, and the digest is in every signature and key: a
message of another run, round, group, schema or way of counting is of no use here.

**The threshold** is t = ⌊2n/3⌋ + 1 of the n clients whose keys were listed. Let c of them work for the server. An
honest client signs one set of survivors and answers once. For the server to get two answers for two sets, each signed
by t, it needs 2t ≤ (n - c) + 2c, that is c ≥ 2t - n, which is more than n/3. With fewer, no client's two secrets (the
seed of its own mask, and its key of the pairwise ones) can both be opened; and c < t, so that the colluders' own shares
open nothing. A majority (t > n/2) would be safe only against a server without accomplices. The price: when n - t + 1
or more drop out after the list was made, the round fails.

Source: Bonawitz et al., Practical secure aggregation for privacy-preserving machine learning, CCS 2017, section 6.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Final

from edgeperso.errors import UsageError
from edgeperso_federated.aggregation import Weighting
from edgeperso_federated.secagg.fixed_point import Bits, FixedPoint
from edgeperso_federated.secagg.primitives import fingerprint
from edgeperso_federated.update import Schema

__all__ = ["LEAST_COHORT", "MOST_CLIENTS", "SecaggPlan", "threshold"]

LEAST_COHORT: Final = 3
"""In a sum of two, each sees the other. No plan goes below three; a person's own floor can be higher."""

MOST_CLIENTS: Final = 1024
"""Of one cohort. Work and traffic of a client grow with the cohort: more clients are more cohorts."""


def threshold(clients: int) -> int:
    """How many of the listed clients must stay to the end."""
    return 2 * clients // 3 + 1


@dataclass(frozen=True, slots=True)
class SecaggPlan:
    """One cohort of one round.

    Args:
        run: names the federated run; 1 to 64 bytes that no other run has.
        round: 1 or more; it rises within a run, and is used once even where it failed.
        group: which of the round's cohorts, from 0, when a filter across groups splits it.
        schema: of the updates.
        least_clients: the fewest whose updates may be summed, `LEAST_COHORT` or more.
        most_clients: the most whose keys may be listed, up to `MOST_CLIENTS`.
        weighting: what a client counts; with ``equal`` every weight in the sum is 1.
        bits: of the modulus; see `fixed_point`.

    Raises:
        UsageError: a number out of its range, or too coarse numbers.
    """

    run: bytes
    round: int
    schema: Schema
    least_clients: int
    most_clients: int
    group: int = 0
    weighting: Weighting = Weighting.EXAMPLES
    bits: Bits = 64

    def __post_init__(self) -> None:
        counts = LEAST_COHORT <= self.least_clients <= self.most_clients <= MOST_CLIENTS
        if not counts or not 1 <= len(self.run) <= 64 or self.bits not in (32, 64):
            raise UsageError("A bound of the secure aggregation is out of range.")
        if not 1 <= self.round < 2**32 or not 0 <= self.group < 2**16:
            raise UsageError("A round's or group's number is out of range.")
        _ = self.numbers

    @property
    def max_weight(self) -> int:
        return self.schema.max_examples if self.weighting is Weighting.EXAMPLES else 1

    @property
    def numbers(self) -> FixedPoint:
        return FixedPoint.fit(self.schema, self.max_weight, self.most_clients, self.bits)

    @property
    def length(self) -> int:
        """Of a masked vector: the values and the weight."""
        return self.schema.size + 1

    def least_of(self, clients: int) -> int:
        """The fewest of so many listed clients that may be summed."""
        return max(threshold(clients), self.least_clients)

    def digest(self) -> bytes:
        """32 bytes that name the plan."""
        numbers = struct.pack(
            "<IHHHIBi",
            self.round,
            self.group,
            self.least_clients,
            self.most_clients,
            self.max_weight,
            self.bits,
            self.numbers.exponent,
        )
        return fingerprint(b"plan", self.run, numbers, self.schema.digest())
