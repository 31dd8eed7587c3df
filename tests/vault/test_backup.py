from __future__ import annotations

import hashlib
import struct
from pathlib import Path

import pytest

from edgeperso.errors import (
    BackupInvalid,
    SourceNotFound,
    UsageError,
    VaultExists,
    VaultTooNew,
    WrongKey,
)
from edgeperso.types import Granularity, Role
from edgeperso.vault import KeyFile, RecoveryKey, Vault, backup, erasure, migrations
from edgeperso.vault.rotation import rotate

TRAILER = 16 + 32 + 32 + 16


@pytest.fixture
def made(vault: Vault, note, tmp_path: Path) -> Path:
    vault.memories.add([note(f"canary-{i} " + "words " * 20) for i in range(60)])
    vault.conversations.add_turn(vault.conversations.start(), Role.PERSON, "Who?")
    path = tmp_path / "backups" / "first.edgeperso"
    path.parent.mkdir()
    backup.write(vault, path)
    return path


def test_round_trip(made: Path, vault: Vault, key: KeyFile, tmp_path: Path) -> None:
    new_home = tmp_path / "deep" / "new"
    report = backup.restore(made, new_home, key)
    assert (report.memories, report.generation, report.vault_id) == (60, vault.generation, vault.id)
    with Vault.open(new_home, key) as restored:
        assert list(restored.memories.scan()) == list(vault.memories.scan())
        assert restored.conversations.turns(1) == vault.conversations.turns(1)
        assert restored.database.counts() == vault.database.counts()
        assert restored.memories.add([]).added == 0
        assert min(restored.memories.add([_other()]).ids) > 60
    assert [path.name for path in made.parent.iterdir()] == [made.name]
    assert made.stat().st_mode & 0o777 == 0o600


def test_what_was_learnt_comes_along(vault: Vault, key: KeyFile, tmp_path: Path, note, lora) -> None:
    ids = vault.memories.add([note("a"), note("b")]).ids
    pair = vault.pairs.add("p", "better", "worse", at_ms=1, scope="personal", memories=ids[:1])
    payload = bytes(range(256)) * 10_000
    stored = vault.adapters.add(lora(report={"gain": 0.25}), payload, memories=ids, pairs=[pair.id])
    vault.adapters.wear(Granularity.USER, stored.id, scale=0.5)
    vault.checkpoints.save("t", payload, ids)
    backup.write(vault, tmp_path / "b")
    backup.restore(tmp_path / "b", tmp_path / "new", key)
    with Vault.open(tmp_path / "new", key) as restored:
        assert restored.adapters.all() == [stored]
        assert restored.adapters.payload(stored.id) == payload
        assert restored.adapters.sources(stored.id) == vault.adapters.sources(stored.id)
        assert restored.adapters.history(Granularity.USER) == vault.adapters.history(Granularity.USER)
        assert restored.pairs.all() == [pair]
        assert restored.checkpoints.load("t") == payload
        receipt = erasure.erase(restored, erasure.plan(restored, ids=ids[:1]))
        assert receipt.adapter_ids == (stored.id,)


def _other():
    from edgeperso.types import Kind, Record

    return Record("new one", Kind.NOTE, "z")


def test_nothing_readable_in_it(made: Path) -> None:
    data = made.read_bytes()
    assert b"canary" not in data
    assert not data.startswith(b"SQLite")


def test_never_overwrites(made: Path, vault: Vault, tmp_path: Path) -> None:
    before = made.read_bytes()
    with pytest.raises(VaultExists):
        backup.write(vault, made)
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(VaultExists):
        backup.write(vault, dangling)
    assert made.read_bytes() == before
    with vault.transaction(), pytest.raises(UsageError):
        backup.write(vault, tmp_path / "inside")


def test_a_failed_write_leaves_nothing(vault: Vault, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "b"
    folder.mkdir()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(backup, "_put", full)
    from edgeperso.errors import DiskFull

    with pytest.raises(DiskFull):
        backup.write(vault, folder / "x")
    assert list(folder.iterdir()) == []


def test_restore_refuses_a_home_in_use(made: Path, vault: Vault, key: KeyFile) -> None:
    with pytest.raises(VaultExists):
        backup.restore(made, vault.home, key)


def test_wrong_credential_or_no_file(made: Path, tmp_path: Path, key: KeyFile) -> None:
    other = KeyFile(tmp_path / "other")
    other.create()
    for path, credential, error in (
        (made, other, WrongKey),
        (tmp_path / "none", key, SourceNotFound),
        (tmp_path, key, SourceNotFound),
    ):
        with pytest.raises(error):
            backup.restore(path, tmp_path / "new", credential)
    assert not (tmp_path / "new").exists()


def _refused(data: bytes, key: KeyFile, tmp_path: Path) -> None:
    path, home = tmp_path / "bad", tmp_path / "new"
    path.write_bytes(data)
    with pytest.raises(BackupInvalid):
        backup.restore(path, home, key)
    assert not home.exists()


def test_cut_short_anywhere(made: Path, key: KeyFile, tmp_path: Path) -> None:
    data = made.read_bytes()
    for length in (0, 1, 15, TRAILER - 1, TRAILER, 5000, len(data) // 2, len(data) - TRAILER, len(data) - 1):
        _refused(data[:length], key, tmp_path)
    _refused(data[8192:], key, tmp_path)
    _refused(data + b"\0", key, tmp_path)


def test_a_flipped_bit_anywhere(made: Path, key: KeyFile, tmp_path: Path) -> None:
    data = bytearray(made.read_bytes())
    spots = [*range(len(data) - TRAILER, len(data), 3), *range(0, len(data), 1733)]
    for spot in spots:
        data[spot] ^= 4
        _refused(bytes(data), key, tmp_path)
        data[spot] ^= 4


@pytest.mark.parametrize(
    "lengths",
    [(2**63, 10, 10), (0, 2**32 - 1, 0), (0, 0, 2**32 - 1), (0, 0, 0), (2**64 - 1, 2**32 - 1, 2**32 - 1)],
)
def test_hostile_lengths(lengths: tuple[int, int, int], key: KeyFile, tmp_path: Path) -> None:
    packed = struct.pack(">QII", *lengths)
    _refused(packed + hashlib.sha256(packed).digest() + b"\0" * 32 + b"edgeperso-backup", key, tmp_path)


def test_parts_of_two_backups_do_not_mix(made: Path, vault: Vault, key: KeyFile, tmp_path: Path) -> None:
    """Even of the same vault: what was forgotten since can't be brought back under a newer manifest."""
    vault.memories.edit(1, "edited")
    second = tmp_path / "second"
    backup.write(vault, second)
    old, new = made.read_bytes(), second.read_bytes()
    size = struct.unpack(">Q", old[-TRAILER : -TRAILER + 8])[0]
    assert size == struct.unpack(">Q", new[-TRAILER : -TRAILER + 8])[0]
    _refused(old[:size] + new[size:], key, tmp_path)


def test_a_forged_manifest_needs_the_key(made: Path, key: KeyFile, tmp_path: Path) -> None:
    data = made.read_bytes()
    database, header, manifest = struct.unpack(">QII", data[-TRAILER : -TRAILER + 16])
    start = database + header
    forged = data[start : start + manifest].replace(b'"memories": 60', b'"memories": 61')
    signed = data[database:start] + forged + data[-TRAILER : -TRAILER + 16]
    end = hashlib.sha256(signed).digest() + data[-TRAILER + 48 :]
    _refused(data[:database] + signed + end, key, tmp_path)


def test_names_in_a_backup_lead_nowhere(made: Path, key: KeyFile, tmp_path: Path) -> None:
    data = made.read_bytes()
    _refused(data.replace(b"vault_id", b"../../id"), key, tmp_path)


def test_a_backup_of_a_newer_version(vault: Vault, key: KeyFile, tmp_path: Path) -> None:
    vault.database.execute("INSERT INTO migrations (name, at_ms) VALUES ('2099 unheard of', 0)")
    backup.write(vault, tmp_path / "b")
    with pytest.raises(VaultTooNew):
        backup.restore(tmp_path / "b", tmp_path / "new", key)
    assert not (tmp_path / "new").exists()


def test_a_backup_of_an_older_version_is_brought_up(made: Path, key: KeyFile, tmp_path: Path, monkeypatch) -> None:
    newer = {**migrations.MIGRATIONS, "later": lambda database, _: database.execute("CREATE TABLE later (x)")}
    monkeypatch.setattr(migrations, "MIGRATIONS", newer)
    backup.restore(made, tmp_path / "new", key)
    with Vault.open(tmp_path / "new", key) as restored:
        assert "later" in restored.database.counts()


def test_it_opens_with_the_credentials_of_its_time(home: Path, key: KeyFile, tmp_path: Path, note) -> None:
    vault, recovery = Vault.create(home, key)
    vault.memories.add([note("x")])
    backup.write(vault, tmp_path / "old")
    vault.close()
    new_key = KeyFile(tmp_path / "new.key")
    rotate(home, key, [new_key])
    with Vault.open(home, new_key) as rotated:
        backup.write(rotated, tmp_path / "new")
    backup.restore(tmp_path / "old", tmp_path / "h1", RecoveryKey(recovery))
    backup.restore(tmp_path / "new", tmp_path / "h2", new_key)
    with pytest.raises(WrongKey):
        backup.restore(tmp_path / "new", tmp_path / "h3", key)
