from __future__ import annotations

import hashlib
import os

import pytest

from edgeperso.errors import AdapterInvalid, AdapterRefused, NotFound, UsageError, VaultDamaged
from edgeperso.types import AdapterForm, Granularity, Objective, Role
from edgeperso.vault import payloads
from edgeperso.vault.adapters import AdapterState


@pytest.fixture
def ids(vault, note) -> list[int]:
    return list(vault.memories.add([note(f"n{i}") for i in range(5)]).ids)


class TestAdd:
    def test_everything_comes_back(self, vault, lora, ids) -> None:
        parent = vault.adapters.add(lora(name="old", granularity=Granularity.PERSONA), b"p")
        new = lora(
            form=AdapterForm.SOFT,
            objective=Objective.DPO,
            granularity=Granularity.GLOBAL,
            state=AdapterState.REFUSED,
            report={"before": 3.5, "seed": 7, "passed": False},
            card={"embedder": "e", "vector": [0.25, -1.0]},
            evidence=12,
            parents=(parent.id,),
        )
        payload = os.urandom(3000)
        stored = vault.adapters.add(new, payload)
        assert vault.adapters.get(stored.id) == stored == vault.adapters.all()[1]
        for name in (*new.__slots__, "parents"):
            assert getattr(stored, name) == getattr(new, name)
        assert stored.digest == hashlib.sha256(payload).hexdigest()
        assert (stored.size_bytes, stored.has_payload) == (3000, True)
        assert stored.created_ms > 1_700_000_000_000
        assert vault.adapters.payload(stored.id) == payload
        assert parent.parents == ()

    @pytest.mark.parametrize("size", [1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1, 20 << 20])
    def test_a_payload_of_any_size_comes_back_as_it_was(self, vault, lora, size) -> None:
        payload = os.urandom(size)
        assert vault.adapters.payload(vault.adapters.add(lora(), payload).id) == payload
        vault.check()

    def test_a_payload_out_of_range_is_refused(self, vault, lora, monkeypatch) -> None:
        monkeypatch.setattr(payloads, "MAX_PAYLOAD_BYTES", 100)
        assert vault.adapters.add(lora(), bytes(100)).size_bytes == 100
        for payload in (b"", bytes(101)):
            with pytest.raises(AdapterInvalid):
                vault.adapters.add(lora(), payload)
        assert len(vault.adapters.all()) == 1

    @pytest.mark.parametrize("name", ["", "  ", "12", "x" * 101])
    def test_a_name_that_can_not_be_told_from_an_id_is_refused(self, lora, name) -> None:
        with pytest.raises(UsageError):
            lora(name=name)

    def test_a_tainted_one_can_not_be_stored(self, vault, lora) -> None:
        with pytest.raises(UsageError):
            vault.adapters.add(lora(state=AdapterState.TAINTED), b"x")

    def test_what_it_learnt_from_must_be_there(self, vault, lora, ids) -> None:
        for sources in ({"memories": [999]}, {"turns": [1]}, {"pairs": [1]}):
            with pytest.raises(AdapterRefused):
                vault.adapters.add(lora(), b"x", **sources)
        with pytest.raises(AdapterRefused):
            vault.adapters.add(lora(parents=(5,)), b"x")
        assert vault.database.counts()["adapter_chunks"] == 0

    def test_a_text_that_changed_while_it_was_learnt_is_told(self, vault, lora, ids) -> None:
        seen = vault.generation
        vault.memories.edit(ids[1], "changed")
        with pytest.raises(AdapterRefused, match="1 of the texts"):
            vault.adapters.add(lora(), b"x", memories=ids, as_of=seen)
        vault.adapters.add(lora(), b"x", memories=ids, as_of=vault.generation)
        vault.adapters.add(lora(), b"x", memories=[ids[0]], as_of=seen)

    def test_sources_are_kept_by_kind(self, vault, lora, ids) -> None:
        talk = vault.conversations.start()
        turn = vault.conversations.add_turn(talk, Role.ASSISTANT, "Yes.").id
        pair = vault.pairs.add("p", "a", "b", at_ms=1, scope="personal").id
        stored = vault.adapters.add(lora(), b"x", memories=[3, 1, 3], turns=[turn], pairs=[pair])
        sources = vault.adapters.sources(stored.id)
        assert (sources.memories, sources.turns, sources.pairs) == ((1, 3), (turn,), (pair,))
        with pytest.raises(NotFound):
            vault.adapters.sources(99)


class TestFind:
    def test_by_name_or_number(self, vault, lora) -> None:
        first = vault.adapters.add(lora(), b"1")
        second = vault.adapters.add(lora(), b"2")
        vault.adapters.add(lora(name="other"), b"3")
        assert vault.adapters.named("mine") == second
        assert vault.adapters.named(str(first.id)) == first
        for missing in ("nobody", "77", "9" * 40, ""):
            with pytest.raises(NotFound) as caught:
                vault.adapters.named(missing)
            assert "nobody" not in str(caught.value)

    def test_unknown_ids(self, vault) -> None:
        for call in (vault.adapters.get, vault.adapters.payload, vault.adapters.delete):
            with pytest.raises(NotFound):
                call(1)

    def test_a_missing_chunk_is_damage(self, vault, lora) -> None:
        stored = vault.adapters.add(lora(), os.urandom(3 << 20))
        vault.database.execute("DELETE FROM adapter_chunks WHERE number = 1")
        with pytest.raises(VaultDamaged):
            vault.adapters.payload(stored.id)


class TestState:
    def test_what_the_gate_says_can_change(self, vault, lora) -> None:
        stored = vault.adapters.add(lora(state=AdapterState.REFUSED), b"x")
        vault.adapters.set_state(stored.id, AdapterState.READY)
        assert vault.adapters.get(stored.id).state is AdapterState.READY
        with pytest.raises(UsageError):
            vault.adapters.set_state(stored.id, AdapterState.TAINTED)

    def test_tainted_is_for_good(self, vault, lora, ids) -> None:
        stored = vault.adapters.add(lora(card={"vector": [1]}), b"x", memories=ids)
        assert vault.adapters.taint(memories=[ids[2]]) == [stored.id]
        assert vault.adapters.taint(memories=[ids[2]]) == []
        tainted = vault.adapters.get(stored.id)
        assert (tainted.state, tainted.has_payload, tainted.card) == (AdapterState.TAINTED, False, None)
        assert (tainted.digest, tainted.size_bytes) == (stored.digest, 1)
        with pytest.raises(AdapterRefused):
            vault.adapters.set_state(stored.id, AdapterState.READY)
        with pytest.raises(AdapterRefused):
            vault.adapters.payload(stored.id)
        assert vault.database.counts()["adapter_chunks"] == 0

    def test_refused_while_worn_is_taken_off_unless_overruled(self, vault, lora) -> None:
        stored = vault.adapters.add(lora(), b"x")
        vault.adapters.wear(Granularity.USER, stored.id)
        vault.adapters.set_state(stored.id, AdapterState.REFUSED)
        assert vault.adapters.worn() == ()
        vault.adapters.wear(Granularity.USER, stored.id, overruled=True)
        vault.adapters.set_state(stored.id, AdapterState.REFUSED)
        assert [row.adapter_id for row in vault.adapters.worn()] == [stored.id]


class TestDelete:
    def test_nothing_of_it_is_left(self, vault, lora, ids) -> None:
        stored = vault.adapters.add(lora(), os.urandom(2 << 20), memories=ids)
        vault.adapters.wear(Granularity.USER, stored.id)
        vault.adapters.delete(stored.id)
        assert vault.adapters.all() == []
        assert vault.adapters.worn() == vault.adapters.history(Granularity.USER) == ()
        counts = vault.database.counts()
        assert {counts[name] for name in ("adapter_chunks", "adapter_sources", "worn_adapters")} == {0}
        assert vault.adapters.add(lora(), b"x").id > stored.id

    def test_children_keep_what_they_know_through_it(self, vault, lora, ids) -> None:
        grandparent = vault.adapters.add(lora(), b"g", memories=ids[:1])
        parent = vault.adapters.add(lora(parents=(grandparent.id,)), b"p", memories=ids[1:2])
        child = vault.adapters.add(lora(parents=(parent.id,)), b"c", memories=ids[2:3])
        vault.adapters.delete(parent.id)
        assert vault.adapters.get(child.id).parents == (grandparent.id,)
        assert vault.adapters.sources(child.id).memories == (ids[1], ids[2])
        vault.adapters.delete(grandparent.id)
        assert vault.adapters.get(child.id).parents == ()
        assert vault.adapters.taint(memories=ids[:1]) == [child.id]

    def test_a_training_that_it_began_ends(self, vault, lora) -> None:
        parent = vault.adapters.add(lora(), b"p")
        vault.checkpoints.save("t", b"state", parents=[parent.id])
        vault.checkpoints.save("u", b"state")
        vault.adapters.delete(parent.id)
        assert vault.checkpoints.names() == ["u"]
        with pytest.raises(AdapterRefused):
            vault.checkpoints.save("t", b"state", parents=[parent.id])
