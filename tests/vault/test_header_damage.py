"""Damaged and hostile headers: frozen vectors, every flipped byte, every cut, an attacker who fixes the checksum."""

from __future__ import annotations

import copy
import hashlib
import hmac
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import keyring.core
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.errors import EdgepersoError, HeaderDamaged, UnlockError, VaultError, VaultNotFound, VaultTooNew
from edgeperso.vault.credentials import Credential, KeyFile, OsKeyring, Passphrase, RecoveryKey
from edgeperso.vault.header import Condition, Header
from edgeperso.vault.keys import Argon2Cost, MasterKey, Purpose

HERE = Path(__file__).parent
FROZEN: dict[str, Any] = json.loads((HERE / "vectors_header.json").read_text(encoding="utf-8"))
MUTATIONS: dict[str, list[dict[str, Any]]] = json.loads((HERE / "vectors_header_mutations.json").read_text())
FROZEN_TEXT = "\n".join(FROZEN["header"]) + "\n"
FROZEN_ROTATING = "\n".join(FROZEN["header_rotating"]) + "\n"
CHEAP = Argon2Cost(64, 1, 1, below_standard=True)
OLD = Passphrase("the old passphrase")


def named(kind: str) -> list[Any]:
    return [pytest.param(row, id=row["name"]) for row in MUTATIONS[kind]]


class SecretService:
    __module__ = "keyring.backends.SecretService"

    def get_password(self, service: str, user: str) -> str | None:
        kept: str = FROZEN["credentials"]["os_keyring"]
        return kept if (service, user) == ("edgeperso", FROZEN["vault_id"]) else None


@pytest.fixture
def credentials(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Credential]:
    monkeypatch.setattr(keyring.core, "_keyring_backend", SecretService())
    given_ones = FROZEN["credentials"]
    (tmp_path / "frozen.key").write_text(given_ones["key_file"])
    return {
        "passphrase": Passphrase(given_ones["passphrase"]),
        "key_file": KeyFile(tmp_path / "frozen.key"),
        "os_keyring": OsKeyring(),
        "recovery": RecoveryKey(given_ones["recovery"]),
    }


def resealed(fields: dict[str, Any]) -> bytes:
    """The file of ``fields`` with the checksum made to fit: what anybody without a key can do. Written apart from the
    package's own, so that the form can't change unnoticed."""
    rest = {name: value for name, value in fields.items() if name != "checksum"}
    canonical = json.dumps(rest, sort_keys=True, separators=(",", ":")).encode()
    whole = rest | {"checksum": hashlib.sha256(canonical).hexdigest()}
    return json.dumps(whole, sort_keys=True, indent=2).encode() + b"\n"


def altered(row: dict[str, Any]) -> bytes:
    fields = json.loads(FROZEN_TEXT)
    for path, value in row.get("set", []):
        _parent(fields, path)[path[-1]] = value
    for path in row.get("delete", []):
        del _parent(fields, path)[path[-1]]
    return resealed(fields)


def _parent(fields: Any, path: list[Any]) -> Any:
    for step in path[:-1]:
        fields = fields[step]
    if isinstance(fields, dict) and not isinstance(path[-1], str):
        raise TypeError  # JSON has no such place
    return fields


# -- frozen vectors ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["passphrase", "key_file", "os_keyring", "recovery"])
def test_the_frozen_header_opens(credentials: dict[str, Credential], name: str) -> None:
    master = Header.from_bytes(FROZEN_TEXT.encode()).unlock(credentials[name])
    assert master._key.hex() == FROZEN["master"]
    assert {purpose.value: master.derive(purpose).hex() for purpose in Purpose} == FROZEN["derived"]


def test_the_frozen_rotation_goes_on(credentials: dict[str, Credential]) -> None:
    header = Header.from_bytes(FROZEN_ROTATING.encode())
    pending = header.pending(header.unlock(credentials["recovery"]))
    assert pending is not None
    assert pending._key.hex() == FROZEN["pending"]


def test_the_frozen_seals_are_what_the_format_says() -> None:
    fields = json.loads(FROZEN_TEXT)
    assert resealed(fields) == FROZEN_TEXT.encode()
    covered = {name: value for name, value in fields.items() if name not in {"checksum", "mac"}}
    canonical = json.dumps(covered, sort_keys=True, separators=(",", ":")).encode()
    key = bytes.fromhex(FROZEN["derived"]["header"])
    assert hmac.new(key, canonical, hashlib.sha256).hexdigest() == fields["mac"]


@pytest.mark.parametrize("row", named("raw"))
def test_raw_damage(row: dict[str, Any]) -> None:
    text: str = row.get("text", FROZEN_TEXT)
    if "repeat" in row:
        text = row["repeat"][0] * row["repeat"][1]
    if "replace" in row:
        assert row["replace"][0] in text
        text = text.replace(*row["replace"])
    text = row.get("prepend", "") + text + row.get("append", "")
    text = text[: row.get("keep", len(text))]
    text = text[: len(text) - row.get("cut_end", 0)] * (2 if row.get("twice") else 1)
    assert text != FROZEN_TEXT
    with pytest.raises(EdgepersoError) as caught:
        Header.from_bytes(text.encode())
    assert caught.value.code == row["error"]


@pytest.mark.parametrize("row", named("load"))
def test_altered_and_resealed_is_refused_on_reading(row: dict[str, Any]) -> None:
    with pytest.raises(EdgepersoError) as caught:
        Header.from_bytes(altered(row))
    assert caught.value.code == row["error"]
    assert caught.value.__suppress_context__ or caught.value.__context__ is None


@pytest.mark.parametrize("row", named("unlock"))
def test_altered_and_resealed_is_refused_on_unlocking(credentials: dict[str, Credential], row: dict[str, Any]) -> None:
    header = Header.from_bytes(altered(row))
    with pytest.raises(EdgepersoError) as caught:
        header.unlock(credentials[row["by"]])
    assert caught.value.code == row["error"]


# -- every byte ----------------------------------------------------------------------------------------------------


def test_every_flipped_byte_is_damage() -> None:
    data = FROZEN_ROTATING.encode()
    for at in range(len(data)):
        for mask in (1 << at % 8, 0x20, 0xFF):
            flipped = bytearray(data)
            flipped[at] ^= mask
            with pytest.raises(HeaderDamaged):
                Header.from_bytes(bytes(flipped))


def test_every_cut_is_damage() -> None:
    data = FROZEN_ROTATING.encode()
    for length in range(len(data)):
        with pytest.raises(HeaderDamaged):
            Header.from_bytes(data[:length])


def test_an_oversized_header_is_not_even_parsed() -> None:
    with pytest.raises(HeaderDamaged, match="too large"):
        Header.from_bytes(resealed(json.loads(FROZEN_TEXT) | {"comment": "x" * 70_000}))


@given(st.binary(max_size=3000))
def test_any_bytes_are_damage(data: bytes) -> None:
    with pytest.raises(HeaderDamaged):
        Header.from_bytes(data)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


def leaves(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all places in a header."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(found for key, each in inner for found in leaves(each, (*path, key)))]


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_an_attacker_without_a_key_never_gets_a_header_accepted(data: st.DataObject) -> None:
    """Any place of a header takes any value (or another place's), with the checksum made to fit."""
    fields = json.loads(FROZEN_ROTATING)
    places = [path for path in leaves(fields) if path and path[0] != "checksum"]
    before = copy.deepcopy(fields)
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(places))
        source = data.draw(st.sampled_from(places))
        value = data.draw(st.one_of(st.just(_at(before, source)), JSON, st.just("00" * 16), st.integers(0, 10**6)))
        try:
            _parent(fields, list(path))[path[-1]] = copy.deepcopy(value)
        except (KeyError, IndexError, TypeError):
            continue
    if fields == before and repr(fields) == repr(before):
        return
    with pytest.raises((UnlockError, VaultTooNew)):
        Header.from_bytes(resealed(fields)).unlock(RecoveryKey(FROZEN["credentials"]["recovery"]))


def _at(fields: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        fields = fields[step]
    return fields


def test_a_header_that_mixes_two_vaults_doesnt_open(tmp_path: Path) -> None:
    ours, _, _ = Header.create(tmp_path / "a", KeyFile(tmp_path / "k"), cost=CHEAP)
    theirs, _, _ = Header.create(tmp_path / "b", KeyFile(tmp_path / "k"), cost=CHEAP)
    a, b = json.loads(ours.to_bytes()), json.loads(theirs.to_bytes())
    for names in (["vault_id"], ["wraps"], ["mac"], ["vault_id", "wraps"], ["vault_id", "mac"], ["wraps", "mac"]):
        mixed = a | {name: b[name] for name in names}
        with pytest.raises(UnlockError):
            Header.from_bytes(resealed(mixed)).unlock(KeyFile(tmp_path / "k"))


# -- two files -----------------------------------------------------------------------------------------------------


def create(home: Path) -> tuple[Header, MasterKey, str]:
    return Header.create(home, OLD, cost=CHEAP)


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, 10**6), mask=st.integers(1, 255), copy_is=st.sampled_from(["whole", "missing", "flipped"]))
def test_a_flipped_byte_on_disk(at: int, mask: int, copy_is: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        _, master, _ = create(home)
        primary, backup = home / "header.json", home / "header.backup.json"
        _flip(primary, at, mask)
        if copy_is == "missing":
            backup.unlink()
        elif copy_is == "flipped":
            _flip(backup, at * 7 + 3, mask)
        if copy_is != "whole":
            with pytest.raises(HeaderDamaged):
                Header.load(home)
            return
        header = Header.load(home)
        assert header.condition is Condition.PRIMARY_LOST
        assert header.unlock(OLD).matches(master)


def _flip(path: Path, at: int, mask: int) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= mask
    path.write_bytes(data)


@pytest.mark.parametrize("damage", ["missing", "empty", "flipped", "folder", "pipe", "loop", "huge"])
@pytest.mark.parametrize("name", ["header.json", "header.backup.json"])
def test_one_lost_file_is_told_and_made_good(tmp_path: Path, name: str, damage: str) -> None:
    _, master, _ = create(tmp_path)
    _harm(tmp_path / name, damage)
    header = Header.load(tmp_path, cost=CHEAP)
    assert header.condition is (Condition.PRIMARY_LOST if name == "header.json" else Condition.BACKUP_LOST)
    opened = header.unlock(OLD)
    assert opened.matches(master)
    if damage == "folder":
        with pytest.raises(VaultError):
            header.repair(opened)
        return
    header.repair(opened)
    assert header.condition is Condition.WHOLE
    assert Header.load(tmp_path).condition is Condition.WHOLE


@pytest.mark.parametrize("damage", ["empty", "flipped", "folder", "pipe", "loop", "huge"])
def test_both_lost_is_damage(tmp_path: Path, damage: str) -> None:
    create(tmp_path)
    _harm(tmp_path / "header.json", damage)
    _harm(tmp_path / "header.backup.json", damage)
    with pytest.raises(HeaderDamaged):
        Header.load(tmp_path)


def test_neither_there_is_no_vault(tmp_path: Path) -> None:
    create(tmp_path)
    _harm(tmp_path / "header.json", "missing")
    _harm(tmp_path / "header.backup.json", "missing")
    with pytest.raises(VaultNotFound):
        Header.load(tmp_path)


def _harm(path: Path, damage: str) -> None:
    data = path.read_bytes()
    path.unlink()
    if damage == "empty":
        path.touch()
    elif damage == "flipped":
        path.write_bytes(data[:100] + b"\x00" + data[101:])
    elif damage == "folder":
        path.mkdir()
    elif damage == "pipe":
        os.mkfifo(path)
    elif damage == "loop":
        path.symlink_to(path)
    elif damage == "huge":
        with path.open("wb") as file:
            file.truncate(1 << 33)


def test_a_copy_is_not_used_in_place_of_a_newer_version(tmp_path: Path) -> None:
    create(tmp_path)
    path = tmp_path / "header.json"
    newer = resealed(json.loads(path.read_text()) | {"version": 2})
    path.write_bytes(newer)
    with pytest.raises(VaultTooNew):
        Header.load(tmp_path)
    assert path.read_bytes() == newer


def test_unlocking_renews_a_copy_that_a_crash_left_behind(tmp_path: Path) -> None:
    header, master, _ = create(tmp_path)
    old = header.to_bytes()
    header.change_passphrase(master, Passphrase("another"))
    (tmp_path / "header.backup.json").write_bytes(old)
    Header.load(tmp_path).unlock(Passphrase("another"))
    assert (tmp_path / "header.backup.json").read_bytes() == header.to_bytes()


def test_a_header_this_user_may_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    create(tmp_path)

    def refuse(*_: object, **__: object) -> int:
        raise PermissionError(13, "canary")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(VaultError) as caught:
        Header.load(tmp_path)
    assert "canary" not in str(caught.value)
