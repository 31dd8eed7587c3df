"""The cohort as one of its members sees it, and the digests by which all of them see the same one.

Promises:

* Members are on the roster, each once; each signed its two keys for this very plan; no key appears twice.
* The digest covers the plan and every byte of the list. It salts all keys, so that two clients who were shown different
  cohorts can't open each other's shares; and it is signed in each later message, with who dealt and who survived.

The roster is a set of identities that each client got otherwise than from the round's server. Where the server itself
names the identities, it can fill a cohort with its own: then this room protects from onlookers, not from the server.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Self

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.messages import (
    Advert,
    Confirmation,
    KeyList,
    Masked,
    Opening,
    Shares,
    Survivors,
)
from edgeperso_federated.secagg.plan import SecaggPlan, threshold
from edgeperso_federated.secagg.primitives import derive, fingerprint, verify

__all__ = ["Cohort", "Purpose", "advert_is_signed"]


class Purpose:
    """Words that keep signatures, keys and digests apart."""

    ADVERT = b"advert"
    SHARES = b"shares"
    MASKED = b"masked"
    CONFIRM = b"confirm"
    OPENING = b"opening"
    SEAL = b"seal"
    PAIR_MASK = b"pair mask"
    SELF_MASK = b"self mask"
    SEED = b"seed"
    SEED_SHARE = b"seed share"
    KEY_SHARE = b"key share"
    COHORT = b"cohort"
    SURVIVORS = b"survivors"


def advert_is_signed(plan_digest: bytes, advert: Advert) -> bool:
    """Whether the advert's sender made it for this plan."""
    return verify(advert.sender, advert.signature, Purpose.ADVERT, plan_digest, advert.body())


@dataclass(frozen=True, slots=True)
class Cohort:
    """Checked members of one cohort; made by `of`."""

    plan: SecaggPlan
    adverts: tuple[Advert, ...]
    digest: bytes
    _numbers: dict[bytes, int] = field(repr=False)

    @classmethod
    def of(cls, plan: SecaggPlan, keys: KeyList, roster: frozenset[bytes]) -> Self:
        """The cohort of the list.

        Raises:
            SecaggFailed: too few or too many, not in order, somebody who isn't on the roster, a signature that isn't of
                this plan, or a key that is there twice.
        """
        senders = [one.sender for one in keys.adverts]
        if not plan.least_clients <= len(senders) <= plan.most_clients:
            raise SecaggFailed(f"The cohort has {len(senders)} clients; the plan says another number.")
        if senders != sorted(set(senders)) or not roster.issuperset(senders):
            raise SecaggFailed("The cohort has somebody twice, or somebody who isn't on the roster.")
        public = {key for one in keys.adverts for key in (one.cipher_key, one.mask_key)}
        if len(public) != 2 * len(senders):
            raise SecaggFailed("A key is in the cohort twice.")
        plan_digest = plan.digest()
        if not all(advert_is_signed(plan_digest, one) for one in keys.adverts):
            raise SecaggFailed("A key of the cohort isn't signed by its owner for this round.")
        digest = fingerprint(Purpose.COHORT, plan_digest, keys.to_bytes())
        return cls(plan, keys.adverts, digest, {sender: number for number, sender in enumerate(senders)})

    @property
    def size(self) -> int:
        return len(self.adverts)

    @property
    def threshold(self) -> int:
        return threshold(self.size)

    @property
    def least(self) -> int:
        """The fewest that may be in a sum."""
        return self.plan.least_of(self.size)

    def number(self, identity: bytes) -> int:
        """A member's number, from 0.

        Raises:
            SecaggFailed: it is no member.
        """
        number = self._numbers.get(identity)
        if number is None:
            raise SecaggFailed("Somebody isn't a member of the cohort.")
        return number

    def signed(self, purpose: bytes, message: Shares | Masked | Opening) -> bool:
        """Whether its sender said this in this cohort."""
        return verify(message.sender, message.signature, purpose, self.digest, message.body())

    def confirmed(self, member: int, signature: bytes, survivors: bytes) -> bool:
        """Whether a member signed the digest that `survivors_digest` gave."""
        sender = self.adverts[member].sender
        return verify(sender, signature, Purpose.CONFIRM, survivors, Confirmation(sender, signature).body())

    def survivors_digest(self, dealers: Iterable[int], survivors: Survivors) -> bytes:
        """Names the cohort, who dealt shares, and who survived."""
        return fingerprint(
            Purpose.SURVIVORS, self.digest, Survivors(tuple(sorted(dealers))).to_bytes(), survivors.to_bytes()
        )

    # ---- keys and commitments --------------------------------------------------------------------------------------

    def pair_mask_key(self, shared: bytes, one: int, other: int) -> bytes:
        """Of the mask between two members; the same from both sides."""
        low, high = sorted((one, other))
        return derive(shared, self.digest, Purpose.PAIR_MASK, self.adverts[low].sender, self.adverts[high].sender)

    def self_mask_key(self, seed: bytes, member: int) -> bytes:
        """Of a member's own mask."""
        return derive(seed, self.digest, Purpose.SELF_MASK, self.adverts[member].sender)

    def seal_key(self, shared: bytes, dealer: int, holder: int) -> bytes:
        """Under which a dealer seals for a holder; another one the other way."""
        return derive(shared, self.digest, Purpose.SEAL, self.adverts[dealer].sender, self.adverts[holder].sender)

    def seed_digest(self, dealer: int, seed: bytes) -> bytes:
        """A dealer's commitment to its seed; hiding, because a seed is 32 random bytes."""
        return fingerprint(Purpose.SEED, self.digest, self.adverts[dealer].sender, seed)

    def share_digest(self, dealer: int, holder: int, share: bytes, *, of_seed: bool) -> bytes:
        """A dealer's commitment to a holder's share of its seed, or of its pairwise key. It hides the share, because
        fewer than the threshold of them are uniform."""
        purpose = Purpose.SEED_SHARE if of_seed else Purpose.KEY_SHARE
        return fingerprint(purpose, self.digest, self.adverts[dealer].sender, self.adverts[holder].sender, share)
