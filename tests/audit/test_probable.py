from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from fairmi.audit import audit, probable_disparities
from fairmi.audit.findings import findings_of, next_steps, number
from fairmi.audit.probable import _highest, _sums, alike_rows
from fairmi.exceptions import SensitiveFeaturesError


def sample(n=3000, seed=0, own=0.0):
    """Two groups of which p is known; `own` is what the group itself adds to being selected."""
    rng = np.random.default_rng(seed)
    p = rng.choice([0.05, 0.3, 0.7, 0.95], size=n)
    group = rng.random(n) < p
    y_true = rng.random(n) < 0.3 + 0.3 * p
    y_pred = rng.random(n) < 0.2 + 0.3 * p + 0.2 * y_true + own * group
    return pd.DataFrame({"a": 1 - p, "b": p}), group, y_true, y_pred


def true_difference(rows, group, y_pred):
    return y_pred[rows & group].mean() - y_pred[rows & ~group].mean()


def test_one_hot_probabilities_leave_nothing_open():
    _, group, y_true, y_pred = sample()
    hard = pd.DataFrame({"a": ~group, "b": group}).astype(float)
    table = probable_disparities(y_pred, hard, y_true, random_state=0).to_frame()
    table = table.set_index("measure")
    for measure, rows in {
        "selection_rate": np.ones(3000, dtype=bool),
        "true_positive_rate": y_true,
        "false_positive_rate": ~y_true,
    }.items():
        truth = abs(true_difference(rows, group, y_pred))
        figures = table.loc[measure, ["weighted", "at_least", "at_most"]].to_numpy(float)
        np.testing.assert_allclose(figures, truth, atol=1e-12)


@pytest.mark.parametrize("measure", ["selection_rate", "true_positive_rate"])
def test_bounds_are_those_of_a_linear_programme(measure):
    """The largest rate difference over all tables of (bin, cell, group) that fit: two groups.

    A true positive rate is a ratio: given how many of the positives are in b, it is linear.
    """
    shares, _, y_true, y_pred = sample(600)
    cells = 2 * y_true.astype(int) + y_pred
    bins = alike_rows(shares.to_numpy())
    sums, _ = _sums(shares.to_numpy(), cells, None, 1, np.random.default_rng(0))
    found = _highest(sums, measure, 1, 0)[0]
    n = np.array([len(rows) for rows in bins])
    in_cell = np.stack([np.bincount(cells[rows], minlength=4) for rows in bins])
    in_b = np.array([shares["b"].to_numpy()[rows].sum() for rows in bins])
    counted = np.array([0, 1, 0, 1] if measure == "selection_rate" else [0, 0, 0, 1])
    base = np.ones(4) if measure == "selection_rate" else np.array([0, 0, 1, 1])
    # x: rows of each (bin, cell) that are in b.
    of_bin = np.kron(np.eye(len(bins)), np.ones(4))
    total = (in_cell @ base).sum()
    limits = list(zip(np.zeros(in_cell.size), in_cell.ravel(), strict=True))
    best = -np.inf
    ends = [-1, 1] if measure == "true_positive_rate" else [0]
    grid = [in_b.sum()]
    if ends != [0]:
        extremes = [
            sign * linprog(sign * np.tile(base, len(bins)), None, None, of_bin, in_b, limits).fun
            for sign in (1, -1)
        ]
        grid = np.linspace(*extremes, 200)[1:-1]
    for positives in grid:
        gain = counted * (1 / positives + 1 / (total - positives))
        rows, wanted = of_bin, in_b
        if len(grid) > 1:
            rows = np.vstack([of_bin, np.tile(base, len(bins))])
            wanted = np.append(in_b, positives)
        solved = linprog(-np.tile(gain, len(bins)), None, None, rows, wanted, limits)
        if solved.status == 0:
            constant = (in_cell @ counted).sum() / (total - positives)
            best = max(best, -solved.fun - constant)
    assert n.sum() == 600
    assert found == pytest.approx(best, abs=0.01 * (len(grid) > 1) + 1e-6)


@pytest.mark.parametrize("own", [0.0, 0.2])
def test_the_weighted_figure_is_biased_where_the_group_itself_matters_and_bounds_hold(own):
    """Of 40 samples the bounds held the truth in 40, and the weighted interval in 39 and in 0."""
    _, group, _, y_pred = sample(1_000_000, seed=1, own=own)
    truth = true_difference(np.ones(len(group), dtype=bool), group, y_pred)
    held = []
    for seed in range(40):
        shares, _, _, y_pred = sample(seed=seed + 2, own=own)
        (d,) = probable_disparities(y_pred, shares, n_boot=50, random_state=0).disparities
        held.append((d.lowest <= truth <= d.highest, d.low <= truth <= d.high))
    bounds, weighted = np.mean(held, axis=0)
    assert bounds >= 0.95
    assert weighted >= 0.85 if own == 0 else weighted < 0.2


def test_bounds_hold_where_the_truth_lies_on_them():
    """Every row that may be in b is, where it is selected: 59 of 60 were held."""
    held = []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        p = rng.choice([0.2, 0.5, 0.8], size=3000)
        u = rng.random(3000)
        group, y_pred = u < p, u < 0.4
        table = pd.DataFrame({"a": 1 - p, "b": p})
        (d,) = probable_disparities(y_pred, table, n_boot=100, random_state=0).disparities
        in_b = (0.2 + 0.4 + 0.4) / 1.5
        in_a = (3 * 0.4 - 1.0) / 1.5
        truth = in_b - in_a if d.above == "b" else in_a - in_b
        held.append(d.lowest <= truth <= d.highest)
        assert group[y_pred].mean() > 0.8
    assert np.mean(held) >= 0.95


def test_rows_of_a_cluster_are_drawn_together():
    shares, _, _, y_pred = sample(600)
    five = pd.concat([shares] * 5, ignore_index=True)
    one = probable_disparities(y_pred, shares, random_state=0, n_boot=400).disparities[0]
    many = probable_disparities(
        np.tile(y_pred, 5), five, clusters=np.tile(np.arange(600), 5), random_state=0, n_boot=400
    ).disparities[0]
    assert many.weighted == pytest.approx(one.weighted)
    assert many.high - many.low == pytest.approx(one.high - one.low, rel=0.15)


def test_bins_are_of_alike_rows_and_large_enough():
    shares = np.random.default_rng(0).dirichlet([1, 1, 1], size=5000)
    bins = alike_rows(shares)
    assert sorted(np.concatenate(bins).tolist()) == list(range(5000))
    assert min(len(rows) for rows in bins) >= 100
    assert 16 <= len(bins) <= 64
    assert np.mean([shares[rows].std(axis=0).max() for rows in bins]) < 0.5 * shares.std()


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"y_pred": np.full(3000, 0.3)}, ValueError, "y_pred holds 0.3"),
        ({"y_true": [1, 0]}, ValueError, "y_true has the shape"),
        ({"probabilities": np.full((3000, 2), 0.4)}, SensitiveFeaturesError, "don't sum to 1"),
        ({"confidence": 95}, ValueError, "confidence=95"),
        ({"n_boot": 2}, ValueError, "n_boot=2"),
    ],
)
def test_what_is_wrong_is_named(change, error, text):
    shares, _, y_true, y_pred = sample()
    arguments = {"y_pred": y_pred, "probabilities": shares, "y_true": y_true, **change}
    with pytest.raises(error, match=text):
        probable_disparities(**arguments)


def test_an_audit_has_weighted_rates_and_the_bounds_as_a_section(tmp_path):
    rng = np.random.default_rng(0)
    p = rng.choice([0.1, 0.9], size=2000)
    group = rng.random(2000) < p
    y_pred = rng.random(2000) < np.where(group, 0.8, 0.2)
    table = pd.DataFrame({"a": 1 - p, "b": p})
    options = {"sensitive_features": table, "sensitive_kinds": "probabilities", "random_state": 0}
    report = audit(y=group, y_pred=y_pred, **options)
    weights = pd.Series(p)
    (rate,) = [
        f
        for f in report.section("probable group")
        if (f.group, f.measure) == ("b", "selection_rate")
    ]
    assert rate.value == pytest.approx(weights @ y_pred / p.sum())
    assert rate.low < rate.value < rate.high
    weighted, least, most = report.section("probable")[:3]
    alone = probable_disparities(y_pred, table, group, n_boot=1000, random_state=0).disparities
    (same,) = [d for d in alone if d.measure == "selection_rate"]
    assert (weighted.value, least.value, most.value) == pytest.approx(
        (same.weighted, same.at_least, same.at_most)
    )
    assert weighted.most == "b"
    (finding,) = findings_of(report)
    assert finding.verdict == ("found" if least.low > 0 else "unclear")
    for value in (weighted.value, least.low, most.high):
        assert number(value) in finding.text
    assert "Differences between groups that are known by probabilities" in repr(report)
    report.to_html(tmp_path / "page.html")
    assert "Who is treated differently" not in (tmp_path / "page.html").read_text("utf-8")
    blunt = pd.DataFrame({"a": [0.5] * 2000, "b": [0.5] * 2000})
    (advice, _) = next_steps(
        audit(y=group, y_pred=y_pred, **options | {"sensitive_features": blunt})
    )
    assert "more rows would not decide" in advice
    with pytest.raises(ValueError, match="give the group of each row"):
        audit(y=p, y_pred=rng.random(2000), task="regression", **options)
