"""What can go wrong in a federation, as a branch of edgeperso's tree of errors.

::

    FederationError                   exit 7   a federated run
    ├── UpdateInvalid                          a client's update is not what was asked of it; ``reason`` says why
    ├── RoundFailed                            too few clients answered, or nothing was left after the filters
    ├── BudgetSpent                            the round would cost more privacy than the person allows
    ├── ConsentMissing                         the person hasn't agreed to it
    ├── SecaggFailed                           secure aggregation broke off; nothing was revealed
    └── BrokerRefused                          the broker doesn't do what it was asked

A message names counts, limits and our own words; never a name, number or text that a client sent.
"""

from __future__ import annotations

from enum import StrEnum

from edgeperso.errors import EdgepersoError

__all__ = [
    "BrokerRefused",
    "BudgetSpent",
    "ConsentMissing",
    "Fault",
    "FederationError",
    "RoundFailed",
    "SecaggFailed",
    "UpdateInvalid",
]


class Fault(StrEnum):
    """Why an update is refused: words for logs and counts."""

    GARBAGE = "garbage"
    """The bytes are no update: cut off, too long, not in our form."""
    NAMES = "names"
    """A tensor is missing or wasn't asked for."""
    SHAPE = "shape"
    DTYPE = "dtype"
    """Not an array of float32."""
    NOT_FINITE = "not_finite"
    """A NaN or an infinity."""
    NORM = "norm"
    """Longer than the schema allows."""
    BYTES = "bytes"
    """Larger than the schema allows."""
    METRICS = "metrics"
    """A metric that isn't on the list, or no finite number."""
    EXAMPLES = "examples"
    """A weight out of its range."""


class FederationError(EdgepersoError):
    code = "federation"
    exit_code = 7


class UpdateInvalid(FederationError):
    """``reason`` is the word for it."""

    code = "update_invalid"
    default_hint = "The client is left out of the round."

    def __init__(self, reason: Fault) -> None:
        super().__init__(f"The update was refused: {reason.value}.")
        self.reason = reason

    def __reduce__(self) -> tuple[type[UpdateInvalid], tuple[Fault]]:
        """Exceptions that cross processes are made again from their own arguments."""
        return type(self), (self.reason,)


class RoundFailed(FederationError):
    code = "round_failed"
    default_hint = "The adapter of the round before is kept."


class BudgetSpent(FederationError):
    code = "budget_spent"
    default_hint = "Nothing was sent. See `edgeperso fl ledger`."


class ConsentMissing(FederationError):
    code = "consent_missing"
    default_hint = "Nothing was sent."


class SecaggFailed(FederationError):
    code = "secagg_failed"
    default_hint = "No single update was revealed. The round can be run again."


class BrokerRefused(FederationError):
    code = "broker_refused"
