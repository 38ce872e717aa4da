from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import binomtest, norm, studentized_range

from fairmi.audit.counts import count_outcomes, draw_fair_counts, draw_rates, rates_of
from fairmi.audit.intervals import (
    disparity_interval,
    max_disparity,
    share_intervals,
)


def sample(rng, sizes, share, hit, false_alarm):
    """Groups, labels and predictions of a model with these rates in each group."""
    group = np.repeat(np.arange(len(sizes)), sizes)
    label = rng.random(len(group)) < np.take(share, group)
    chance = np.where(label, np.take(hit, group), np.take(false_alarm, group))
    return group, label.astype(int), (rng.random(len(group)) < chance).astype(int)


def count(group, n_groups, label, predicted):
    return count_outcomes(group, n_groups, label, np.eye(2)[predicted])


def test_draws_of_counts_are_what_resampled_rows_give():
    rng = np.random.default_rng(0)
    group, label, predicted = sample(rng, [150, 250], [0.3, 0.5], [0.8, 0.6], [0.1, 0.3])
    counts, outcomes = count(group, 2, label, predicted)
    table = rates_of(outcomes, [1])
    draws = draw_rates(counts, [table], 3000, rng)[0]
    slow = []
    for _ in range(3000):
        rows = rng.integers(len(group), size=len(group))
        again, _ = count(group[rows], 2, label[rows], predicted[rows])
        slow.append(table.of(again))
    np.testing.assert_allclose(
        draws.mean(axis=0), np.mean(slow, axis=0), atol=0.01
    )  # measured 0.006
    np.testing.assert_allclose(
        draws.std(axis=0), np.std(slow, axis=0), rtol=0.08
    )  # measured 0.026


def test_a_fair_model_stays_below_what_chance_explains():
    rng = np.random.default_rng(3)
    above = 0
    for _ in range(200):
        group, label, predicted = sample(rng, [200, 400], [0.2, 0.3], [0.6, 0.6], [0.1, 0.1])
        counts, outcomes = count(group, 2, label, predicted)
        table = rates_of(outcomes, [1])
        at = table.where("true_positive_rate", "false_positive_rate")
        fair = table.of(draw_fair_counts(counts, outcomes[:, 0], 300, rng))[..., at]
        gap = max_disparity(table.of(counts)[:, at])
        above += gap > np.quantile(max_disparity(fair), 0.95)
    assert above <= 20


def slow_interval(rates, sizes, error, ratio):
    """Of one rate: Newcombe's for each pair, from scipy's exact limits at Tukey's level."""
    groups = [(p, n) for p, n in zip(rates, sizes, strict=True) if n]
    level = 1 - 2 * norm.sf(studentized_range.isf(error, len(groups), np.inf) / np.sqrt(2))
    limits = [(p, *binomtest(round(p * n), n).proportion_ci(level)) for p, n in groups]
    ends = [(0.0, 0.0)]
    for (p, p_low, p_high), (q, q_low, q_high) in permutations(limits, 2):
        low = p - q - np.hypot(p - p_low, q_high - q)
        high = p - q + np.hypot(p_high - p, q - q_low)
        if ratio:  # a ratio of 1 is a difference of 0
            lower = np.log(p / q) - np.hypot(np.log(p / p_low), np.log(q_high / q))
            low = lower if low > 0 else 0.0
            high = np.log(p / q) + np.hypot(np.log(p_high / p), np.log(q / q_low))
        ends.append((low, high))
    return np.max(ends, axis=0)


@pytest.mark.parametrize("ratio", [False, True])
@pytest.mark.parametrize("n_joint", [None, 1, 5])
def test_an_interval_is_the_widest_of_all_pairs(ratio, n_joint):
    rng = np.random.default_rng(5)
    for n_groups in (2, 3, 6):
        sizes = rng.integers(20, 400, size=(n_groups, 3))
        rates = rng.integers(1, sizes) / sizes
        sizes[0, 1] *= n_groups == 2
        sizes[1:, 2] = 0  # one group is left, and nothing to compare
        rates[sizes == 0] = np.nan
        error = 0.1 / max(2, n_joint or 0)
        each = [slow_interval(rates[:, r], sizes[:, r], error, ratio) for r in (0, 1)]
        found = disparity_interval(rates, sizes, 0.9, ratio=ratio, n_joint=n_joint)
        assert found == pytest.approx(np.max(each, axis=0), rel=1e-6)


def test_rates_of_nought_and_of_no_rows():
    sizes = np.array([[50.0], [60.0], [0.0]])
    found = disparity_interval(np.array([[0.0], [0.3], [np.nan]]), sizes, 0.95)
    assert 0.15 < found[0] < 0.3 < found[1] < 0.5  # measured 0.168 and 0.432
    ratio = disparity_interval(np.array([[0.0], [0.3], [np.nan]]), sizes, 0.95, ratio=True)
    assert 0.2 < np.exp(-ratio[0]) < 0.6  # measured 0.238
    assert ratio[1] == np.inf
    alike = disparity_interval(np.zeros((2, 1)), sizes[:2], 0.95)
    assert alike[0] == 0 < alike[1] < 0.12  # measured 0 and 0.071
    sizes = np.array([[185.0], [117.0]])  # where 0 is in the interval of differences, 1 is here
    assert disparity_interval([[1], [5]] / sizes, sizes, 0.95, ratio=True)[0] == 0
    nothing = disparity_interval(np.full((2, 1), np.nan), np.array([[0.0], [9.0]]), 0.95)
    assert np.isnan(nothing).all()


@pytest.mark.parametrize(
    ("rates", "gap"),
    [
        ([[0.1], [0.4]], 0.3),
        ([[0.1, 0.9], [0.4, 0.2]], 0.7),
        ([[0.1, np.nan], [0.4, 0.2]], 0.3),
        ([[np.nan], [0.4], [0.3]], 0.1),
        ([[np.nan], [0.4]], np.nan),
        ([[-np.inf], [-np.inf]], 0.0),
        ([[-np.inf], [-1.0]], np.inf),
    ],
)
def test_max_disparity(rates, gap):
    np.testing.assert_allclose(max_disparity(np.array(rates)), gap)


def test_share_intervals_are_wilsons():
    top, bottom = np.array([8, 0, 3, 0]), np.array([10, 20, 3, 0])
    low, high = share_intervals(top, bottom, 0.025)
    for k in range(3):
        expected = binomtest(top[k], bottom[k]).proportion_ci(0.95, "wilson")
        assert (low[k], high[k]) == pytest.approx(tuple(expected), abs=1e-12)
    assert np.isnan([low[3], high[3]]).all()
