"""States of memories in the vault: gone with what they hold, and the less useful first."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgeperso.types import Granularity, Role
from edgeperso.vault import KeyFile, Vault, backup, erasure
from edgeperso.vault.memory_states import DEFAULT_BUDGET_BYTES, NewState, Saved

BOUND, OTHER = "ab" * 32, "cd" * 32
PREFIX, SECOND = "01" * 32, "02" * 32
TOKENS = "03" * 32
DAY_MS = 86_400_000


@pytest.fixture
def ids(vault: Vault, note) -> list[int]:
    return list(vault.memories.add([note(f"memory {number}") for number in range(4)]).ids)


def save(
    vault: Vault, memory_id: int | None, state: bytes = b"state", *, binding: str = BOUND, prefix: str = PREFIX, **rest
) -> Saved:
    usual = {
        "tokens": TOKENS,
        "worth": 1.0,
        "profile": vault.profile.all(),
        "adapters": (),
        "as_of": vault.generation,
    }
    return vault.memory_states.save(binding, prefix, NewState(memory_id, state=state, **{**usual, **rest}))


def load(vault: Vault, memory_id: int | None) -> bytes | None:
    return vault.memory_states.load(BOUND, PREFIX, memory_id, TOKENS)


def kept(vault: Vault) -> list[int]:
    return sorted(vault.memory_states.kept(BOUND, PREFIX))


def test_what_was_saved_is_loaded_also_by_the_next_process(
    vault: Vault, ids: list[int], home: Path, key: KeyFile
) -> None:
    large = os.urandom(3 << 20)
    assert load(vault, ids[0]) is None
    assert save(vault, ids[0], large) is Saved.KEPT
    assert save(vault, None, b"the beginning") is Saved.KEPT
    vault.close()
    with Vault.open(home, key) as again:
        assert load(again, ids[0]) == large
        assert load(again, None) == b"the beginning"
        assert again.memory_states.kept(BOUND, PREFIX) == {ids[0]: TOKENS}
        assert save(again, ids[0], b"newer") is Saved.KEPT
        assert save(again, None, b"another") is Saved.KEPT
        assert (load(again, ids[0]), load(again, None)) == (b"newer", b"another")
        assert again.memory_states.size() == (2, 12)


def test_of_another_binding_beginning_or_text_nothing_is_handed_out(vault: Vault, ids: list[int]) -> None:
    save(vault, ids[0])
    for binding, prefix, memory, tokens in (
        (OTHER, PREFIX, ids[0], TOKENS),
        (BOUND, SECOND, ids[0], TOKENS),
        (BOUND, PREFIX, ids[1], TOKENS),
        (BOUND, PREFIX, None, TOKENS),
        (BOUND, PREFIX, ids[0], "04" * 32),
    ):
        assert vault.memory_states.load(binding, prefix, memory, tokens) is None
    assert vault.memory_states.kept(OTHER, PREFIX) == vault.memory_states.kept(BOUND, SECOND) == {}
    assert load(vault, ids[0]) == b"state"


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE memory_state_chunks SET data = zeroblob(length(data))",
        "UPDATE memory_state_chunks SET data = substr(data, 2)",
        "DELETE FROM memory_state_chunks",
    ],
)
def test_a_damaged_state_is_dropped_without_a_word(vault: Vault, ids: list[int], damage: str) -> None:
    save(vault, ids[0])
    vault.database.execute(damage)
    assert load(vault, ids[0]) is None
    assert kept(vault) == []


@pytest.mark.parametrize("what", ["forget", "edit", "supersede"])
def test_it_goes_with_its_memory_and_no_other_does(vault: Vault, ids: list[int], what: str) -> None:
    for id_ in ids:
        save(vault, id_)
        save(vault, id_, binding=OTHER)
    match what:
        case "forget":
            erasure.erase(vault, erasure.plan(vault, ids=[ids[1]]))
        case "edit":
            vault.memories.edit(ids[1], "changed")
        case "supersede":
            vault.memories.supersede(ids[1], by=ids[2], at_ms=0)
    assert kept(vault) == [ids[0], *ids[2:]]
    assert ids[1] not in vault.memory_states.kept(OTHER, PREFIX)


def test_what_fails_takes_no_state_away(vault: Vault, ids: list[int]) -> None:
    save(vault, ids[1])

    def half() -> None:
        with vault.transaction():
            vault.memories.edit(ids[1], "changed")
            raise KeyError

    with pytest.raises(KeyError):
        half()
    assert kept(vault) == [ids[1]]


def test_a_changed_profile_drops_them_all(vault: Vault, ids: list[int]) -> None:
    vault.profile.set("name", "Ines")
    for change in (lambda: vault.profile.set("city", "Ghent"), lambda: vault.profile.delete("name")):
        save(vault, ids[0])
        save(vault, None)
        change()
        assert vault.memory_states.size() == (0, 0)


def test_what_changed_while_it_was_computed_is_not_kept(vault: Vault, ids: list[int]) -> None:
    as_of = vault.generation
    vault.memories.edit(ids[0], "changed")
    vault.memories.supersede(ids[1], by=ids[2], at_ms=0)
    assert save(vault, ids[0], as_of=as_of) is Saved.CHANGED
    assert save(vault, ids[0]) is Saved.KEPT, "the text was read after the change"
    assert save(vault, ids[1]) is Saved.CHANGED
    assert save(vault, 99) is Saved.CHANGED
    assert save(vault, ids[2], profile={"name": "Ines"}) is Saved.CHANGED
    assert kept(vault) == [ids[0]]


@pytest.mark.parametrize("what", ["forget", "edit", "delete"])
def test_one_computed_with_an_adapter_goes_with_it(vault: Vault, ids: list[int], lora, what: str) -> None:
    worn = vault.adapters.add(lora(granularity=Granularity.USER), b"weights", memories=ids[:1])
    assert save(vault, ids[1], adapters=[worn.digest]) is Saved.KEPT
    assert save(vault, ids[2]) is Saved.KEPT
    erasure.erase(vault, erasure.plan(vault, ids=[ids[3]]))
    assert kept(vault) == ids[1:3], "the adapter knows nothing of that memory"
    match what:
        case "forget":
            erasure.erase(vault, erasure.plan(vault, ids=[ids[0]]))
        case "edit":
            vault.memories.edit(ids[0], "changed")
        case "delete":
            vault.adapters.delete(worn.id)
    assert kept(vault) == [ids[2]]
    assert save(vault, ids[1], adapters=[worn.digest]) is Saved.CHANGED


def test_less_useful_ones_make_way_and_foreign_ones_first(vault: Vault, ids: list[int]) -> None:
    states = vault.memory_states
    assert states.budget_bytes == DEFAULT_BUDGET_BYTES
    states.set_budget(100)
    save(vault, ids[0], bytes(40), worth=1.0)
    save(vault, ids[1], bytes(40), worth=9.0, binding=OTHER)
    assert save(vault, ids[1], bytes(40), worth=2.0) is Saved.KEPT
    assert kept(vault) == ids[:2], "a foreign one made way, useful as it was"
    assert save(vault, ids[2], bytes(40), worth=1.0) is Saved.NO_ROOM
    assert save(vault, ids[2], bytes(101), worth=9.0) is Saved.NO_ROOM
    assert kept(vault) == ids[:2], "nothing went for nothing"
    assert save(vault, ids[2], bytes(40), worth=1.5) is Saved.KEPT
    assert kept(vault) == ids[1:3]
    assert save(vault, ids[2], bytes(60), worth=0.0) is Saved.KEPT, "it takes its own place"
    states.set_budget(99)
    assert kept(vault) == [ids[1]]
    states.set_budget(0)
    assert save(vault, ids[3]) is Saved.NO_ROOM
    assert states.size() == (0, 0)


def test_the_most_useful_are_those_read_often_and_lately(vault: Vault, ids: list[int]) -> None:
    talk = vault.conversations.start()

    def answer(*outcomes: str) -> None:
        hits = [{"memory_id": id_, "outcome": outcome} for id_, outcome in zip(ids, outcomes, strict=False)]
        vault.conversations.add_turn(talk, Role.PERSON, "?")
        vault.conversations.add_turn(talk, Role.ASSISTANT, "!", {"sources": [], "hits": hits})

    answer("included", "reader", "superseded")
    answer("shown", "included")
    answer("excerpt")
    save(vault, ids[0], worth=0.0)
    save(vault, ids[3], worth=7.0)
    (last,) = vault.database.row("SELECT max(at_ms) FROM turns")
    worths = vault.memory_states.worths(last)
    assert worths == pytest.approx({ids[0]: 2.25, ids[1]: 1.25}, abs=0.01)
    later = vault.memory_states.worths(last + 30 * DAY_MS)
    assert later[ids[0]] == pytest.approx(worths[ids[0]] / 2)
    rows = dict(vault.database.rows("SELECT memory_id, worth FROM memory_states"))
    assert rows == pytest.approx({ids[0]: later[ids[0]], ids[3]: 0.0})
    vault.database.execute("UPDATE turns SET erased = 1")
    assert vault.memory_states.worths(last) == {}


def test_nothing_of_it_is_readable_and_nothing_is_left(
    vault: Vault, ids: list[int], home: Path, decrypted_pages
) -> None:
    from edgeperso.vault.keys import Purpose

    database_key = vault.master.derive(Purpose.DATABASE)
    mark = os.urandom(64)
    save(vault, ids[0], mark * 10_000)
    vault.database.checkpoint()
    assert mark in decrypted_pages(home, database_key)
    assert not any(mark in path.read_bytes() for path in home.iterdir() if path.is_file())
    erasure.erase(vault, erasure.plan(vault, ids=[ids[0]]))
    assert mark not in decrypted_pages(home, database_key)


def test_a_kill_in_the_middle_leaves_the_one_before(
    vault: Vault, ids: list[int], home: Path, tmp_path: Path, key: KeyFile
) -> None:
    save(vault, ids[0], b"before")
    vault.close()
    program = f"""
import os, signal
from pathlib import Path
from edgeperso.vault import KeyFile, Vault, memory_states
from edgeperso.vault.memory_states import NewState
vault = Vault.open(Path({str(home)!r}), KeyFile(Path({str(tmp_path / "me.key")!r})))
memory_states.store_payload = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
vault.memory_states.save({BOUND!r}, {PREFIX!r}, NewState({ids[0]}, {TOKENS!r}, bytes(3 << 20), 1.0, {{}}, (), 9))
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    with Vault.open(home, key) as again:
        assert load(again, ids[0]) == b"before"
        again.check()


def test_a_backup_carries_it(vault: Vault, ids: list[int], key: KeyFile, tmp_path: Path) -> None:
    save(vault, ids[0])
    backup.write(vault, tmp_path / "v.backup")
    backup.restore(tmp_path / "v.backup", tmp_path / "restored", key)
    with Vault.open(tmp_path / "restored", key) as restored:
        assert load(restored, ids[0]) == b"state"
