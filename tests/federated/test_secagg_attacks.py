"""What a server that lies, alone or with one client, gets: refusals, and numbers that look like noise."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg import (
    Advert,
    Confirmations,
    Delivery,
    Identity,
    KeyList,
    Phase,
    RoundMemory,
    SecaggClient,
    SecaggServer,
    Survivors,
    threshold,
)
from edgeperso_federated.secagg.primitives import Pair, Unsigned, add_stream
from edgeperso_federated.secagg.shamir import recover, weights_at_zero
from edgeperso_federated.update import Field, Schema, Update

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "secagg_cohort.py")))


def refused(call: Callable[[], object], client: SecaggClient) -> None:
    """The client says no, and nothing ever after."""
    with pytest.raises(SecaggFailed):
        call()
    assert client.phase is Phase.OVER
    assert client._secrets is None


# ---- one view for all ----------------------------------------------------------------------------------------------


def test_clients_who_are_shown_different_cohorts_do_not_mask() -> None:
    """Everybody sees a sound list of 7 of 8, half of them without the first, half without the last."""
    stage = MAKE.stage(8)
    adverts = tuple(client.advertise() for client in stage.clients)
    lists = KeyList(adverts[1:]), KeyList(adverts[:-1])
    seen = {number: lists[number % 2 if 0 < number < 7 else number // 7 ^ 1] for number in range(8)}
    shares = {number: client.share(seen[number]) for number, client in enumerate(stage.clients)}
    for number, client in enumerate(stage.clients):
        order = seen[number].adverts
        me = order.index(adverts[number])
        dealt = {at: shares[adverts.index(one)].dealt[me] for at, one in enumerate(order)}
        refused(lambda c=client, d=dealt: c.masked(Delivery(d), MAKE.update_for(c.identity)), client)


def test_a_server_that_tells_half_of_them_that_one_is_dead_gets_no_answer() -> None:
    """It would have the shares of the seed from one half and those of the key from the other."""
    stage = MAKE.stage(10)
    stage.mask()
    without = Survivors(tuple(number for number in range(10) if number != 9))
    told = {number: stage.survivors if number % 2 else without for number in range(9)}
    said = {number: stage.clients[number].confirm(told[number]).signature for number in told}
    for number in told:
        client = stage.clients[number]
        same = {other: signature for other, signature in said.items() if told[other] is told[number]}
        confirmed = Confirmations(same if number < 5 else said)
        refused(lambda c=client, x=confirmed: c.unmask(x), client)


def test_a_client_that_confirmed_does_not_confirm_another_list() -> None:
    stage = MAKE.stage(7)
    stage.confirm()
    other = Survivors(tuple(range(1, 7)))
    refused(lambda: stage.clients[3].confirm(other), stage.clients[3])
    refused(lambda: stage.clients[3].unmask(stage.confirmed), stage.clients[3])


def test_a_client_that_answered_does_not_answer_again() -> None:
    stage = MAKE.stage(7)
    stage.unmask()
    refused(lambda: stage.clients[0].unmask(stage.confirmed), stage.clients[0])


def test_a_dealer_hidden_from_one_client_is_noticed_before_shares_are_opened() -> None:
    stage = MAKE.stage(10)
    stage.share()
    stage.deliveries[0] = Delivery({at: one for at, one in stage.deliveries[0].dealt.items() if at != 5})
    for number, client in enumerate(stage.clients):
        stage.server.take_masked(client.masked(stage.deliveries[number], MAKE.update_for(client.identity)))
    alive = Survivors(tuple(range(10)))
    refused(lambda: stage.clients[0].confirm(alive), stage.clients[0])

    stage = MAKE.stage(10)
    stage.share()
    stage.deliveries[0] = Delivery({at: one for at, one in stage.deliveries[0].dealt.items() if at != 5})
    for number, client in enumerate(stage.clients):
        client.masked(stage.deliveries[number], MAKE.update_for(client.identity))
    alive = Survivors(tuple(number for number in range(10) if number != 5))
    said = {number: stage.clients[number].confirm(alive).signature for number in alive.alive}
    refused(lambda: stage.clients[0].unmask(Confirmations(said)), stage.clients[0])
    refused(lambda: stage.clients[1].unmask(Confirmations(said)), stage.clients[1])


@pytest.mark.parametrize("how", ["too few", "forged", "of the dead", "of nobody", "of another client"])
def test_confirmations_that_are_not_those_of_the_survivors_open_nothing(how: str) -> None:
    stage = MAKE.stage(10)
    stage.confirm(dead=[9])
    said = dict(stage.confirmed.signatures)
    if how == "too few":
        said = dict(list(said.items())[: threshold(10) - 1])
    elif how == "forged":
        said[4] = bytes(64)
    elif how == "of the dead":
        said[9] = said.pop(8)
    elif how == "of nobody":
        said[10] = said.pop(8)
    else:
        said[3] = said[4]
    refused(lambda: stage.clients[0].unmask(Confirmations(said)), stage.clients[0])


def test_the_threshold_of_confirmations_is_enough() -> None:
    stage = MAKE.stage(10)
    stage.confirm(dead=[9])
    some = Confirmations(dict(list(stage.confirmed.signatures.items())[: threshold(10)]))
    assert stage.clients[0].unmask(some).shares.keys() == set(range(10))


# ---- keys ----------------------------------------------------------------------------------------------------------


def keys_with(keys: KeyList, at: int, advert: Advert) -> KeyList:
    changed = [*keys.adverts[:at], advert, *keys.adverts[at + 1 :]]
    return KeyList(tuple(sorted(changed, key=lambda one: one.sender)))


def stranger(plan: Any) -> Advert:
    identity, pairs = Identity.new(), (Pair.new(), Pair.new())
    advert = Advert(identity.public, b"", pairs[0].public, pairs[1].public)
    return replace(advert, signature=identity.sign(b"advert", plan.digest(), advert.body()))


@pytest.mark.parametrize("key", ["cipher_key", "mask_key"])
def test_a_key_that_the_server_put_in_is_refused(key: str) -> None:
    stage = MAKE.stage(5)
    stage.advertise()
    forged = replace(stage.keys.adverts[2], **{key: Pair.new().public})
    for client in stage.clients:
        refused(lambda c=client: c.share(keys_with(stage.keys, 2, forged)), client)


def test_a_stranger_or_a_clone_in_the_cohort_is_refused() -> None:
    stage = MAKE.stage(5)
    stage.advertise()
    clone = replace(stage.keys.adverts[1], sender=stage.keys.adverts[2].sender)
    for at, advert in ((2, stranger(stage.plan)), (2, clone), (2, stage.keys.adverts[1])):
        client = stage.clients.pop(0)
        refused(lambda c=client, n=at, a=advert: c.share(keys_with(stage.keys, n, a)), client)


def test_a_list_out_of_order_too_small_or_without_the_client_is_refused() -> None:
    stage = MAKE.stage(6, least_clients=5)
    stage.advertise()
    adverts = stage.keys.adverts
    for client, keys in zip(
        stage.clients, [KeyList(adverts[::-1]), KeyList(adverts[:4]), KeyList(adverts[:2] + adverts[3:])], strict=False
    ):
        refused(lambda c=client, k=keys: c.share(k), client)


def test_own_keys_of_another_start_are_not_taken_for_this_one() -> None:
    stage = MAKE.stage(4)
    stage.advertise()
    first = stage.clients[0]
    again = SecaggClient(stage.plan, first._identity, first._roster, RoundMemory(MAKE.Store()))
    again.advertise()
    refused(lambda: again.share(stage.keys), again)


@pytest.mark.parametrize("changes", [{"run": b"another"}, {"round": 2}, {"group": 1}, {"bits": 32}])
def test_adverts_of_another_plan_are_refused_by_server_and_clients(changes: Mapping[str, object]) -> None:
    """A replay; among others of a client whose key of that round was opened because it left."""
    stage, old = MAKE.stage(5), MAKE.stage(5, **changes)
    adverts = [client.advertise() for client in stage.clients]
    replayed = old.clients[4].advertise()
    server = SecaggServer(stage.plan, stage.clients[0]._roster)
    with pytest.raises(SecaggFailed, match="signed"):
        server.take_advert(replayed)
    keys = KeyList((*adverts[:4], replayed))
    refused(lambda: stage.clients[0].share(keys), stage.clients[0])


def test_messages_of_another_cohort_are_refused_by_the_server() -> None:
    stage, other = MAKE.stage(5), MAKE.stage(5)
    stage.share()
    other.confirm()
    with pytest.raises(SecaggFailed, match="signed"):
        stage.server.take_masked(other.masked[0])
    for number, client in enumerate(stage.clients):
        stage.server.take_masked(client.masked(stage.deliveries[number], MAKE.update_for(client.identity)))
    stage.survivors = stage.server.close_masked()
    with pytest.raises(SecaggFailed, match="something else"):
        stage.server.take_confirmation(other.confirmations[0])


# ---- deliveries and survivors --------------------------------------------------------------------------------------


def test_deliveries_that_are_too_small_or_altered_get_no_masked_update() -> None:
    stage = MAKE.stage(10)
    stage.share()
    whole = stage.deliveries[0].dealt
    altered = {at: replace(one, sealed=bytes(82)) if 0 < at < 5 else one for at, one in whole.items()}
    swapped = {at: whole[(at + 1) % 10] for at in whole}
    for number, dealt in enumerate(
        [
            {at: one for at, one in whole.items() if at < 6},
            {at: one for at, one in whole.items() if at != 1},
            {**{at: one for at, one in whole.items() if at != 9}, 10: whole[9]},
            altered,
            swapped,
            {},
        ]
    ):
        client = stage.clients[number]
        refused(lambda c=client, d=dealt: c.masked(Delivery(d), MAKE.update_for(c.identity)), client)


@pytest.mark.parametrize("alive", [(0, 1, 2, 3, 4, 5), (1, 2, 3, 4, 5, 6, 7), (0, 1, 2, 3, 4, 5, 9), (0,) * 7, ()])
def test_survivors_that_are_too_few_or_wrong_are_not_confirmed(alive: tuple[int, ...]) -> None:
    """Nine of ten dealt; seven must survive; the first is asked."""
    stage = MAKE.stage(10)
    stage.advertise()
    for client in stage.clients[:9]:
        stage.server.take_shares(client.share(stage.keys))
    delivery = stage.server.close_shares()
    client = stage.clients[0]
    client.masked(delivery(client.identity), MAKE.update_for(client.identity))
    refused(lambda: client.confirm(Survivors(alive)), client)


def test_the_plans_least_cohort_counts_where_it_is_above_the_threshold() -> None:
    stage = MAKE.stage(10, least_clients=9)
    stage.share()
    client = stage.clients[0]
    client.masked(stage.deliveries[0], MAKE.update_for(client.identity))
    refused(lambda: client.confirm(Survivors(tuple(range(8)))), client)


# ---- what is opened ------------------------------------------------------------------------------------------------


def test_of_each_client_one_secret_is_opened_and_never_both() -> None:
    stage = MAKE.stage(10)
    stage.share()
    secrets = [client._secrets for client in stage.clients]
    dead = {2, 7}
    for number, client in enumerate(stage.clients):
        if number not in dead:
            stage.server.take_masked(client.masked(stage.deliveries[number], MAKE.update_for(client.identity)))
    survivors = stage.server.close_masked()
    there = [number for number in range(10) if number not in dead]
    for number in there:
        stage.server.take_confirmation(stage.clients[number].confirm(survivors))
    confirmed = stage.server.close_confirmations()
    openings = {number: stage.clients[number].unmask(confirmed) for number in there}
    weights = weights_at_zero(tuple(number + 1 for number in there))
    for dealer in range(10):
        opened = recover({number + 1: openings[number].shares[dealer] for number in there}, weights)
        assert opened == (secrets[dealer].mask.secret if dealer in dead else secrets[dealer].seed)


# ---- what two who collude see --------------------------------------------------------------------------------------

LONG = Schema((Field("soft", (30_000,)),), max_norm=4.0, max_bytes=1 << 20, max_examples=500)
PLAIN = Update({"soft": np.full(30_000, 0.01, np.float32)}, 7, {})
"""As far from noise as can be: all values alike."""


def looks_like_noise(numbers: Unsigned) -> bool:
    """Pearson's χ² of every byte of the numbers, and of their steps; a good one fails once in about 10^8."""
    for values in (numbers, np.diff(numbers)):
        for place in values.view(np.uint8).reshape(len(values), -1).T:
            counts = np.bincount(place, minlength=256)
            chi = float(((counts - len(place) / 256) ** 2).sum() / (len(place) / 256))
            if chi > 255 + 7 * (2 * 255) ** 0.5:
                return False
    return True


class View:
    """A server and one client (number 0) who tell each other all, in a round that one (the last) leaves."""

    def __init__(self, bits: int) -> None:
        self.stage = MAKE.stage(7, schema=LONG, bits=bits, update_of=lambda _: PLAIN)
        self.secrets = [client._secrets for client in self.stage.clients]
        self.stage.unmask(dead=[6])
        self.cohort = self.stage.clients[1]._joined()

    def peeled(self, victim: int, *, seeds: set[int], pairs: set[int]) -> Unsigned:
        """What the victim sent, less every mask that follows from these clients' secrets."""
        numbers = self.stage.masked[victim].numbers.copy()
        if victim in seeds:
            add_stream(self.cohort.self_mask_key(self.secrets[victim].seed, victim), numbers, subtract=True)
        for other in pairs - {victim}:
            shared = self.secrets[other].mask.shared(self.cohort.adverts[victim].mask_key)
            key = self.cohort.pair_mask_key(shared, victim, other)
            add_stream(key, numbers, subtract=victim < other)
        if victim in pairs:
            for other in set(range(7)) - pairs:
                shared = self.secrets[victim].mask.shared(self.cohort.adverts[other].mask_key)
                add_stream(self.cohort.pair_mask_key(shared, victim, other), numbers, subtract=victim < other)
        return numbers


@pytest.fixture(scope="module", params=[32, 64])
def view(request: pytest.FixtureRequest) -> View:
    return View(request.param)


@pytest.mark.parametrize("victim", [1, 2, 3, 4, 5])
def test_a_single_update_stays_uniform_after_the_round(view: View, victim: int) -> None:
    """Known are the seeds of all survivors, the key of the one who left, and all that the colluder has."""
    assert looks_like_noise(view.stage.masked[victim].numbers)
    assert looks_like_noise(view.peeled(victim, seeds=set(range(6)), pairs={0, 6}))


def test_only_the_sum_of_the_others_is_left(view: View) -> None:
    known = {"seeds": set(range(6)), "pairs": {0, 6}}
    honest = [view.peeled(victim, **known) for victim in range(1, 6)]
    plain = view.stage.plan.numbers.encode(PLAIN.tensors["soft"], PLAIN.examples)
    np.testing.assert_array_equal(sum(honest), plain * np.array(5, plain.dtype))
    for count in range(1, 5):
        assert looks_like_noise(sum(honest[:count]))


def test_an_update_that_came_but_is_said_to_be_missing_stays_uniform(view: View) -> None:
    """The server has the victim's masked update and, by lying, its key of the pairwise masks; not its seed."""
    assert looks_like_noise(view.peeled(3, seeds=set(), pairs={0, 6, 3}))


def test_the_control_sees_an_update_that_is_not_masked(view: View) -> None:
    plain = view.stage.plan.numbers.encode(PLAIN.tensors["soft"], PLAIN.examples)
    assert not looks_like_noise(plain)
    everything = view.peeled(3, seeds={3}, pairs={0, 1, 2, 4, 5, 6})
    np.testing.assert_array_equal(everything, plain)
    with_both = view.peeled(3, seeds={3}, pairs={3})
    np.testing.assert_array_equal(with_both, plain)


def test_the_control_sees_a_mask_that_is_used_twice(view: View) -> None:
    """The same stream in two rounds: their difference is not noise."""
    one, other = (np.zeros(30_000, view.stage.plan.numbers.dtype) for _ in range(2))
    other += np.arange(30_000, dtype=other.dtype)
    for vector in (one, other):
        add_stream(bytes(32), vector)
    assert looks_like_noise(one)
    assert not looks_like_noise(other - one)


def test_two_rounds_of_the_same_update_share_no_mask() -> None:
    first, second = View(64), View(64)
    assert looks_like_noise(first.stage.masked[1].numbers - second.stage.masked[1].numbers)


def test_two_thirds_of_the_shares_less_one_say_nothing_of_a_seed() -> None:
    """That fewer than the threshold fit every seed is Shamir's test; here, that the threshold is the cohort's."""
    stage = MAKE.stage(10)
    stage.share()
    for number, client in enumerate(stage.clients):
        client.masked(stage.deliveries[number], MAKE.update_for(client.identity))
    t = threshold(10)
    shares = {number + 1: stage.clients[number]._secrets.shares[9][0] for number in range(t - 1)}
    seed = stage.clients[9]._secrets.seed
    assert recover(shares, weights_at_zero(tuple(shares))) != seed
    shares[t] = stage.clients[t - 1]._secrets.shares[9][0]
    assert recover(shares, weights_at_zero(tuple(shares))) == seed
