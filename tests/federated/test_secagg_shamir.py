"""Shares: any threshold of them gives the secret back, fewer fit every secret."""

from __future__ import annotations

import random
from itertools import combinations

import pytest

from edgeperso_federated.secagg.primitives import random_key
from edgeperso_federated.secagg.shamir import PRIME, SHARE_BYTES, deal, is_share, recover, weights_at_zero

SECRET = bytes(range(32))


def back(shares: list[bytes], holders: tuple[int, ...]) -> bytes | None:
    return recover({holder: shares[holder - 1] for holder in holders}, weights_at_zero(holders))


def number(value: int) -> bytes:
    return value.to_bytes(SHARE_BYTES, "little")


def test_the_modulus_is_the_least_prime_above_two_to_the_256() -> None:
    def probably_prime(candidate: int) -> bool:
        """Miller and Rabin's test; a composite passes with a chance below 4^-40."""
        odd, twos = candidate - 1, 0
        while odd % 2 == 0:
            odd, twos = odd // 2, twos + 1
        rng = random.Random(1)
        for _ in range(40):
            value = pow(rng.randrange(2, candidate - 1), odd, candidate)
            if value in (1, candidate - 1):
                continue
            if not any((value := value * value % candidate) == candidate - 1 for _ in range(twos - 1)):
                return False
        return True

    assert [step for step in range(1, 298) if probably_prime(2**256 + step)] == [297]
    assert PRIME == 2**256 + 297


@pytest.mark.parametrize("threshold", [1, 2, 3, 5])
def test_every_choice_of_holders_gives_the_secret_back(threshold: int) -> None:
    shares = deal(SECRET, threshold, 5)
    assert {back(shares, chosen) for chosen in combinations(range(1, 6), threshold)} == {SECRET}
    assert {back(shares, chosen[::-1]) for chosen in combinations(range(1, 6), threshold)} == {SECRET}


@pytest.mark.parametrize("secret", [bytes(32), b"\xff" * 32, b"\x00" * 31 + b"\x80"])
def test_the_least_and_the_greatest_secret_come_back(secret: bytes) -> None:
    assert back(deal(secret, 3, 4), (1, 2, 4)) == secret


def test_one_share_too_few_fits_every_secret() -> None:
    """With any wish for the secret there is a missing share that makes it come true: the others exclude nothing."""
    shares = deal(SECRET, 3, 5)
    weights = weights_at_zero((1, 2, 5))
    for wish in (bytes(32), random_key(), b"\xff" * 32):
        known = weights[0] * int.from_bytes(shares[0], "little") + weights[1] * int.from_bytes(shares[1], "little")
        missing = (int.from_bytes(wish, "little") - known) * pow(weights[2], -1, PRIME) % PRIME
        assert recover({1: shares[0], 2: shares[1], 5: number(missing)}, weights) == wish


def test_shares_differ_each_time_and_a_wrong_one_gives_another_secret() -> None:
    one, other = deal(SECRET, 3, 5), deal(SECRET, 3, 5)
    assert not set(one) & set(other)
    assert back([other[0], *one[1:]], (1, 2, 3)) not in {SECRET, None}


def test_a_sum_that_is_no_secret_of_32_bytes_is_none() -> None:
    assert recover({1: number(2**256)}, weights_at_zero((1,))) is None
    assert recover({1: number(2**256 - 1)}, weights_at_zero((1,))) == b"\xff" * 32


def test_known_shares_of_a_line() -> None:
    """By hand: 5 + 7·x at 1 and 4, or 5 - 3·x, whose values wrap round."""
    assert back([number(12), number(0), number(0), number(33)], (1, 4)) == number(5)[:32]
    assert back([number(2), number(PRIME - 1)], (1, 2)) == number(5)[:32]


@pytest.mark.parametrize(
    ("share", "sound"),
    [
        (number(0), True),
        (number(PRIME - 1), True),
        (number(PRIME), False),
        (b"\xff" * 33, False),
        (bytes(32), False),
        (bytes(34), False),
    ],
)
def test_a_share_has_one_form(share: bytes, sound: bool) -> None:
    assert is_share(share) is sound
