"""The master key and its derivations."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeperso.errors import UnlockError, UsageError, WrongKey
from edgeperso.secrecy import SecretBytes
from edgeperso.vault import keys
from edgeperso.vault.keys import Argon2Cost, MasterKey, Purpose

VAULT_ID = "00112233445566778899aabbccddeeff"


def hkdf_sha256(secret: bytes, salt: bytes, info: bytes) -> bytes:
    """RFC 5869 for one block, written down a second time."""
    extracted = hmac.new(salt, secret, hashlib.sha256).digest()
    return hmac.new(extracted, info + b"\x01", hashlib.sha256).digest()


@pytest.mark.parametrize("purpose", list(Purpose))
def test_derives_by_hkdf_with_the_vault_id_as_salt(purpose: Purpose) -> None:
    master = MasterKey(SecretBytes.of(bytes(range(32))), VAULT_ID)
    expected = hkdf_sha256(bytes(range(32)), bytes.fromhex(VAULT_ID), b"edgeperso/v1/" + purpose.value.encode())
    assert master.derive(purpose) == expected
    assert master.derive(purpose.value) == expected


def test_purposes_and_vaults_get_different_keys() -> None:
    here, there = (MasterKey(SecretBytes.of(bytes(range(32))), vault) for vault in (VAULT_ID, "ff" * 16))
    derived = {key.derive(purpose).hex() for key in (here, there) for purpose in Purpose}
    assert len(derived) == 2 * len(Purpose)
    assert bytes(range(32)).hex() not in derived


def test_an_unknown_purpose_is_refused() -> None:
    with pytest.raises(UsageError):
        MasterKey.random(VAULT_ID).derive("anything")


def test_master_keys_are_random() -> None:
    assert not MasterKey.random(VAULT_ID).matches(MasterKey.random(VAULT_ID))


def test_the_bytes_never_show() -> None:
    master = MasterKey(SecretBytes.of(b"\xab" * 32), VAULT_ID)
    for shown in (repr(master), str(master), f"{master}", f"{[master]}"):
        assert "ab" * 4 not in shown
        assert "xab" not in shown
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            attempt(master)
    assert not hasattr(master, "__dict__")


def test_wiping_overwrites_and_disables() -> None:
    key = SecretBytes.of(b"\xab" * 32)
    kept = key.view()[:]
    master = MasterKey(key, VAULT_ID)
    master.wipe()
    master.wipe()
    assert kept == bytes(32)
    for use in (lambda: master.derive(Purpose.DATABASE), lambda: master.matches(master)):
        with pytest.raises(UsageError):
            use()


def test_a_key_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError):
        MasterKey(SecretBytes(31), VAULT_ID)


@given(st.binary(min_size=32, max_size=32), st.binary(max_size=64))
def test_what_was_sealed_opens_with_the_same_key_and_context_only(key: bytes, aad: bytes) -> None:
    nonce, sealed = keys.seal(key, b"s" * 32, aad)
    assert keys.unseal(key, nonce, sealed, aad) == b"s" * 32
    other = bytes([key[0] ^ 1]) + key[1:]
    for attempt in (
        (other, nonce, sealed, aad),
        (key, nonce, sealed, aad + b"x"),
        (key, bytes([nonce[0] ^ 1]) + nonce[1:], sealed, aad),
        (key, nonce, sealed[:-1] + bytes([sealed[-1] ^ 1]), aad),
    ):
        with pytest.raises(WrongKey) as caught:
            keys.unseal(*attempt)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__


def test_nothing_is_made_with_a_key_that_is_wiped_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    """As by another thread that locks the vault: what was computed may have come from zeros."""
    key = SecretBytes.of(b"k" * 32)

    class Slow:
        def __init__(self, *_: object) -> None:
            pass

        def derive_into(self, *_: object) -> None:
            key.close()

    monkeypatch.setattr(keys, "HKDF", Slow)
    with pytest.raises(UsageError, match="locked"):
        MasterKey(key, VAULT_ID).derive(Purpose.BACKUP)


def test_nonces_are_fresh() -> None:
    assert len({keys.seal(bytes(32), b"", b"")[0] for _ in range(100)}) == 100


@pytest.mark.parametrize(
    ("memory_kib", "iterations", "lanes"),
    [(65_535, 3, 4), (65_536, 2, 4), (1024, 1, 1)],
)
def test_a_cost_below_the_standard_has_to_be_asked_for(memory_kib: int, iterations: int, lanes: int) -> None:
    with pytest.raises(UsageError):
        Argon2Cost(memory_kib, iterations, lanes)
    assert Argon2Cost(memory_kib, iterations, lanes, below_standard=True).memory_kib == memory_kib


@pytest.mark.parametrize(
    ("memory_kib", "iterations", "lanes"),
    [(104_857_600, 3, 4), (65_536, 11, 4), (65_536, 3, 17), (65_536, 3, 0), (65_536, 0, 1), (15, 1, 2), (-1, 1, 1)],
)
def test_no_cost_is_out_of_bounds(memory_kib: int, iterations: int, lanes: int) -> None:
    with pytest.raises(UsageError):
        Argon2Cost(memory_kib, iterations, lanes, below_standard=True)


def test_too_little_memory_for_argon2_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    class Starving:
        def __init__(self, **_: object) -> None:
            pass

        def derive_into(self, _: bytes, __: memoryview) -> int:
            raise MemoryError

    monkeypatch.setattr(keys, "Argon2id", Starving)
    with pytest.raises(UnlockError, match="64 MiB"):
        keys.stretch_passphrase(b"secret", bytes(16), Argon2Cost())


def test_the_standard_cost_is_what_was_promised() -> None:
    assert (keys.STANDARD_COST.memory_kib, keys.STANDARD_COST.iterations) == (65_536, 3)
    assert 1 <= keys.STANDARD_COST.lanes <= 4
