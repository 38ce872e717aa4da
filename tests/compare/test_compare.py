from __future__ import annotations

from functools import partial

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference, equalized_odds_difference
from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

from fairmi.__main__ import main
from fairmi.compare import METHODS, Comparison, compare, compare_folds, compare_split
from fairmi.compare._measures import (
    METRICS,
    bootstrap_weights,
    fold_interval,
    percentile_interval,
    probe_auc,
    weighted_metrics,
)
from fairmi.compare._run import choose_setting, unbettered
from fairmi.compare._samples import Sample, adult_samples, german_sample

BY_NAME = {method.name: method for method in METHODS}


@pytest.fixture(scope="module")
def adult():
    train, test = adult_samples()
    return train.take(np.arange(1_500)), test.take(np.arange(2_000))


@pytest.fixture
def predictions():
    rng = np.random.default_rng(3)
    codes = rng.integers(3, size=400)
    y = rng.integers(2, size=400)
    scores = np.round(rng.normal(size=400) + y + 0.3 * codes, 1)  # rounded: ties
    return y, (scores > 0.5).astype(int), scores, codes


def slow_metrics(y, labels, scores, codes):
    return {
        "accuracy": accuracy_score(y, labels),
        "balanced_accuracy": balanced_accuracy_score(y, labels),
        "roc_auc": roc_auc_score(y, scores),
        "demographic_parity_difference": demographic_parity_difference(
            y, labels, sensitive_features=codes
        ),
        "equalized_odds_difference": equalized_odds_difference(
            y, labels, sensitive_features=codes
        ),
    }


def test_metrics_of_a_draw_are_those_of_the_rows_drawn(predictions):
    weights = bootstrap_weights(400, 5)
    fast = weighted_metrics(*predictions, weights)
    for k, draw in enumerate(weights):
        rows = np.repeat(np.arange(400), draw.astype(int))
        slow = slow_metrics(*(values[rows] for values in predictions))
        assert {name: fast[name][k] for name in METRICS} == pytest.approx(slow)


def test_bootstrap_draws_whole_samples_after_the_sample_itself():
    weights = bootstrap_weights(50, 200)
    assert (weights[0] == 1).all()
    assert (weights.sum(axis=1) == 50).all()
    assert weights[1:].var(axis=0).mean() == pytest.approx(1 - 1 / 50, abs=0.1)


def test_bootstrap_interval_has_the_width_of_the_binomial(predictions):
    y, labels, scores, codes = predictions
    draws = weighted_metrics(y, labels, scores, codes, bootstrap_weights(400, 2_000))["accuracy"]
    low, high = percentile_interval(draws[1:])
    error = np.sqrt(draws[0] * (1 - draws[0]) / 400)
    assert high - low == pytest.approx(2 * 1.96 * error, rel=0.1)
    assert low < draws[0] < high


def test_metrics_without_scores_or_without_a_class_in_a_group(predictions):
    y, labels, _, codes = predictions
    y = np.where(codes == 0, 0, y)  # group 0 has no positive row: no true positive rate
    found = weighted_metrics(y, labels, None, codes, bootstrap_weights(400, 0))
    assert np.isnan(found["roc_auc"]).all()
    true_positive = [labels[(codes == k) & (y == 1)].mean() for k in (1, 2)]
    false_positive = [labels[(codes == k) & (y == 0)].mean() for k in (0, 1, 2)]
    expected = max(np.ptp(true_positive), np.ptp(false_positive))
    assert found["equalized_odds_difference"][0] == pytest.approx(expected)


def test_fold_interval_is_wider_than_that_of_independent_folds():
    values = np.random.default_rng(0).normal(size=20)
    low, high = fold_interval(values, 0.25)
    independent = fold_interval(values, 0.0)
    assert (low + high) / 2 == pytest.approx(values.mean())
    assert high - low == pytest.approx((independent[1] - independent[0]) * np.sqrt(6))


def test_probe_finds_what_is_there_and_nothing_else():
    rng = np.random.default_rng(0)
    s = rng.integers(2, size=2_000).astype(str)
    folded = np.where(s == "1", 1.0, rng.choice([0.0, 2.0], size=2_000))[:, None]
    noise = rng.normal(size=(2_000, 1))
    assert probe_auc(folded[:1_000], s[:1_000], folded[1_000:], s[1_000:]) == 1.0
    assert probe_auc(noise[:1_000], s[:1_000], noise[1_000:], s[1_000:]) < 0.56
    three = rng.integers(3, size=2_000)
    Z = three[:, None] + 0.0
    assert probe_auc(Z[:1_000], three[:1_000], Z[1_000:], three[1_000:]) == 1.0


def test_unbettered_points_are_the_frontier():
    points = [(0.8, 0.1), (0.9, 0.1), (0.9, 0.2), (0.7, 0.05), (0.6, 0.06), (0.9, 0.1)]
    assert unbettered(points) == [1, 3, 5]


def test_table_has_a_row_for_each_setting_with_intervals_around_values(adult):
    methods = [BY_NAME["Logistic regression"], BY_NAME["CorrelationRemover"]]
    table = compare_split(*adult, methods, fast=False, n_jobs=1)
    assert table["method"].tolist() == ["Logistic regression"] + ["CorrelationRemover"] * 3
    assert table["setting"].tolist() == ["", "alpha=0.5", "alpha=0.9", "alpha=1"]
    for name in METRICS:
        assert (table[f"{name}_low"] < table[f"{name}_high"]).all()
        assert table["accuracy"].between(table["accuracy_low"], table["accuracy_high"]).all()
    assert table["accuracy"].min() > 0.78
    assert table["probe_auc"].isna().tolist() == [True, False, False, False]
    parity = table["demographic_parity_difference"]
    assert parity.iloc[3] < parity.iloc[0]


# What fairlearn 0.15's reductions do to pandas 3.1.
@pytest.mark.filterwarnings("ignore:Setting a value on a Series via .at")
@pytest.mark.filterwarnings("ignore:Setting an item of incompatible dtype")
# The published procedure on few rows says that its penalty did little, as it should.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_every_method_gives_labels_scores_and_representation(method, adult):
    train, test = adult
    contender = method.build(**method.settings(fast=False)[0])
    contender.fit(train.X, train.y, train.s)
    labels, scores = contender.predict(test.X, test.s), contender.scores(test.X, test.s)
    assert set(np.unique(labels)) <= {0, 1}
    if scores is not None:
        assert scores.shape == labels.shape
        assert roc_auc_score(test.y, scores) >= 0.5
    alone = contender.represent(test.X.iloc[:1], test.s[:1])
    if alone is not None:
        assert alone.shape == (1, contender.represent(train.X, train.s).shape[1])


def test_setting_is_chosen_within_the_bound_or_else_least_unfair():
    train = german_sample()
    method = BY_NAME["CorrelationRemover"]
    settings = [{"alpha": 0.0}, {"alpha": 1.0}]
    least_unfair = choose_setting(method, settings, train, -1.0)
    assert settings[least_unfair] == {"alpha": 1.0}
    most_accurate = choose_setting(method, settings, train, 1.0)
    assert most_accurate in (0, 1)
    assert choose_setting(method, settings[:1], train, 0.0) == 0


def test_folds_give_each_setting_and_the_chosen_one():
    sample = german_sample()
    methods = [BY_NAME["Majority class"], BY_NAME["CorrelationRemover"]]
    table = compare_folds(sample, methods, fast=True, n_jobs=1)
    assert table["setting"].tolist() == ["", "alpha=1"]
    assert table["accuracy"].iloc[0] == pytest.approx(0.7)
    assert table["accuracy_low"].iloc[1] < table["accuracy"].iloc[1]


def test_sample_takes_matching_rows():
    X = pd.DataFrame({"a": [1, 2, 3, 4]}, index=[5, 6, 7, 8])
    sample = Sample(X, np.array([0, 1, 0, 1]), np.array(["p", "q", "q", "p"], dtype=object))
    taken = sample.take(np.array([3, 1]))
    assert taken.X["a"].tolist() == [4, 2]
    assert taken.y.tolist() == [1, 1]
    assert taken.s.tolist() == ["p", "q"]
    assert taken.strata.tolist() == [1, 3]


def test_comparison_prints_and_saves(adult, tmp_path):
    methods = [BY_NAME["Majority class"], BY_NAME["Logistic regression, plain encoding"]]
    table = compare_split(*adult, methods, fast=True, n_jobs=1)
    comparison = Comparison("adult", table, fast=True)
    text = str(comparison)
    assert "torch" in text
    assert f"{table['accuracy'].iloc[1]:.4f} [" in text
    saved = comparison.save(tmp_path / "new")
    assert [path.suffix for path in saved] == [".csv", ".png"]
    assert saved[1].read_bytes().startswith(b"\x89PNG")
    pd.testing.assert_frame_equal(pd.read_csv(saved[0])[list(METRICS)], table[list(METRICS)])


def test_unknown_data_set_is_refused():
    with pytest.raises(ValueError, match="dataset must be one of"):
        compare("compas")
    with pytest.raises(SystemExit):
        main(["compare", "compas"])


def test_command_line_prints_the_table(monkeypatch, capsys, tmp_path, adult):
    monkeypatch.setattr("fairmi.compare.adult_samples", lambda: adult)
    names = ["Majority class", "Logistic regression, plain encoding"]
    methods = [BY_NAME[name] for name in names]
    monkeypatch.setattr("fairmi.compare.compare", partial(compare, methods=methods))
    assert main(["compare", "adult", "--fast", "--n-jobs", "1", "--output", str(tmp_path)]) == 0
    printed = capsys.readouterr().out
    assert "Logistic regression, plain encoding" in printed
    assert (tmp_path / "compare_adult.png").exists()
