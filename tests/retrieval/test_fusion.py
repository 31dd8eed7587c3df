from __future__ import annotations

import numpy as np

from edgeperso.retrieval.fusion import Moments, from_neighbours, from_occasion, moments, standardized


def test_standardized_has_mean_zero_and_deviation_one() -> None:
    scores = np.array([1, 2, 3, 10], dtype=np.float32)
    scores = standardized(scores, moments(scores))
    np.testing.assert_allclose([scores.mean(), scores.std()], [0, 1], atol=1e-6)


def test_a_missing_score_counts_as_the_mean() -> None:
    scores = np.array([1, np.nan, 3], dtype=np.float32)
    scores = standardized(scores, moments(scores))
    np.testing.assert_allclose(scores, [-1, 0, 1])


def test_equal_single_or_no_scores_say_nothing() -> None:
    for scores in (np.full(5, 0.3), np.full(2, np.nan), np.zeros(0)):
        scores = scores.astype(np.float32)
        assert not standardized(scores, moments(scores)).any()
    assert moments(np.full(2, np.nan, dtype=np.float32)) == Moments(0.0, 0.0)


def test_neighbours_give_shares_that_decay_and_stop_at_the_thread_s_end() -> None:
    scores = np.array([0, 1, 0, 0, 0, 1], dtype=np.float32)
    previous, following = np.array([-1, 0, 1, 2, 3, -1]), np.array([1, 2, 3, 4, -1, -1])
    gain = from_neighbours(scores, previous, following, before=0.4, after=0.3, decay=0.5, reach=2)
    np.testing.assert_allclose(gain, [0.3, 0, 0.4, 0.2, 0, 0], atol=1e-6)


def test_an_occasion_s_best_lifts_all_of_it_and_what_stands_alone_itself() -> None:
    scores = np.array([1, -1, 4, 2], dtype=np.float32)
    np.testing.assert_allclose(from_occasion(scores, np.array([1, 2, 0, 0]), 0.5), [0.5, -0.5, 2, 2])
