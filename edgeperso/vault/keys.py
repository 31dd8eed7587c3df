"""The master key, what is derived from it, and how it is wrapped.

Promises:

* The master key is 32 random bytes and encrypts nothing itself. Each purpose gets its own key by HKDF-SHA256 with the
  vault's id as salt, so that a key of one purpose or vault says nothing about another's.
* A wrap is AES-256-GCM under a key made from one credential's secret: Argon2id for a passphrase, HKDF-SHA256 for
  secrets that are 256 random bits. Every wrap has a fresh salt and a fresh 96-bit nonce.
* A wrong secret, an altered wrap and altered parameters look the same: `WrongKey`.
* ``repr``, ``str``, ``pickle`` and ``copy`` never give a key's bytes away.
* The master key, every key derived or stretched here and what `unseal` opens are `SecretBytes` from the first moment:
  out of core dumps and swap where the system grants it, wiped when closed or let go of. Not reached: what the secrets
  of credentials are made of (Python's ``str`` and ``bytes``), the 32 random bytes of a new key while they are copied,
  and what OpenSSL keeps while it works (it wipes that itself).

Primitives come from ``cryptography`` alone; no other module imports it.

Sources: RFC 5869 (HKDF), RFC 9106 section 4 (Argon2id parameters), NIST SP 800-38D (GCM).
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from enum import StrEnum
from hmac import compare_digest
from typing import Final, NoReturn

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256, Hash
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from edgeperso.errors import UnlockError, UsageError, WrongKey
from edgeperso.secrecy import Secret, SecretBytes, plain

__all__ = [
    "KEY_BYTES",
    "MAX_ITERATIONS",
    "MAX_LANES",
    "MAX_MEMORY_KIB",
    "NONCE_BYTES",
    "SALT_BYTES",
    "SEALED_BYTES",
    "STANDARD_COST",
    "Argon2Cost",
    "MasterKey",
    "Purpose",
    "authentic",
    "authenticate",
    "digest",
    "same",
    "seal",
    "stretch_key",
    "stretch_passphrase",
    "unseal",
]

KEY_BYTES: Final = 32
SALT_BYTES: Final = 16
NONCE_BYTES: Final = 12
SEALED_BYTES: Final = KEY_BYTES + 16
"""A wrapped key: 32 bytes of ciphertext and GCM's tag of 16."""

STANDARD_MEMORY_KIB: Final = 65_536
STANDARD_ITERATIONS: Final = 3
STANDARD_LANES: Final = 4
MAX_MEMORY_KIB: Final = 524_288
MAX_ITERATIONS: Final = 10
MAX_LANES: Final = 16

_INFO_PREFIX: Final = b"edgeperso/v1/"


class Purpose(StrEnum):
    """What a key derived from the master is for."""

    DATABASE = "database"
    BACKUP = "backup"
    ANCHOR = "anchor"
    HEADER = "header"
    ROTATION = "rotation"
    """Wraps the next master key while the keys are being changed."""


@dataclass(frozen=True, slots=True)
class Argon2Cost:
    """What a guess at a passphrase costs: ``memory_kib`` KiB, ``iterations`` passes, ``lanes`` (RFC 9106: m, t, p).

    The default is RFC 9106's second recommended option, and also the least that a new passphrase may be given;
    a smaller cost has to be asked for by ``below_standard=True``.

    Raises:
        UsageError: outside the bounds that a header may hold, or below the standard without ``below_standard``.
    """

    memory_kib: int = STANDARD_MEMORY_KIB
    iterations: int = STANDARD_ITERATIONS
    lanes: int = STANDARD_LANES
    below_standard: bool = False

    def __post_init__(self) -> None:
        bounded = (
            1 <= self.lanes <= MAX_LANES
            and 8 * self.lanes <= self.memory_kib <= MAX_MEMORY_KIB
            and 1 <= self.iterations <= MAX_ITERATIONS
        )
        if not bounded:
            raise UsageError("These Argon2id parameters are out of bounds.")
        if not self.below_standard and (self.memory_kib < STANDARD_MEMORY_KIB or self.iterations < STANDARD_ITERATIONS):
            raise UsageError("These Argon2id parameters are weaker than 64 MiB and 3 passes.")


STANDARD_COST: Final = Argon2Cost()


class MasterKey:
    """The key from which a vault's other keys come. Made by `Header`; wipe it when done.

    Args:
        key: 32 bytes, taken over; closed by `wipe`.
        vault_id: the vault's id, 32 hex digits.
    """

    __slots__ = ("_key", "_vault_id")

    def __init__(self, key: SecretBytes, vault_id: str) -> None:
        if len(key) != KEY_BYTES:
            raise UsageError(f"A master key has {KEY_BYTES} bytes.")
        self._key = key
        self._vault_id = bytes.fromhex(vault_id)

    @classmethod
    def random(cls, vault_id: str) -> MasterKey:
        """A new one from the operating system's generator."""
        return cls(SecretBytes.of(secrets.token_bytes(KEY_BYTES)), vault_id)

    def derive(self, purpose: Purpose | str) -> SecretBytes:
        """The 32-byte key for ``purpose`` (a `Purpose` or its name).

        Raises:
            UsageError: the key was wiped, or left behind by a fork, or there is no such purpose.
        """
        try:
            name = Purpose(purpose)
        except ValueError:
            raise UsageError("There is no such key purpose.") from None
        return _expanded(self._key, self._vault_id, name)

    def sealed_under(self, key: Secret, aad: bytes) -> tuple[bytes, bytes]:
        """This key wrapped under ``key``: nonce (12 bytes) and ciphertext with tag (48 bytes)."""
        return seal(key, self._key, aad)

    def matches(self, other: MasterKey) -> bool:
        """Whether both are the same key of the same vault; in constant time."""
        same_vault = compare_digest(self._vault_id, other._vault_id)
        return self._key == other._key and same_vault

    def wipe(self) -> None:
        """Overwrite the bytes. The object is of no use afterwards; wiping twice is harmless."""
        self._key.close()

    def __repr__(self) -> str:
        return "MasterKey(hidden)"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a master key can't be pickled or copied")


def seal(key: Secret, plaintext: Secret, aad: bytes) -> tuple[bytes, bytes]:
    """AES-256-GCM with a fresh nonce: nonce (12 bytes) and ciphertext with its 16-byte tag."""
    nonce = secrets.token_bytes(NONCE_BYTES)
    sealed = AESGCM(plain(key)).encrypt(nonce, plain(plaintext), aad)
    _still_whole(key, plaintext)
    return nonce, sealed


def unseal(key: Secret, nonce: bytes, sealed: bytes, aad: bytes) -> SecretBytes:
    """What `seal` wrapped.

    Raises:
        WrongKey: the key is another one, or nonce, ciphertext or ``aad`` were altered.
    """
    out = SecretBytes(len(sealed) - 16)
    try:
        AESGCM(plain(key)).decrypt_into(nonce, sealed, aad, out.view())
    except InvalidTag:
        raise WrongKey("This key doesn't open the vault.") from None
    return out


def stretch_passphrase(passphrase: bytes, salt: bytes, cost: Argon2Cost) -> SecretBytes:
    """The wrapping key (32 bytes) of a passphrase: Argon2id, RFC 9106.

    Raises:
        UnlockError: this machine hasn't the memory that the vault asks for.
    """
    kdf = Argon2id(
        salt=salt,
        length=KEY_BYTES,
        iterations=cost.iterations,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    out = SecretBytes(KEY_BYTES)
    try:
        kdf.derive_into(passphrase, out.view())
    except MemoryError:
        raise UnlockError(
            f"There isn't enough memory to check the passphrase ({cost.memory_kib // 1024} MiB are needed).",
            hint="Close other programs and try again.",
        ) from None
    return out


def stretch_key(secret: bytes, salt: bytes, label: str) -> SecretBytes:
    """The wrapping key (32 bytes) of a secret that is itself 256 random bits: HKDF-SHA256, RFC 5869."""
    return _expanded(secret, salt, f"wrap/{label}")


def _expanded(secret: Secret, salt: bytes, info: str) -> SecretBytes:
    out = SecretBytes(KEY_BYTES)
    HKDF(SHA256(), KEY_BYTES, salt, _INFO_PREFIX + info.encode()).derive_into(plain(secret), out.view())
    _still_whole(secret)
    return out


def _still_whole(*used: Secret) -> None:
    """A key that another thread closed while it was read was zeros, and nothing may be made with such a key.

    Raises:
        UsageError: it was closed.
    """
    for secret in used:
        plain(secret)


def authenticate(key: Secret, data: bytes) -> bytes:
    """HMAC-SHA256 of ``data``, 32 bytes."""
    mac = HMAC(plain(key), SHA256())
    mac.update(data)
    _still_whole(key)
    return mac.finalize()


def authentic(key: Secret, data: bytes, tag: bytes) -> bool:
    """Whether ``tag`` is `authenticate`'s; in constant time."""
    mac = HMAC(plain(key), SHA256())
    mac.update(data)
    try:
        mac.verify(tag)
    except InvalidSignature:
        return False
    return True


def digest(data: bytes) -> bytes:
    """SHA-256 of ``data``, 32 bytes."""
    hasher = Hash(SHA256())
    hasher.update(data)
    return hasher.finalize()


def same(a: bytes, b: bytes) -> bool:
    """Whether two secrets are equal; in constant time."""
    return compare_digest(a, b)
