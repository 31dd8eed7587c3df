"""What a hostile or broken disk may hand us: the vault is refused as a whole, or is whole."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edgeperso.errors import DiskFull, PlaintextRefused, ReadOnly, VaultDamaged, VaultError
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault, migrations
from edgeperso.vault.vault import DATABASE_NAME

ROWS = 300


def records(count: int = ROWS) -> list[Record]:
    return [Record(f"memory {i} " + "words " * 12, Kind.NOTE, f"notes/{i % 5}.md") for i in range(count)]


@pytest.fixture
def key(tmp_path: Path) -> KeyFile:
    return KeyFile(tmp_path / "me.key")


@pytest.fixture
def home(tmp_path: Path, key: KeyFile) -> Path:
    """A vault at rest."""
    home = tmp_path / "home"
    vault, _ = Vault.create(home, key)
    with vault:
        vault.memories.add(records())
    return home


def whole(home: Path, key: KeyFile) -> int:
    with Vault.open(home, key) as vault:
        vault.check()
        memories = list(vault.memories.scan())
        assert all(memory.text.startswith("memory ") for memory in memories)
        return len(memories)


def test_truncated_anywhere(home: Path, key: KeyFile) -> None:
    data = (home / DATABASE_NAME).read_bytes()
    for length in (0, 1, 100, 8191, 8192, 12_000, len(data) // 2, len(data) - 8192, len(data) - 1):
        (home / DATABASE_NAME).write_bytes(data[:length])
        with pytest.raises(VaultDamaged):
            whole(home, key)
        assert (home / DATABASE_NAME).read_bytes() == data[:length]
    (home / DATABASE_NAME).write_bytes(data)
    assert whole(home, key) == ROWS


def test_a_flipped_bit_anywhere(home: Path, key: KeyFile) -> None:
    data = (home / DATABASE_NAME).read_bytes()
    spots = random.Random(3).sample(range(len(data)), 40)
    for spot in (0, 15, 16, 8191, len(data) - 1, *spots):
        flipped = bytearray(data)
        flipped[spot] ^= 1 << (spot % 8)
        (home / DATABASE_NAME).write_bytes(flipped)
        with pytest.raises(VaultDamaged):
            whole(home, key)
    (home / DATABASE_NAME).write_bytes(data)
    assert whole(home, key) == ROWS


def test_pages_exchanged(home: Path, key: KeyFile) -> None:
    data = (home / DATABASE_NAME).read_bytes()
    pages = [data[start : start + 8192] for start in range(0, len(data), 8192)]
    pages[3], pages[4] = pages[4], pages[3]
    (home / DATABASE_NAME).write_bytes(b"".join(pages))
    with pytest.raises(VaultDamaged):
        whole(home, key)


def test_a_plain_database_in_its_place(home: Path, key: KeyFile) -> None:
    import sqlite3

    (home / DATABASE_NAME).unlink()
    plain = sqlite3.connect(home / DATABASE_NAME)
    plain.execute("CREATE TABLE memories (id)")
    plain.close()
    before = (home / DATABASE_NAME).read_bytes()
    with pytest.raises(PlaintextRefused):
        Vault.open(home, key)
    assert (home / DATABASE_NAME).read_bytes() == before


def test_another_vaults_database(home: Path, key: KeyFile, tmp_path: Path) -> None:
    Vault.create(tmp_path / "other", key)[0].close()
    shutil.copy(tmp_path / "other" / DATABASE_NAME, home / DATABASE_NAME)
    with pytest.raises(VaultDamaged):
        Vault.open(home, key)


CRASH = """
import os, sys
from pathlib import Path
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
vault = Vault.open(Path(sys.argv[1]), KeyFile(sys.argv[2]))
vault.memories.add([Record(f"memory late {i}", Kind.NOTE, "late.md") for i in range(50)])
os._exit(9)
"""


def crash(home: Path, key: KeyFile) -> Path:
    """Add 50 memories and die, leaving them in the write-ahead log alone."""
    assert subprocess.run([sys.executable, "-c", CRASH, str(home), str(key.path)]).returncode == 9
    log = home / f"{DATABASE_NAME}-wal"
    assert log.stat().st_size > 0
    return log


def test_the_log_of_a_crash_is_used(home: Path, key: KeyFile) -> None:
    crash(home, key)
    assert whole(home, key) == ROWS + 50
    assert not list(home.glob(".edgeperso-*"))


@pytest.mark.parametrize("with_index", [True, False])
def test_a_foreign_log_is_set_aside(home: Path, key: KeyFile, tmp_path: Path, with_index: bool) -> None:
    other = tmp_path / "other"
    shutil.copytree(home, other)
    (other / DATABASE_NAME).unlink()
    for name in ("header.json", "header.backup.json"):
        (other / name).unlink()
    vault, _ = Vault.create(other, key)
    with vault:
        vault.memories.add(records())
    log = crash(other, key)
    before = (home / DATABASE_NAME).read_bytes()
    shutil.copy(log, home / log.name)
    if with_index:
        shutil.copy(other / f"{DATABASE_NAME}-shm", home / f"{DATABASE_NAME}-shm")
    with Vault.open(home, key) as opened:
        assert opened.memories.count() == ROWS
        assert (home / DATABASE_NAME).read_bytes() == before
    assert whole(home, key) == ROWS
    (rejected,) = home.glob("*.rejected-*")
    assert rejected.read_bytes() == log.read_bytes()
    assert not list(home.glob(".edgeperso-*"))


def test_a_torn_log_gives_what_was_whole(home: Path, key: KeyFile) -> None:
    log = crash(home, key)
    log.write_bytes(log.read_bytes()[:-5000])
    assert whole(home, key) in (ROWS, ROWS + 50)


@pytest.mark.parametrize("seed", range(6))
def test_a_flipped_bit_in_the_log(home: Path, key: KeyFile, seed: int) -> None:
    log = crash(home, key)
    data = bytearray(log.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 8
    log.write_bytes(data)
    assert whole(home, key) in (ROWS, ROWS + 50)


def test_a_damaged_database_with_a_log_is_left_as_it_is(home: Path, key: KeyFile) -> None:
    log = crash(home, key)
    data = bytearray((home / DATABASE_NAME).read_bytes())
    for start in range(0, len(data), 8192):
        data[start + 99] ^= 1
    (home / DATABASE_NAME).write_bytes(data)
    kept = log.read_bytes()
    with pytest.raises(VaultDamaged):
        Vault.open(home, key)
    assert (home / DATABASE_NAME).read_bytes() == data
    assert log.read_bytes() == kept


KILLED = """
import itertools, sys
from pathlib import Path
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault
with Vault.open(Path(sys.argv[1]), KeyFile(sys.argv[2])) as vault:
    for i in itertools.count():
        ids = vault.memories.add([Record(f"memory {i}-{j}", Kind.NOTE, "new.md") for j in range(20)]).ids
        print(ids[-1], flush=True)
"""


@pytest.mark.parametrize("acknowledged", [1, 7, 30])
def test_kill_in_the_middle_of_adding(home: Path, key: KeyFile, acknowledged: int) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(home), str(key.path)], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    for _ in range(acknowledged):
        child.stdout.readline()
    child.kill()
    lines = [int(line) for line in child.stdout.read().splitlines() if line.strip().isdigit()]
    child.wait()
    count = whole(home, key)
    assert (count - ROWS) % 20 == 0
    assert count - ROWS >= 20 * (acknowledged + len(lines) - 1)
    assert whole(home, key) == count


FULL = """
import resource, signal, sys
from pathlib import Path
from edgeperso.errors import DiskFull
from edgeperso.types import Kind, Record
from edgeperso.vault import KeyFile, Vault, backup, erasure
from edgeperso.vault.rotation import rotate
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
home, key = Path(sys.argv[1]), KeyFile(sys.argv[2])
with Vault.open(home, key) as vault:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), resource.RLIM_INFINITY))
    try:
        big = (Record(f"memory {i} " + "x" * 500, Kind.NOTE, "big.md") for i in range(5000))
        vault.memories.add(big, batch_size=50)
    except DiskFull:
        print("full", vault.memories.count())
    try:
        backup.write(vault, home.parent / "backup")
    except DiskFull:
        print("full")
try:
    rotate(home, key)
except DiskFull:
    print("full")
"""


# SQLCipher reports a refused write as any damage: what it was is found out by writing, a little or where the file ends.
@pytest.mark.parametrize(("limit_bytes", "refused"), [(150_000, 2), (2_500_000, 1)])
def test_a_full_disk_keeps_what_was_finished(home: Path, key: KeyFile, limit_bytes: int, refused: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(home), str(key.path), str(limit_bytes)],
        capture_output=True,
        text=True,
        check=False,
    )
    words = done.stdout.split()
    assert words[0] == "full", done.stderr[-2000:]
    assert words.count("full") >= refused, (words, done.stderr[-2000:])
    assert refused == 1 or not (home.parent / "backup").exists()
    assert whole(home, key) == int(words[1]) >= ROWS
    assert not list(home.glob(".edgeperso-*"))


FULL_UPGRADE = """
import json, resource, signal, sys
from pathlib import Path
from edgeperso.errors import DiskFull
from edgeperso.vault import KeyFile, Vault, migrations
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, resource.RLIM_INFINITY))
migrations._MOVED_AT_ONCE = 50
told = []
try:
    Vault.open(Path(sys.argv[1]), KeyFile(Path(sys.argv[2])), progress=lambda _, done, total: told.append(done))
except DiskFull as error:
    print(json.dumps([error.code, error.exit_code, error.hint, told[-1]]))
"""


@pytest.mark.parametrize("count", [100, 1500])
def test_a_disk_that_fills_up_in_an_upgrade(tmp_path: Path, vault_without_keys, monkeypatch, count: int) -> None:
    home, key = tmp_path / "older", KeyFile(tmp_path / "older.key")
    vectors = np.random.default_rng(0).standard_normal((count, 4096)).astype(np.float16)
    ids = vault_without_keys(home, key.path, {"one": vectors})
    done = subprocess.run(
        [sys.executable, "-c", FULL_UPGRADE, str(home), str(key.path)], capture_output=True, text=True, check=True
    )
    code, exit_code, hint, moved = json.loads(done.stdout)
    assert (code, exit_code) == ("disk_full", 4)
    assert "Free some space and run the same command again" in hint
    assert (moved == count) == (count == 100)  # a small one fails when it is stored, a large one on the way
    with monkeypatch.context() as patch:
        patch.setattr(migrations, "MIGRATIONS", dict(list(migrations.MIGRATIONS.items())[:3]))
        with Vault.open(home, key) as vault:
            vault.check()
            rows = vault.database.rows("SELECT memory_id, data FROM vectors ORDER BY memory_id")
            assert rows == [(id_, row.tobytes()) for id_, row in zip(ids, vectors, strict=True)]
    with Vault.open(home, key) as vault:
        vault.check()
        there, read = vault.vectors.load("one")
        assert there.tolist() == ids
        np.testing.assert_array_equal(read, vectors)


def test_a_home_that_can_not_be_written(home: Path, key: KeyFile, monkeypatch) -> None:
    import os

    real = os.open

    def read_only(path: object, flags: int, *rest: object, **more: object) -> int:
        if str(path).startswith(str(home)) and flags & (os.O_RDWR | os.O_WRONLY | os.O_CREAT):
            raise OSError(30, "Read-only file system")
        return real(path, flags, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", read_only)
    with pytest.raises(ReadOnly):
        Vault.open(home, key)
    monkeypatch.undo()
    assert whole(home, key) == ROWS


def test_a_folder_in_the_databases_place(home: Path, key: KeyFile) -> None:
    (home / DATABASE_NAME).rename(home / "aside")
    (home / DATABASE_NAME).mkdir()
    with pytest.raises(VaultError):
        Vault.open(home, key)


def test_a_link_in_the_locks_place_is_not_followed(home: Path, key: KeyFile, tmp_path: Path) -> None:
    target = tmp_path / "precious"
    target.write_text("keep")
    (home / "vault.lock").unlink()
    (home / "vault.lock").symlink_to(target)
    with pytest.raises(VaultError):
        Vault.open(home, key)
    assert target.read_text() == "keep"


def test_disk_full_is_ours(home: Path, key: KeyFile) -> None:
    with Vault.open(home, key) as vault:
        vault.database.execute(f"PRAGMA max_page_count = {vault.database.row('PRAGMA page_count')[0] + 2}")
        with pytest.raises(DiskFull):
            vault.memories.add(records(5000)[ROWS:])
        assert vault.memories.count() == ROWS
    assert whole(home, key) == ROWS
