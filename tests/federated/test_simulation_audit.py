"""What the attacks on a published adapter find: nothing where there is nothing, and something where there is."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso_federated.simulation.audit import (
    CHANCE_BITS,
    REFERENCES,
    Canaries,
    Leak,
    membership_auc,
    with_canaries,
)
from edgeperso_federated.simulation.partitions import HeldOut, Split, Writing


def drawn(count: int = 3) -> Canaries:
    return Canaries.drawn(count, 5, seed=1)


def test_each_holder_has_a_code_of_their_own_and_nobody_else_has_it() -> None:
    people = tuple((Writing(f"I am {who}.", ""),) for who in range(5))
    split = Split(people, (HeldOut(people[0], people[1]),))
    canaries = drawn()
    planted = with_canaries(split, canaries)
    assert planted.held_out == split.held_out
    for client, texts in enumerate(planted.clients):
        assert texts[0] == people[client][0]
        held = {code for code in (*canaries.codes, *canaries.references) if any(code in one.text for one in texts)}
        assert held == {code for holder, code in zip(canaries.holders, canaries.codes, strict=True) if holder == client}
    assert len({*canaries.codes, *canaries.references}) == 3 + REFERENCES
    assert drawn() == canaries != Canaries.drawn(3, 5, seed=2)


def test_there_are_no_more_holders_than_clients() -> None:
    assert sorted(drawn(9).holders) == [0, 1, 2, 3, 4]


def test_exposure_is_the_place_among_codes_that_nobody_wrote() -> None:
    canaries = drawn()
    references = np.arange(REFERENCES, dtype=np.float64)
    found = canaries.exposures(-np.concatenate([[-1.0, 1e9, 0.0], references]))
    # Best of all, worst of all, and one that ties with the best reference: that counts as the second place.
    assert found.tolist() == pytest.approx([np.log2(REFERENCES + 1), 0.0, np.log2((REFERENCES + 1) / 2)])


def test_codes_that_nobody_learnt_have_the_exposure_of_chance() -> None:
    random = np.random.default_rng(5)
    canaries = Canaries.drawn(400, 400, seed=1)
    found = canaries.exposures(random.standard_normal(400 + REFERENCES))
    assert float(found.mean()) == pytest.approx(CHANCE_BITS, abs=0.25)


@pytest.mark.parametrize(
    ("members", "others", "auc"),
    [([2.0, 3.0], [0.0, 1.0], 1.0), ([0.0], [1.0, 2.0], 0.0), ([1.0], [1.0], 0.5), ([0.0, 2.0], [1.0], 0.5)],
)
def test_membership_is_told_by_the_gain(members: list[float], others: list[float], auc: float) -> None:
    leak = Leak(np.array(members), np.array(others), np.zeros(1))
    assert leak.auc == membership_auc(leak.members, leak.others) == auc
