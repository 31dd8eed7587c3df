"""Keys, signatures and streams against the vectors of their RFCs and a slow ChaCha20 of our own."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
import struct

import numpy as np
import pytest

from edgeperso.errors import UsageError
from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg import Identity
from edgeperso_federated.secagg.primitives import (
    Pair,
    add_stream,
    derive,
    fingerprint,
    is_usable,
    random_key,
    seal,
    unseal,
    verify,
)

COHORT = bytes(range(32))

SMALL_ORDER = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "0100000000000000000000000000000000000000000000000000000000000000",
    "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
    "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]
"""X25519's points of small order and their other forms: https://cr.yp.to/ecdh.html#validate."""


def chacha20(key: bytes, blocks: int) -> bytes:
    """RFC 8439 section 2.3 word by word, nonce and counter 0."""

    def quarter(x: list[int], a: int, b: int, c: int, d: int) -> None:
        for into, by, other, turn in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
            x[into] = (x[into] + x[by]) % 2**32
            mixed = x[other] ^ x[into]
            x[other] = (mixed << turn | mixed >> (32 - turn)) % 2**32

    out = b""
    for counter in range(blocks):
        start = [*struct.unpack("<4I", b"expand 32-byte k"), *struct.unpack("<8I", key), counter, 0, 0, 0]
        x = list(start)
        for _ in range(10):
            for column in range(4):
                quarter(x, column, 4 + column, 8 + column, 12 + column)
            for column in range(4):
                quarter(x, column, 4 + (column + 1) % 4, 8 + (column + 2) % 4, 12 + (column + 3) % 4)
        out += struct.pack("<16I", *((one + other) % 2**32 for one, other in zip(x, start, strict=True)))
    return out


# ---- keys of two ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("secret", "public", "shared"),
    [
        (
            "5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
            "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a",
            "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742",
        ),
        ("09" + "00" * 31, "09" + "00" * 31, "422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079"),
    ],
)
def test_a_pair_shares_what_rfc_7748_says(secret: str, public: str, shared: str) -> None:
    assert Pair(bytes.fromhex(secret)).shared(bytes.fromhex(public)).hex() == shared


def test_both_sides_share_the_same_and_a_third_something_else() -> None:
    one, other, third = Pair.new(), Pair.new(), Pair.new()
    assert one.shared(other.public) == other.shared(one.public) != third.shared(one.public)
    assert is_usable(one.public)


@pytest.mark.parametrize("point", SMALL_ORDER)
def test_points_of_small_order_are_refused(point: str) -> None:
    public = bytes.fromhex(point)
    assert not is_usable(public)
    with pytest.raises(SecaggFailed):
        Pair.new().shared(public)


def test_derive_is_hkdf_sha256_of_rfc_5869() -> None:
    secret = bytes(range(100, 132))
    extracted = hmac.digest(COHORT, secret, "sha256")
    info = b"edgeperso/secagg/1/" + fingerprint(b"seal", b"one", b"two")
    assert derive(secret, COHORT, b"seal", b"one", b"two") == hmac.digest(extracted, info + b"\x01", "sha256")


def test_a_key_depends_on_every_byte_of_the_secret_and_on_all_that_it_is_for() -> None:
    secret = bytes(32)
    others = [derive(bytes(at) + b"\x01" + bytes(31 - at), COHORT, b"p", b"a", b"b") for at in range(32)]
    others += [
        derive(secret, COHORT[::-1], b"p", b"a", b"b"),
        derive(secret, COHORT, b"q", b"a", b"b"),
        derive(secret, COHORT, b"p", b"b", b"a"),
        derive(secret, COHORT, b"p", b"ab", b""),
        derive(secret, COHORT, b"p", b"ab"),
        derive(secret, COHORT, b"p", b"a", b"b"),
    ]
    assert len(set(others)) == 38


def test_a_fingerprint_tells_parts_apart() -> None:
    same = {fingerprint(b"p", b"ab", b"c"), fingerprint(b"p", b"a", b"bc"), fingerprint(b"pa", b"b", b"c")}
    assert len({*same, fingerprint(b"p", b"abc"), fingerprint(b"p", b"ab", b"c", b"")}) == 5


# ---- streams -------------------------------------------------------------------------------------------------------


def test_the_slow_chacha20_is_that_of_rfc_8439() -> None:
    first = "76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7da41597c5157488d7724e03fb8d84a37"
    assert chacha20(bytes(32), 1).hex().startswith(first)


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
def test_a_stream_is_chacha20_read_as_little_endian_numbers(dtype: str) -> None:
    key = hashlib.sha256(b"a key").digest()
    numbers = np.frombuffer(chacha20(key, 40), dtype)[:101]
    vector = np.arange(101, dtype=dtype)
    add_stream(key, vector)
    np.testing.assert_array_equal(vector, np.arange(101, dtype=dtype) + numbers)
    add_stream(key, vector, subtract=True)
    np.testing.assert_array_equal(vector, np.arange(101, dtype=dtype))


@pytest.mark.parametrize("dtype", ["<u4", "<u8"])
def test_a_long_stream_goes_on_over_the_parts_it_is_made_in(dtype: str) -> None:
    key, width = bytes(31) + b"\x07", np.dtype(dtype).itemsize
    length = (1 << 18) // width + 17
    vector = np.zeros(length, dtype)
    add_stream(key, vector)
    blocks = (length * width) // 64 + 1
    np.testing.assert_array_equal(vector[:64], np.frombuffer(chacha20(key, 8), dtype)[:64])
    np.testing.assert_array_equal(vector, np.frombuffer(chacha20(key, blocks), dtype)[:length])
    assert len(np.unique(vector)) > length * 0.99


def test_no_part_of_a_key_is_lost_in_its_stream() -> None:
    """Flower's SecAgg+ keeps 32 bits of a seed: two seeds can have one mask there."""
    streams = set()
    for bit in range(256):
        vector = np.zeros(8, "<u8")
        add_stream((1 << bit).to_bytes(32, "little"), vector)
        streams.add(vector.tobytes())
    assert len(streams) == 256


# ---- seals and signatures ------------------------------------------------------------------------------------------


def test_what_is_sealed_opens_under_its_key_alone_and_unaltered() -> None:
    key = random_key()
    sealed = seal(key, b"two shares")
    assert unseal(key, sealed) == b"two shares"
    assert unseal(random_key(), sealed) is None
    assert len(sealed) == 26
    for at in range(len(sealed)):
        assert unseal(key, sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :]) is None


def test_a_signature_holds_for_its_signer_purpose_binding_and_body() -> None:
    identity, other = Identity.new(), Identity.new()
    signature = identity.sign(b"p", COHORT, b"body")
    assert verify(identity.public, signature, b"p", COHORT, b"body")
    assert not verify(other.public, signature, b"p", COHORT, b"body")
    assert not verify(identity.public, signature, b"q", COHORT, b"body")
    assert not verify(identity.public, signature, b"p", COHORT[::-1], b"body")
    assert not verify(identity.public, signature, b"p", COHORT, b"Body")
    assert not verify(identity.public, signature[:-1], b"p", COHORT, b"body")
    assert not verify(b"short", signature, b"p", COHORT, b"body")


def test_an_identity_is_kept_as_bytes_and_shows_itself_nowhere() -> None:
    identity = Identity.new()
    assert Identity(identity.to_bytes()).public == identity.public
    for secret in (identity, Pair.new()):
        assert repr(secret) in {"Identity(…)", "Pair(…)"}
        for call in (pickle.dumps, copy.copy, copy.deepcopy):
            with pytest.raises(TypeError):
                call(secret)
    with pytest.raises(UsageError):
        Identity(bytes(31))
