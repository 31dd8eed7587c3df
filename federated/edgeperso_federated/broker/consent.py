"""What the person agreed to: nothing, unless they said so. Kept in the vault."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal, get_args

from edgeperso.errors import UsageError
from edgeperso.vault import Vault
from edgeperso_federated.broker.protocol import Refusal, Refused
from edgeperso_federated.broker.task import FEDERATION, Task
from edgeperso_federated.errors import FederationError
from edgeperso_federated.privacy.ledger import Budget
from edgeperso_federated.privacy.plans import Local
from edgeperso_federated.secagg import LEAST_COHORT

__all__ = ["Consent", "Grant", "Protection", "load_consent", "save_consent"]

_NAME: Final = "federation.consent"
_VERSION: Final = 1

_USUAL: Final = Budget(epsilon=8.0, delta=1e-6)

Protection = Literal["any", "masked", "local"]
"""``any``, or what a round must have: ``masked`` (secure aggregation), ``local`` (the device's own noise)."""

_PROTECTIONS: Final = get_args(Protection)


@dataclass(frozen=True, slots=True)
class Grant:
    """The terms for one federation.

    Args:
        scopes: of the memories that may train, one at least.
        needs: see `Protection`.
        minutes: of training that a round may take at most, above 0.
        least_cohort: the fewest clients whose updates may be summed in secret.
        roster: public identities (64 hex digits each) that may be in a cohort, the device's own among them. They come
            from the people who run the federation, and not through the server that sums.

    Raises:
        UsageError: a term is out of its range.
    """

    scopes: tuple[str, ...]
    needs: Protection = "masked"
    minutes: float = 10.0
    least_cohort: int = LEAST_COHORT
    roster: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        named = bool(self.scopes) and all(self.scopes)
        identities = all(len(one) == 64 and one == bytes.fromhex(one).hex() for one in self.roster)
        if not (named and identities and self.needs in _PROTECTIONS and 0 < self.minutes < math.inf):
            raise UsageError("The terms of a federation are a scope or more, a protection, minutes, and identities.")
        if self.least_cohort < LEAST_COHORT:
            raise UsageError(f"A cohort has {LEAST_COHORT} clients or more.")

    def allows(self, task: Task) -> bool:
        """Whether the task is within the terms."""
        masked, local = task.group is not None, isinstance(task.order.privacy, Local)
        protected = {"any": True, "masked": masked, "local": local}[self.needs]
        crowded = task.group is None or task.group.least_clients >= self.least_cohort
        return protected and crowded and task.plan.minutes <= self.minutes


@dataclass(frozen=True, slots=True)
class Consent:
    """All grants, by federation: without one nothing is done. ``budget`` is for all of them together, for good."""

    budget: Budget = _USUAL
    grants: Mapping[str, Grant] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not all(FEDERATION.fullmatch(name) for name in self.grants):
            raise UsageError("A federation's name is 1 to 64 of a-z, 0-9 and dashes.")

    def grant_for(self, task: Task) -> Grant:
        """The terms under which the task may be done.

        Raises:
            Refused: ``consent``: there are none, or the task is outside them.
        """
        grant = self.grants.get(task.federation)
        if grant is None or not grant.allows(task):
            raise Refused(Refusal.CONSENT)
        return grant


def load_consent(vault: Vault) -> Consent:
    """What was agreed to, or `Consent` without grants.

    Raises:
        FederationError: what is stored can't be read: then nothing was agreed to.
    """
    stored = vault.meta.get(_NAME)
    if stored is None:
        return Consent()
    try:
        whole: dict[str, Any] = json.loads(stored)
        if whole["version"] != _VERSION:
            raise _unreadable()
        grants = {
            str(name): Grant(**{**one, "scopes": tuple(one["scopes"]), "roster": tuple(one["roster"])})
            for name, one in whole["grants"].items()
        }
        return Consent(Budget(**whole["budget"]), grants)
    except (ValueError, KeyError, TypeError, AttributeError, UsageError):
        raise _unreadable() from None


def _unreadable() -> FederationError:
    return FederationError("The consent settings can't be read.", hint="Agree again.")


def save_consent(vault: Vault, consent: Consent) -> None:
    """Keep it; it counts from the next task on."""
    grants = {name: asdict(grant) for name, grant in consent.grants.items()}
    whole = {"version": _VERSION, "budget": asdict(consent.budget), "grants": grants}
    vault.meta.set(_NAME, json.dumps(whole))
