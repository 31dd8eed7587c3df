"""Secure aggregation: a server learns the sum of a cohort's updates, and no update.

Double masking after Bonawitz et al. 2017, with signed keys, one view of the round for everybody that is signed before
anything is opened, and the weights inside the sum. Client and server are state machines without input or output;
messages have bounded forms of our own. From the bottom up: `primitives`, `shamir`, `fixed_point`, `plan`, `messages`,
`cohort`, `memory`, `client`, `server`, `inline`.

What is promised, and to whom, is in the docstrings of `client`, `server` and `plan`, and told at length in
``docs/explanation/secure-aggregation.md``.
"""

from edgeperso_federated.secagg.client import Phase, SecaggClient
from edgeperso_federated.secagg.inline import secure_sum
from edgeperso_federated.secagg.memory import RoundMemory
from edgeperso_federated.secagg.messages import (
    Advert,
    Confirmation,
    Confirmations,
    Delivery,
    KeyList,
    Masked,
    Opening,
    Shares,
    Survivors,
)
from edgeperso_federated.secagg.plan import LEAST_COHORT, MOST_CLIENTS, SecaggPlan, threshold
from edgeperso_federated.secagg.primitives import Identity
from edgeperso_federated.secagg.server import SecaggServer, SecureSum

__all__ = [
    "LEAST_COHORT",
    "MOST_CLIENTS",
    "Advert",
    "Confirmation",
    "Confirmations",
    "Delivery",
    "Identity",
    "KeyList",
    "Masked",
    "Opening",
    "Phase",
    "RoundMemory",
    "SecaggClient",
    "SecaggPlan",
    "SecaggServer",
    "SecureSum",
    "Shares",
    "Survivors",
    "secure_sum",
    "threshold",
]
