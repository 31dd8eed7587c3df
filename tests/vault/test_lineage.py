"""Forgetting reaches what was learnt: adapters, their descendants, pairs and trainings under way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeperso.errors import AdapterRefused
from edgeperso.types import Granularity, Role
from edgeperso.vault import KeyFile, Vault, erasure
from edgeperso.vault.adapters import AdapterState
from edgeperso.vault.database import Database
from edgeperso.vault.vault import DATABASE_NAME

CANARY = b"weights-canary-58113"
USER = Granularity.USER


@pytest.fixture
def ids(vault, note) -> list[int]:
    return list(vault.memories.add([note(f"n{i}", f"notes/{i}.md") for i in range(6)]).ids)


def forget(vault: Vault, *ids: int) -> erasure.Receipt:
    plan = erasure.plan(vault, ids=ids)
    receipt = erasure.erase(vault, plan)
    assert (plan.adapters, plan.pairs) == (receipt.adapters, receipt.pairs)
    return receipt


def states(vault: Vault) -> list[str]:
    return [adapter.state.value for adapter in vault.adapters.all()]


class TestForget:
    def test_taints_what_learnt_from_it_and_all_descendants(self, vault, lora, ids) -> None:
        made = [
            vault.adapters.add(lora(parents=parents), b"x", memories=memories).id
            for parents, memories in (((), ids[:1]), ((1,), ids[1:2]), ((2,), []), ((), ids[1:2]), ((4, 3), []))
        ]
        other = vault.adapters.add(lora(), b"x", memories=ids[2:])
        receipt = forget(vault, ids[0])
        assert receipt.adapter_ids == (made[0], made[1], made[2], made[4])
        assert receipt.adapters == 4
        assert states(vault) == ["tainted", "tainted", "tainted", "ready", "tainted", "ready"]
        assert vault.adapters.payload(other.id) == b"x"
        assert forget(vault, ids[1]).adapter_ids == (made[3],)

    def test_a_plan_touches_nothing(self, vault, lora, ids) -> None:
        vault.adapters.add(lora(), b"x", memories=ids)
        vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", memories=ids[:1])
        plan = erasure.plan(vault, ids=ids)
        assert (plan.adapters, plan.pairs) == (1, 1)
        assert states(vault) == ["ready"]
        assert vault.pairs.count() == 1

    def test_is_out_of_service_at_once(self, vault, lora, ids) -> None:
        first = vault.adapters.add(lora(), b"x", memories=ids[:1]).id
        second = vault.adapters.add(lora(), b"x", memories=ids[1:]).id
        vault.adapters.wear(USER, first)
        vault.adapters.wear(USER, second)
        forget(vault, ids[3])
        assert vault.adapters.worn() == ()
        with pytest.raises(AdapterRefused):
            vault.adapters.wear(USER, second, overruled=True)
        assert vault.adapters.rollback(USER).adapter_id == first

    def test_the_rest_is_known_so_that_it_can_be_trained_again(self, vault, lora, ids) -> None:
        stored = vault.adapters.add(lora(), b"x", memories=ids)
        forget(vault, ids[0], ids[4])
        assert vault.adapters.sources(stored.id).memories == (ids[1], ids[2], ids[3], ids[5])

    def test_an_answer_that_drew_from_it_takes_its_learners_and_pairs_along(self, vault, lora, ids) -> None:
        talk = vault.conversations.start()
        vault.conversations.add_turn(talk, Role.PERSON, "What?")
        drew = vault.conversations.add_turn(talk, Role.ASSISTANT, "n0.", {"sources": [ids[0]]}).id
        other = vault.conversations.add_turn(talk, Role.ASSISTANT, "No.", {"sources": [ids[1]]}).id
        for turn in (drew, other):
            vault.conversations.accept(turn)
        pairs = [
            vault.pairs.add("What?", "yes", "n0.", at_ms=0, scope="personal", turn_id=turn).id for turn in (drew, other)
        ]
        for sources in ({"turns": [drew]}, {"turns": [other]}, {"pairs": pairs[:1]}, {"pairs": pairs[1:]}):
            vault.adapters.add(lora(), b"x", **sources)
        receipt = forget(vault, ids[0])
        assert (receipt.answers, receipt.pairs, receipt.adapter_ids) == (1, 1, (1, 3))
        assert [pair.id for pair in vault.pairs.all()] == pairs[1:]
        assert [answer.id for _, answer in vault.conversations.accepted_turns()] == [other]
        vault.check()

    def test_answers_given_with_what_is_tainted_are_accepted_no_more(self, vault, lora, ids) -> None:
        first = vault.adapters.add(lora(), b"1", memories=ids[:1]).id
        other = vault.adapters.add(lora(), b"2", memories=ids[1:2]).id
        talk = vault.conversations.start()
        turns = [
            vault.conversations.add_turn(talk, Role.ASSISTANT, "Well.", {"sources": [], "adapters": worn}).id
            for worn in (
                [{"id": first, "outcome": "worn"}],
                [{"id": first, "outcome": "other_base"}, {"id": other, "outcome": "worn"}],
                [],
                [{"id": other, "outcome": "worn"}, {"id": first, "outcome": "worn"}],
            )
        ]
        for turn in turns[:3]:
            vault.conversations.accept(turn)
        learnt = [vault.adapters.add(lora(), b"x", turns=[turn]).id for turn in turns]
        vault.checkpoints.save("said", b"s", turns=turns[:1])
        vault.checkpoints.save("other", b"s", turns=turns[1:2])
        assert forget(vault, ids[0]).adapter_ids == (first, learnt[0], learnt[3])
        rows = vault.database.rows("SELECT id, text, accepted_ms IS NULL FROM turns ORDER BY id")
        assert list(rows) == [
            (turns[0], "Well.", 1),
            (turns[1], "Well.", 0),
            (turns[2], "Well.", 0),
            (turns[3], "Well.", 1),
        ]
        assert vault.checkpoints.names() == ["other"]
        for again in (
            lambda: vault.conversations.accept(turns[0]),
            lambda: vault.adapters.add(lora(), b"x", turns=turns[:1]),
        ):
            with pytest.raises(AdapterRefused):
                again()
        vault.conversations.accept(turns[1])

    def test_what_was_corrected_is_learnt_in_the_persons_own_words(self, vault, lora, ids) -> None:
        adapter = vault.adapters.add(lora(), b"1", memories=ids[:1]).id
        talk = vault.conversations.start()
        trace = {"sources": [], "adapters": [{"id": adapter, "outcome": "worn"}]}
        turn = vault.conversations.add_turn(talk, Role.ASSISTANT, "Well.", trace).id
        pair = vault.pairs.add("So?", "Well, well.", "Well.", at_ms=0, scope="personal", turn_id=turn).id
        learnt = vault.adapters.add(lora(), b"2", turns=[turn], pairs=[pair]).id
        vault.checkpoints.save("corrected", b"s", turns=[turn], pairs=[pair])
        assert forget(vault, ids[0]).adapter_ids == (adapter,)
        assert vault.adapters.get(learnt).has_payload
        assert vault.checkpoints.names() == ["corrected"]
        vault.adapters.add(lora(), b"3", turns=[turn], pairs=[pair])

    def test_an_edit_and_a_forgotten_pair_withdraw_them_too(self, vault, lora, ids) -> None:
        pair = vault.pairs.add("p", "a", "b", at_ms=0, scope="personal").id
        vault.adapters.add(lora(), b"1", memories=ids[:1])
        vault.adapters.add(lora(), b"2", pairs=[pair])
        talk = vault.conversations.start()
        vault.conversations.add_turn(talk, Role.PERSON, "So?")
        for number in (1, 2):
            worn = [{"id": number, "outcome": "worn"}]
            turn = vault.conversations.add_turn(talk, Role.ASSISTANT, "Well.", {"sources": [], "adapters": worn})
            vault.conversations.accept(turn.id)
        vault.memories.edit(ids[0], "changed")
        assert len(vault.conversations.accepted_turns()) == 1
        vault.pairs.delete([pair])
        assert vault.conversations.accepted_turns() == []

    def test_a_pair_that_draws_from_it_goes_with_its_learners(self, vault, lora, ids) -> None:
        pair = vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", memories=ids[:2]).id
        vault.adapters.add(lora(), b"x", pairs=[pair])
        assert forget(vault, ids[1]).adapter_ids == (1,)
        assert vault.pairs.count() == 0
        assert vault.adapters.sources(1).pairs == ()
        vault.check()

    def test_ends_trainings_that_saw_it(self, vault, lora, ids) -> None:
        parent = vault.adapters.add(lora(), b"x", memories=ids[:1]).id
        pair = vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", memories=ids[:1]).id
        vault.checkpoints.save("memory", b"s", ids[:2])
        vault.checkpoints.save("parent", b"s", parents=[parent])
        vault.checkpoints.save("pair", b"s", pairs=[pair])
        vault.checkpoints.save("other", b"s", ids[1:2])
        forget(vault, ids[0])
        assert vault.checkpoints.names() == ["other"]
        for sources in ({"memories": ids[:2]}, {"parents": [parent]}, {"pairs": [pair]}):
            with pytest.raises(AdapterRefused):
                vault.checkpoints.save("again", b"s", **sources)
        assert vault.checkpoints.names() == ["other"]

    def test_what_was_trained_meanwhile_can_not_be_stored(self, vault, lora, ids) -> None:
        parent = vault.adapters.add(lora(), b"x", memories=ids[:1]).id
        forget(vault, ids[0])
        for new, memories in ((lora(), ids), (lora(parents=(parent,)), ids[1:])):
            with pytest.raises(AdapterRefused) as caught:
                vault.adapters.add(new, CANARY, memories=memories)
            assert "n0" not in str(caught.value)
        assert len(vault.adapters.all()) == 1

    def test_leaves_no_byte_of_the_weights(self, vault, lora, ids, home: Path, decrypted_pages) -> None:
        key = vault.master.derive("database")
        secret = (CANARY + os.urandom(44)) * 20_000  # more than one chunk
        vault.adapters.add(lora(card={"name": "card-canary"}), secret, memories=ids[:1])
        vault.adapters.add(lora(parents=(1,)), secret[::-1])
        vault.checkpoints.save("t", b"state-" + secret[: 1 << 20], ids[:1])
        vault.pairs.add("pair-canary", "a", "b", at_ms=0, scope="personal", memories=ids[:1])
        kept = vault.adapters.add(lora(), b"keep-these-weights", memories=ids[1:])
        vault.database.checkpoint()
        # A prefix of the canary may be cut by a page's end; every page holds it many times.
        traces = (CANARY, CANARY[::-1], b"card-canary", b"pair-canary", secret[20:64])
        pages = decrypted_pages(home, key)
        assert all(trace in pages for trace in traces)
        assert forget(vault, ids[0]).log_emptied
        pages = decrypted_pages(home, key)
        assert not any(trace in pages for trace in traces)
        assert b"keep-these-weights" in pages
        assert (home / f"{DATABASE_NAME}-wal").stat().st_size == 0
        assert vault.adapters.payload(kept.id) == b"keep-these-weights"
        vault.check()


class TestEdit:
    def test_taints_and_ends_trainings(self, vault, lora, ids) -> None:
        vault.adapters.add(lora(), b"x", memories=ids[:1])
        vault.adapters.add(lora(parents=(1,)), b"x", memories=ids[1:2])
        vault.adapters.add(lora(), b"x", memories=ids[1:2])
        vault.checkpoints.save("t", b"s", ids[:1])
        vault.adapters.wear(USER, 2)
        vault.memories.edit(ids[0], "other words")
        assert states(vault) == ["tainted", "tainted", "ready"]
        assert vault.adapters.worn() == ()
        assert vault.checkpoints.names() == []
        assert vault.adapters.sources(1).memories == (ids[0],)  # its new words may train

    def test_one_that_fails_taints_nothing(self, vault, lora, ids, note) -> None:
        twin = vault.memories.add([note("twin", "notes/0.md")]).ids[0]
        vault.adapters.add(lora(), b"x", memories=[twin])
        with pytest.raises(Exception, match="same"):
            vault.memories.edit(twin, "n0")
        assert states(vault) == ["ready"]


class Killed(BaseException):
    pass


def snapshot(vault: Vault) -> list[list[tuple[object, ...]]]:
    tables = [name for name in vault.database.counts() if name != "sqlite_sequence"]
    return [vault.database.rows(f"SELECT * FROM {name} ORDER BY 1, 2") for name in sorted(tables)]


@pytest.mark.parametrize(
    "what", ["forget", "edit", "pairs", "add", "save", "state", "profile", "wear", "rollback", "delete"]
)
def test_cut_off_at_any_statement_nothing_has_happened(vault, lora, ids, monkeypatch, what) -> None:
    """Each statement in turn is the last; afterwards all is as before, and done again it is whole."""
    pair = vault.pairs.add("p", "a", "b", at_ms=0, scope="personal", memories=ids[:1]).id
    payload = bytes(3 << 20)
    for parents in ((), (1,)):
        vault.adapters.wear(USER, vault.adapters.add(lora(parents=parents), payload, memories=ids[:1], pairs=[pair]).id)
    vault.checkpoints.save("t", payload, ids[:1])
    digest = vault.adapters.get(1).digest
    vault.states.save("b", "p", payload, profile={}, adapters=[digest])
    steps = {
        "forget": lambda: forget(vault, ids[0]),
        "edit": lambda: vault.memories.edit(ids[0], "new"),
        "pairs": lambda: vault.pairs.delete([pair]),
        "add": lambda: vault.adapters.add(lora(parents=(1,)), payload, memories=ids),
        "save": lambda: vault.checkpoints.save("t", payload, ids),
        "state": lambda: vault.states.save("b", "p", bytes(2 << 20), profile={}, adapters=[digest]),
        "profile": lambda: vault.profile.set("name", "Ines"),
        "wear": lambda: vault.adapters.wear(USER, 1),
        "rollback": lambda: vault.adapters.rollback(USER),
        "delete": lambda: vault.adapters.delete(1),
    }
    before = snapshot(vault)
    left = 0

    def counting(name: str):
        real = getattr(Database, name)

        def run(self, sql: str, *rest):
            nonlocal left
            if not sql.startswith(("ROLLBACK", "RELEASE", "SELECT", "PRAGMA")):
                if left == 0:
                    raise Killed
                left -= 1
            return real(self, sql, *rest)

        return run

    for cut in range(40):
        left = cut
        with monkeypatch.context() as patch:
            for name in ("execute", "executemany", "insert"):
                patch.setattr(Database, name, counting(name))
            try:
                steps[what]()
            except Killed:
                pass
            else:
                break
        assert snapshot(vault) == before
    else:
        pytest.fail("it never ended")
    assert cut > 2
    assert snapshot(vault) != before
    vault.check()


@pytest.mark.parametrize("before", ["UPDATE adapters", "UPDATE worn", "DELETE FROM memories", "COMMIT", "checkpoint"])
def test_a_killed_process_has_forgotten_all_or_nothing(vault, lora, ids, home, key, before) -> None:
    vault.adapters.add(lora(), bytes(3 << 20), memories=ids[:1])
    vault.adapters.wear(USER, 1)
    vault.checkpoints.save("t", b"s", ids[:1])
    vault.close()
    program = f"""
        import os, signal
        from pathlib import Path
        from edgeperso.vault import KeyFile, Vault, erasure
        from edgeperso.vault.database import Database

        vault = Vault.open(Path({str(home)!r}), KeyFile(Path({str(key.path)!r})))
        plan = erasure.plan(vault, ids=[1])
        die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
        real = Database.execute
        Database.execute = lambda self, sql, *rest: (sql.startswith({before!r}) and die(), real(self, sql, *rest))[1]
        Database.checkpoint = die
        erasure.erase(vault, plan)
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], check=False)
    assert done.returncode == -signal.SIGKILL
    with Vault.open(home, key) as again:
        if before == "checkpoint":  # it was stored
            assert (states(again), again.adapters.worn(), again.checkpoints.names()) == (["tainted"], (), [])
            assert again.memories.count() == 5
        else:
            assert states(again) == ["ready"]
            assert again.adapters.payload(1) == bytes(3 << 20)
            assert [row.adapter_id for row in again.adapters.worn()] == [1]
            assert again.checkpoints.load("t") == b"s"
            assert again.memories.count() == 6
        again.check()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_exactly_what_descends_from_it_is_tainted(tmp_path_factory, lora, note, data) -> None:
    """Against a plain search in a random family, some of whose members are deleted."""
    folder = tmp_path_factory.mktemp("family")
    vault, _ = Vault.create(folder / "home", KeyFile(folder / "k"))
    with vault:
        ids = vault.memories.add([note(f"n{i}") for i in range(4)]).ids
        knows: dict[int, set[int]] = {}
        for number in range(1, data.draw(st.integers(1, 7)) + 1):
            parents = data.draw(st.sets(st.sampled_from(sorted(knows)), max_size=2)) if knows else set()
            own = data.draw(st.sets(st.sampled_from(ids), max_size=2))
            vault.adapters.add(lora(parents=tuple(sorted(parents))), b"x", memories=own)
            knows[number] = own.union(*(knows[parent] for parent in parents))
            if data.draw(st.booleans()) and len(knows) > 1:
                gone = data.draw(st.sampled_from(sorted(knows)))
                vault.adapters.delete(gone)
                del knows[gone]
        forgotten = data.draw(st.sampled_from(ids))
        expected = sorted(number for number, memories in knows.items() if forgotten in memories)
        assert list(forget(vault, forgotten).adapter_ids) == expected
        assert [a.id for a in vault.adapters.all() if a.state is AdapterState.TAINTED] == expected
