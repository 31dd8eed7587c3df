from __future__ import annotations

import random
from dataclasses import dataclass

import pytest

from edgeperso.adaptation.split import LEAST_HELD_OUT, MOST_HELD_OUT, hold_out, without_repetitions


@dataclass(frozen=True)
class Item:
    when_ms: int
    key: str


WORDS = [
    "apple",
    "bridge",
    "cloud",
    "door",
    "eagle",
    "forest",
    "garden",
    "harbour",
    "island",
    "jacket",
    "kettle",
    "lamp",
    "meadow",
    "needle",
    "orange",
]


def items(count: int) -> list[Item]:
    draw = random.Random(1)
    made = [Item(place, " ".join(draw.choices(WORDS, k=12))) for place in range(count)]
    draw.shuffle(made)
    return made


@pytest.mark.parametrize(
    ("count", "held"), [(8, 4), (20, 4), (50, 10), (320, MOST_HELD_OUT), (2000, MOST_HELD_OUT), (3, 3), (0, 0)]
)
def test_the_newest_fifth_is_held_out(count: int, held: int) -> None:
    train, held_out = hold_out(items(count))
    assert (len(train), len(held_out)) == (count - held, held)
    assert [item.when_ms for item in (*train, *held_out)] == list(range(count))
    assert held >= LEAST_HELD_OUT or held == count


def test_what_says_nearly_the_same_is_learnt_once_and_never_held_out() -> None:
    text = "On Sunday we walked along the river to the old mill and had soup there with Ada and her brother"
    near = text.replace("soup", "cake")
    other = "The boiler broke again in the night, and the man who mends it is away until the end of the month."
    kept = without_repetitions([Item(9, near), Item(1, text), Item(5, other), Item(7, text.upper() + "!")])
    assert [item.when_ms for item in kept] == [1, 5]


def test_short_texts_count_as_one_only_if_they_are_the_same() -> None:
    kept = without_repetitions([Item(1, "Tea."), Item(2, "tea"), Item(3, "Coffee."), Item(4, "!?"), Item(5, "…")])
    assert [item.when_ms for item in kept] == [1, 3, 4, 5]


def test_texts_of_the_same_words_in_another_order_differ() -> None:
    assert len(without_repetitions(items(200))) == 200
