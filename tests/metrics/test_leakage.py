from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.metrics import balanced_accuracy_score, r2_score, roc_auc_score

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics import (
    _cross_fit,
    conditional_leakage_report,
    conditional_mutual_information_score,
    leakage_report,
    leakage_score,
    mutual_information_score,
)
from fairmi.metrics._independence import independence_p_value
from fairmi.metrics._representation import read_representation
from fairmi.metrics._rows import read_target
from fairmi.metrics.probes import bits, digits, places


def planted(leak, n=1_500, seed=0):
    """Z of 6 normal columns with C hidden in it, and C."""
    rng = np.random.default_rng(seed)
    c, Z = rng.integers(2, size=n), rng.normal(size=(n, 6))
    u = Z.view(np.uint64)
    if leak == "plain":
        Z[:, 0] += c
    elif leak == "last bit of whole numbers":
        Z = np.column_stack([2 * rng.integers(10**6, size=n) + c, rng.integers(9, size=n)])
    elif leak == "last bit of huge whole numbers":
        Z = 2 * rng.integers(2**61, size=n) + c
    elif leak == "bit of whole numbers":
        Z = (rng.integers(10**6, size=n) & ~8) | (c << 3)
    elif leak == "last bit of the mantissa":
        u[:, 1] = (u[:, 1] & ~np.uint64(1)) | c.astype(np.uint64)
    elif leak == "bit of the mantissa":
        u[:, 4] = (u[:, 4] & ~np.uint64(1 << 9)) | (c.astype(np.uint64) << np.uint64(9))
    elif leak == "last bit of single precision":
        Z = Z.astype(np.float32)
        Z.view(np.uint32)[:, 1] = (Z.view(np.uint32)[:, 1] & ~np.uint32(1)) | c.astype(np.uint32)
    elif leak == "stripes in a difference":
        c = (np.floor((Z[:, 0] - Z[:, 2]) / 0.02) % 2).astype(int)
    elif leak == "stripes in a column":
        c = (np.floor(Z[:, 3] / 0.013) % 2).astype(int)
    elif leak == "missing values":
        Z[(rng.random(n) < 0.3) & (c == 1), 2] = np.nan
    elif leak == "pattern of missing values":
        first = rng.random(n) < 0.5
        Z[first, 0] = Z[first ^ (c == 1), 1] = np.nan
    elif leak == "seventh decimal":
        Z[:, 3] = np.round(Z[:, 3], 6) + 1e-7 * c
    elif leak == "xor of signs":
        Z[:, 1] = np.abs(Z[:, 1]) * np.where(c == (Z[:, 0] > 0), 1, -1)
    return Z, c


# The least score of a sample of 1,500 rows.
LEAKS = {"plain": 0.7, "seventh decimal": 0.95, "xor of signs": 0.95}
FINE = {  # found by one probe of the panel: that probe and the least score of 600 rows
    "last bit of whole numbers": ("digits", 0.99),
    "last bit of huge whole numbers": ("digits", 0.99),
    "bit of whole numbers": ("digits", 0.99),
    "last bit of the mantissa": ("digits", 0.99),
    "bit of the mantissa": ("digits", 0.99),
    "last bit of single precision": ("digits", 0.99),
    "stripes in a difference": ("waves", 0.95),
    "stripes in a column": ("waves", 0.9),
    "missing values": ("linear", 0.6),
    "pattern of missing values": ("boosting", 0.95),
}


@pytest.mark.slow
@pytest.mark.parametrize("leak", LEAKS)
def test_planted_leak_is_flagged(leak):
    found = leakage_report(*planted(leak), random_state=0)
    assert found.flagged
    assert found.score > LEAKS[leak]
    low, high = found.interval
    assert low <= found.score <= high


@pytest.mark.slow_cases(
    "bit of*",
    "last bit of the*",
    "last bit of huge*",
    "last bit of whole*",
    "pattern*",
    "stripes*",
)
@pytest.mark.parametrize("leak", FINE)
def test_fine_leak_is_found_by_a_probe_of_the_panel(leak):
    probe, least = FINE[leak]
    found = leakage_report(*planted(leak, 600), probe=probe, random_state=0)
    assert found.flagged
    assert found.score > least


def test_xor_with_the_label_is_found_given_it():
    rng = np.random.default_rng(12)
    c, y = rng.integers(2, size=(2, 600))
    Z = np.column_stack([rng.normal(size=600), c ^ y])
    alone = leakage_report(Z, c, probe="boosting", random_state=0)
    given = leakage_report(Z, c, given=y, probe="boosting", random_state=0)
    assert not alone.flagged
    assert given.flagged
    assert given.score > 0.99 > 0.6 > alone.score  # measured 1 and 0.538
    assert given.n_rows == 600
    of_one = leakage_report(Z, c, given=y, sample_weight=y, probe="boosting", random_state=0)
    assert of_one.n_rows == y.sum()  # a label without weight has no part in it
    assert of_one.score > 0.99


@pytest.mark.slow
def test_given_a_label_that_tells_all_nothing_is_left():
    """Z tells of C by y alone: 20 draws, of which more than 3 would be a matter of one in 60."""
    p_values = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        y = rng.integers(2, size=150)
        c = y ^ (rng.random(150) < 0.2)
        Z = 2 * y + rng.normal(size=150)
        found = leakage_report(Z, c, given=y, probe="linear", cv=3, random_state=0)
        p_values.append(found.p_value)
    assert sum(p <= 0.05 for p in p_values) <= 3  # measured 0
    assert leakage_report(Z, c, probe="linear", random_state=0).flagged


def test_labels_with_too_few_rows_are_left_out():
    rng = np.random.default_rng(13)
    Z, c = rng.normal(size=60), np.arange(60) % 2
    y = np.where(np.arange(60) < 4, "rare", "usual")
    with pytest.warns(UserWarning, match="given = 'rare' are left out"):
        found = leakage_report(Z, c, given=y, probe="linear", random_state=0)
    assert found.n_rows == 56
    with pytest.raises(SensitiveFeaturesError, match="no value of given has cv=5 rows"):
        leakage_report(Z[:4], c[:4], given=y[:4], probe="linear")


def test_missing_values_are_columns_of_their_own():
    filled = read_representation([[1.0, np.nan], [3.0, 4.0], [5.0, 8.0]]).matrix
    assert filled.tolist() == [[1, 6, 1], [3, 4, 0], [5, 8, 0]]
    assert read_representation(np.full((3, 1), np.nan)).matrix.tolist() == [[0, 1]] * 3
    masked = np.ma.masked_array([1, 9, 3], mask=[0, 1, 0])
    for whole in (pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64")}), masked):
        assert read_representation(whole).matrix.tolist() == [[1, 0], [2, 1], [3, 0]]
    names = pd.Series(pd.Categorical([7, None, 5]))
    assert read_representation(names).matrix.tolist() == [[0, 1, 0], [0, 0, 1], [1, 0, 0]]


def test_whole_numbers_keep_their_last_bits():
    assert len(np.unique(read_representation(2**60 + np.arange(8)).matrix, axis=0)) == 8
    frame = pd.DataFrame({"a": 2**60 + np.arange(8), "b": 1})
    assert len(np.unique(read_representation(frame).matrix, axis=0)) == 8
    assert read_representation(np.arange(8)).matrix.shape == (8, 1)


@pytest.mark.slow
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


@pytest.mark.slow
def test_p_value_is_uniform_when_blocks_are_independent():
    rng = np.random.default_rng(1)
    p = [
        independence_p_value(
            [rng.normal(size=(12, 1)) for _ in range(3)],
            [rng.normal(size=(2, 12, 1)) for _ in range(3)],
            [lambda rng: rng.permutation(12)] * 3,
            rng,
        )
        for _ in range(120)
    ]
    # measured 0.291 to 0.74
    assert np.quantile(p, [0.25, 0.5, 0.75]) == pytest.approx([0.25, 0.5, 0.75], abs=0.12)


def test_constant_predictions_say_nothing():
    target = np.random.default_rng(2).normal(size=(30, 1))
    p = independence_p_value(
        [target],
        [np.full((1, 30, 1), 0.3)],
        [lambda rng: rng.permutation(30)],
        np.random.default_rng(0),
    )
    assert p == 1.0


@pytest.mark.parametrize("weighted", [False, True])
def test_auc_is_that_of_scikit_learn_ties_included(weighted):
    rng = np.random.default_rng(3)
    c, s = rng.integers(2, size=80), rng.integers(6, size=80).astype(float)
    w = rng.random(80) if weighted else np.ones(80)
    found = _cross_fit.auc(c[:, None], s[:, None], w)
    assert found.value == pytest.approx(roc_auc_score(c, s, sample_weight=w))
    centred = w * (c - np.average(c, weights=w))
    assert 0.5 + centred @ found.form[:, 0] == pytest.approx(found.value)


def test_auc_form_gives_the_auc_of_permuted_targets():
    rng = np.random.default_rng(4)
    c, s = np.eye(3)[rng.integers(3, size=60)], rng.random((60, 3))
    form = _cross_fit.auc(c, s, np.ones(60)).form
    mixed = rng.permutation(c)
    expected = roc_auc_score(mixed, s, average="macro")
    assert 0.5 + ((mixed - mixed.mean(axis=0)) * form).sum() == pytest.approx(expected)


def test_auc_error_is_that_of_many_samples():
    rng = np.random.default_rng(5)
    c = np.repeat([0, 1], [60, 40])[:, None]
    scores = [_cross_fit.auc(c, c + rng.normal(size=(100, 1)), np.ones(100)) for _ in range(400)]
    spread = np.std([score.value for score in scores])
    # measured 0.048 and 0.05
    assert np.mean([score.standard_error() for score in scores]) == pytest.approx(spread, rel=0.1)


def test_r2_is_that_of_scikit_learn():
    rng = np.random.default_rng(6)
    c, w = rng.normal(size=50), rng.random(50)
    s = c + rng.normal(size=50)
    found = _cross_fit.r2(c[:, None], s[:, None], w)
    assert found.value == pytest.approx(r2_score(c, s, sample_weight=w))
    correlation = (w * (c - np.average(c, weights=w))) @ found.form[:, 0]
    cov = np.cov(c, s, aweights=w)
    assert correlation == pytest.approx(cov[0, 1] / np.sqrt(cov[0, 0] * cov[1, 1]))


def test_balanced_accuracy_is_that_of_scikit_learn_at_each_groups_share():
    rng = np.random.default_rng(7)
    c, p = rng.integers(2, size=90), rng.random(90)
    found = _cross_fit.balanced_accuracy(c[:, None], p[:, None], np.ones(90))
    assert found == pytest.approx(balanced_accuracy_score(c, p > c.mean()))


@pytest.mark.slow
def test_three_groups_and_their_rarest():
    rng = np.random.default_rng(8)
    group = np.repeat(["a", "b", "c"], [200, 150, 12])
    found = leakage_report((group == "c") + rng.normal(0, 0.3, 362), group, random_state=0)
    assert (found.metric, found.labels) == ("roc_auc_ovr", ("a", "b", "c"))
    assert found.flagged
    assert found.balanced_accuracy > 0.5  # measured 0.658
    assert len(found.probes) == 7


@pytest.mark.slow
def test_continuous_attribute_is_scored_by_r2():
    rng = np.random.default_rng(9)
    age = rng.integers(18, 80, 400)
    found = leakage_report(age + rng.normal(0, 10, 400), age, random_state=0)
    assert (found.metric, found.kind, found.labels) == ("r2", "continuous", ())
    # measured 0.764 and 0.762
    assert found.score == pytest.approx(np.var(age) / (np.var(age) + 100), abs=0.1)
    assert found.flagged
    assert found.null_quantile < 0.05  # measured 0.016
    assert np.isnan(found.balanced_accuracy)
    nothing = leakage_report(rng.normal(size=400), age, probe="linear", random_state=0)
    assert nothing.score < nothing.null_quantile


@pytest.mark.slow
def test_spread_of_a_continuous_attribute_counts():
    """Its mean is the same everywhere: text, verdict and score speak of the spread."""
    rng = np.random.default_rng(16)
    Z, e = rng.normal(size=(2, 500))
    found = leakage_report(Z, np.exp(0.7 * Z) * e, probe="boosting", random_state=0)
    assert found.metric == "r2_of_spread"
    assert found.flagged
    assert found.score > 0.15 > found.null_quantile  # measured 0.316 and 0.008
    assert "r2_of_spread" in str(found)
    assert str(found).count("a leak") == 1
    names = ["boosting", "boosting, of the spread", "boosting, of the skewness"]
    assert [p.probe for p in found.probes] == names
    nothing = leakage_report(Z, e, probe="boosting", random_state=0)
    assert not nothing.flagged


def test_skewness_of_a_continuous_attribute_counts():
    """Mean and variance are the same everywhere: C leans to the side that Z says."""
    rng = np.random.default_rng(17)
    Z, e = rng.normal(size=800), rng.exponential(size=800) - 1
    found = leakage_report(Z, np.sign(Z) * e, probe="boosting", random_state=0)
    assert found.flagged
    assert found.metric == "r2_of_skewness"
    assert found.score > 0.05


def test_a_leak_in_the_last_digits_is_said_to_be_one():
    """As sums of floats leave it behind, though no threshold would use it."""
    rng = np.random.default_rng(18)
    c = rng.integers(2, size=600)
    bit = np.where(rng.random(600) < 0.9, c, 1 - c)
    Z = (rng.normal(size=600).view(np.int64) // 2 * 2 + bit).view(np.float64)
    found = leakage_report(Z, c, random_state=0)
    assert found.probe == "digits"
    assert found.rounded_score < 0.6 < 0.8 < found.score
    text = f"in the last digits (rounded to six it is {found.rounded_score:.3f})"
    assert text in str(found)
    plain = leakage_report(np.round(rng.normal(size=600) + c, 3), c, random_state=0)
    assert np.isnan(plain.rounded_score)


def test_old_names_say_the_new_ones():
    Z, c, y = np.arange(40) % 3, np.arange(40) % 2, np.arange(40) // 20
    with pytest.warns(FutureWarning, match="is leakage_report.Z, C, given=y. now"):
        old = conditional_leakage_report(Z, c, y, probe="linear", random_state=0)
    assert old == leakage_report(Z, c, given=y, probe="linear", random_state=0)
    with pytest.warns(FutureWarning, match="is mutual_information_score.Z, C, given=y. now"):
        assert conditional_mutual_information_score(
            Z, c, y, random_state=0
        ) == mutual_information_score(Z, c, given=y, random_state=0)


def test_text_agrees_with_the_score():
    found = leakage_report(*planted("plain", 300), probe="linear", random_state=0)
    assert found.flagged
    low = replace(found, score=found.null_quantile - 0.01)
    assert "a leak, in too few rows to raise the score" in str(low)
    assert "no proof of a leak, though the score is high" in str(replace(found, p_value=0.2))
    assert "no leak found" in str(replace(low, p_value=0.2))


def test_kind_of_the_attribute_is_told_by_its_values():
    rows = np.arange(200)
    for values in (rows % 21, rows / 7, (rows % 30).astype(object)):
        assert read_target(values, 200)[0] == "continuous"
        assert read_target(values, 200, kind="categorical")[0] == "categorical"
    for values in (rows % 20, (rows % 30).astype(str), rows % 2 == 0):
        assert read_target(values, 200)[0] == "categorical"


@pytest.mark.parametrize("probe", ["linear", "neighbours"])
def test_rows_of_no_weight_do_not_count(probe):
    """One that takes weights, and one trained on rows drawn by weight."""
    Z, c = planted("plain", 600)
    weight = np.repeat([1.0, 0.0], 300)
    Z[300:, 0] = -3 * c[300:]  # the contrary, where it doesn't count
    weighted = leakage_score(Z, c, probe=probe, sample_weight=weight, random_state=0)
    alone = leakage_score(Z[:300], c[:300], probe=probe, random_state=0)
    assert weighted == pytest.approx(alone, abs=0.05)  # measured 0.726 to 0.801 and 0.77 to 0.802


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
        pd.Series(np.array(["blue", "red"])[c], index=np.arange(150) * 2),
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


@pytest.mark.slow
def test_score_is_the_reports_and_the_same_for_a_seed():
    Z, c = planted("plain", 150)
    first, second = (leakage_report(Z, c, random_state=1) for _ in range(2))
    assert first == second
    assert leakage_score(Z, c, random_state=1) == first.score
    assert first.score == max(probe.score for probe in first.probes)


@pytest.mark.slow
def test_few_rows_are_enough_for_every_probe():
    rng = np.random.default_rng(11)
    found = leakage_report(rng.normal(size=20), np.arange(20) % 2, random_state=0)
    assert len(found.probes) == 7
    assert found.null_quantile > 0.7  # measured 0.831


def test_probe_of_the_callers_own():
    Z, c = planted("plain", 150)
    found = leakage_report(Z, c, probe=LogisticRegression(), random_state=0)
    assert found.probe == "LogisticRegression"
    assert found.score > 0.65  # measured 0.817
    assert leakage_score(Z, c, probe=DummyClassifier(), random_state=0) == 0.5


def test_digits_are_of_the_rounded_value():
    column = np.array([0.1234561, 0.1234569, 2.5])
    assert digits(column, 7).tolist() == [1, 9, 0]
    assert digits(column, 1).tolist() == [1, 1, 5]
    assert digits(np.array([1234.0, -7.0]), 0).tolist() == [4, 3]
    assert digits(np.array([1234.0, 70.0]), -1).tolist() == [3, 7]
    assert list(places(np.array([1.0, 200.0]))) == [-2, -1, 0]
    assert bits(np.array([5.0, 2.0]), whole=True)[:, :3].tolist() == [[1, 0, 1], [0, 1, 0]]
    assert max(places(np.array([1.25, 1.5]))) == 15
    assert max(places(np.array([1.25, 1.5], dtype=np.float32))) == 6


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        ({"probe": "oracle"}, ValueError, "probe"),
        ({"probe": RidgeClassifier()}, ValueError, "a categorical target; give an object of a"),
        ({"probe": LogisticRegression}, ValueError, "give an object of a scikit-learn class"),
        (
            {"probe": LogisticRegression(), "kind": "continuous"},
            ValueError,
            "a continuous target; give an object of a scikit-learn regressor",
        ),
        ({"cv": 1}, ValueError, "cv"),
        ({"kind": "ordinal"}, ValueError, "kind"),
        ({"sample_weight": [1, 2]}, ValueError, "sample_weight has shape"),
        ({"sample_weight": -np.ones(60)}, ValueError, "sample_weight has a negative"),
        ({"sample_weight": ["1"] * 60}, ValueError, "sample_weight has dtype <U1; give real"),
        (
            {"sample_weight": np.arange(60) % 2},
            SensitiveFeaturesError,
            "group 0 has no positive sample_weight in one of cv=5 folds",
        ),
        (
            {"sensitive_features": np.arange(60) / 7, "sample_weight": np.eye(60)[0]},
            SensitiveFeaturesError,
            "the sample has no positive sample_weight",
        ),
        ({"sensitive_features": [0, 1]}, SensitiveFeaturesError, "has 2 rows, but Z has 60"),
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
            'or call it "categorical"',
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
