"""States of the model in the vault: whole or not at all, and gone with what they hold."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeperso.errors import NotFound
from edgeperso.types import Granularity
from edgeperso.vault import KeyFile, Vault, backup, erasure
from edgeperso.vault.states import States

BOUND, OTHER = "ab" * 32, "cd" * 32
PREFIX, SECOND = "01" * 32, "02" * 32
STATE = os.urandom(3 << 20)


def save(vault: Vault, prefix: str = PREFIX, state: bytes = STATE, **rest) -> bool:
    return vault.states.save(BOUND, prefix, state, profile=vault.profile.all(), **rest)


def test_what_was_saved_is_loaded_also_by_the_next_process(vault: Vault, home: Path, key: KeyFile) -> None:
    assert vault.states.load(BOUND, PREFIX) is None
    assert save(vault)
    assert save(vault, SECOND, b"another")
    assert vault.states.has(BOUND, PREFIX)
    vault.close()
    with Vault.open(home, key) as again:
        assert again.states.load(BOUND, PREFIX) == STATE
        assert again.states.load(BOUND, SECOND) == b"another"
        assert save(again, PREFIX, b"newer")
        assert again.states.load(BOUND, PREFIX) == b"newer"
        assert again.database.counts()["states"] == 2


def test_another_binding_drops_what_can_not_be_used_any_more(vault: Vault) -> None:
    save(vault)
    assert vault.states.load(OTHER, PREFIX) is None
    assert vault.database.counts()["states"] == vault.database.counts()["state_chunks"] == 0


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM state_chunks WHERE number = 1",
        "DELETE FROM state_chunks",
        "UPDATE state_chunks SET data = substr(data, 2) WHERE number = 2",
        "UPDATE state_chunks SET data = zeroblob(length(data)) WHERE number = 0",
    ],
)
def test_a_damaged_state_is_dropped_without_a_word(vault: Vault, damage: str) -> None:
    save(vault)
    vault.database.execute(damage)
    assert vault.states.load(BOUND, PREFIX) is None
    assert not vault.states.has(BOUND, PREFIX)


def test_the_oldest_make_way_for_the_newest(vault: Vault) -> None:
    states = States(vault.database, budget_bytes=100)
    for number, size in enumerate((40, 40, 40)):
        assert states.save(BOUND, f"{number:064}", bytes(size), profile={})
    assert [states.has(BOUND, f"{number:064}") for number in range(3)] == [False, True, True]
    assert states.save(BOUND, PREFIX, bytes(100), profile={})
    assert vault.database.counts()["states"] == 1
    assert not states.save(BOUND, SECOND, bytes(101), profile={})
    assert not states.save(BOUND, SECOND, b"", profile={})
    assert states.has(BOUND, PREFIX)


def test_a_changed_profile_drops_them_all(vault: Vault) -> None:
    vault.profile.set("name", "Ines")
    save(vault)
    vault.profile.set("city", "Ghent")
    assert not vault.states.has(BOUND, PREFIX)
    save(vault)
    vault.profile.delete("name")
    assert not vault.states.has(BOUND, PREFIX)
    save(vault)
    with pytest.raises(NotFound):
        vault.profile.delete("name")
    assert vault.states.has(BOUND, PREFIX), "nothing was changed"


@pytest.mark.parametrize("then", [{}, {"name": "Ines", "city": "Ghent"}, {"name": "Inez"}])
def test_one_made_of_a_profile_that_changed_meanwhile_is_not_kept(vault: Vault, then: dict[str, str]) -> None:
    for name, value in then.items():
        vault.profile.set(name, value)
    assert not vault.states.save(BOUND, PREFIX, STATE, profile={"name": "Ines"})
    assert vault.database.counts()["states"] == 0


@pytest.fixture
def worn(vault: Vault, lora, note) -> str:
    """The digest of an adapter that learnt memory 1."""
    ids = vault.memories.add([note("secret"), note("other")]).ids
    return vault.adapters.add(lora(granularity=Granularity.USER), b"weights", memories=ids[:1]).digest


@pytest.mark.parametrize("what", ["forget", "edit", "delete"])
def test_it_goes_with_the_adapter_that_computed_it(vault: Vault, worn: str, what: str) -> None:
    assert save(vault, adapters=[worn])
    assert save(vault, SECOND)
    erasure.erase(vault, erasure.plan(vault, ids=[2]))
    assert vault.states.has(BOUND, PREFIX), "the adapter knows nothing of that memory"
    match what:
        case "forget":
            erasure.erase(vault, erasure.plan(vault, ids=[1]))
        case "edit":
            vault.memories.edit(1, "changed")
        case "delete":
            vault.adapters.delete(1)
    assert not vault.states.has(BOUND, PREFIX)
    assert vault.states.has(BOUND, SECOND)


def test_one_computed_with_a_tainted_or_unknown_adapter_is_not_kept(vault: Vault, worn: str) -> None:
    assert not save(vault, adapters=["ff" * 32])
    vault.memories.edit(1, "changed")
    assert not save(vault, adapters=[worn])
    assert vault.database.counts()["states"] == 0


def test_nothing_of_it_is_readable_and_nothing_is_left(vault: Vault, home: Path, key: KeyFile, decrypted_pages) -> None:
    from edgeperso.vault.keys import Purpose

    database_key = vault.master.derive(Purpose.DATABASE)
    mark = os.urandom(64)
    save(vault, state=mark * 1000)
    vault.database.checkpoint()
    assert mark in decrypted_pages(home, database_key)
    assert not any(mark in path.read_bytes() for path in home.iterdir() if path.is_file())
    vault.profile.set("name", "Ines")
    vault.database.checkpoint()
    assert mark not in decrypted_pages(home, database_key)


def test_a_kill_in_the_middle_leaves_the_one_before(vault: Vault, home: Path, tmp_path: Path, key: KeyFile) -> None:
    save(vault, PREFIX, b"before")
    vault.close()
    program = f"""
import os, signal
from pathlib import Path
from edgeperso.vault import KeyFile, Vault, states
vault = Vault.open(Path({str(home)!r}), KeyFile(Path({str(tmp_path / "me.key")!r})))
states.add_sources = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
vault.states.save({BOUND!r}, {PREFIX!r}, bytes(3 << 20), profile={{}})
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with Vault.open(home, key) as again:
        assert again.states.load(BOUND, PREFIX) == b"before"
        again.check()


def test_a_backup_carries_it(vault: Vault, key: KeyFile, tmp_path: Path) -> None:
    save(vault)
    backup.write(vault, tmp_path / "v.backup")
    backup.restore(tmp_path / "v.backup", tmp_path / "restored", key)
    with Vault.open(tmp_path / "restored", key) as restored:
        assert restored.states.load(BOUND, PREFIX) == STATE
