"""The audit of whatever predicts: random classifiers, predictions alone, any labels and groups."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
from fairlearn.metrics import demographic_parity_difference
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from joblib import parallel_config
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi.audit import audit
from fairmi.audit.tables import tables_of
from fairmi.inspection import gap_importance

pytestmark = pytest.mark.usefixtures("no_probes")

X, Y = make_classification(1200, 6, flip_y=0.2, random_state=0)
S = np.where(X[:, 0] + np.random.default_rng(0).normal(size=1200) > 0, "a", "b")
MODEL = LogisticRegression().fit(X, Y)


def audited(model=None, y=Y, s=S, x=X, **options):
    options = {"random_state": 0, "n_boot": 200, "conditions": None, **options}
    return audit(model, x, y, sensitive_features=s, **options)


def value(report, measure="demographic_parity_difference", section="disparity"):
    return next(f.value for f in report.section(section) if f.measure == measure)


@pytest.fixture(scope="module")
def reduction():
    model = ExponentiatedGradient(LogisticRegression(), DemographicParity(), max_iter=8)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it uses what pandas will drop
        return model.fit(X, Y, sensitive_features=S)


@pytest.fixture(scope="module")
def thresholds():
    return ThresholdOptimizer(
        estimator=LogisticRegression(),
        constraints="demographic_parity",
        predict_method="predict_proba",
    ).fit(X, Y, sensitive_features=S)


@pytest.mark.slow
def test_a_random_classifier_gives_the_same_rates_with_any_seed(reduction):
    first, again, other = (audited(reduction, random_state=seed) for seed in (0, 0, 1))
    assert first == again
    share = reduction._pmf_predict(X)[:, 1]
    expected = abs(share[S == "a"].mean() - share[S == "b"].mean())
    assert value(first) == value(other) == pytest.approx(expected)
    assert value(first, "accuracy", "overall") == pytest.approx(
        np.where(Y == 1, share, 1 - share).mean()
    )
    assert any("decides at random" in note for note in first.notes)


def test_thresholds_by_group_get_the_group(thresholds):
    share = thresholds._pmf_predict(X, sensitive_features=S)[:, 1]
    expected = abs(share[S == "a"].mean() - share[S == "b"].mean())
    assert value(audited(thresholds)) == pytest.approx(expected)


def test_thresholds_at_the_end_of_a_pipeline_get_the_group():
    last = ThresholdOptimizer(
        estimator=LogisticRegression(),
        constraints="demographic_parity",
        predict_method="predict_proba",
    )
    model = make_pipeline(StandardScaler(), last)
    model.fit(X, Y, thresholdoptimizer__sensitive_features=S)
    share = last._pmf_predict(model[:-1].transform(X), sensitive_features=S)[:, 1]
    assert value(audited(model), "selection_rate", "overall") == pytest.approx(share.mean())


def test_thresholds_are_not_asked_of_groups_without_any(thresholds):
    """They would select nobody of such a group, and not say so."""
    with pytest.raises(ValueError, match=r"no rule for .*it knows \['a', 'b'\].*y_pred"):
        audited(thresholds, s=pd.DataFrame({"s": S, "t": X[:, 1] > 0}))


@pytest.mark.slow
def test_a_random_baseline_is_compared_by_its_probabilities(reduction):
    report = audited(MODEL, baseline=reduction)
    assert value(report, section="baseline") == pytest.approx(value(audited(reduction)))
    pair = audited(reduction, baseline=reduction)
    assert value(pair, section="change") == pytest.approx(0, abs=1e-12)


def test_predictions_alone_give_what_their_model_gives():
    of_model = audited(MODEL)
    given = audited(y_pred=MODEL.predict(X), y_score=MODEL.predict_proba(X)[:, 1], x=None)
    assert given.figures == of_model.figures
    assert given.about["model"] == "predictions that were given"
    assert given.about["features"] is None


def test_a_baseline_may_be_its_predictions():
    rival = LogisticRegression(C=1e-3).fit(X, Y)
    assert audited(MODEL, baseline=rival).figures == (
        audited(MODEL, baseline=rival.predict(X)).figures
    )


def test_scores_that_are_no_probabilities_are_not_called_calibrated():
    given = audited(y_pred=MODEL.predict(X), y_score=MODEL.decision_function(X), x=None)
    assert not given.section("calibration")
    assert any("calibration was not measured" in note for note in given.notes)
    assert any("no transform" in note for note in given.notes)


@pytest.mark.parametrize("labels", [["no", "yes"], [3, 7], [False, True]])
def test_pos_label_turns_the_rates_round(labels):
    y = np.array(labels)[Y]
    model = LogisticRegression().fit(X, y)
    usual, turned = audited(model, y), audited(model, y, pos_label=labels[0])
    rates = [f.value for f in audited(MODEL).section("group")]
    assert [f.value for f in usual.section("group")] == pytest.approx(rates)
    for rate in ("true_positive_rate", "false_positive_rate"):
        assert value(usual, rate, "overall") != pytest.approx(value(turned, rate, "overall"))
    assert value(turned, "true_positive_rate", "overall") == pytest.approx(
        1 - value(usual, "false_positive_rate", "overall")
    )
    assert value(turned) == pytest.approx(value(usual))
    excess = [
        [f.value for f in r.section("calibration") if f.measure == "mean_score_excess"]
        for r in (usual, turned)
    ]
    np.testing.assert_allclose(excess[0], np.negative(excess[1]), atol=1e-12)
    shown = [report.about["positive label"] for report in (turned, usual)]
    assert shown == [str(label) for label in labels]


def test_pos_label_of_three_classes_is_the_one_that_is_rated():
    X3, y3 = make_classification(900, 6, n_classes=3, n_informative=4, random_state=1)
    model = LogisticRegression(max_iter=500).fit(X3, y3)
    group = X3[:, 0] > 0
    report = audited(model, y3, group, X3, pos_label=2)
    expected = demographic_parity_difference(
        y3 == 2, model.predict(X3) == 2, sensitive_features=group
    )
    assert value(report) == pytest.approx(expected)
    assert {f.subject for f in report.section("group")} == {""}
    assert report.about["positive label"] == "2"


def test_without_labels_each_class_has_its_change():
    rng = np.random.default_rng(0)
    predicted, rival = rng.integers(3, size=(2, 600))
    report = audited(y=None, y_pred=predicted, baseline=rival, s=np.arange(600) % 2, x=None)
    rows = next(table.rows for table in tables_of(report) if table.section == "change")
    for k, row in enumerate(rows[:3]):
        assert row[0] == f"selection rate of {k}"
        values = [(p == k).mean() for p in (predicted, rival)]
        assert [f.value for f in row[2:4]] == pytest.approx(values)


def test_side_by_side_gives_the_same_figures():
    with parallel_config("threading"):
        together = audited(MODEL, n_jobs=2)
    assert together.figures == audited(MODEL).figures


def test_progress_shows_only_where_asked(capsys):
    audited(MODEL)
    assert capsys.readouterr().err == ""
    audited(MODEL, verbose=True)
    assert "audit" in capsys.readouterr().err


def missing(k):
    y = Y.astype(object)
    y[:k] = None
    return y


def nan_of(k):
    y = Y.astype(float)
    y[:k] = np.nan
    return y


class Booster:
    """Predicts scores, as some libraries do, and has no tags of scikit-learn's."""

    def predict(self, x):
        return np.linspace(0.1, 0.9, len(x))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"model": LinearRegression().fit(X, Y), "task": "classification"},
            r"estimator is a regressor .* or classes, as in",
        ),
        ({"baseline": LinearRegression().fit(X, Y)}, "baseline is a regressor"),
        ({"model": Booster()}, "estimator predicts numbers that are no classes, such as 0.1"),
        ({"y": nan_of(3)}, r"y has a missing value .* in 3 of 1200 rows; drop these rows"),
        ({"y": missing(2)}, r"y has a missing value .* in 2 of 1200 rows; drop these rows"),
        ({"y": X[:, 0]}, "y has numbers that are no classes"),
        ({"model": None}, "neither is given, estimator and y_pred"),
        ({"y_pred": Y}, "both are given, estimator and y_pred"),
        ({"y_score": Y}, "y_score goes with y_pred"),
        ({"model": None, "y_pred": nan_of(1)}, "y_pred has a missing value"),
        ({"model": None, "y_pred": Y[:9]}, "y_pred has 9; give one prediction"),
        (
            {"model": None, "y_pred": Y + 5},
            "y has labels such as [01], but y_pred has labels such as [56]",
        ),
        ({"model": None, "y_pred": Y, "y_score": X}, r"y_score has shape \(1200, 6\)"),
        ({"model": None, "y_pred": Y, "y_score": nan_of(1)}, "y_score has a missing or infinite"),
        ({"model": None, "y_pred": Y, "y_score": ["x"] * 1200}, "y_score must hold numbers"),
        ({"pos_label": 7}, r"pos_label=7 is not among the classes; give one of \[0, 1\]"),
        ({"y": pd.Series(Y), "s": pd.Series(S)[::-1]}, "indexes of y and sensitive_features"),
        ({"x": pd.DataFrame(X), "y": pd.Series(Y)[::-1]}, "indexes of X and y differ"),
        ({"y": np.zeros(1200), "model": None, "y_pred": np.zeros(1200)}, "the single class"),
    ],
)
def test_what_cannot_be_audited_is_named(arguments, message):
    model = arguments.pop("model", MODEL)
    with pytest.raises(ValueError, match=message):
        audited(model, **arguments)


def test_rows_of_any_shape_are_audited():
    """Images have no columns to compare within."""
    images = np.random.default_rng(0).integers(0, 255, size=(400, 4, 3), dtype=np.uint8)
    y, s = images[:, 0, 0] > 128, images[:, 0, 1] > 128

    class Bright(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return X[:, 0, 0] > 100

    report = audited(Bright().fit(images, y), y=y, s=s, x=images, conditions="auto")
    table = audited(Bright().fit(images, y), y=y, s=s, x=images, conditions=None)
    assert value(report) == value(table)
    assert report.section("conditional") == table.section("conditional") == []


def test_columns_that_carry_the_gap_are_a_section_that_is_asked_for():
    rows = slice(0, 400)
    wanted = {"two": [0, 1], "one": [2]}
    report = audited(MODEL, y=Y[rows], s=S[rows], x=X[rows], gap_columns=wanted)
    figures = {(f.subject, f.measure): f for f in report.section("importance", "sensitive_0")}
    alone = gap_importance(
        MODEL,
        X[rows],
        S[rows],
        Y[rows],
        columns=wanted,
        random_state=np.random.RandomState(0).randint(2**31 - 1),
    ).to_frame()
    for row in alone.itertuples():
        figure = figures[row.columns, row.measure]
        assert (figure.value, figure.low) == pytest.approx((row.importance, row.low))
    assert "Which columns carry the gap: sensitive_0" in repr(report)
    assert not audited(MODEL, y=Y[rows], s=S[rows], x=X[rows]).section("importance")
    with pytest.raises(ValueError, match="gap_columns needs an estimator"):
        audit(y=Y, y_pred=Y, sensitive_features=S, gap_columns="all")
