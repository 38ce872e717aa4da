"""Rows of one person in an audit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array

from fairmi._data.groups import group_rows
from fairmi.audit import audit
from fairmi.audit.comparisons import GroupRates, small_groups
from fairmi.audit.counts import effective_sizes
from fairmi.audit.predictions import predictions_of
from fairmi.exceptions import SmallGroupWarning

PERSONS, EACH = 200, 6


def of_persons(seed, persons=PERSONS, each=EACH):
    """Near-twin rows of persons whose group has nothing to do with anything else."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(persons), each)
    x = rng.normal(size=persons)[who] + 0.01 * rng.normal(size=len(who))
    group = np.where(rng.integers(2, size=persons), "a", "b")[who]
    y = rng.integers(2, size=persons)[who]
    return x, group, y, who


def run(x, group, y, who, **options):
    options = {"n_boot": 200, "conditions": None, "random_state": 0, **options}
    return audit(y=y, y_pred=(x > 0).astype(int), y_score=x, sensitive_features=group, **options)


def figure(report, measure, given=""):
    return next(
        f
        for f in report.figures
        if (f.measure, f.given) == (measure, given) and f.subject in ("", "scores")
        if f.section != "overall"
    )


@pytest.mark.slow
def test_persons_with_many_rows_are_no_leak_if_clusters_are_given(monkeypatch):
    monkeypatch.setattr("fairmi.audit.leakage.FOLDS", 3)
    x, group, y, who = of_persons(0)
    assert figure(run(x, group, y, who), "p_value").value < 1e-3  # measured 1e-5
    report = run(x, group, y, who, clusters=who)
    assert figure(report, "p_value").value > 0.01  # measured 0.574
    assert figure(report, "p_value", "label").value > 0.01  # measured 0.557
    assert report.about["clusters"] == PERSONS
    assert "in 200 clusters" in repr(report)


def test_rows_given_again_as_clusters_have_the_intervals_of_rows_once():
    x, group, y, _ = of_persons(0)
    numbers = []
    for times in (1, 3):
        rows = np.repeat(np.arange(len(x)), times)
        predictions = predictions_of(None, y[rows], (x[rows] > 0).astype(int))
        rates = GroupRates(replace(predictions, clusters=rows), group_rows(group[rows]))
        options = {"confidence": 0.95, "n_boot": 100, "rng": np.random.default_rng(0)}
        figures = rates.figures("", 0.95) + rates.disparities("", **options)
        numbers.append([(f.value, f.low, f.high, f.by_chance) for f in figures])
    np.testing.assert_allclose(*numbers)


@pytest.mark.parametrize(
    ("clusters", "told"), [(None, ""), (np.arange(200) // 10, "(100 rows, worth 10)")]
)
def test_small_groups_are_counted_by_independent_rows(clusters, told):
    """Two groups of 100 rows: ten persons of ten rows each are too few for a rate."""
    predictions = predictions_of(None, np.arange(200) % 2, np.arange(200) // 2 % 2)
    groups = group_rows(np.repeat(["f", "m"], 100))
    rates = GroupRates(replace(predictions, clusters=clusters), groups)
    found = small_groups([rates], clustered=clusters is not None)
    assert bool(found) == bool(told)
    assert told in found


def test_changes_from_a_baseline_are_drawn_by_clusters():
    x, _, y, who = of_persons(2)
    other = np.random.default_rng(0).normal(size=PERSONS)[who] > 0
    baseline = GroupRates(predictions_of(None, y, other.astype(int)))
    widths = []
    for clusters in (who, None):
        predictions = replace(predictions_of(None, y, (x > 0).astype(int)), clusters=clusters)
        options = {"confidence": 0.95, "n_boot": 4000, "rng": np.random.default_rng(0)}
        change = GroupRates(predictions).changes(baseline, **options)[-1]
        widths.append(change.high - change.low)
    assert widths[0] / widths[1] == pytest.approx(np.sqrt(EACH), rel=0.06)  # measured 2.526


def test_effective_sizes_are_the_number_of_equal_clusters():
    bin_of, clusters = np.zeros(12, dtype=int), np.repeat(np.arange(4), 3)
    assert effective_sizes(bin_of, 1, clusters).tolist() == [4]
    assert effective_sizes(bin_of, 2, None).tolist() == [12, 0]
    uneven = np.array([0] * 9 + [1, 2, 3])
    assert effective_sizes(bin_of, 1, uneven)[0] == pytest.approx(144 / 84)


def test_clusters_too_few_for_the_folds_have_no_probe_and_a_note():
    x, group, y, who = of_persons(3, persons=8, each=80)
    y = np.arange(len(y)) % 2
    with pytest.warns(SmallGroupWarning, match="worth"):
        report = run(x, group, y, who, clusters=who)
    assert any("fewer than 5 clusters" in note for note in report.notes)


@pytest.mark.usefixtures("no_probes")
def test_equal_rows_of_a_group_are_warned_of():
    x, group, y, who = of_persons(4, each=2)
    X = pd.DataFrame({"x": np.round(x, 1) + who, "z": who % 7})
    forms = (X, X.to_numpy(), csr_array(X), X.assign(z=[[v] for v in X["z"]]))
    for form in forms:
        with pytest.warns(UserWarning, match="equal another row and share its sensitive feature"):
            report = run(x, group, y, who, X=form)
        assert any("give clusters=" in note for note in report.notes)
    run(x, group, y, who, X=X, clusters=who)


@pytest.mark.usefixtures("no_probes")
def test_clusters_of_the_wrong_length_are_refused():
    x, group, y, who = of_persons(5)
    with pytest.raises(ValueError, match="clusters has shape"):
        run(x, group, y, who, clusters=who[:-1])


@pytest.mark.usefixtures("no_probes")
def test_certificates_state_confidence_and_that_rows_are_fresh():
    x, group, y, who = of_persons(6, persons=2000, each=1)
    report = run(x, group, y, who)
    for form in (repr(report), report._repr_html_()):
        text = " ".join(form.split())
        assert "At 95 % confidence each, if these are rows that took no part in training" in text
        assert "No threshold on its scores, by anyone" in text
        assert "bound on equalized odds" in text
    bounds = {
        (f.against, f.measure): f.value
        for f in report.section("certificate")
        if f.subject == "scores"
    }
    assert bounds["classifier", "demographic_parity_bound"] == 1
    assert bounds["threshold", "demographic_parity_bound"] < 0.15  # measured 0.073
    assert bounds["threshold", "equalized_odds_bound"] < 0.25  # measured 0.099
