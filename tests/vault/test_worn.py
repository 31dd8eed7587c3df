from __future__ import annotations

import pytest

from edgeperso.errors import AdapterRefused, NotFound, UsageError
from edgeperso.types import Granularity
from edgeperso.vault.adapters import AdapterState

USER = Granularity.USER


@pytest.fixture
def made(vault, lora, note):
    """Three user adapters; each learnt from a memory of its own."""
    memories = vault.memories.add([note(f"n{i}") for i in range(3)]).ids
    return [vault.adapters.add(lora(name=f"a{i}"), b"x", memories=[memory]).id for i, memory in enumerate(memories)]


def worn(vault) -> int | None:
    rows = [row for row in vault.adapters.worn() if row.granularity is USER]
    assert len(rows) <= 1
    return rows[0].adapter_id if rows else None


def test_one_of_each_granularity_in_order(vault, lora) -> None:
    for granularity in (Granularity.USER, Granularity.GLOBAL, Granularity.PERSONA):
        id_ = vault.adapters.add(lora(granularity=granularity), b"x").id
        vault.adapters.wear(granularity, id_, scale=0.5)
    assert [row.granularity for row in vault.adapters.worn()] == list(Granularity)
    vault.adapters.wear(Granularity.PERSONA, None)
    rows = vault.adapters.worn()
    assert [(row.granularity, row.adapter_id, row.scale, row.overruled, row.until_ms) for row in rows] == [
        (Granularity.GLOBAL, 2, 0.5, False, None),
        (Granularity.USER, 1, 0.5, False, None),
    ]


def test_the_next_takes_the_place_of_the_last(vault, made) -> None:
    for id_ in made[:2]:
        vault.adapters.wear(USER, id_)
    assert worn(vault) == made[1]
    latest, before = vault.adapters.history(USER)
    assert (latest.adapter_id, latest.until_ms) == (made[1], None)
    assert before.adapter_id == made[0]
    assert before.until_ms is not None
    assert before.until_ms >= before.since_ms


def test_wearing_the_same_again_changes_nothing(vault, made) -> None:
    vault.adapters.wear(USER, made[0])
    vault.adapters.wear(USER, made[0])
    vault.adapters.wear(USER, made[0], overruled=True)  # there is nothing to overrule
    assert len(vault.adapters.history(USER)) == 1
    vault.adapters.wear(USER, made[0], scale=0.5)
    assert [row.scale for row in vault.adapters.history(USER)] == [0.5, 1.0]
    assert not vault.adapters.worn()[0].overruled


def test_what_may_not_be_worn_leaves_all_as_it_was(vault, made, lora) -> None:
    refused = vault.adapters.add(lora(state=AdapterState.REFUSED), b"x").id
    persona = vault.adapters.add(lora(granularity=Granularity.PERSONA), b"x").id
    vault.adapters.taint(memories=[2])
    vault.adapters.wear(USER, made[0])
    for id_, scale, error in (
        (99, 1.0, NotFound),
        (made[1], 1.0, AdapterRefused),
        (refused, 1.0, AdapterRefused),
        (persona, 1.0, UsageError),
        (made[2], float("nan"), UsageError),
        (made[2], float("inf"), UsageError),
    ):
        with pytest.raises(error):
            vault.adapters.wear(USER, id_, scale=scale)
    with pytest.raises(AdapterRefused):
        vault.adapters.wear(USER, made[1], overruled=True)
    assert worn(vault) == made[0]
    assert len(vault.adapters.history(USER)) == 1
    vault.adapters.wear(USER, refused, overruled=True)
    assert (worn(vault), vault.adapters.worn()[0].overruled) == (refused, True)


class TestRollback:
    def test_goes_back_step_by_step_and_then_wears_nothing(self, vault, made) -> None:
        for id_, scale in zip(made, (1.0, 0.5, 0.25), strict=True):
            vault.adapters.wear(USER, id_, scale=scale)
        for id_, scale in ((made[1], 0.5), (made[0], 1.0)):
            row = vault.adapters.rollback(USER)
            assert row is not None
            assert (row.adapter_id, row.scale, row.until_ms) == (id_, scale, None)
            assert worn(vault) == id_
        assert vault.adapters.rollback(USER) is None
        assert worn(vault) is None
        assert len(vault.adapters.history(USER)) == 5

    def test_nothing_was_ever_worn(self, vault, made) -> None:
        assert vault.adapters.rollback(USER) is None

    def test_what_was_taken_off_comes_back(self, vault, made) -> None:
        for id_ in (made[0], made[1], None):
            vault.adapters.wear(USER, id_)
        assert vault.adapters.rollback(USER).adapter_id == made[1]
        assert vault.adapters.rollback(USER).adapter_id == made[0]

    def test_a_new_choice_starts_from_the_top_again(self, vault, made) -> None:
        for id_ in made[:2]:
            vault.adapters.wear(USER, id_)
        vault.adapters.rollback(USER)
        vault.adapters.wear(USER, made[2])
        assert [vault.adapters.rollback(USER).adapter_id for _ in range(2)] == [made[1], made[0]]

    def test_passes_over_what_is_tainted(self, vault, made) -> None:
        for id_ in made:
            vault.adapters.wear(USER, id_)
        assert vault.adapters.taint(memories=[2, 3]) == made[1:]
        assert worn(vault) is None
        assert vault.adapters.rollback(USER).adapter_id == made[0]

    def test_does_not_come_back_to_what_it_left(self, vault, made) -> None:
        for id_ in made[:2]:
            vault.adapters.wear(USER, id_)
        vault.adapters.rollback(USER)
        vault.adapters.taint(memories=[1])
        assert vault.adapters.rollback(USER) is None
        assert worn(vault) is None

    def test_passes_over_what_the_gate_refused_since_unless_overruled(self, vault, made) -> None:
        vault.adapters.set_state(made[0], AdapterState.REFUSED)
        vault.adapters.wear(USER, made[0], overruled=True)
        vault.adapters.wear(USER, made[1])
        vault.adapters.wear(USER, made[2])
        vault.adapters.set_state(made[1], AdapterState.REFUSED)
        row = vault.adapters.rollback(USER)
        assert row is not None
        assert (row.adapter_id, row.overruled) == (made[0], True)

    def test_granularities_do_not_mix(self, vault, made, lora) -> None:
        persona = vault.adapters.add(lora(granularity=Granularity.PERSONA), b"x").id
        vault.adapters.wear(USER, made[0])
        vault.adapters.wear(Granularity.PERSONA, persona)
        vault.adapters.wear(USER, made[1])
        assert vault.adapters.rollback(Granularity.PERSONA) is None
        assert worn(vault) == made[1]
