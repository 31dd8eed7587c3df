"""Labels and numbers against values computed by hand and by numpy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeperso.evals.metrics.choice import accuracy, macro_f1, mean_absolute_error, root_mean_squared_error

PAIRS = st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abcd")), min_size=1, max_size=20)
NUMBERS = st.lists(st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)), min_size=1, max_size=20)


def f1(gold: list[str], predicted: list[str], label: str) -> float:
    hits = sum(one == other == label for one, other in zip(gold, predicted, strict=True))
    total = gold.count(label) + predicted.count(label)
    return 2 * hits / total if total else 0.0


def test_by_hand() -> None:
    gold, predicted = ["a", "a", "b", "c"], ["a", "b", "b", "b"]
    assert accuracy(gold, predicted) == 0.5
    assert macro_f1(gold, predicted) == pytest.approx((2 / 3 + 2 / 4 + 0) / 3)
    assert macro_f1(gold, predicted, ["a", "b", "c", "d"]) == pytest.approx((2 / 3 + 2 / 4) / 4)
    assert mean_absolute_error([1, 2, 5], [1, 4, 4]) == 1.0
    assert root_mean_squared_error([1, 2, 5], [1, 4, 4]) == pytest.approx(math.sqrt(5 / 3))


def test_numbers_can_be_labels() -> None:
    assert accuracy([1, 2], [1, 3]) == 0.5
    assert macro_f1([1, 2], [1, 2]) == 1.0


def test_a_prediction_outside_of_the_classes_is_wrong_and_no_class() -> None:
    assert macro_f1(["a", "b"], ["a", "something"], ["a", "b"]) == 0.5


@given(PAIRS)
@settings(deadline=None)
def test_against_definitions(pairs: list[tuple[str, str]]) -> None:
    gold, predicted = [one for one, _ in pairs], [other for _, other in pairs]
    labels = ["a", "b", "c"]
    assert accuracy(gold, predicted) == pytest.approx(sum(one == other for one, other in pairs) / len(pairs))
    assert macro_f1(gold, predicted, labels) == pytest.approx(sum(f1(gold, predicted, one) for one in labels) / 3)
    there = set(gold) | set(predicted)
    assert macro_f1(gold, predicted) == pytest.approx(sum(f1(gold, predicted, one) for one in there) / len(there))


@given(NUMBERS)
@settings(deadline=None)
def test_errors_against_numpy(pairs: list[tuple[float, float]]) -> None:
    gold, predicted = np.array(pairs).T
    off = predicted - gold
    assert mean_absolute_error(gold, predicted) == pytest.approx(np.abs(off).mean())
    assert root_mean_squared_error(gold, predicted) == pytest.approx(np.sqrt((off**2).mean()))
    assert mean_absolute_error(gold, predicted) == mean_absolute_error(predicted, gold)


@pytest.mark.parametrize("measure", [accuracy, macro_f1, mean_absolute_error, root_mean_squared_error])
def test_what_cannot_be_measured(measure) -> None:
    with pytest.raises(ValueError, match="no value"):
        measure([], [])
    with pytest.raises(ValueError, match="differ: 1, 2"):
        measure([1], [1, 2])


@pytest.mark.parametrize("measure", [mean_absolute_error, root_mean_squared_error])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_errors_of_what_is_no_number(measure, value: float) -> None:
    with pytest.raises(ValueError, match="NaN or infinite"):
        measure([1.0, value], [1.0, 2.0])
    with pytest.raises(ValueError, match="one dimension"):
        measure([[1.0], [2.0]], [[1.0], [2.0]])


@pytest.mark.parametrize("labels", [[], ["a", "a"]])
def test_classes_must_be_classes(labels: list[str]) -> None:
    with pytest.raises(ValueError, match="labels"):
        macro_f1(["a"], ["a"], labels)
