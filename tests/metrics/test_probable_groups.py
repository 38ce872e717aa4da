"""Groups that are known by probability: weighted figures, and what is refused or asked about."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression

from fairmi.exceptions import ColumnWarning, SensitiveFeaturesError
from fairmi.metrics import (
    certify,
    leakage_report,
    leakage_score,
    make_fairness_scorer,
    mutual_information_score,
)
from fairmi.metrics._cross_fit import Sample


def draw(n, seed, *, tells=1.0):
    """Z that tells of the place alone, probabilities of a group by place, and the true groups."""
    rng = np.random.default_rng(seed)
    place = rng.normal(size=n)
    share = 1 / (1 + np.exp(-2 * place))
    Z = np.column_stack([tells * place + rng.normal(size=n), rng.normal(size=n)])
    return Z, pd.DataFrame({"a": 1 - share, "b": share}), (rng.random(n) < share).astype(int)


def onehot(group):
    return pd.get_dummies(pd.Series(np.array(["a", "b", "c"])[group]), dtype=float)


def test_certain_probabilities_are_groups_to_the_last_bit():
    rng = np.random.default_rng(0)
    group, y = rng.integers(3, size=240), rng.integers(2, size=240)
    Z, w = rng.normal(size=(240, 2)) + group[:, None], rng.random(240)
    plain, probable = (
        leakage_report(Z, s, kind=kind, probe="linear", sample_weight=w, random_state=0)
        for s, kind in (
            (np.array(["a", "b", "c"])[group], "auto"),
            (onehot(group), "probabilities"),
        )
    )
    assert probable.kind == "probabilities"
    assert (probable.score, probable.interval) == (plain.score, plain.interval)
    assert (probable.p_value, probable.labels) == (plain.p_value, plain.labels)
    model = LogisticRegression().fit(Z, y)
    for metric, options in (
        ("demographic_parity_difference", {}),
        ("accuracy_score", {"aggregate": "difference"}),
    ):
        hard = make_fairness_scorer(metric, **options)
        soft = make_fairness_scorer(metric, sensitive_kinds="probabilities", **options)
        assert soft(model, Z, y, sensitive_features=onehot(group)) == pytest.approx(
            hard(model, Z, y, sensitive_features=group), rel=1e-12
        )


@pytest.mark.parametrize("clustered", [False, True])
def test_weighted_score_is_near_that_of_the_true_groups(clustered):
    Z, shares, group = draw(3_000, 1)
    options = {"probe": "linear", "random_state": 0}
    if clustered:
        options["clusters"] = np.arange(3_000) // 2
    found = leakage_report(Z, shares, kind="probabilities", **options)
    truth = leakage_report(Z, group, **options)
    assert found.score == pytest.approx(truth.score, abs=0.02)  # measured 0.746; 0.751, 0.753
    assert found.interval[0] < truth.score < found.interval[1]
    assert found.flagged
    assert found.n_rows == 3_000
    score = leakage_score(Z, shares, kind="probabilities", **options)
    assert score == pytest.approx(found.score, abs=1e-12)


def test_labels_clusters_and_several_features_go_with_probabilities():
    Z, shares, _ = draw(600, 2)
    y = (np.arange(600) % 2).astype(str)
    given = leakage_report(
        Z, shares, kind="probabilities", given=y, probe="linear", random_state=0
    )
    assert given.n_rows == 600
    sample = Sample.make(Z, shares, kind="probabilities", cv=5, random_state=0)
    assert len(sample) == 1_200
    assert sum(len(np.unique(sample.row[fold])) for fold in sample.folds) == 600  # no row split
    assert given.score > 0.65  # measured 0.741
    both = pd.concat({"race": shares, "sex": shares.set_axis(["f", "m"], axis=1)}, axis=1)
    four = leakage_report(Z, both, kind="probabilities", probe="linear", random_state=0)
    assert four.labels == (("a", "f"), ("a", "m"), ("b", "f"), ("b", "m"))
    assert four.metric == "roc_auc_ovr"


def test_panel_finds_no_leak_where_there_is_none():
    """Copies of a row are no values that recur, nor two chances to guess it."""
    Z, shares, _ = draw(300, 3, tells=0.0)
    found = leakage_report(Z, shares, kind="probabilities", random_state=0)
    assert not found.flagged
    assert found.score < 0.6  # measured 0.527


@pytest.mark.slow
def test_false_alarms_are_as_rare_as_said():
    """At p <= 0.05; of 100 draws 10 or more would be a matter of one in 35."""
    alarms = 0
    for seed in range(100):
        Z, shares, _ = draw(150, seed, tells=0.0)
        report = leakage_report(Z, shares, kind="probabilities", probe="linear", random_state=0)
        alarms += report.p_value <= 0.05
    assert alarms < 10  # measured 6


def test_weighted_rates_are_those_of_rows_that_weigh_in_each_group():
    Z, shares, _ = draw(400, 4)
    y = (Z[:, 1] > 0).astype(int)
    model = LogisticRegression().fit(Z, (Z[:, 0] > 0).astype(int))
    w = np.random.default_rng(0).random(400)
    scorer = make_fairness_scorer("demographic_parity_difference", sensitive_kinds="probabilities")
    found = scorer(model, Z, y, sensitive_features=shares, sample_weight=w)
    rates = [np.average(model.predict(Z), weights=w * p) for p in shares.to_numpy().T]
    assert found == pytest.approx(-abs(rates[0] - rates[1]))
    assert "sensitive_kinds='probabilities'" in repr(scorer)


def test_what_needs_the_group_of_each_row_says_so():
    Z, shares, _ = draw(200, 5)
    y = np.arange(200) % 2
    model = DummyClassifier().fit(Z, y)
    text = "sum to 1 in every row, as probabilities of groups do"
    with pytest.raises(SensitiveFeaturesError, match=text):
        certify(y, shares)
    with pytest.raises(SensitiveFeaturesError, match=text):
        make_fairness_scorer("demographic_parity_difference")(
            model, Z, y, sensitive_features=shares
        )
    rough = shares.round() * 0.5 + 0.25
    for figure in (leakage_score, mutual_information_score):
        with pytest.warns(ColumnWarning, match="sum to 1 in every row. If they are prob"):
            figure(y, rough)
    with pytest.raises(ValueError, match=r"'kind' parameter"):
        mutual_information_score(Z, shares, kind="probabilities")
    with pytest.raises(ValueError, match="takes no sample_weight"):
        make_fairness_scorer(
            lambda y_true, y_pred: 0.0,
            aggregate="difference",
            sensitive_kinds="probabilities",
        )
    with pytest.raises(SensitiveFeaturesError, match="don't sum to 1 within"):
        leakage_report(Z, shares * 2, kind="probabilities")
    with pytest.raises(SensitiveFeaturesError, match="has 199 rows, but Z has 200"):
        leakage_report(Z, shares[1:], kind="probabilities")
