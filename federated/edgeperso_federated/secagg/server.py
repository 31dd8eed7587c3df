"""The server's side of one round: takes clients' messages, closes each phase, and ends with the sum; no input or
output.

Promises:

* Memory for one vector, whatever the cohort: masked updates are added as they come and not kept.
* A message that is wrong in any way is refused with `SecaggFailed` by the ``take_…`` method it came to, and changes
  nothing: its sender is absent from then on, the round goes on. Only a ``close_…`` method that raises it ends the
  round.
* A share counts only if it is what its dealer had committed to, a recovered secret only if it is the one that belongs
  to the dealer's commitment or public key. So wrong shares can take a sum away but not alter it.
* ``offenders`` names dealers whose own signed commitments prove that their shares fit nothing.

The server needs no secret of its own and is trusted with none: what it may not learn, it isn't sent.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgeperso.types import Float32
from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.client import Phase
from edgeperso_federated.secagg.cohort import Cohort, Purpose, advert_is_signed
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
from edgeperso_federated.secagg.plan import SecaggPlan
from edgeperso_federated.secagg.primitives import Pair, add_stream, is_usable
from edgeperso_federated.secagg.shamir import recover, weights_at_zero

__all__ = ["SecaggServer", "SecureSum"]


@dataclass(frozen=True, slots=True, eq=False)
class SecureSum:
    """All that a round reveals.

    Args:
        values: Σ weight · update, ``float64[schema.size]`` in `flatten`'s order.
        weight: Σ weight.
        members: the identities in the sum, ascending.
    """

    values: NDArray[np.float64]
    weight: int
    members: tuple[bytes, ...]

    def mean(self) -> Float32:
        """The weighted mean of the updates, ``float32[schema.size]``."""
        return (self.values / self.weight).astype(np.float32)


class SecaggServer:
    """One cohort's server; a new one for each round and group.

    Args:
        plan: what the round is about.
        roster: the identities that may take part.
    """

    def __init__(self, plan: SecaggPlan, roster: frozenset[bytes]) -> None:
        self._plan = plan
        self._roster = roster
        self._phase = Phase.ADVERTISE
        self._adverts: dict[bytes, Advert] = {}
        self._cohort: Cohort | None = None
        self._shares: dict[int, Shares] = {}
        self._total = np.zeros(plan.length, plan.numbers.dtype)
        self._alive: set[int] = set()
        self._survivors = Survivors(())
        self._confirmed: dict[int, bytes] = {}
        self._openings: dict[int, dict[int, bytes]] = {}
        self._weights: dict[tuple[int, ...], tuple[int, ...]] = {}
        self._offenders: set[bytes] = set()

    @property
    def plan(self) -> SecaggPlan:
        return self._plan

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def offenders(self) -> frozenset[bytes]:
        """Identities whose own words prove that they cheated."""
        return frozenset(self._offenders)

    # ---- advertise -------------------------------------------------------------------------------------------------

    def take_advert(self, advert: Advert) -> None:
        """One more that wants to take part.

        Raises:
            SecaggFailed: refused, as in every ``take_…``: not on the roster, there already, the cohort is full, not
                signed for this plan, or keys that somebody else has or with which nothing stays secret.
        """
        self._expect(Phase.ADVERTISE)
        if advert.sender not in self._roster or advert.sender in self._adverts:
            raise SecaggFailed("The client isn't on the roster, or is there already.")
        if len(self._adverts) >= self._plan.most_clients:
            raise SecaggFailed("The cohort is full.")
        if not advert_is_signed(self._plan.digest(), advert):
            raise SecaggFailed("The client's keys aren't signed for this round.")
        keys = advert.cipher_key, advert.mask_key
        taken = {key for other in self._adverts.values() for key in (other.cipher_key, other.mask_key)}
        if keys[0] == keys[1] or not taken.isdisjoint(keys) or not all(map(is_usable, keys)):
            raise SecaggFailed("The client's keys are somebody else's, or unusable.")
        self._adverts[advert.sender] = advert

    def close_adverts(self) -> KeyList:
        """The cohort, for every member.

        Raises:
            SecaggFailed: it is too small. As in every ``close_…``, that ends the round.
        """
        self._close(Phase.ADVERTISE, len(self._adverts), self._plan.least_clients)
        keys = KeyList(tuple(self._adverts[sender] for sender in sorted(self._adverts)))
        self._cohort = Cohort.of(self._plan, keys, self._roster)
        return keys

    # ---- share -----------------------------------------------------------------------------------------------------

    def take_shares(self, shares: Shares) -> None:
        """What one member dealt to each.

        Raises:
            SecaggFailed: refused; among others when it isn't for each member of the cohort.
        """
        cohort = self._member(Phase.SHARE, Purpose.SHARES, shares, self._shares)
        if len(shares.dealt) != cohort.size:
            raise SecaggFailed("The client dealt shares to another number of clients than the cohort has.")
        self._shares[cohort.number(shares.sender)] = shares

    def close_shares(self) -> Callable[[bytes], Delivery]:
        """What makes each dealer's delivery, by its identity; only dealers are asked from now on.

        Raises:
            SecaggFailed: too few dealt.
        """
        cohort = self._joined()
        self._close(Phase.SHARE, len(self._shares), cohort.least)

        def delivery(member: bytes) -> Delivery:
            number = cohort.number(member)
            return Delivery({dealer: one.dealt[number] for dealer, one in sorted(self._shares.items())})

        return delivery

    @property
    def dealers(self) -> tuple[bytes, ...]:
        """The identities that dealt shares, ascending."""
        return self._identities(self._shares)

    # ---- mask ------------------------------------------------------------------------------------------------------

    def take_masked(self, masked: Masked) -> None:
        """One more masked update for the sum.

        Raises:
            SecaggFailed: refused; among others when its length or dtype isn't the plan's.
        """
        numbers = masked.numbers
        if numbers.shape != self._total.shape or numbers.dtype != self._total.dtype:
            raise SecaggFailed("The masked update has another form than the plan's.")
        cohort = self._member(Phase.MASK, Purpose.MASKED, masked, self._alive)
        member = cohort.number(masked.sender)
        if member not in self._shares:
            raise SecaggFailed("The client dealt no shares; its masks couldn't be taken away.")
        np.add(self._total, numbers, out=self._total)
        self._alive.add(member)

    def close_masked(self) -> Survivors:
        """Who is in the sum, for each of them.

        Raises:
            SecaggFailed: too few.
        """
        self._close(Phase.MASK, len(self._alive), self._joined().least)
        self._survivors = Survivors(tuple(sorted(self._alive)))
        return self._survivors

    @property
    def survivors(self) -> tuple[bytes, ...]:
        """The identities in the sum, ascending."""
        return self._identities(self._alive)

    # ---- confirm ---------------------------------------------------------------------------------------------------

    def take_confirmation(self, confirmation: Confirmation) -> None:
        """A survivor's signature.

        Raises:
            SecaggFailed: refused; among others when something else is signed than this server said.
        """
        self._expect(Phase.CONFIRM)
        cohort = self._joined()
        member = cohort.number(confirmation.sender)
        digest = cohort.survivors_digest(self._shares, self._survivors)
        if member not in self._alive or member in self._confirmed:
            raise SecaggFailed("The client isn't in the sum, or confirmed already.")
        if not cohort.confirmed(member, confirmation.signature, digest):
            raise SecaggFailed("The client confirmed something else.")
        self._confirmed[member] = confirmation.signature

    def close_confirmations(self) -> Confirmations:
        """The signatures, for every survivor that confirmed.

        Raises:
            SecaggFailed: too few.
        """
        self._close(Phase.CONFIRM, len(self._confirmed), self._joined().threshold)
        return Confirmations(dict(sorted(self._confirmed.items())))

    # ---- unmask ----------------------------------------------------------------------------------------------------

    def take_opening(self, opening: Opening) -> None:
        """A survivor's shares.

        Raises:
            SecaggFailed: refused; among others when a share isn't what its dealer committed to.
        """
        cohort = self._member(Phase.UNMASK, Purpose.OPENING, opening, self._openings)
        holder = cohort.number(opening.sender)
        if holder not in self._alive or not self._shares.keys() >= opening.shares.keys():
            raise SecaggFailed("The client isn't in the sum, or opens shares that nobody dealt.")
        for dealer, share in opening.shares.items():
            dealt = self._shares[dealer].dealt[holder]
            committed = dealt.seed_digest if dealer in self._alive else dealt.key_digest
            if cohort.share_digest(dealer, holder, share, of_seed=dealer in self._alive) != committed:
                raise SecaggFailed("The client opens a share that isn't the one it was dealt.")
        self._openings[holder] = opening.shares

    def close(self) -> SecureSum:
        """The sum.

        Raises:
            SecaggFailed: too few opened their shares, some dealer's secret doesn't come back, or the sum is none that
                allowed updates have.
        """
        cohort = self._joined()
        self._close(Phase.UNMASK, len(self._openings), cohort.threshold)
        secrets = {dealer: self._secret(cohort, dealer) for dealer in sorted(self._shares)}
        if self._offenders:
            raise SecaggFailed("Clients dealt shares that fit nothing; a new round can be run without them.")
        for dealer, secret in secrets.items():
            self._unmask(cohort, dealer, secret)
        values, weight = self._plan.numbers.decode(self._total, len(self._alive))
        return SecureSum(values, weight, self.survivors)

    def _secret(self, cohort: Cohort, dealer: int) -> bytes:
        """A survivor's seed, or a missing one's pairwise key; notes an offender where the shares are of neither."""
        shares = {holder + 1: opened[dealer] for holder, opened in self._openings.items() if dealer in opened}
        if len(shares) < cohort.threshold:
            raise SecaggFailed("Too few shares of a client were opened.")
        chosen = dict(sorted(shares.items())[: cohort.threshold])
        holders = tuple(chosen)
        if holders not in self._weights:
            self._weights[holders] = weights_at_zero(holders)
        secret = recover(chosen, self._weights[holders])
        if secret is None or not self._belongs(cohort, dealer, secret):
            self._offenders.add(cohort.adverts[dealer].sender)
            return b""
        return secret

    def _belongs(self, cohort: Cohort, dealer: int, secret: bytes) -> bool:
        if dealer in self._alive:
            return cohort.seed_digest(dealer, secret) == self._shares[dealer].seed_digest
        return Pair(secret).public == cohort.adverts[dealer].mask_key

    def _unmask(self, cohort: Cohort, dealer: int, secret: bytes) -> None:
        """Takes a survivor's own mask off the sum, or those that the survivors share with one who is missing."""
        if dealer in self._alive:
            add_stream(cohort.self_mask_key(secret, dealer), self._total, subtract=True)
            return
        pair = Pair(secret)
        for member in self._alive:
            key = cohort.pair_mask_key(pair.shared(cohort.adverts[member].mask_key), member, dealer)
            add_stream(key, self._total, subtract=member < dealer)

    # ---- within ----------------------------------------------------------------------------------------------------

    def _expect(self, phase: Phase) -> None:
        if phase is not self._phase:
            raise SecaggFailed("The message belongs to another phase.")

    def _close(self, phase: Phase, count: int, least: int) -> None:
        self._expect(phase)
        if count < least:
            self._phase = Phase.OVER
            raise SecaggFailed(f"{count} clients answered in the phase {phase.name.lower()}; {least} must.")
        self._phase = Phase(phase + 1)

    def _joined(self) -> Cohort:
        if self._cohort is None:
            raise SecaggFailed("The message belongs to another phase.")
        return self._cohort

    def _member(
        self, phase: Phase, purpose: bytes, message: Shares | Masked | Opening, there: Container[int]
    ) -> Cohort:
        """The cohort, once it is sure that a member says this in it for the first time."""
        self._expect(phase)
        cohort = self._joined()
        if cohort.number(message.sender) in there:
            raise SecaggFailed("The client answered already.")
        if not cohort.signed(purpose, message):
            raise SecaggFailed("The message isn't signed by its sender in this cohort.")
        return cohort

    def _identities(self, members: Iterable[int]) -> tuple[bytes, ...]:
        cohort = self._joined()
        return tuple(cohort.adverts[member].sender for member in sorted(members))
