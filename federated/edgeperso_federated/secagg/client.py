"""A client's side of one round: five answers, each given once, in order; no input or output.

Promises:

* The update leaves only under a mask of the client's own and one with each dealer of the cohort, all uniform in the
  ring.
* It leaves only for a cohort of the plan's size or more, all on the roster, all with keys signed for this plan, of whom
  at least the threshold dealt shares that open under this very list of keys.
* A share is opened only when the threshold of survivors signed the same list of keys, dealers and survivors that this
  client was told; and of each dealer one share at most, of its seed where it survived, of its key where it didn't.
* One answer to each phase. Any error, any message out of turn, and the end itself drop all secrets: what this client
  did not answer it never will. They lie in memory alone, so that a restart drops them too.
* A round that was joined before is not joined again: see `memory`.

Not promised: that the sum is right (a member may send any numbers), or that it hides an update from a sum over few
people, or over many whose others all work together. `docs/explanation/secure-aggregation.md` says who is trusted with
what.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from edgeperso_federated.aggregation import weight_of
from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.cohort import Cohort, Purpose
from edgeperso_federated.secagg.memory import RoundMemory
from edgeperso_federated.secagg.messages import (
    Advert,
    Confirmation,
    Confirmations,
    Dealt,
    Delivery,
    KeyList,
    Masked,
    Opening,
    Shares,
    Survivors,
)
from edgeperso_federated.secagg.plan import LEAST_COHORT, SecaggPlan
from edgeperso_federated.secagg.primitives import Identity, Pair, Unsigned, add_stream, random_key, seal, unseal
from edgeperso_federated.secagg.shamir import SHARE_BYTES, deal, is_share
from edgeperso_federated.update import Update, check_update, flatten

__all__ = ["Phase", "SecaggClient"]


class Phase(IntEnum):
    """What is asked of a client next."""

    ADVERTISE = 1
    SHARE = 2
    MASK = 3
    CONFIRM = 4
    UNMASK = 5
    OVER = 6


@dataclass(slots=True, repr=False)
class _Secrets:
    """All that must not outlive the round."""

    cipher: Pair
    mask: Pair
    seed: bytes
    shares: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    """By dealer: its seed's share and its key's."""


class SecaggClient:
    """One client in one round; a new one for each.

    Args:
        plan: what the round is about, as the client itself worked it out from what it agreed to.
        identity: the node's lasting key.
        roster: the identities that may be in a cohort, from elsewhere than the round's server.
        memory: of the rounds that this device joined.
        floor: the least cohort that the person accepts.
    """

    def __init__(
        self,
        plan: SecaggPlan,
        identity: Identity,
        roster: frozenset[bytes],
        memory: RoundMemory,
        *,
        floor: int = LEAST_COHORT,
    ) -> None:
        self._plan = plan
        self._identity = identity
        self._roster = roster
        self._memory = memory
        self._floor = floor
        self._phase = Phase.ADVERTISE
        self._secrets: _Secrets | None = _Secrets(Pair.new(), Pair.new(), random_key())
        self._cohort: Cohort | None = None
        self._dealers: frozenset[int] = frozenset()
        self._survivors = Survivors(())

    @property
    def phase(self) -> Phase:
        return self._phase

    @property
    def identity(self) -> bytes:
        """The public one."""
        return self._identity.public

    def advertise(self) -> Advert:
        """Two fresh keys for this round.

        Raises:
            SecaggFailed: the round was joined before, or its least cohort is below the person's floor. Every method
                raises it for a message out of turn as well, and the client is out of the round after any error.
        """
        with self._turn(Phase.ADVERTISE) as secrets:
            if self._plan.least_clients < self._floor:
                raise SecaggFailed(f"The round would sum fewer than the {self._floor} clients that are asked for here.")
            self._memory.join(self._plan.run, self._plan.round)
            keys = secrets.cipher.public, secrets.mask.public
            unsigned = Advert(self.identity, b"", *keys)
            signature = self._identity.sign(Purpose.ADVERT, self._plan.digest(), unsigned.body())
            return Advert(self.identity, signature, *keys)

    def share(self, keys: KeyList) -> Shares:
        """Shares of this client's two secrets, sealed for each member.

        Raises:
            SecaggFailed: the list isn't one of a cohort, or lacks what this client sent.
        """
        with self._turn(Phase.SHARE) as secrets:
            cohort = Cohort.of(self._plan, keys, self._roster)
            me = cohort.number(self.identity)
            mine = cohort.adverts[me]
            if (mine.cipher_key, mine.mask_key) != (secrets.cipher.public, secrets.mask.public):
                raise SecaggFailed("The cohort has other keys of this client than it sent.")
            seeds = deal(secrets.seed, cohort.threshold, cohort.size)
            halves = deal(secrets.mask.secret, cohort.threshold, cohort.size)
            dealt = []
            for holder, (seed_share, key_share) in enumerate(zip(seeds, halves, strict=True)):
                shared = secrets.cipher.shared(cohort.adverts[holder].cipher_key)
                sealed = seal(cohort.seal_key(shared, me, holder), seed_share + key_share)
                dealt.append(Dealt(sealed, *_commitments(cohort, me, holder, seed_share, key_share)))
            self._cohort = cohort
            unsigned = Shares(self.identity, b"", cohort.seed_digest(me, secrets.seed), tuple(dealt))
            signature = self._identity.sign(Purpose.SHARES, cohort.digest, unsigned.body())
            return Shares(self.identity, signature, unsigned.seed_digest, unsigned.dealt)

    def masked(self, delivery: Delivery, update: Update) -> Masked:
        """The update's tensors and weight under their masks. Its metrics aren't sent.

        Raises:
            UpdateInvalid: the update isn't the schema's.
            SecaggFailed: too few dealers, or too few whose shares open: the others were shown another cohort, or the
                server isn't the one who passed them on.
        """
        with self._turn(Phase.MASK) as secrets:
            cohort = self._joined()
            me = cohort.number(self.identity)
            check_update(self._plan.schema, update)
            if me not in delivery.dealt or max(delivery.dealt) >= cohort.size or len(delivery.dealt) < cohort.least:
                raise SecaggFailed("Too few clients dealt shares, or others than the cohort's.")
            for dealer, dealt in delivery.dealt.items():
                shares = self._opened(cohort, secrets, dealer, dealt)
                if shares is not None:
                    secrets.shares[dealer] = shares
            if len(secrets.shares) < cohort.least:
                raise SecaggFailed("Too few shares open: not all clients were shown the same cohort.")
            self._dealers = frozenset(delivery.dealt)
            weight = weight_of(update, self._plan.weighting)
            numbers = self._plan.numbers.encode(flatten(self._plan.schema, update.tensors), weight)
            self._mask(cohort, secrets, numbers)
            signature = self._identity.sign(Purpose.MASKED, cohort.digest, Masked(self.identity, b"", numbers).body())
            return Masked(self.identity, signature, numbers)

    def confirm(self, survivors: Survivors) -> Confirmation:
        """A signature on what this client was told: keys, dealers, survivors.

        Raises:
            SecaggFailed: too few survivors, others than the dealers, or not this client.
        """
        with self._turn(Phase.CONFIRM):
            cohort = self._joined()
            alive = frozenset(survivors.alive)
            listed = len(alive) == len(survivors.alive) and alive <= self._dealers
            if not listed or cohort.number(self.identity) not in alive or len(alive) < cohort.least:
                raise SecaggFailed("Too few clients survived, or others than dealt shares.")
            self._survivors = survivors
            digest = cohort.survivors_digest(self._dealers, survivors)
            body = Confirmation(self.identity, b"").body()
            return Confirmation(self.identity, self._identity.sign(Purpose.CONFIRM, digest, body))

    def unmask(self, confirmations: Confirmations) -> Opening:
        """Of each dealer one share. The client's part ends here.

        Raises:
            SecaggFailed: fewer than the threshold signed, or somebody signed something else.
        """
        with self._turn(Phase.UNMASK) as secrets:
            cohort = self._joined()
            digest = cohort.survivors_digest(self._dealers, self._survivors)
            alive = frozenset(self._survivors.alive)
            if len(confirmations.signatures) < cohort.threshold or not alive.issuperset(confirmations.signatures):
                raise SecaggFailed("Too few survivors confirmed, or others than survived.")
            if not all(cohort.confirmed(one, text, digest) for one, text in confirmations.signatures.items()):
                raise SecaggFailed("A survivor was told something else: not all clients see the same round.")
            shares = {dealer: both[0 if dealer in alive else 1] for dealer, both in secrets.shares.items()}
            unsigned = Opening(self.identity, b"", shares)
            signature = self._identity.sign(Purpose.OPENING, cohort.digest, unsigned.body())
            return Opening(self.identity, signature, shares)

    # ---- within ----------------------------------------------------------------------------------------------------

    @contextmanager
    def _turn(self, phase: Phase) -> Iterator[_Secrets]:
        """One phase: entered once, and left for the next one only where nothing failed."""
        expected, self._phase = self._phase, Phase.OVER
        secrets = self._secrets
        try:
            yield _in_turn(secrets, phase is expected)
        except BaseException:
            self._secrets = None
            raise
        self._phase = Phase(phase + 1)
        if self._phase is Phase.OVER:
            self._secrets = None

    def _joined(self) -> Cohort:
        if self._cohort is None:
            raise SecaggFailed("There is no cohort yet.")
        return self._cohort

    def _opened(self, cohort: Cohort, secrets: _Secrets, dealer: int, dealt: Dealt) -> tuple[bytes, bytes] | None:
        """A dealer's two shares, or None where they aren't what it committed to in this cohort."""
        me = cohort.number(self.identity)
        shared = secrets.cipher.shared(cohort.adverts[dealer].cipher_key)
        text = unseal(cohort.seal_key(shared, dealer, me), dealt.sealed)
        if text is None:
            return None
        shares = text[:SHARE_BYTES], text[SHARE_BYTES:]
        committed = dealt.seed_digest, dealt.key_digest
        sound = all(map(is_share, shares)) and _commitments(cohort, dealer, me, *shares) == committed
        return shares if sound else None

    def _mask(self, cohort: Cohort, secrets: _Secrets, numbers: Unsigned) -> None:
        """Adds the own mask, and one with each dealer: the lower number adds it, the higher subtracts it."""
        me = cohort.number(self.identity)
        add_stream(cohort.self_mask_key(secrets.seed, me), numbers)
        for other in self._dealers - {me}:
            shared = secrets.mask.shared(cohort.adverts[other].mask_key)
            add_stream(cohort.pair_mask_key(shared, me, other), numbers, subtract=other < me)


def _in_turn(secrets: _Secrets | None, expected: bool) -> _Secrets:
    if secrets is None or not expected:
        raise SecaggFailed("A message came out of turn; this client is out of the round.")
    return secrets


def _commitments(cohort: Cohort, dealer: int, holder: int, seed_share: bytes, key_share: bytes) -> tuple[bytes, bytes]:
    return (
        cohort.share_digest(dealer, holder, seed_share, of_seed=True),
        cohort.share_digest(dealer, holder, key_share, of_seed=False),
    )
