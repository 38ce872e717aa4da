from __future__ import annotations

import numpy as np
import pytest

from fairmi.metrics import leakage_report
from fairmi.metrics._independence import RecurringValues, recurring_p_value
from fairmi.metrics._representation import read_representation
from fairmi.metrics._rows import exchange


def p_value(Z, c, seed=0):
    target = np.eye(c.max() + 1)[c] if c.max() > 1 else c[:, None].astype(float)
    target = (target - target.mean(axis=0)) / np.sqrt(target.mean(axis=0))
    return recurring_p_value(
        RecurringValues(read_representation(Z)),
        target,
        exchange(None, target),
        np.random.default_rng(seed),
    )


def normal(n, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n, 3)), rng.integers(2, size=n), rng


def test_no_value_that_recurs_is_nothing_to_test():
    assert not RecurringValues(read_representation(normal(50)[0]))
    assert not RecurringValues(read_representation(np.zeros((50, 2))))


def test_p_value_is_that_of_fishers_test_for_two_values():
    from scipy.stats import fisher_exact

    c = np.repeat([0, 1], 20)
    z = np.where(np.arange(40) % 20 < np.where(c, 12, 5), 1.0, 0.0)
    expected = fisher_exact([[15, 5], [8, 12]]).pvalue
    found = np.mean([p_value(z[:, None], c, seed) for seed in range(20)])
    assert found == pytest.approx(expected, rel=0.15)  # measured 0.057


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [2, 4])
def test_p_value_is_no_smaller_than_uniform(n_groups):
    p = []
    for seed in range(300):
        rng = np.random.default_rng(seed)
        Z = rng.integers(4, size=(40, 3)).astype(float)
        p.append(p_value(Z, rng.integers(n_groups, size=40), seed))
    for level in (0.05, 0.2, 0.5):
        assert np.mean(np.array(p) <= level) <= level + 2.5 * np.sqrt(level * (1 - level) / 300)


def test_value_of_one_group_amid_many_values():
    _, c, rng = normal(400)
    z = rng.integers(100, size=400).astype(float)
    z[np.flatnonzero(c)[:20]] = 100.0
    assert p_value(z[:, None], c) < 0.01  # measured 2e-4


def test_group_that_only_whole_rows_tell():
    Z, c, rng = normal(400)
    Z[:, 0] = rng.integers(2, size=400)
    Z[:, 1] = Z[:, 0] != c
    assert p_value(Z[:, :1], c) > 0.01  # measured 0.909
    assert p_value(Z[:, 1:2], c) > 0.01  # measured 0.909
    assert p_value(Z[:, :2], c) < 0.001  # measured 1e-4


def test_continuous_attribute():
    Z, _, rng = normal(300)
    c = rng.normal(size=(300, 1))
    Z[:12, 0] = 0.25
    c[:12] += 2
    # measured 1e-4
    assert (
        recurring_p_value(
            RecurringValues(read_representation(Z)), c - c.mean(), exchange(None, c), rng
        )
        < 0.001
    )


@pytest.mark.slow
@pytest.mark.parametrize("rare", ["code", "value"])
@pytest.mark.parametrize("seed", range(3))
def test_ten_rows_of_500_are_enough_to_flag(rare, seed):
    """Of the two values that they hold, one is of each group."""
    rng = np.random.default_rng(seed)
    Z, c = rng.normal(size=(500, 8)), rng.integers(2, size=500)
    if rare == "code":
        Z[:, 2] = 0
    Z[:10, 2] = np.where(c[:10], 0.5, -0.25)
    found = leakage_report(Z, c, random_state=seed)
    assert found.flagged
    assert not leakage_report(Z, rng.permutation(c), random_state=seed).flagged


def test_one_probe_alone_is_tested_alone():
    Z, c, _ = normal(500)
    Z[:10, 2] = np.where(c[:10], 0.5, -0.25)
    assert not leakage_report(Z, c, probe="linear", random_state=0).flagged
