"""Messages: the same bytes back, every cut, addition and forged count refused, nothing but an answer or a refusal."""

from __future__ import annotations

import runpy
import struct
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso_federated.errors import SecaggFailed
from edgeperso_federated.secagg import (
    MOST_CLIENTS,
    Advert,
    Confirmation,
    Confirmations,
    Delivery,
    KeyList,
    Masked,
    Opening,
    Shares,
    Survivors,
)
from edgeperso_federated.secagg.shamir import PRIME

MAKE = SimpleNamespace(**runpy.run_path(str(Path(__file__).parent / "secagg_cohort.py")))
STAGE = MAKE.stage(4)
STAGE.unmask()
PLAN = STAGE.plan

Read = Callable[[bytes], Any]

SAID: dict[str, tuple[Any, Read]] = {
    "advert": (STAGE.adverts[0], Advert.from_bytes),
    "keys": (STAGE.keys, KeyList.from_bytes),
    "shares": (STAGE.shares[0], Shares.from_bytes),
    "delivery": (STAGE.deliveries[0], Delivery.from_bytes),
    "masked": (STAGE.masked[0], lambda data: Masked.from_bytes(data, PLAN)),
    "survivors": (STAGE.survivors, Survivors.from_bytes),
    "confirmation": (STAGE.confirmations[0], Confirmation.from_bytes),
    "confirmations": (STAGE.confirmed, Confirmations.from_bytes),
    "opening": (STAGE.openings[0], Opening.from_bytes),
}
EACH = pytest.mark.parametrize("kind", list(SAID))


def refused(read: Read, data: bytes) -> None:
    with pytest.raises(SecaggFailed):
        read(data)


@EACH
def test_a_message_comes_back_from_its_bytes(kind: str) -> None:
    message, read = SAID[kind]
    again = read(message.to_bytes())
    assert again.to_bytes() == message.to_bytes()
    if kind == "masked":
        np.testing.assert_array_equal(again.numbers, message.numbers)
        assert again.numbers.dtype == PLAN.numbers.dtype
    else:
        assert again == message


@EACH
def test_every_cut_and_every_addition_is_refused(kind: str) -> None:
    message, read = SAID[kind]
    data = message.to_bytes()
    for cut in range(len(data)):
        refused(read, data[:cut])
    refused(read, data + b"\0")


@EACH
def test_another_kind_or_version_or_format_is_refused(kind: str) -> None:
    message, read = SAID[kind]
    data = message.to_bytes()
    for head in (b"EPSB" + data[4:6], b"EPSA\x02" + data[5:6], data[:5] + bytes([data[5] % 9 + 1])):
        refused(read, head + data[6:])
    for other, (_, other_read) in SAID.items():
        if other != kind:
            refused(other_read, data)


@EACH
@given(data=st.data())
def test_flipped_bits_give_a_message_or_a_refusal_and_nothing_else(kind: str, data: st.DataObject) -> None:
    message, read = SAID[kind]
    sent = bytearray(message.to_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        sent[data.draw(st.integers(0, len(sent) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        got = read(bytes(sent))
    except SecaggFailed:
        return
    assert got.to_bytes() == bytes(sent)


@given(st.binary(max_size=300))
def test_garbage_is_refused(data: bytes) -> None:
    for _, read in SAID.values():
        refused(read, data)


def head(kind: int) -> bytes:
    return b"EPSA\x01" + bytes([kind])


def test_the_bytes_are_as_documented() -> None:
    one, other, sealed = b"i" * 32, b"s" * 64, b"x" * 82
    assert Advert(one, other, b"c" * 32, b"m" * 32).to_bytes() == head(1) + one + other + b"c" * 32 + b"m" * 32
    dealt = {2: STAGE.deliveries[0].dealt[2]}
    assert Delivery(dealt).to_bytes() == head(4) + struct.pack("<HH", 1, 2) + dealt[2].raw()
    assert len(dealt[2].sealed) == len(sealed)
    numbers = np.array([1, 2**64 - 1], "<u8")
    assert Masked(one, other, numbers).to_bytes() == head(5) + one + other + struct.pack("<2Q", 1, 2**64 - 1)
    assert Survivors((0, 513)).to_bytes() == head(6) + struct.pack("<3H", 2, 0, 513)
    assert Confirmations({7: other}).to_bytes() == head(8) + struct.pack("<2H", 1, 7) + other
    opening = Opening(one, other, {5: bytes(33)}).to_bytes()
    assert opening == head(9) + one + other + struct.pack("<2H", 1, 5) + bytes(33)


PERSON = bytes(96)


@pytest.mark.parametrize(
    ("kind", "data"),
    [
        ("keys", head(2) + struct.pack("<H", 2) + (b"a" * 160) * 2),
        ("keys", head(2) + struct.pack("<H", 2) + b"b" * 160 + b"a" * 160),
        ("keys", head(2) + struct.pack("<H", MOST_CLIENTS + 1) + bytes(160) * (MOST_CLIENTS + 1)),
        ("keys", head(2) + struct.pack("<H", 0xFFFF)),
        ("shares", head(3) + PERSON + bytes(32) + struct.pack("<H", 0xFFFF) + bytes(300)),
        ("delivery", head(4) + struct.pack("<H", 2) + (struct.pack("<H", 1) + bytes(146)) * 2),
        ("delivery", head(4) + struct.pack("<HH", 1, MOST_CLIENTS) + bytes(146)),
        ("survivors", head(6) + struct.pack("<3H", 2, 1, 1)),
        ("survivors", head(6) + struct.pack("<3H", 2, 2, 1)),
        ("survivors", head(6) + struct.pack("<2H", 1, MOST_CLIENTS)),
        ("survivors", head(6) + struct.pack("<H", 0xFFFF) + bytes(2 * 0xFFFF)),
        ("confirmations", head(8) + struct.pack("<H", 2) + (struct.pack("<H", 3) + bytes(64)) * 2),
        ("opening", head(9) + PERSON + struct.pack("<H", 2) + (struct.pack("<H", 3) + bytes(33)) * 2),
        ("opening", head(9) + PERSON + struct.pack("<2H", 1, 3) + PRIME.to_bytes(33, "little")),
        ("opening", head(9) + PERSON + struct.pack("<2H", 1, 3) + b"\xff" * 33),
        ("masked", head(5) + PERSON + bytes(8 * (PLAN.length - 1))),
        ("masked", head(5) + PERSON + bytes(8 * (PLAN.length + 1))),
        ("masked", head(5) + PERSON + bytes(4 * PLAN.length)),
    ],
)
def test_forged_messages_are_refused(kind: str, data: bytes) -> None:
    refused(SAID[kind][1], data)


def test_the_largest_cohort_fits() -> None:
    senders = sorted(number.to_bytes(32, "big") for number in range(MOST_CLIENTS))
    keys = KeyList(tuple(Advert(sender, bytes(64), bytes(32), bytes(32)) for sender in senders))
    assert KeyList.from_bytes(keys.to_bytes()) == keys
    everybody = Survivors(tuple(range(MOST_CLIENTS)))
    assert Survivors.from_bytes(everybody.to_bytes()) == everybody
