"""Shifts and gaps on scores whose effects are known."""

from __future__ import annotations

import numpy as np
import pytest

from edgeperso.evals.experiments.bias_figures import AXES, PAIRINGS, Axis, Gap, distances, flips, gaps, over_pairs
from edgeperso.evals.experiments.bias_set import OPTION_QUESTIONS, RATING_QUESTIONS, Identity, identities

PROFILES = identities()
BY_NAME = {axis.name: axis for axis in AXES}
QUESTIONS = 8


def scores(effect: dict[str, float], noise: float, seed: int = 1) -> np.ndarray:
    """``float64[profiles, QUESTIONS]``: a question's own level, what a profile's groups add, and what each adds."""
    rng = np.random.default_rng(seed)
    added = np.array([sum(effect.get(group, 0.0) for group in profile.groups.values()) for profile in PROFILES])
    own = noise * rng.standard_normal((len(PROFILES), 1)) + 0.05 * rng.standard_normal((len(PROFILES), QUESTIONS))
    return rng.standard_normal(QUESTIONS) + added[:, None] + own


def found(axis: Axis, table: np.ndarray) -> list[Gap]:
    return gaps(axis, PROFILES, table, table, np.random.default_rng(0))


def test_a_gap_is_found_with_its_sign_and_size() -> None:
    (gap,) = found(BY_NAME["gender"], scores({"woman": 0.5}, noise=0.1))
    assert gap.label == "by name: woman − man"
    assert gap.rating.value == pytest.approx(0.5, abs=0.15)
    assert gap.rating.low < gap.rating.value < gap.rating.high
    assert gap.rating.low > 0.2
    assert gap.p < 0.01
    assert gap.options == pytest.approx(gap.rating.value, abs=0.05)
    assert gap.options > 3 * gap.options_floor
    assert gap.options_p < 0.01


def test_what_single_names_move_is_no_gap() -> None:
    seen = [found(BY_NAME["gender"], scores({}, noise=0.5, seed=seed))[0] for seed in range(20)]
    assert sum(gap.p < 0.05 for gap in seen) <= 4
    assert sum(gap.options_p < 0.05 for gap in seen) <= 4
    covered = sum(gap.rating.low <= 0 <= gap.rating.high for gap in seen)
    assert covered >= 16
    assert np.mean([gap.options_floor for gap in seen]) == pytest.approx(np.mean([g.options for g in seen]), rel=0.5)


def test_of_several_groups_the_one_that_differs_stands_out() -> None:
    of = found(BY_NAME["origin"], scores({"Arabic": -0.6}, noise=0.1))
    assert [gap.label.split(": ")[1] for gap in of] == [
        f"{origin} − others" for origin in ("English", "Arabic", "Chinese", "Nigerian")
    ]
    largest = max(of, key=lambda gap: abs(gap.rating.value))
    assert largest.label == "names: Arabic − others"
    assert largest.rating.value < -0.4
    assert largest.p_any < 0.01
    assert abs(largest.rating.value) > 2 * largest.floor_any


def test_gender_is_compared_within_an_origin() -> None:
    """Whatever origins are apart, names of both genders share it."""
    (gap,) = found(BY_NAME["gender"], scores({"Arabic": 3.0, "English": -2.0}, noise=0.0))
    assert abs(gap.rating.value) < 0.05
    assert gap.options_floor < 0.2


def test_three_wordings_cannot_make_a_small_p() -> None:
    (gap,) = found(BY_NAME["stated_gender"], scores({"woman": 2.0}, noise=0.0))
    assert gap.rating.value == pytest.approx(2.0, abs=0.1)
    assert gap.p > 0.005


def test_an_interval_of_what_is_stated_holds_the_wordings_too() -> None:
    table = scores({}, noise=0.0)
    rows = [place for place, profile in enumerate(PROFILES) if profile.kind == "gender"]
    for place in rows:
        profile = PROFILES[place]
        table[place] += 1.0 if (profile.groups["gender"], profile.groups["wording"]) == ("woman", "2") else 0.0
    (gap,) = found(BY_NAME["stated_gender"], table)
    assert gap.rating.value == pytest.approx(1 / 3, abs=0.1)
    assert gap.rating.low < 0.1  # another draw of wordings leaves the odd one out


def shift(name: str, table: np.ndarray) -> float:
    pairing = next(one for one in PAIRINGS if one.name == name)
    per_question = over_pairs(PROFILES, [distances(table[:, [column]]) for column in range(QUESTIONS)], pairing)
    assert per_question.shape == (QUESTIONS,)
    return float(per_question.mean())


def test_shifts_between_groups_rise_above_those_between_names() -> None:
    table = scores({"woman": 1.0}, noise=0.1)
    assert shift("other_gender", table) > 3 * shift("same_group", table)
    assert shift("other_origin", table) == pytest.approx(shift("same_group", table), rel=0.4)
    assert shift("gender_other", table) > 2 * shift("gender_wording", table)
    assert shift("neutral", scores({}, noise=0.0)) < 0.1


def test_every_pairing_has_pairs_and_a_floor_that_exists() -> None:
    names = [pairing.name for pairing in PAIRINGS]
    assert len(set(names)) == len(names)
    assert {pairing.floor for pairing in PAIRINGS} - {""} <= set(names)
    count = {
        pairing.name: sum(
            pairing.pairs(one, other) for place, one in enumerate(PROFILES) for other in PROFILES[place + 1 :]
        )
        for pairing in PAIRINGS
    }
    assert count["neutral"] == 6
    assert count["name"] == 24 * 4
    assert count["same_group"] == 8 * 3
    assert count["other_gender"] == 4 * 9
    assert all(count.values())


def test_distances_and_flips() -> None:
    table = np.array([[1.0, 2.0], [2.0, 1.0], [0.0, 4.0]])
    assert distances(table).tolist() == [[0, 1, 1.5], [1, 0, 2.5], [1.5, 2.5, 0]]
    assert flips(table).tolist() == [[0, 1, 0], [1, 0, 1], [0, 1, 0]]


def test_the_set_is_balanced() -> None:
    assert len(OPTION_QUESTIONS) == len(RATING_QUESTIONS) == 10
    assert all(len(set(question.options)) == 4 for question in OPTION_QUESTIONS)
    assert not any(question.options for question in RATING_QUESTIONS)
    assert len({identity.id for identity in PROFILES}) == len(PROFILES)
    names = [identity for identity in PROFILES if identity.kind == "name"]

    def of(origin: str, gender: str) -> list[Identity]:
        return [one for one in names if (one.groups["origin"], one.groups["gender"]) == (origin, gender)]

    for origin in {one.groups["origin"] for one in names}:
        women, men = of(origin, "woman"), of(origin, "man")
        assert len(women) == len(men) == 3
        assert [one.value.split()[-1] for one in women] == [one.value.split()[-1] for one in men]
