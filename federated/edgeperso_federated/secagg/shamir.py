"""Shamir's sharing of a secret of 32 bytes: any ``threshold`` shares give it back, fewer say nothing about it.

Over the integers modulo 2^256 + 297, the least prime above 2^256: every secret of 256 bits is a number of the field, so
that none is shortened or folded. A share is the value, at the holder's number 1, 2, …, of a polynomial whose constant
is the secret and whose other coefficients are uniform: for ``threshold - 1`` shares, each secret is met by exactly one
polynomial.

Whether shares belong together can't be seen from them: a wrong one gives a wrong secret, not an error. `client` and
`server` compare each share and each secret with what its dealer had committed to. Python's integers don't take constant
time; what is timed is a party's work on its own machine.

Source: A. Shamir, How to share a secret, CACM 22 (1979).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import reduce
from secrets import randbelow
from typing import Final

__all__ = ["PRIME", "SECRET_BYTES", "SHARE_BYTES", "deal", "is_share", "recover", "weights_at_zero"]

PRIME: Final = 2**256 + 297
SECRET_BYTES: Final = 32
SHARE_BYTES: Final = 33


def deal(secret: bytes, threshold: int, holders: int) -> list[bytes]:
    """Shares of 33 bytes for the holders number 1 to ``holders``.

    Args:
        secret: 32 bytes.
        threshold: how many shares give it back, 1 to ``holders``.
    """
    coefficients = [randbelow(PRIME) for _ in range(threshold - 1)]
    coefficients.append(int.from_bytes(secret, "little"))

    def value(at: int) -> int:
        return reduce(lambda sum_, coefficient: (sum_ * at + coefficient) % PRIME, coefficients, 0)

    return [value(holder).to_bytes(SHARE_BYTES, "little") for holder in range(1, holders + 1)]


def is_share(share: bytes) -> bool:
    """Whether the bytes are a number of the field, in its only form."""
    return len(share) == SHARE_BYTES and int.from_bytes(share, "little") < PRIME


def weights_at_zero(holders: tuple[int, ...]) -> tuple[int, ...]:
    """Lagrange's weights for the value at 0 from the values at the holders' numbers (distinct, above 0)."""
    weights = []
    for one in holders:
        above = below = 1
        for other in holders:
            if other != one:
                above = above * other % PRIME
                below = below * (other - one) % PRIME
        weights.append(above * pow(below, -1, PRIME) % PRIME)
    return tuple(weights)


def recover(shares: Mapping[int, bytes], weights: tuple[int, ...]) -> bytes | None:
    """The secret from as many shares as its threshold, by holder; None where they are of no 32 bytes.

    Args:
        weights: `weights_at_zero` of the mapping's holders in its order; the same for many secrets.
    """
    values = (int.from_bytes(share, "little") for share in shares.values())
    secret = sum(weight * value for weight, value in zip(weights, values, strict=True)) % PRIME
    return secret.to_bytes(SECRET_BYTES, "little") if secret.bit_length() <= 8 * SECRET_BYTES else None
