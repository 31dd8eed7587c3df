"""The cryptography of secure aggregation: keys, signatures, sealed shares and streams of masks.

Promises:

* Every key is 32 bytes from X25519 or the system's random source, put through HKDF-SHA256 with a salt that names the
  very cohort and an info that names purpose and parties. No seed is shortened on its way, and no key serves two
  purposes.
* A stream is ChaCha20's under such a key, from counter 0. A key masks one vector, so that a nonce has nothing to tell
  apart; it is zero.
* A sealed share is ChaCha20-Poly1305's under a key of its own, used once.
* A signature covers its purpose, the round or cohort it belongs to, and the SHA-256 of the body.
* ``repr`` shows no secret. Python can't overwrite one: what is dropped lies in memory until it is used again.

Nothing here is written by hand that ``cryptography`` has; no other module of this room imports it.

Sources: RFC 7748 (X25519), RFC 8032 (Ed25519), RFC 5869 (HKDF), RFC 8439 (ChaCha20, ChaCha20-Poly1305).
"""

from __future__ import annotations

import hashlib
from secrets import token_bytes
from typing import Final, NoReturn

import numpy as np
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from numpy.typing import NDArray

from edgeperso.errors import UsageError
from edgeperso_federated.errors import SecaggFailed

__all__ = [
    "KEY_BYTES",
    "SIGNATURE_BYTES",
    "TAG_BYTES",
    "Identity",
    "Pair",
    "Unsigned",
    "add_stream",
    "derive",
    "fingerprint",
    "is_usable",
    "random_key",
    "seal",
    "unseal",
    "verify",
]

Unsigned = NDArray[np.unsignedinteger]
"""A vector of little-endian ``uint32`` or ``uint64``."""

KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
TAG_BYTES: Final = 16

_LABEL: Final = b"edgeperso/secagg/1/"
_ONE_USE: Final = bytes(12)
_FROM_THE_START: Final = bytes(16)
_CHUNK: Final = 1 << 18
"""Bytes of a stream that are made at a time: they stay in the processor's cache until they are added."""
_ZEROS: Final = memoryview(bytes(_CHUNK))


def fingerprint(purpose: bytes, *parts: bytes) -> bytes:
    """SHA-256 of the parts, each with its length before it, under a purpose; 32 bytes."""
    digest = hashlib.sha256(_LABEL + purpose)
    for part in (purpose, *parts):
        digest.update(len(part).to_bytes(8, "little"))
        digest.update(part)
    return digest.digest()


def random_key() -> bytes:
    """32 fresh bytes of the system's random source."""
    return token_bytes(KEY_BYTES)


# ---- who speaks ----------------------------------------------------------------------------------------------------


class Identity:
    """A node's lasting Ed25519 key: it signs what the node says in a round, and encrypts nothing."""

    __slots__ = ("_key", "public")

    def __init__(self, secret: bytes) -> None:
        """Args: secret: 32 random bytes, as `to_bytes` gave them.

        Raises:
            UsageError: another length.
        """
        if len(secret) != KEY_BYTES:
            raise UsageError("An identity is 32 bytes.")
        self._key = Ed25519PrivateKey.from_private_bytes(secret)
        self.public: Final = self._key.public_key().public_bytes_raw()

    @classmethod
    def new(cls) -> Identity:
        return cls(random_key())

    def to_bytes(self) -> bytes:
        """The secret itself, to be kept in the vault."""
        return self._key.private_bytes_raw()

    def sign(self, purpose: bytes, binding: bytes, body: bytes) -> bytes:
        """64 bytes that only this identity can make for this purpose, binding (a digest of 32 bytes) and body."""
        return self._key.sign(_statement(purpose, binding, body))

    def __repr__(self) -> str:
        return "Identity(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("An identity isn't pickled.")


def verify(public: bytes, signature: bytes, purpose: bytes, binding: bytes, body: bytes) -> bool:
    """Whether the owner of ``public`` signed exactly this."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, _statement(purpose, binding, body))
    except (InvalidSignature, ValueError):
        return False
    return True


def _statement(purpose: bytes, binding: bytes, body: bytes) -> bytes:
    return _LABEL + fingerprint(purpose, binding, hashlib.sha256(body).digest())


# ---- secrets of two ------------------------------------------------------------------------------------------------


class Pair:
    """An X25519 key pair for one round."""

    __slots__ = ("_key", "public", "secret")

    def __init__(self, secret: bytes) -> None:
        self.secret: Final = secret
        self._key = X25519PrivateKey.from_private_bytes(secret)
        self.public: Final = self._key.public_key().public_bytes_raw()

    @classmethod
    def new(cls) -> Pair:
        return cls(random_key())

    def shared(self, public: bytes) -> bytes:
        """The 32 bytes that this pair and the other's share; not yet a key: see `derive`.

        Raises:
            SecaggFailed: ``public`` is a point of small order, with which there is no secret.
        """
        try:
            return self._key.exchange(X25519PublicKey.from_public_bytes(public))
        except ValueError:
            raise SecaggFailed("A client's key is one with which nothing stays secret.") from None

    def __repr__(self) -> str:
        return "Pair(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("A key pair isn't pickled.")


def is_usable(public: bytes) -> bool:
    """Whether a secret can be shared with ``public``. One that fails with a single scalar fails with every one, because
    clamped scalars are multiples of the cofactor."""
    try:
        Pair.new().shared(public)
    except SecaggFailed:
        return False
    return True


def derive(secret: bytes, cohort: bytes, purpose: bytes, *parties: bytes) -> bytes:
    """A key of 32 bytes for one purpose between these parties in this cohort (a digest of 32 bytes)."""
    info = fingerprint(purpose, *parties)
    return HKDF(SHA256(), KEY_BYTES, salt=cohort, info=_LABEL + info).derive(secret)


# ---- what keys do --------------------------------------------------------------------------------------------------


def seal(key: bytes, text: bytes) -> bytes:
    """``text`` and 16 bytes; the key must never seal anything else."""
    return ChaCha20Poly1305(key).encrypt(_ONE_USE, text, None)


def unseal(key: bytes, sealed: bytes) -> bytes | None:
    """What was sealed, or None where it isn't what this key sealed."""
    try:
        return ChaCha20Poly1305(key).decrypt(_ONE_USE, sealed, None)
    except InvalidTag:
        return None


def add_stream(key: bytes, vector: Unsigned, *, subtract: bool = False) -> None:
    """Adds the key's stream to the vector in place, modulo 2^32 or 2^64 as its dtype says; or subtracts it.

    The stream is read as little-endian numbers, so that every machine makes the same ones. About 3 GB/s; needs 256 KiB
    whatever the vector's length.
    """
    stream = Cipher(ChaCha20(key, _FROM_THE_START), mode=None).encryptor()
    width = vector.dtype.itemsize
    buffer = np.empty(min(_CHUNK, vector.nbytes), np.uint8)
    work = np.subtract if subtract else np.add
    for start in range(0, vector.size, _CHUNK // width):
        part = vector[start : start + _CHUNK // width]
        stream.update_into(_ZEROS[: part.nbytes], buffer.data)
        work(part, buffer[: part.nbytes].view(vector.dtype), out=part)
