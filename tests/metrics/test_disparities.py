"""Figures between groups of predicted numbers, against scipy's and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ks_2samp, wasserstein_distance

from fairmi.core.membership import Membership
from fairmi.metrics.disparities import (
    ks_pairs,
    largest_pair,
    mean_pairs,
    pairs_within,
    wasserstein_pairs,
    y_strata,
)

RANDOM = np.random.default_rng(0)
CODES = RANDOM.integers(3, size=400)
PRED = np.round(RANDOM.normal(size=400) + 0.3 * CODES**2, 1) + 5.0
WEIGHT = RANDOM.integers(3, size=400).astype(float)
MEMBERS = Membership.of_codes(CODES, 3)
MEASURES = [ks_pairs, wasserstein_pairs, mean_pairs]


@pytest.mark.parametrize("n_times", [None, WEIGHT])
def test_pairs_are_those_of_scipy(n_times):
    times = np.ones(400) if n_times is None else n_times
    of = [np.repeat(PRED[k == CODES], times[k == CODES].astype(int)) for k in range(3)]
    for measure, known in (
        (ks_pairs, lambda a, b: ks_2samp(a, b).statistic),
        (wasserstein_pairs, wasserstein_distance),
        (mean_pairs, lambda a, b: a.mean() - b.mean()),
    ):
        expected = [[known(a, b) for b in of] for a in of]
        np.testing.assert_allclose(measure(PRED, MEMBERS, n_times), expected, atol=1e-12)
    value, row, column = largest_pair(mean_pairs(PRED, MEMBERS))
    assert (row, column) == (2, 0)
    assert value == PRED[CODES == 2].mean() - PRED[CODES == 0].mean()


@pytest.mark.parametrize("measure", MEASURES)
def test_probable_groups_count_by_their_shares_and_empty_ones_not(measure):
    one_hot = Membership.of_probabilities(np.eye(4)[CODES])
    figures = measure(PRED, one_hot)
    np.testing.assert_allclose(figures[:3, :3], measure(PRED, MEMBERS))
    assert np.isnan(figures[3]).all()
    both = Membership.of_probabilities(np.tile([0.25, 0.75], (400, 1)))
    assert largest_pair(measure(PRED, both))[0] == pytest.approx(0, abs=1e-12)
    constant = measure(np.full(400, 2.0), one_hot)
    assert largest_pair(constant)[0] == 0
    with pytest.raises(ValueError, match="No two groups have rows that can be compared"):
        largest_pair(measure(PRED, Membership.of_codes(CODES, 3, CODES == 1)))


def test_within_strata_each_weighs_by_its_rows():
    strata = (np.arange(400) >= 100).astype(int)
    rows = [np.flatnonzero(strata == k) for k in (0, 1)]
    parts = [ks_pairs(PRED[at], MEMBERS.take(at)) for at in rows]
    within = pairs_within(ks_pairs, strata, PRED, MEMBERS)
    np.testing.assert_allclose(within, 0.25 * parts[0] + 0.75 * parts[1])
    in_second = pairs_within(ks_pairs, strata, PRED, MEMBERS, strata * 2.0)
    np.testing.assert_allclose(in_second, parts[1])
    # A group that a stratum lacks is compared in the other alone.
    lacking = Membership.of_codes(CODES, 3, (CODES != 2) | (strata == 1))
    assert pairs_within(ks_pairs, strata, PRED, lacking)[2, 0] == pytest.approx(parts[1][2, 0])


def test_strata_of_y_are_bins_of_like_weight_or_its_few_values():
    assert np.bincount(y_strata(np.arange(100.0))).tolist() == [25] * 4
    assert y_strata(np.array([1, 1, 1, 1, 0])).tolist() == [1, 1, 1, 1, 0]
