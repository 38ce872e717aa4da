from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn
from sklearn.datasets import make_classification
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV

from fairmi.exceptions import InfeasibleBoundWarning
from fairmi.metrics.scorers import make_fairness_scorer
from fairmi.model_selection import best_under_bound

NAN = float("nan")


def results(accuracy, *dp_splits):
    splits = np.array(dp_splits, dtype=float)
    return {
        "params": [{"lam": k} for k in range(len(accuracy))],
        "mean_test_accuracy": np.array(accuracy, dtype=float),
        "mean_test_dp": splits.mean(axis=0),
        **{f"split{k}_test_dp": split for k, split in enumerate(splits)},
    }


@pytest.mark.parametrize(
    ("accuracy", "dp", "best"),
    [
        ([0.9, 0.8, 0.7], [-0.2, -0.05, -0.01], 1),
        ([0.9, 0.8, 0.7], [0.2, 0.05, 0.01], 1),
        ([0.9, 0.8, 0.7], [-0.02, -0.05, -0.01], 0),
        ([0.9, 0.8, 0.8], [-0.2, -0.05, -0.01], 2),
        ([0.9, NAN, 0.7], [-0.2, -0.05, -0.01], 2),
        ([0.9, 0.8, 0.7], [NAN, -0.03, -0.01], 1),
    ],
)
def test_best_score_among_the_fair(accuracy, dp, best):
    assert best_under_bound("dp", 0.05, maximize="accuracy")(results(accuracy, dp)) == best


def test_one_standard_error_asks_for_a_margin():
    table = results([0.9, 0.8], [-0.00, -0.03], [-0.08, -0.03])
    assert best_under_bound("dp", 0.05, maximize="accuracy")(table) == 0
    rule = "one_standard_error"
    assert best_under_bound("dp", 0.05, maximize="accuracy", rule=rule)(table) == 1
    # mean 0.04, standard error 0.04: the sum is what is held against the bound
    assert best_under_bound("dp", 0.0801, maximize="accuracy", rule=rule)(table) == 0


def test_closest_candidate_with_a_warning_where_none_is_fair():
    table = results([0.9, 0.8, NAN], [-0.2, -0.0625, -0.01])
    with pytest.warns(InfeasibleBoundWarning, match=r"candidate 1, \{'lam': 1\}: 0.0625") as seen:
        assert best_under_bound("dp", 0.05, maximize="accuracy")(table) == 1
    assert "mean dp within 0.05" in str(seen[0].message)


@pytest.mark.parametrize(
    ("metric", "bound", "more", "message"),
    [
        ("gap", 0.05, {}, r"'mean_test_gap'; the search scored \['accuracy', 'dp'"),
        ("dp", 0.05, {"maximize": "f1"}, "'mean_test_f1'"),
        ("nan", 0.05, {}, r'No candidate has both .* error_score="raise"'),
        ("dp", 0.05, {"rule": "one_standard_error"}, "needs 'dp' on two splits or more, got 1"),
        *[("dp", bound, {}, "bound") for bound in (-0.1, NAN, "0.1", None)],
        ("dp", 0.1, {"rule": "median"}, "'rule' parameter"),
        ("demographic_parity_ratio", 0.8, {}, "higher for fairer models"),
    ],
)
def test_bad_input_is_named(metric, bound, more, message):
    table = results([0.9], [-0.1]) | {"mean_test_nan": np.array([NAN])}
    with pytest.raises(ValueError, match=message):
        best_under_bound(metric, bound, **{"maximize": "accuracy"} | more)(table)


def test_in_a_search_it_picks_the_model_that_is_refitted():
    X, y = make_classification(300, 6, flip_y=0.2, random_state=0)
    s = X[:, 0] + np.random.default_rng(0).normal(size=300) > 0
    gap = "demographic_parity_difference"
    refit = best_under_bound(gap, 0.2, maximize="accuracy")
    search = GridSearchCV(
        LogisticRegression(),
        {"C": [1e-4, 1e-2, 1.0], "class_weight": [None, {1: 0.2}, {1: 0.05}]},
        scoring={gap: make_fairness_scorer(gap), "accuracy": "accuracy"},
        refit=refit,
        cv=3,
    )
    with sklearn.config_context(enable_metadata_routing=True):
        search.fit(X, y, sensitive_features=s)
    found = search.cv_results_
    fair = -found[f"mean_test_{gap}"] <= 0.2
    assert 0 < fair.sum() < len(fair)
    assert fair[search.best_index_]
    assert found["mean_test_accuracy"][search.best_index_] == max(
        found["mean_test_accuracy"][fair]
    )
    assert search.best_params_["C"] == search.best_estimator_.C
    assert pickle.loads(pickle.dumps(refit)) == refit
    assert best_under_bound(gap, 0.3, maximize="accuracy") != refit != gap
    assert search.score(X, y) == search.best_estimator_.score(X, y)
    assert pickle.loads(pickle.dumps(search)).score(X, y) == search.score(X, y)
