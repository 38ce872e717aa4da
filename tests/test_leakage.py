from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics import _scores, leakage_report, leakage_score
from fairmi.metrics._digits import digits, places
from fairmi.metrics._independence import independence_p_value
from fairmi.metrics._target import as_target


def planted(leak, n=1_500, seed=0):
    """Z of 6 normal columns with C hidden in it, and C."""
    rng = np.random.default_rng(seed)
    c, Z, rare = rng.integers(2, size=n), rng.normal(size=(n, 6)), rng.random(n) < 0.02
    if leak == "plain":
        Z[:, 0] += c
    elif leak == "seventh decimal":
        Z[:, 3] = np.round(Z[:, 3], 6) + 1e-7 * c
    elif leak == "xor of signs":
        Z[:, 1] = np.abs(Z[:, 1]) * np.where(c == (Z[:, 0] > 0), 1, -1)
    elif leak == "rare code":
        Z[:, 2] = np.where(rare, 2 * c - 1, 0)
    elif leak == "rare value":
        Z[rare, 2] = np.where(c[rare], 0.5, -0.25)
    return Z, c


LEAKS = {  # the least score of a sample of 1,500 rows
    "plain": 0.7,
    "seventh decimal": 0.95,
    "xor of signs": 0.95,
    "rare code": 0.5,
    "rare value": 0.5,
}


@pytest.mark.parametrize("leak", LEAKS)
def test_planted_leak_is_flagged(leak):
    n = 4_000 if leak == "rare value" else 1_500
    found = leakage_report(*planted(leak, n), random_state=0)
    assert found.flagged
    assert found.score > LEAKS[leak]
    low, high = found.interval
    assert low <= found.score <= high


def test_independent_data_are_not_flagged():
    found = leakage_report(*planted("none"), random_state=0)
    assert not found.flagged
    assert 0.5 < found.null_mean < found.null_quantile < 0.56
    assert found.score < found.null_quantile
    assert "no leak found" in str(found)


def test_false_alarms_are_as_rare_as_stated():
    """By one probe, for speed; benchmarks/truth.py has the panel."""
    reports = [
        leakage_report(*planted("none", 100, seed), probe="linear", cv=3, random_state=seed)
        for seed in range(100)
    ]
    flagged = np.mean([report.p_value <= 0.05 for report in reports])
    above = np.mean([report.score > report.null_quantile for report in reports])
    limit = 0.05 + 2 * np.sqrt(0.05 * 0.95 / 100)
    assert flagged <= limit
    assert above <= limit


def test_p_value_is_uniform_when_blocks_are_independent():
    rng = np.random.default_rng(1)
    p = [
        independence_p_value(
            [rng.normal(size=(12, 1)) for _ in range(3)],
            [rng.normal(size=(2, 12, 1)) for _ in range(3)],
            rng,
        )
        for _ in range(120)
    ]
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)


def test_constant_predictions_say_nothing():
    target = np.random.default_rng(2).normal(size=(30, 1))
    p = independence_p_value([target], [np.full((1, 30, 1), 0.3)], np.random.default_rng(0))
    assert p == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_that_of_scikit_learn_ties_included(weighted):
    rng = np.random.default_rng(3)
    c, s = rng.integers(2, size=80), rng.integers(6, size=80).astype(float)
    w = rng.random(80) if weighted else np.ones(80)
    found = _scores.auc(c[:, None], s[:, None], w)
    assert found.value == pytest.approx(roc_auc_score(c, s, sample_weight=w))
    centred = w * (c - np.average(c, weights=w))
    assert 0.5 + centred @ found.form[:, 0] == pytest.approx(found.value)


def test_auc_form_gives_the_auc_of_permuted_targets():
    rng = np.random.default_rng(4)
    c, s = np.eye(3)[rng.integers(3, size=60)], rng.random((60, 3))
    form = _scores.auc(c, s, np.ones(60)).form
    mixed = rng.permutation(c)
    expected = roc_auc_score(mixed, s, average="macro")
    assert 0.5 + ((mixed - mixed.mean(axis=0)) * form).sum() == pytest.approx(expected)


def test_auc_error_is_that_of_many_samples():
    rng = np.random.default_rng(5)
    c = np.repeat([0, 1], [60, 40])[:, None]
    scores = [_scores.auc(c, c + rng.normal(size=(100, 1)), np.ones(100)) for _ in range(400)]
    spread = np.std([score.value for score in scores])
    assert np.mean([score.standard_error for score in scores]) == pytest.approx(spread, rel=0.1)


def test_r2_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    c, w = rng.normal(size=50), rng.random(50)
    s = c + rng.normal(size=50)
    found = _scores.r2(c[:, None], s[:, None], w)
    assert found.value == pytest.approx(r2_score(c, s, sample_weight=w))
    correlation = (w * (c - np.average(c, weights=w))) @ found.form[:, 0]
    cov = np.cov(c, s, aweights=w)
    assert correlation == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def test_balanced_accuracy_is_that_of_scikit_learn_at_each_groups_share():
    rng = np.random.default_rng(7)
    c, p = rng.integers(2, size=90), rng.random(90)
    found = _scores.balanced_accuracy(c[:, None], p[:, None], np.ones(90))
    assert found == pytest.approx(balanced_accuracy_score(c, p > c.mean()))


def test_three_groups_and_their_rarest():
    rng = np.random.default_rng(8)
    group = np.repeat(["a", "b", "c"], [200, 150, 12])
    found = leakage_report((group == "c") + rng.normal(0, 0.3, 362), group, random_state=0)
    assert (found.metric, found.labels) == ("roc_auc_ovr", ("a", "b", "c"))
    assert found.flagged
    assert found.balanced_accuracy > 0.5
    assert len(found.probes) == 6


def test_continuous_attribute_is_scored_by_r2():
    rng = np.random.default_rng(9)
    age = rng.integers(18, 80, 400)
    found = leakage_report(age + rng.normal(0, 10, 400), age, random_state=0)
    assert (found.metric, found.kind, found.labels) == ("r2", "continuous", ())
    assert found.score == pytest.approx(np.var(age) / (np.var(age) + 100), abs=0.1)
    assert found.flagged
    assert found.null_quantile < 0.05
    assert np.isnan(found.balanced_accuracy)
    nothing = leakage_report(rng.normal(size=400), age, probe="linear", random_state=0)
    assert nothing.score < nothing.null_quantile


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.arange(200) % 21, "continuous"),
        (np.arange(200) % 20, "categorical"),
        (np.arange(200) / 7, "continuous"),
        ((np.arange(200) % 30).astype(str), "categorical"),
        (np.arange(200) % 2 == 0, "categorical"),
        ((np.arange(200) % 30).astype(object), "continuous"),
    ],
)
def test_kind_of_the_attribute_is_told_by_its_values(values, kind):
    assert as_target(values, 200).kind == kind
    assert as_target(values, 200, kind="categorical").kind == "categorical"


@pytest.mark.parametrize("probe", ["linear", "neighbours"])
def test_rows_of_no_weight_do_not_count(probe):
    """One that takes weights, and one trained on rows drawn by weight."""
    Z, c = planted("plain", 600)
    weight = np.repeat([1.0, 0.0], 300)
    Z[300:, 0] = -3 * c[300:]  # the contrary, where it doesn't count
    weighted = leakage_score(Z, c, probe=probe, sample_weight=weight, random_state=0)
    alone = leakage_score(Z[:300], c[:300], probe=probe, random_state=0)
    assert weighted == pytest.approx(alone, abs=0.05)


def test_equal_weights_are_no_weights():
    Z, c = planted("plain", 200)
    plain = leakage_report(Z, c, probe="linear", random_state=0)
    weighted = leakage_report(Z, c, probe="linear", sample_weight=np.full(200, 3), random_state=0)
    assert weighted.score == pytest.approx(plain.score)
    assert weighted.interval == pytest.approx(plain.interval)
    assert weighted.null_quantile == pytest.approx(plain.null_quantile)


def test_names_of_groups_and_kind_of_table_do_not_matter():
    Z, c = planted("plain", 150)
    found = leakage_report(Z, c, probe="linear", random_state=0)
    named = leakage_report(
        pd.DataFrame(Z, index=np.arange(150) * 2),
        pd.Series(np.array(["blue", "red"])[c], index=np.arange(150)),
        probe="linear",
        random_state=0,
    )
    assert named.labels == ("blue", "red")
    assert named.probes == found.probes
    assert named.p_value == found.p_value


def test_predictions_and_intersections_are_taken():
    rng = np.random.default_rng(10)
    features = pd.DataFrame({"sex": rng.integers(2, size=300), "race": rng.integers(2, size=300)})
    predictions = np.array(["no", "maybe", "yes"])[features["sex"] + rng.integers(2, size=300)]
    found = leakage_report(predictions, features, probe="linear", random_state=0)
    assert found.labels == ((0, 0), (0, 1), (1, 0), (1, 1))
    assert found.flagged


def test_score_is_the_reports_and_the_same_for_a_seed():
    Z, c = planted("plain", 150)
    first, second = (leakage_report(Z, c, random_state=1) for _ in range(2))
    assert first == second
    assert leakage_score(Z, c, random_state=1) == first.score
    assert first.score == max(probe.score for probe in first.probes)


def test_few_rows_are_enough_for_every_probe():
    rng = np.random.default_rng(11)
    found = leakage_report(rng.normal(size=20), np.arange(20) % 2, random_state=0)
    assert len(found.probes) == 6
    assert found.null_quantile > 0.7


def test_probe_of_the_callers_own():
    Z, c = planted("plain", 150)
    found = leakage_report(Z, c, probe=LogisticRegression(), random_state=0)
    assert found.probe == "LogisticRegression"
    assert found.score > 0.65
    assert leakage_score(Z, c, probe=DummyClassifier(), random_state=0) == 0.5


def test_digits_are_of_the_rounded_value():
    column = np.array([0.1234561, 0.1234569, 2.5])
    assert digits(column, 7).tolist() == [1, 9, 0]
    assert digits(column, 1).tolist() == [1, 1, 5]
    assert list(places(np.array([1.0, 2.0]))) == []
    assert max(places(np.array([1.25, 1.5]))) == 15
    assert max(places(np.array([1.25, 1.5], dtype=np.float32))) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"probe": "oracle"}, ValueError, "probe"),
        ({"probe": RidgeClassifier()}, ValueError, "has no predict_proba"),
        ({"cv": 1}, ValueError, "cv"),
        ({"kind": "ordinal"}, ValueError, "kind"),
        ({"sample_weight": [1, 2]}, ValueError, "sample_weight has shape"),
        ({"sample_weight": -np.ones(60)}, ValueError, "sample_weight has a negative"),
        ({"sensitive_features": [0, 1]}, SensitiveFeaturesError, "has 2 rows"),
        ({"sensitive_features": [0, *[1] * 59]}, SensitiveFeaturesError, "fewer than cv=5"),
        ({"sensitive_features": np.ones(60)}, SensitiveFeaturesError, "single value"),
        (
            {"sensitive_features": np.ones(60), "kind": "continuous"},
            SensitiveFeaturesError,
            "single value",
        ),
        (
            {"sensitive_features": ["a", "b"] * 30, "kind": "continuous"},
            SensitiveFeaturesError,
            'give kind="categorical"',
        ),
        (
            {"sensitive_features": [*range(59), np.inf]},
            SensitiveFeaturesError,
            "missing or infinite value in 1 rows",
        ),
        (
            {"sensitive_features": np.column_stack([np.arange(60), np.arange(60) % 2])},
            SensitiveFeaturesError,
            "2 columns, one of which is continuous",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, error, match):
    given = {"sensitive_features": np.arange(60) % 2} | arguments
    with pytest.raises(error, match=match):
        leakage_report(np.random.default_rng(0).normal(size=60), **given)
