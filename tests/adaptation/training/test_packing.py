"""Laying examples end to end, cutting them, and sharing them out among steps."""

from __future__ import annotations

import pytest

from edgeperso.adaptation.plan import Example, Pair
from edgeperso.adaptation.training.packing import both, cut, cut_pair, pack, schedule


def test_counted_tokens_follow_their_rows() -> None:
    laid = pack([Example((1, 2, 3, 4), 2), Example((5, 6), 1)])
    assert laid.tokens.tolist() == [1, 2, 3, 4, 5, 6]
    assert laid.bounds == (0, 4, 6)
    assert laid.rows.tolist() == [1, 2, 4]
    assert laid.targets.tolist() == [3, 4, 6]
    assert laid.owners.tolist() == [0, 0, 1]
    assert laid.counted.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("learn_from", "most", "tokens", "left"),
    [
        (4, 9, (0, 1, 2, 3, 4, 5), 4),
        (4, 4, (0, 3, 4, 5), 2),  # context after the first token goes first
        (4, 2, (0, 4), 1),  # then the end
        (1, 3, (0, 1, 2), 1),
    ],
)
def test_cutting(learn_from: int, most: int, tokens: tuple[int, ...], left: int) -> None:
    assert cut(Example((0, 1, 2, 3, 4, 5), learn_from), most) == Example(tokens, left)


def test_a_pair_keeps_one_prompt_for_both_answers() -> None:
    short = cut_pair(Pair((1, 2, 3, 4), (5, 6), (7, 8, 9)), 5)
    assert short == Pair((1, 4), (5, 6), (7, 8, 9))
    assert cut_pair(Pair((1, 2), (3, 4, 5), (6,)), 3) == Pair((1,), (3, 4), (6,))


def test_both_sides_of_a_pair() -> None:
    assert both(Pair((1, 2), (3,), (4, 5))) == (Example((1, 2, 3), 2), Example((1, 2, 4, 5), 2))


def test_a_schedule_shows_everything_once_an_epoch_within_its_size() -> None:
    lengths = [30, 50, 20, 70, 10, 120, 40]
    steps = schedule(lengths, batch_tokens=100, epochs=3, seed=5)
    shown = [number for step in steps for number in step]
    for epoch in range(3):
        assert sorted(shown[epoch * 7 : epoch * 7 + 7]) == list(range(7))
    assert all(sum(lengths[number] for number in step) <= 100 or len(step) == 1 for step in steps)
    assert shown[:7] != shown[7:14]


def test_a_schedule_depends_on_its_seed_alone() -> None:
    one, same, other = (schedule([1] * 30, batch_tokens=4, epochs=1, seed=seed) for seed in (1, 1, 2))
    assert one == same != other
