"""What clients and server say to each other, phase by phase, and its form on the wire.

    advertise    client  Advert          two fresh public keys, signed
                 server  KeyList         every Advert of the cohort
    share        client  Shares          for each member: sealed shares of the client's two secrets
                 server  Delivery        to each its own of everybody's
    mask         client  Masked          the update, masked
                 server  Survivors       whose masked updates came
    confirm      client  Confirmation    a signature on the list of keys, of dealers, of survivors
                 server  Confirmations   all of them
    unmask       client  Opening         of each dealer one share

Little endian. Each begins "EPSA", u8 version (1), u8 kind; then, where a client speaks, its identity of 32 bytes and a
signature of 64. Members are numbered from 0 by ascending identity. Counts come before what they count, numbers ascend
strictly, nothing follows. Reading allocates no more than what was received, and refuses what is longer than the largest
cohort could make it.

Nothing was verified in a message because it was read: `Cohort`, client and server do that.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Final, Self

import numpy as np

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg.plan import MOST_CLIENTS, SecaggPlan
from edgeperso_federated.secagg.primitives import KEY_BYTES, SIGNATURE_BYTES, TAG_BYTES, Unsigned
from edgeperso_federated.secagg.shamir import SHARE_BYTES, is_share

__all__ = [
    "SEALED_BYTES",
    "Advert",
    "Confirmation",
    "Confirmations",
    "Dealt",
    "Delivery",
    "KeyList",
    "Masked",
    "Opening",
    "Shares",
    "Survivors",
]

DIGEST_BYTES: Final = 32
SEALED_BYTES: Final = 2 * SHARE_BYTES + TAG_BYTES
"""A share of the mask's seed and one of the pairwise key, sealed together."""

_MAGIC: Final = b"EPSA"
_VERSION: Final = 1
_HEAD_BYTES: Final = len(_MAGIC) + 2
_DEALT_BYTES: Final = SEALED_BYTES + 2 * DIGEST_BYTES


class _Reader:
    """A walk through a message that never steps past its end."""

    def __init__(self, data: bytes, kind: int, most_bytes: int) -> None:
        self._data = memoryview(data)
        self._at = 0
        if len(data) > most_bytes or self.take(_HEAD_BYTES) != _head(kind):
            raise _garbage()

    def take(self, count: int) -> bytes:
        if count > len(self._data) - self._at:
            raise _garbage()
        self._at += count
        return bytes(self._data[self._at - count : self._at])

    def rest(self, count: int) -> memoryview:
        """The last bytes, exactly so many, not copied."""
        if count != len(self._data) - self._at:
            raise _garbage()
        return self._data[self._at :]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def count(self) -> int:
        count = self.number()
        if count > MOST_CLIENTS:
            raise _garbage()
        return count

    def indices(self) -> tuple[int, ...]:
        return self.ascending([self.number() for _ in range(self.count())])

    def ascending(self, numbers: list[int]) -> tuple[int, ...]:
        if any(one >= other for one, other in pairwise(numbers)) or max(numbers, default=0) >= MOST_CLIENTS:
            raise _garbage()
        return tuple(numbers)

    def end(self) -> None:
        self.rest(0)


def _garbage() -> SecaggFailed:
    return SecaggFailed("A message of the secure aggregation is malformed.")


def _head(kind: int) -> bytes:
    return _MAGIC + bytes([_VERSION, kind])


def _u16(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}H", *numbers)


# ---- advertise -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advert:
    """A client's public keys for this round: one to seal shares, one to agree on masks."""

    sender: bytes
    signature: bytes
    cipher_key: bytes
    mask_key: bytes

    KIND: ClassVar = 1
    BYTES: ClassVar = 3 * KEY_BYTES + SIGNATURE_BYTES

    def body(self) -> bytes:
        """What is signed, as in every message."""
        return self.sender + self.cipher_key + self.mask_key

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + self.raw()

    def raw(self) -> bytes:
        return self.sender + self.signature + self.cipher_key + self.mask_key

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + cls.BYTES)
        advert = cls.read(reader)
        reader.end()
        return advert

    @classmethod
    def read(cls, reader: _Reader) -> Self:
        sizes = KEY_BYTES, SIGNATURE_BYTES, KEY_BYTES, KEY_BYTES
        return cls(*(reader.take(size) for size in sizes))


@dataclass(frozen=True, slots=True)
class KeyList:
    """The cohort: its members' adverts by ascending identity, which is their numbering."""

    adverts: tuple[Advert, ...]

    KIND: ClassVar = 2

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + _u16(len(self.adverts)) + b"".join(one.raw() for one in self.adverts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + 2 + MOST_CLIENTS * Advert.BYTES)
        adverts = tuple(Advert.read(reader) for _ in range(reader.count()))
        reader.end()
        if any(one.sender >= other.sender for one, other in pairwise(adverts)):
            raise _garbage()
        return cls(adverts)


# ---- share ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Dealt:
    """What one dealer has for one member: sealed shares, and commitments to that of the seed and that of the key."""

    sealed: bytes
    seed_digest: bytes
    key_digest: bytes

    def raw(self) -> bytes:
        return self.sealed + self.seed_digest + self.key_digest

    @classmethod
    def read(cls, reader: _Reader) -> Self:
        return cls(reader.take(SEALED_BYTES), reader.take(DIGEST_BYTES), reader.take(DIGEST_BYTES))


@dataclass(frozen=True, slots=True)
class Shares:
    """A dealer's word to the cohort: a commitment to its mask's seed, and what is dealt to each member, in order."""

    sender: bytes
    signature: bytes
    seed_digest: bytes
    dealt: tuple[Dealt, ...]

    KIND: ClassVar = 3

    def body(self) -> bytes:
        return self.seed_digest + _u16(len(self.dealt)) + b"".join(one.raw() for one in self.dealt)

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + self.sender + self.signature + self.body()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        most = _HEAD_BYTES + 2 * KEY_BYTES + SIGNATURE_BYTES + 2 + MOST_CLIENTS * _DEALT_BYTES
        reader = _Reader(data, cls.KIND, most)
        head = reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES), reader.take(DIGEST_BYTES)
        dealt = tuple(Dealt.read(reader) for _ in range(reader.count()))
        reader.end()
        return cls(*head, dealt)


@dataclass(frozen=True, slots=True)
class Delivery:
    """To one member: what every dealer dealt to it, by the dealers' numbers. Who isn't in it left before the masks."""

    dealt: dict[int, Dealt]

    KIND: ClassVar = 4

    def to_bytes(self) -> bytes:
        parts = [_u16(dealer) + one.raw() for dealer, one in sorted(self.dealt.items())]
        return _head(self.KIND) + _u16(len(parts)) + b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + 2 + MOST_CLIENTS * (2 + _DEALT_BYTES))
        found = [(reader.number(), Dealt.read(reader)) for _ in range(reader.count())]
        reader.end()
        reader.ascending([dealer for dealer, _ in found])
        return cls(dict(found))


# ---- mask ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Masked:
    """A client's numbers under all of its masks: ``[plan.length]`` of the plan's dtype."""

    sender: bytes
    signature: bytes
    numbers: Unsigned

    KIND: ClassVar = 5

    def body(self) -> bytes:
        return self.numbers.tobytes()

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + self.sender + self.signature + self.body()

    @classmethod
    def from_bytes(cls, data: bytes, plan: SecaggPlan) -> Self:
        """Of a plan, since that alone says how long it is. The numbers share the bytes' memory."""
        dtype = plan.numbers.dtype
        size = plan.length * dtype.itemsize
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + KEY_BYTES + SIGNATURE_BYTES + size)
        sender, signature = reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES)
        return cls(sender, signature, np.frombuffer(reader.rest(size), dtype))


@dataclass(frozen=True, slots=True)
class Survivors:
    """The numbers of those whose masked updates are in the sum."""

    alive: tuple[int, ...]

    KIND: ClassVar = 6

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + _u16(len(self.alive), *self.alive)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + 2 + 2 * MOST_CLIENTS)
        alive = reader.indices()
        reader.end()
        return cls(alive)


# ---- confirm -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Confirmation:
    """A survivor's signature on all that it was told so far."""

    sender: bytes
    signature: bytes

    KIND: ClassVar = 7

    def body(self) -> bytes:
        return self.sender

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + self.sender + self.signature

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + KEY_BYTES + SIGNATURE_BYTES)
        confirmation = cls(reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES))
        reader.end()
        return confirmation


@dataclass(frozen=True, slots=True)
class Confirmations:
    """The survivors' signatures, by their numbers."""

    signatures: dict[int, bytes]

    KIND: ClassVar = 8

    def to_bytes(self) -> bytes:
        parts = [_u16(member) + signature for member, signature in sorted(self.signatures.items())]
        return _head(self.KIND) + _u16(len(parts)) + b"".join(parts)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        reader = _Reader(data, cls.KIND, _HEAD_BYTES + 2 + MOST_CLIENTS * (2 + SIGNATURE_BYTES))
        found = [(reader.number(), reader.take(SIGNATURE_BYTES)) for _ in range(reader.count())]
        reader.end()
        reader.ascending([member for member, _ in found])
        return cls(dict(found))


# ---- unmask --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Opening:
    """Of each dealer one share: of its seed where it survived, of its pairwise key where it didn't. There is no form in
    which both could be given."""

    sender: bytes
    signature: bytes
    shares: dict[int, bytes]

    KIND: ClassVar = 9

    def body(self) -> bytes:
        parts = [_u16(dealer) + share for dealer, share in sorted(self.shares.items())]
        return _u16(len(parts)) + b"".join(parts)

    def to_bytes(self) -> bytes:
        return _head(self.KIND) + self.sender + self.signature + self.body()

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        most = _HEAD_BYTES + KEY_BYTES + SIGNATURE_BYTES + 2 + MOST_CLIENTS * (2 + SHARE_BYTES)
        reader = _Reader(data, cls.KIND, most)
        sender, signature = reader.take(KEY_BYTES), reader.take(SIGNATURE_BYTES)
        found = [(reader.number(), reader.take(SHARE_BYTES)) for _ in range(reader.count())]
        reader.end()
        reader.ascending([dealer for dealer, _ in found])
        if not all(is_share(share) for _, share in found):
            raise _garbage()
        return cls(sender, signature, dict(found))
