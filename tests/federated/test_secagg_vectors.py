"""Vectors: a round of four with known randomness. Its bytes are pinned, its masks are made again by other code, and for
each listed change to a message it is known which answer must be refused."""

from __future__ import annotations

import hashlib
import hmac
import runpy
import struct
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import ChaCha20

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg import Confirmations, Delivery, KeyList, SecaggServer, Survivors

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "secagg_cohort.py")))

PINNED = {
    "plan": "ab4dcadd0820ccc41201c38e1ea46e00",
    "advert": "95f4ebc0f4a56d7d91708e18bccd5e2c",
    "keys": "a232c6dafb7b628b3709bc3ab5f044cf",
    "cohort": "73a3ee82b0def06f490832bdea713c8b",
    "shares": "aae8709c9e5dad6efc2c5e2b89831f62",
    "delivery": "a918ba97c85f5f68750d3593f982b115",
    "masked": "3375f99ee919fdc75ea8f627332d5e96",
    "survivors": "236158ef93c7d6ed56e40801d3c2733a",
    "confirmation": "240d05f88a624639d2dd20bbda8de1be",
    "confirmations": "b5e5d5789fc43a1f983785093617c421",
    "opening": "9162e008b9c808653f1f7347147f2b3c",
}


class Stream:
    """Known randomness: SHA-256 of a counter. In tests alone; the code has no way to be given any."""

    def __init__(self) -> None:
        self.count = 0

    def token_bytes(self, length: int) -> bytes:
        self.count += 1
        return hashlib.sha256(b"vector %d" % self.count).digest()[:length]

    def randbelow(self, below: int) -> int:
        return int.from_bytes(self.token_bytes(32), "little") % below


@pytest.fixture
def stage(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Not begun yet."""
    stream = Stream()
    monkeypatch.setattr("edgeperso_federated.secagg.primitives.token_bytes", stream.token_bytes)
    monkeypatch.setattr("edgeperso_federated.secagg.shamir.randbelow", stream.randbelow)
    return MAKE.stage(4)


def test_the_bytes_of_a_round_are_pinned(stage: Any) -> None:
    """A change here is one that other versions don't understand: it needs a new number of the protocol."""
    stage.unmask(dead=[3])
    said = {
        "plan": stage.plan.digest(),
        "advert": stage.adverts[0].to_bytes(),
        "keys": stage.keys.to_bytes(),
        "cohort": stage.clients[0]._joined().digest,
        "shares": stage.shares[0].to_bytes(),
        "delivery": stage.deliveries[0].to_bytes(),
        "masked": stage.masked[0].to_bytes(),
        "survivors": stage.survivors.to_bytes(),
        "confirmation": stage.confirmations[0].to_bytes(),
        "confirmations": stage.confirmed.to_bytes(),
        "opening": stage.openings[0].to_bytes(),
    }
    assert {name: hashlib.sha256(data).hexdigest()[:32] for name, data in said.items()} == PINNED


# ---- the masks once more -------------------------------------------------------------------------------------------


def parts(purpose: bytes, *all_parts: bytes) -> bytes:
    data = b"edgeperso/secagg/1/" + purpose
    for part in (purpose, *all_parts):
        data += struct.pack("<Q", len(part)) + part
    return hashlib.sha256(data).digest()


def key(secret: bytes, salt: bytes, purpose: bytes, *parties: bytes) -> bytes:
    info = b"edgeperso/secagg/1/" + parts(purpose, *parties)
    return hmac.digest(hmac.digest(salt, secret, "sha256"), info + b"\x01", "sha256")


def mask(stream_key: bytes, length: int) -> list[int]:
    data = Cipher(ChaCha20(stream_key, bytes(16)), mode=None).encryptor().update(bytes(8 * length))
    return list(struct.unpack(f"<{length}Q", data))


def test_a_masked_update_is_what_the_pages_say(stage: Any) -> None:
    """With plain integers, hmac and the docstrings: the numbers, the own mask, and one for each other member."""
    secrets = [client._secrets for client in stage.clients]
    stage.mask()
    plan = stage.plan
    who = [advert.sender for advert in stage.keys.adverts]
    cohort = parts(b"cohort", plan.digest(), stage.keys.to_bytes())
    for me in range(4):
        update = MAKE.update_for(who[me])
        flat = np.concatenate([update.tensors[one.name].ravel() for one in plan.schema.fields])
        numbers = [round(float(value) * update.examples * 2.0**plan.numbers.exponent) for value in flat]
        numbers.append(update.examples)
        streams = [(1, mask(key(secrets[me].seed, cohort, b"self mask", who[me]), plan.length))]
        for other in set(range(4)) - {me}:
            theirs = X25519PublicKey.from_public_bytes(stage.keys.adverts[other].mask_key)
            shared = X25519PrivateKey.from_private_bytes(secrets[me].mask.secret).exchange(theirs)
            pair = who[min(me, other)], who[max(me, other)]
            streams.append((1 if me < other else -1, mask(key(shared, cohort, b"pair mask", *pair), plan.length)))
        expected = [
            (number + sum(sign * stream[at] for sign, stream in streams)) % 2**64 for at, number in enumerate(numbers)
        ]
        assert stage.masked[me].numbers.tolist() == expected


# ---- changes and the answers that must not be given -----------------------------------------------------------------


def flip(data: bytes, at: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def in_list(keys: KeyList, **changes: Callable[[bytes], bytes]) -> KeyList:
    first = keys.adverts[0]
    return KeyList(
        (replace(first, **{name: do(getattr(first, name)) for name, do in changes.items()}), *keys.adverts[1:])
    )


CHANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "a key to seal with": ("share", lambda keys: in_list(keys, cipher_key=flip)),
    "a key to mask with": ("share", lambda keys: in_list(keys, mask_key=flip)),
    "a signature's first byte": ("share", lambda keys: in_list(keys, signature=flip)),
    "a signature's last byte": ("share", lambda keys: in_list(keys, signature=lambda data: flip(data, 63))),
    "an identity": ("share", lambda keys: in_list(keys, sender=flip)),
    "a member less, below the least": ("share", lambda keys: KeyList(keys.adverts[:2])),
    "no dealers": ("masked", lambda delivery: Delivery({})),
    "two dealers less": ("masked", lambda delivery: Delivery({at: delivery.dealt[at] for at in (0, 1)})),
    "two shares altered": (
        "masked",
        lambda delivery: Delivery(
            {at: replace(one, sealed=flip(one.sealed)) if at > 1 else one for at, one in delivery.dealt.items()}
        ),
    ),
    "two commitments altered": (
        "masked",
        lambda delivery: Delivery(
            {at: replace(one, key_digest=flip(one.key_digest)) if at > 1 else one for at, one in delivery.dealt.items()}
        ),
    ),
    "survivors below the threshold": ("confirm", lambda survivors: Survivors(survivors.alive[:2])),
    "a survivor that never dealt": ("confirm", lambda survivors: Survivors((*survivors.alive, 4))),
    "a confirmation's byte": (
        "unmask",
        lambda said: Confirmations({at: flip(one) if at == 2 else one for at, one in said.signatures.items()}),
    ),
    "confirmations below the threshold": (
        "unmask",
        lambda said: Confirmations({at: one for at, one in said.signatures.items() if at < 2}),
    ),
    "confirmations exchanged": (
        "unmask",
        lambda said: Confirmations({**said.signatures, 1: said.signatures[2], 2: said.signatures[1]}),
    ),
}


@pytest.mark.parametrize("change", [None, *CHANGES])
def test_a_changed_message_is_refused_at_its_step_and_an_unchanged_one_nowhere(stage: Any, change: str | None) -> None:
    step, do = CHANGES[change] if change else ("", lambda message: message)
    client, server = stage.clients[0], stage.server
    refused_at = ""

    def ask(name: str, message: Any, call: Callable[[Any], object]) -> bool:
        nonlocal refused_at
        try:
            call(do(message) if name == step else message)
        except SecaggFailed:
            refused_at = name
        return not refused_at

    others = stage.clients[1:]
    for one in stage.clients:
        server.take_advert(one.advertise())
    keys = server.close_adverts()
    _ = (
        ask("share", keys, lambda keys: server.take_shares(client.share(keys)))
        and ask("masked", dealt(server, others, keys, client), lambda message: mask_all(stage, message))
        and ask("confirm", server.close_masked(), lambda message: server.take_confirmation(client.confirm(message)))
        and ask("unmask", confirmed(server, others, server._survivors), client.unmask)
    )
    assert refused_at == step


def dealt(server: SecaggServer, others: list[Any], keys: KeyList, client: Any) -> Delivery:
    for one in others:
        server.take_shares(one.share(keys))
    return server.close_shares()(client.identity)


def mask_all(stage: Any, delivery: Delivery) -> None:
    client, *others = stage.clients
    stage.server.take_masked(client.masked(delivery, MAKE.update_for(client.identity)))
    everything = {at: {dealer: one.dealt[at] for dealer, one in stage.server._shares.items()} for at in range(1, 4)}
    for at, one in enumerate(others, 1):
        stage.server.take_masked(one.masked(Delivery(everything[at]), MAKE.update_for(one.identity)))


def confirmed(server: SecaggServer, others: list[Any], survivors: Survivors) -> Confirmations:
    for one in others:
        server.take_confirmation(one.confirm(survivors))
    return server.close_confirmations()
