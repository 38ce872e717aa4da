from __future__ import annotations

import pickle
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import coo_array
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import FairReweighing, FairReweighingClassifier
from fairmi._row_weights import cell_weights, learn_coefficients, row_weights
from fairmi.core.membership import Membership
from fairmi.exceptions import SensitiveFeaturesError, SmallGroupWarning


def rows(n=600, seed=0):
    rng = np.random.default_rng(seed)
    group = rng.choice(["a", "b", "c"], size=n, p=[0.5, 0.3, 0.2])
    y = np.array(["lo", "mid", "hi"])[
        np.clip(rng.integers(3, size=n) + (group == "a") * rng.integers(2, size=n), 0, 2)
    ]
    return rng.normal(size=(n, 2)), y, group


def test_label_and_group_are_independent_and_keep_their_weight():
    X, y, group = rows()
    sample_weight = np.random.default_rng(1).exponential(size=600)
    fair = FairReweighing().fit(X, y, sensitive_features=group, sample_weight=sample_weight)
    table = pd.crosstab(group, y, fair.sample_weight_, aggfunc="sum").to_numpy()
    before = pd.crosstab(group, y, sample_weight, aggfunc="sum").to_numpy()
    expected = np.outer(before.sum(axis=1), before.sum(axis=0)) / before.sum()
    np.testing.assert_allclose(table, expected)
    assert not np.allclose(before, expected, rtol=0.1)
    again = fair.weights(X, y, group)
    np.testing.assert_allclose(again * sample_weight, fair.sample_weight_)
    swapped = FairReweighing().fit(None, group, sensitive_features=y, sample_weight=sample_weight)
    np.testing.assert_allclose(swapped.sample_weight_, fair.sample_weight_)


def test_rows_without_a_group_keep_their_weight_and_the_labels_theirs():
    X, y, group = rows()
    some = pd.Series(group).where(np.arange(600) % 3 > 0)
    fair = FairReweighing(missing_sensitive="mask").fit(X, y, sensitive_features=some)
    masked = some.isna().to_numpy()
    assert (fair.sample_weight_[masked] == 1).all()
    rest = FairReweighing().fit(X[~masked], y[~masked], sensitive_features=some[~masked].to_list())
    np.testing.assert_array_equal(fair.sample_weight_[~masked], rest.sample_weight_)
    category = FairReweighing(missing_sensitive="category").fit(X, y, sensitive_features=some)
    assert category.sensitive_values_ == ["a", "b", "c", "missing"]


@pytest.mark.parametrize("method", ["cells", "adversarial"])
@pytest.mark.parametrize("form", [np.asarray, coo_array])
def test_rows_without_weight_are_absent(method, form):
    X, y, group = rows()
    some = group != "c"
    fair, rest = FairReweighing(method=method), FairReweighing(method=method)
    fair.fit(form(X), y, sensitive_features=group, sample_weight=some * 1.0)
    rest.fit(form(X[some]), y[some], sensitive_features=group[some])
    np.testing.assert_array_equal(fair.sample_weight_[some], rest.sample_weight_)
    assert not fair.sample_weight_[~some].any()
    assert fair.sensitive_values_ == ["a", "b"]
    with pytest.raises(SensitiveFeaturesError, match="single value 'a'; at least two groups"):
        fair.fit(X, y, sensitive_features=group, sample_weight=(group == "a") * 1.0)


def test_probable_groups_make_expected_counts_independent():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet([0.3] * 3, size=500)
    codes = (rng.random(500) < shares @ [0.2, 0.5, 0.7]).astype(int)
    weights = rng.exponential(size=500)
    members = Membership.of_probabilities(shares)
    row = weights * row_weights(cell_weights(members, codes, 2, weights), members, codes)
    table = np.stack([shares[codes == k].T @ row[codes == k] for k in (0, 1)], axis=1)
    before = np.stack([shares[codes == k].T @ weights[codes == k] for k in (0, 1)], axis=1)
    np.testing.assert_allclose(
        table, np.outer(before.sum(axis=1), before.sum(axis=0)) / before.sum()
    )
    hard = np.eye(3)[shares.argmax(axis=1)]
    one_hot, named = Membership.of_probabilities(hard), Membership.of_codes(hard.argmax(axis=1), 3)
    np.testing.assert_array_equal(
        cell_weights(one_hot, codes, 2, weights), cell_weights(named, codes, 2, weights)
    )


def biased(n=600, seed=0):
    """y and a column of X that both follow the group."""
    rng = np.random.default_rng(seed)
    group = rng.integers(2, size=n)
    X = rng.normal(size=(n, 3))
    X[:, 0] += 1.5 * group
    return X, (X[:, 0] + X[:, 1] + rng.normal(size=n) > 0.7).astype(int), group


def test_adversarial_weights_go_as_far_as_lambda_says():
    X, y, group = biased()
    gaps, accuracies = [], []
    for lam in (0.0, 1.0, 16.0):
        model = FairReweighingClassifier(LogisticRegression(), method="adversarial", lam=lam)
        model.fit(X, y, sensitive_features=group)
        if not lam:
            np.testing.assert_allclose(model.sample_weight_, 1, atol=1e-4)
        answers = model.predict(X)
        gaps.append(answers[group == 1].mean() - answers[group == 0].mean())
        accuracies.append((answers == y).mean())
        assert model.sample_weight_.mean() == pytest.approx(1)
    assert gaps[0] > gaps[1] + 0.05  # measured .413, .324, .020
    assert gaps[1] > gaps[2] + 0.2
    assert abs(gaps[2]) < 0.08
    assert accuracies[2] > 0.65  # measured .692
    np.testing.assert_allclose(
        model.reweighing_.weights(X[:50], y[:50], group[:50]), model.sample_weight_[:50]
    )


def test_the_slope_of_learned_weights_is_that_of_finite_differences(monkeypatch):
    """Three labels, groups known by probability for some rows and not at all for others."""
    rng = np.random.default_rng(0)
    X, y, group = rows(300)
    shares = np.eye(3)[np.unique(group, return_inverse=True)[1]]
    shares[:50] = rng.dirichlet([1, 1, 1], size=50)
    shares[50:60] = 0
    seen = []

    def stop(objective, start, **_):
        seen.append(objective)
        return SimpleNamespace(x=start)

    monkeypatch.setattr("fairmi._row_weights.minimize", stop)
    codes = np.unique(y, return_inverse=True)[1]
    members, weights = Membership.of_probabilities(shares), rng.exponential(size=300)
    coefficients = learn_coefficients(X, codes, 3, members, weights, 3.0)
    at, along = rng.normal(scale=0.3, size=(2, coefficients.size))
    (objective,) = seen
    rise = (objective(at + 1e-4 * along)[0] - objective(at - 1e-4 * along)[0]) / 2e-4
    # Counts are smoothed, for which the best critic is 2 % off here.
    assert objective(at)[1] @ along == pytest.approx(rise, rel=0.05)


@pytest.mark.parametrize("form", ["plain", "pipeline", "column"])
def test_a_classifier_is_fitted_with_the_weights(form):
    X, y, group = rows()
    X = pd.DataFrame(X, columns=["p", "q"]).assign(g=pd.Series(group).astype("category").cat.codes)
    fair = FairReweighing().fit(X, y, sensitive_features=X["g"])
    model = LogisticRegression()
    if form == "pipeline":
        model = make_pipeline(StandardScaler(), model)
    columns, given = ("g", None) if form == "column" else (None, X["g"])
    meta = FairReweighingClassifier(model, sensitive_columns=columns)
    assert not hasattr(clone(meta), "classes_")
    meta.fit(X, y, sensitive_features=given)
    step = {f"{'logisticregression__' * (form == 'pipeline')}sample_weight": fair.sample_weight_}
    by_hand = clone(model).fit(X, y, **step)
    np.testing.assert_array_equal(meta.predict_proba(X), by_hand.predict_proba(X))
    np.testing.assert_array_equal(meta.decision_function(X), by_hand.decision_function(X))
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(meta)).predict(X), by_hand.predict(X))
    assert list(meta.feature_names_in_) == ["p", "q", "g"]


def test_it_is_searched_like_any_classifier():
    X, y, group = rows(300)
    X = np.column_stack([X, group == "a"]).astype(float)
    meta = FairReweighingClassifier(
        HistGradientBoostingClassifier(max_iter=2), sensitive_columns=2
    )
    search = GridSearchCV(meta, {"estimator__max_iter": [1, 2]}, cv=2).fit(X, y)
    assert search.best_estimator_.estimator_.n_iter_ in (1, 2)


@pytest.mark.parametrize(
    ("change", "error", "text"),
    [
        ({"sensitive_features": None}, SensitiveFeaturesError, "No sensitive features"),
        ({"sensitive_features": np.zeros(600)}, SensitiveFeaturesError, "two groups are needed"),
        ({"sensitive_features": np.arange(600.0)}, SensitiveFeaturesError, "cut it into bins"),
        ({"sensitive_features": ["a"] * 5}, SensitiveFeaturesError, "has 5 rows"),
        ({"y": None}, ValueError, "requires y"),
        ({"missing_sensitive": "drop"}, ValueError, "'missing_sensitive' .* among {'category'"),
        ({"method": "cell"}, ValueError, "'method' .* among {'adversarial', 'cells'}"),
        ({"lam": -1}, ValueError, r"'lam' .* float in the range \[0.0, inf"),
        ({"X": None, "method": "adversarial"}, ValueError, "X=None: the weights of"),
    ],
)
def test_what_is_wrong_is_named(change, error, text):
    X, y, group = rows()
    arguments = {"X": X, "y": y, "sensitive_features": group, **change}
    parameters = {k: arguments.pop(k) for k in change if k in FairReweighing().get_params()}
    with pytest.raises(error, match=text):
        FairReweighing(**parameters).fit(**arguments)


def test_what_does_not_fit_the_weights_is_refused():
    X, y, group = rows()
    fair = FairReweighing().fit(X, y, sensitive_features=group)
    with pytest.raises(ValueError, match="the label 'new', which fit did not see"):
        fair.weights(X[:2], ["lo", "new"], ["a", "b"])
    with pytest.raises(SensitiveFeaturesError, match="groups that the first fit did not see: 'd'"):
        fair.weights(X[:2], ["lo", "hi"], ["a", "d"])
    with pytest.raises(TypeError, match="its fit takes no sample_weight"):
        FairReweighingClassifier(KNeighborsClassifier()).fit(X, y, sensitive_features=group)
    with pytest.raises(SensitiveFeaturesError, match="neither of fit"):
        FairReweighingClassifier(LogisticRegression()).fit(X, y)
    with pytest.warns(SmallGroupWarning, match="group 'b' has no row of the label 1"):
        FairReweighing().fit(None, [0, 1, 0, 0], sensitive_features=list("aabb"))
