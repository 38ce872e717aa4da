from __future__ import annotations

import pickle
from functools import partial

import fairlearn.metrics as fm
import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from scipy.stats import ks_2samp, wasserstein_distance
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, average_precision_score, f1_score
from sklearn.model_selection import GridSearchCV, KFold, TunedThresholdClassifierCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics.scorers import make_fairness_scorer

X, Y = make_classification(300, 6, flip_y=0.2, random_state=0)
S = np.where(X[:, 0] + np.random.default_rng(0).normal(size=300) > 0, "a", "b")
MODEL = LogisticRegression().fit(X, Y)
PRED = MODEL.predict(X)
DP = make_fairness_scorer("demographic_parity_difference")
BY_COLUMN = make_fairness_scorer("demographic_parity_difference", sensitive_columns=[6])
X_WITH_S = np.column_stack([X, S == "a"])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


@pytest.mark.parametrize(
    "name",
    [
        "demographic_parity_difference",
        "demographic_parity_ratio",
        "equalized_odds_difference",
        "equalized_odds_ratio",
        "equal_opportunity_difference",
        "equal_opportunity_ratio",
        "accuracy_score_group_min",
        "selection_rate_difference",
        "zero_one_loss_group_max",
    ],
)
@pytest.mark.parametrize("by", ["name", "function", "partial"])
def test_value_is_fairlearns_with_the_sign_that_makes_greater_better(name, by):
    function = getattr(fm, name)
    metric = {"name": name, "function": function, "partial": partial(function)}[by]
    scorer = make_fairness_scorer(metric)
    sign = 1 if name.endswith(("_ratio", "_min")) else -1
    both = pd.DataFrame({"first": S, "second": X[:, 1] > 0})  # intersections
    for s in (S, both):
        expected = sign * function(Y, PRED, sensitive_features=s)
        assert scorer(MODEL, X, Y, sensitive_features=s) == pytest.approx(expected)


@pytest.mark.parametrize("aggregate", ["difference", "ratio", "group_min", "group_max"])
@pytest.mark.parametrize("metric", ["accuracy_score", f1_score, fm.true_positive_rate])
def test_any_aggregate_of_a_metric_frame(metric, aggregate):
    function = accuracy_score if isinstance(metric, str) else metric
    frame = fm.MetricFrame(metrics=function, y_true=Y, y_pred=PRED, sensitive_features=S)
    sign = 1 if aggregate in ("ratio", "group_min") else -1
    scorer = make_fairness_scorer(metric, aggregate=aggregate)
    value = scorer(MODEL, X, Y, sensitive_features=S)
    assert value == pytest.approx(sign * getattr(frame, aggregate)())


@pytest.mark.parametrize("labels", [["no", "yes"], [-1, 1], [False, True], [3, 7]])
@pytest.mark.parametrize("name", ["demographic_parity_ratio", "equal_opportunity_difference"])
def test_the_second_class_is_positive_or_the_one_of_pos_label(labels, name):
    y = np.array(labels)[Y]
    model = LogisticRegression().fit(X, y)
    sign = 1 if name.endswith("ratio") else -1
    for positive, flip in ((None, False), (labels[0], True), (labels[1], False)):
        scorer = make_fairness_scorer(name, pos_label=positive)
        true, pred = (1 - Y, 1 - PRED) if flip else (Y, PRED)
        expected = sign * getattr(fm, name)(true, pred, sensitive_features=S)
        assert scorer(model, X, y, sensitive_features=S) == pytest.approx(expected)
    assert repr(scorer).endswith(f"pos_label={labels[1]!r})")
    with pytest.raises(ValueError, match=r"pos_label='none' is not among the classes; give one"):
        make_fairness_scorer(name, pos_label="none")(model, X, y, sensitive_features=S)


def test_of_several_classes_the_worst_counts_or_the_one_of_pos_label():
    X3, y3 = make_classification(400, 6, n_classes=3, n_informative=4, random_state=1)
    labels, group = np.array(["blue", "green", "red"])[y3], X3[:, 0] > 0
    model = LogisticRegression(max_iter=500).fit(X3, labels)
    pred, parity = model.predict(X3), "demographic_parity_difference"

    def score(name, **options):
        scorer = make_fairness_scorer(name, **options)
        return scorer(model, X3, labels, sensitive_features=group)

    for name, worst in (
        (parity, lambda gaps: -max(gaps)),
        ("equalized_odds_difference", lambda gaps: -max(gaps)),
        ("demographic_parity_ratio", min),
    ):
        by_class = [
            getattr(fm, name)(labels == k, pred == k, sensitive_features=group)
            for k in model.classes_
        ]
        assert score(name) == pytest.approx(worst(by_class))
        if name == parity:
            assert score(name, pos_label="red") == pytest.approx(-by_class[2])
    frame = fm.MetricFrame(
        metrics=accuracy_score, y_true=labels, y_pred=pred, sensitive_features=group
    )
    of_all = {"name": "accuracy_score", "aggregate": "group_min"}
    assert score(**of_all) == pytest.approx(frame.group_min())
    with pytest.raises(ValueError, match="pos_label='red' is of no use to 'accuracy_score'"):
        score(**of_all, pos_label="red")


@pytest.mark.parametrize("method", ["predict_proba", "decision_function"])
def test_pos_label_takes_the_scores_of_its_class(method):
    metric = "average_precision_score"
    found = [
        make_fairness_scorer(metric, aggregate="group_min", response_method=method, pos_label=k)
        for k in (0, 1)
    ]
    scores = MODEL.decision_function(X)
    for k, scorer in enumerate(found):
        frame = fm.MetricFrame(
            metrics=average_precision_score,
            y_true=(k == Y).astype(int),
            y_pred=scores if k else -scores,
            sensitive_features=S,
        )
        value = scorer(MODEL, X, Y, sensitive_features=S)
        assert value == pytest.approx(frame.group_min(), abs=1e-6)


def test_sample_weight_counts():
    weight = np.random.default_rng(1).uniform(0.1, 2, 300)
    expected = -fm.demographic_parity_difference(
        Y, PRED, sensitive_features=S, sample_weight=weight
    )
    value = DP(MODEL, X, Y, sensitive_features=S, sample_weight=weight)
    assert value == pytest.approx(expected)
    three = np.where(np.arange(300) < 40, "c", S)  # of which one has no weight, and no rate
    of_two = DP(MODEL, X[40:], Y[40:], sensitive_features=S[40:], sample_weight=weight[40:])
    weight[:40] = 0
    assert DP(MODEL, X, Y, sensitive_features=three, sample_weight=weight) == of_two


@pytest.mark.parametrize(
    ("weight", "message"),
    [
        (np.where(Y, np.nan, 1.0), "sample_weight has a negative, missing"),
        (pd.array([None] + [1] * 299, dtype="Int64"), "sample_weight has a negative, missing"),
        (-np.ones(300), "sample_weight has a negative"),
        (np.ones(600), r"sample_weight has shape \(600,\); give one weight for each of 300 rows"),
        (["1"] * 300, "sample_weight has dtype <U1; give real numbers"),
        (S == "a", "sample_weight is positive in one group alone"),
    ],
)
def test_weights_that_would_give_a_perfect_score_are_refused(weight, message):
    """Of a group whose rate is NaN fairlearn's difference is 0."""
    for scorer in (DP, make_fairness_scorer("ks_difference", response_method="predict_proba")):
        with pytest.raises(ValueError, match=message):
            scorer(MODEL, X, Y, sensitive_features=S, sample_weight=weight)


class _Answers:
    """A stand-in estimator of given answers."""

    classes_ = np.array([0, 1])

    def __init__(self, answers):
        self.answers = answers

    def predict(self, X):
        return self.answers

    predict_proba = predict


@pytest.mark.parametrize(
    ("method", "y", "answers", "message"),
    [
        ("predict", np.where(Y, np.nan, 0.0), PRED, "y_true has a missing value in 15"),
        ("predict", pd.array([None, *Y[1:]], dtype="Int64"), PRED, "y_true has a missing value"),
        ("predict", Y, np.where(PRED, np.nan, 0), "predict has a missing value in 1"),
        ("predict_proba", Y, np.full((300, 2), np.nan), "predict_proba has a missing value"),
        ("predict", np.column_stack([Y, Y]), np.column_stack([PRED, PRED]), "one label or number"),
        ("predict", Y, np.column_stack([PRED, PRED]), r"predict gave \(300, 2\); give one label"),
        ("predict", Y, PRED[:9], r"y_true has shape \(300,\), and predict gave \(9,\)"),
    ],
)
@pytest.mark.parametrize("metric", ["equalized_odds_difference", "ks_difference"])
def test_answers_that_no_metric_can_compare_are_refused(metric, method, y, answers, message):
    scorer = make_fairness_scorer(metric, response_method=method)
    with pytest.raises(ValueError, match=message):
        scorer(_Answers(answers), X, y, sensitive_features=S)
    column = make_fairness_scorer(metric)(_Answers(PRED[:, None]), X, Y, sensitive_features=S)
    assert column == make_fairness_scorer(metric)(MODEL, X, Y, sensitive_features=S)


def fold_gaps(y, group, cv, model=MODEL):
    """The gap on each test part, by hand: the wrong rows of `group` would give other numbers."""
    gaps = []
    for train, test in cv.split(X):
        pred = clone(model).fit(X[train], y[train]).predict(X[test])
        gaps.append(
            fm.demographic_parity_difference(y[test], pred, sensitive_features=group[test])
        )
    return np.array(gaps)


def test_pipeline_and_cross_validate_route(routing):
    cv = KFold(3, shuffle=True, random_state=0)
    pipeline = make_pipeline(StandardScaler(), LogisticRegression())
    scores = cross_validate(
        pipeline, X, Y, scoring={"dp": DP}, cv=cv, params={"sensitive_features": S}
    )
    np.testing.assert_allclose(scores["test_dp"], -fold_gaps(Y, S, cv, pipeline))


def test_requests_can_be_changed(routing):
    weight = np.arange(300.0)
    weighted = clone(DP, safe=False).set_score_request(sample_weight=True)
    cv = KFold(3, shuffle=True, random_state=0)
    scores = cross_validate(
        LogisticRegression().set_fit_request(sample_weight=False),
        X,
        Y,
        scoring=weighted,
        cv=cv,
        params={"sensitive_features": S, "sample_weight": weight},
    )
    plain = -fold_gaps(Y, S, cv)
    assert not np.allclose(scores["test_score"], plain)
    assert "sample_weight" not in DP.requests
    with pytest.raises(TypeError, match="'sensitive_features' and 'sample_weight'"):
        weighted.set_score_request(colour=True)


@pytest.mark.parametrize("enabled", [True, False])
@pytest.mark.parametrize("n_jobs", [1, 2])
def test_sensitive_columns_need_no_routing(enabled, n_jobs):
    cv = KFold(3, shuffle=True, random_state=0)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression()),
        {"logisticregression__C": [1.0]},
        scoring={"dp": BY_COLUMN, "accuracy": "accuracy"},
        refit=False,
        cv=cv,
        n_jobs=n_jobs,
    )
    with sklearn.config_context(enable_metadata_routing=enabled):
        results = search.fit(X_WITH_S, Y).cv_results_
    model = make_pipeline(StandardScaler(), LogisticRegression())
    train, test = next(iter(cv.split(X)))
    pred = model.fit(X_WITH_S[train], Y[train]).predict(X_WITH_S[test])
    gap = fm.demographic_parity_difference(Y[test], pred, sensitive_features=S[test])
    assert results["split0_test_dp"][0] == pytest.approx(-gap)


@pytest.mark.parametrize("columns", [["s"], [6], "s"])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame])
def test_columns_of_frames_by_name_and_position(kind, columns):
    frame = kind({**{f"x{j}": X[:, j] for j in range(6)}, "s": S})
    scorer = make_fairness_scorer("demographic_parity_difference", sensitive_columns=columns)
    assert scorer(_Answers(PRED), frame, Y) == pytest.approx(DP(MODEL, X, Y, sensitive_features=S))


@pytest.mark.parametrize("columns", [["sex"], [9]])
@pytest.mark.parametrize("table", [X, pd.DataFrame(X).add_prefix("x"), X.tolist()])
def test_columns_that_are_not_there(table, columns):
    scorer = make_fairness_scorer("demographic_parity_difference", sensitive_columns=columns)
    message = r"sensitive_columns names .*, which X does not have; its columns are .*5"
    with pytest.raises(ValueError, match=message):
        scorer(MODEL, table, Y)


def test_says_what_to_do_if_sensitive_features_did_not_arrive():
    with pytest.raises(SensitiveFeaturesError, match="enable_metadata_routing=True"):
        DP(MODEL, X, Y)
    search = GridSearchCV(
        LogisticRegression(), {"C": [1]}, scoring={"dp": DP}, refit=False, error_score="raise"
    )
    with pytest.raises(SensitiveFeaturesError, match="did not reach make_fairness_scorer"):
        search.fit(X, Y)


@pytest.mark.parametrize(
    ("s", "message"),
    [(S[:5], "has 5 rows, but X has 300"), (X[:, 0], "300 distinct values in 300 rows")],
)
def test_sensitive_features_must_be_groups_of_the_rows(s, message):
    with pytest.raises(SensitiveFeaturesError, match=message):
        DP(MODEL, X, Y, sensitive_features=s)


def test_pickles_and_says_what_it_is():
    assert pickle.loads(pickle.dumps(DP)) == DP
    assert repr(DP) == "make_fairness_scorer('demographic_parity_difference')"
    scorer = make_fairness_scorer(
        "accuracy_score", aggregate="group_max", greater_is_better=True, sensitive_columns=["sex"]
    )
    assert repr(scorer) == (
        "make_fairness_scorer('accuracy_score', aggregate='group_max', "
        "sensitive_columns=['sex'], greater_is_better=True)"
    )


def _no_ending(y_true, y_pred, *, sensitive_features):
    return 0.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"metric": "fairness"}, "metric 'fairness' is in neither fairlearn.metrics nor sklearn"),
        ({"metric": "accuracy_score"}, "give aggregate"),
        ({"metric": "selection_rate"}, "give aggregate"),
        (
            {"metric": "equalized_odds_difference", "aggregate": "ratio"},
            "aggregate='ratio' is of no use",
        ),
        ({"metric": "accuracy_score", "aggregate": "median"}, "'aggregate' parameter"),
        ({"metric": 3}, "'metric' parameter"),
        (
            {"metric": "equalized_odds_difference", "response_method": "transform"},
            "'response_method' parameter",
        ),
        ({"metric": _no_ending}, "greater_is_better can't be told from the name '_no_ending'"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        make_fairness_scorer(**arguments)


NUMBERS = {
    "ks_difference": lambda y, a, b: ks_2samp(a, b).statistic,
    "mean_difference": lambda y, a, b: abs(a.mean() - b.mean()),
    "wasserstein": lambda y, a, b: wasserstein_distance(a, b),
}


@pytest.mark.parametrize("name", NUMBERS)
def test_numbers_of_a_regressor_are_compared_and_routed(routing, name):
    amount = 100 * Y + X[:, 1]
    scorer = pickle.loads(pickle.dumps(make_fairness_scorer(name)))
    cv = KFold(3)
    search = GridSearchCV(Ridge(), {"alpha": [1.0, 1e4]}, scoring=scorer, cv=cv)
    search.fit(X, amount, sensitive_features=S)
    assert search.best_params_ == {"alpha": 1e4} or name == "ks_difference"
    train, test = next(cv.split(X))
    predicted, s = Ridge().fit(X[train], amount[train]).predict(X[test]), S[test]
    expected = NUMBERS[name](None, predicted[s == "a"], predicted[s == "b"])
    assert -search.cv_results_["split0_test_score"][0] == pytest.approx(expected)


def test_numbers_are_compared_within_bins_of_y_and_by_metrics_of_one_group():
    amount = np.arange(300.0)
    model = LinearRegression().fit(X, amount)
    predicted, bins = model.predict(X), np.arange(300) // 75
    within = [ks_2samp(*(predicted[(bins == k) & (of == S)] for of in "ab")) for k in range(4)]
    scorer = make_fairness_scorer("conditional_ks")
    expected = -np.mean([result.statistic for result in within])
    assert scorer(model, X, amount, sensitive_features=S) == pytest.approx(expected)
    errors = [np.abs(amount - predicted)[of == S].mean() for of in "ab"]
    scorer = make_fairness_scorer("mean_absolute_error", aggregate="difference")
    value = scorer(model, X, amount, sensitive_features=S)
    assert value == pytest.approx(-abs(errors[0] - errors[1]))


def test_scores_of_a_classifier_are_compared_as_numbers():
    share = MODEL.predict_proba(X)[:, 1]
    scorer = make_fairness_scorer("ks_difference", response_method="predict_proba")
    expected = -ks_2samp(share[S == "a"], share[S == "b"]).statistic
    assert scorer(MODEL, X, Y, sensitive_features=S) == pytest.approx(expected)
    three = LogisticRegression().fit(X, Y + (X[:, 2] > 1))
    shares = three.predict_proba(X)
    worst = max(ks_2samp(column[S == "a"], column[S == "b"]).statistic for column in shares.T)
    assert scorer(three, X, Y, sensitive_features=S) == pytest.approx(-worst)


@pytest.mark.parametrize("labels", [[0, 1], ["yes", "no"]])
def test_a_threshold_can_be_tuned_for_it(labels):
    random = np.random.default_rng(0)
    s = random.integers(2, size=600)
    X = np.column_stack([s + random.normal(size=600), random.normal(size=600)])
    y = np.array(labels)[(X.sum(axis=1) > 1).astype(int)]
    scorer = make_fairness_scorer("demographic_parity_difference")
    tuned = TunedThresholdClassifierCV(LogisticRegression(), scoring=scorer, cv=3, thresholds=20)
    with sklearn.config_context(enable_metadata_routing=True):
        tuned.fit(X, y, sensitive_features=s)
        value = scorer(tuned, X, y, sensitive_features=s)
    assert value > scorer(tuned.estimator_, X, y, sensitive_features=s) + 0.1
    np.testing.assert_allclose(tuned.best_score_, value, atol=0.05)
    columns = make_fairness_scorer("demographic_parity_difference", sensitive_columns=0)
    with pytest.raises(SensitiveFeaturesError, match="sensitive_features are routed"):
        tuned.set_params(scoring=columns).fit(np.column_stack([s, X]), y)
