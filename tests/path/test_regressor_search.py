"""MIDebiasedRegressorCV and paths of regressors: what differs from classifiers."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import sklearn
from scipy import sparse
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.linear_model import LinearRegression, Ridge
from sklearn.metrics import d2_absolute_error_score, d2_tweedie_score, r2_score
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import (
    CollapseWarning,
    InfeasibleBoundWarning,
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifierCV,
    MIDebiasedRegressor,
    MIDebiasedRegressorCV,
    MIDebiasedTransformer,
    SensitiveFeaturesError,
    fairness_path,
)

N = 800
RANDOM = np.random.default_rng(0)
S = RANDOM.integers(2, size=N)
X = np.column_stack([RANDOM.normal(size=(N, 2)), S + 0.3 * RANDOM.normal(size=N)])
MEAN = X[:, 0] + 1.5 * S
Y = 1000 * (MEAN + RANDOM.normal(size=N))
COUNTS = RANDOM.poisson(np.exp(MEAN / 2)).astype(float)
FOLDS = KFold(2)


def trees(**parameters):
    return MIBoostingRegressor(**{"max_iter": 40, "random_state": 0, **parameters})


def search(estimator=None, **parameters):
    estimator = trees() if estimator is None else estimator
    return MIDebiasedRegressorCV(estimator, **{"lams": [0.0, 4.0, 32.0], "cv": 2, **parameters})


def held_out(model):
    """Predictions of fits to each half for the other."""
    return cross_val_predict(model, X, Y, cv=FOLDS, params={"sensitive_features": S})


@pytest.fixture(scope="module")
def fitted():
    return search(bound=0.35).fit(X, Y, sensitive_features=S)


def test_figures_are_those_of_all_held_out_predictions(fitted):
    frontier = fitted.frontier_
    with sklearn.config_context(enable_metadata_routing=True):
        for k, lam in enumerate(fitted.lams_):
            predicted = held_out(trees(lam=lam))
            ks = ks_2samp(predicted[S == 0], predicted[S == 1]).statistic
            assert frontier.ks_difference[k] == pytest.approx(ks)
            halves = [r2_score(Y[of], predicted[of]) for _, of in FOLDS.split(X)]
            assert frontier.mean_r2[k] == pytest.approx(np.mean(halves))
    # A difference of two empirical distributions of 400 rows: its error, and what chance shows.
    assert ((frontier.se_ks_difference > 0.01) & (frontier.se_ks_difference < 0.08)).all()
    assert ((frontier.floor_ks_difference > 0.05) & (frontier.floor_ks_difference < 0.12)).all()


def test_the_best_within_the_bound_is_used_and_another_bound_costs_nothing(fitted):
    frontier, models = fitted.frontier_, list(fitted.models_)
    assert frontier.ks_difference[0] > 0.35 > frontier.ks_difference[2]
    within = frontier[frontier.ks_difference <= 0.35]
    assert fitted.lam_ == within.lam[within.mean_r2.idxmax()]
    loaded = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.score(X, Y) == r2_score(Y, fitted.predict(X))
    assert loaded.transform(X).shape == (N, 1)
    try:
        assert fitted.set_operating_point(1.0).lam_ == 0.0
        with pytest.warns(InfeasibleBoundWarning, match="a fair regressor shows 0"):
            fitted.set_operating_point(1e-6)
    finally:
        fitted.set_operating_point(0.35)
    assert models == fitted.models_


def test_bounds_in_units_of_y_and_pipelines():
    found = search(make_pipeline(StandardScaler(), trees()), metric="mean_difference", bound=850.0)
    found.fit(X, Y, sensitive_features=S, sample_weight=np.ones(N))
    assert found.frontier_.mean_difference[0] > 1100  # measured 1181
    assert found.lam_ == 4.0
    predicted = found.predict(X)
    assert abs(predicted[S == 0].mean() - predicted[S == 1].mean()) < 900
    assert found.transform(X).shape == (N, 1)
    z = found.model_[-1].transform(found.model_[0].transform(X))
    np.testing.assert_array_equal(found.transform(X), z)


@pytest.mark.parametrize(
    ("parameters", "score"),
    [
        ({"loss": "poisson"}, lambda y, p: d2_tweedie_score(y, p, power=1)),
        ({"loss": "absolute_error"}, d2_absolute_error_score),
        ({"loss": "tweedie", "power": 1.3}, lambda y, p: d2_tweedie_score(y, p, power=1.3)),
    ],
)
def test_the_score_is_the_share_explained_of_the_loss(parameters, score):
    found = search(trees(max_iter=5, **parameters), lams=[0.0, 4.0], bound=1.0)
    found.fit(X, COUNTS, sensitive_features=S)
    model = trees(**parameters, lam=0.0)
    train, test = next(FOLDS.split(X))
    model.fit(X[train], COUNTS[train], sensitive_features=S[train])
    expected = score(COUNTS[test], model.predict(X[test]))
    assert found.cv_results_["split0_test_d2"][0] == pytest.approx(expected)
    assert found.frontier_.columns[1] == "mean_d2"


def test_rows_of_unknown_group_count_for_the_score_alone():
    s = np.where(X[:, 0] > 0.8, np.nan, S)  # their predictions are unlike all others
    masked = {"missing_sensitive": "mask", "max_iter": 5}
    found = search(trees(**masked), lams=[0.0, 4.0], bound=1.0).fit(X, Y, sensitive_features=s)
    predicted = np.empty(N)
    for train, test in FOLDS.split(X):
        model = trees(lam=0.0, **masked).fit(X[train], Y[train], sensitive_features=s[train])
        predicted[test] = model.predict(X[test])
    ks = ks_2samp(predicted[s == 0], predicted[s == 1]).statistic
    assert found.frontier_.ks_difference[0] == pytest.approx(ks)
    halves = [r2_score(Y[of], predicted[of]) for _, of in FOLDS.split(X)]
    assert found.frontier_.mean_r2[0] == pytest.approx(np.mean(halves))


class Drifting(MIBoostingRegressor):
    """Its predictions are far off at λ = 4 where it is fitted to all rows."""

    def fit_path(self, X, y, **given):
        models = super().fit_path(X, y, **given)
        for model in models:
            if model.lam == 4.0 and len(X) == N:
                model.values_ = model.values_ + 2000.0
        return models


def test_a_refit_far_from_its_folds_is_not_used(fitted):
    assert fitted.lam_ == 4.0
    assert not fitted.cv_results_["refit_broken"].any()
    drifting = search(Drifting(max_iter=40, random_state=0), bound=0.35)
    with pytest.warns(CollapseWarning, match=r"λ = 4, .*larger errors.* λ = 32 is used instead"):
        drifting.fit(X, Y, sensitive_features=S)
    assert drifting.lam_ == 32.0


class NotAnArray:
    """What numpy can make an array of, and nothing else."""

    def __init__(self, values):
        self.values = values

    def __array__(self, dtype=None, copy=None):
        return np.array(self.values, dtype=dtype)


@pytest.mark.parametrize(
    "made", [sparse.coo_matrix, sparse.dia_array, NotAnArray, np.ndarray.tolist]
)
def test_folds_are_of_whatever_numpy_or_scipy_can_read(made):
    quick = search(trees(base=LinearRegression(), max_iter=3), lams=[0.0, 4.0], bound=1.0)
    few = slice(60)
    expected = clone(quick).fit(X[few], Y[few], sensitive_features=S[few])
    other = quick.fit(made(X[few]), NotAnArray(Y[few]), sensitive_features=S[few])
    np.testing.assert_allclose(other.predict(X), expected.predict(X))


@pytest.mark.parametrize(
    ("found", "y", "s", "error", "message"),
    [
        (search(Ridge()), Y, S, TypeError, "has no fit_path"),
        (search(MIBoostingClassifier()), Y, S, TypeError, "take MIDebiasedClassifierCV"),
        (MIDebiasedClassifierCV(trees()), Y, S, TypeError, "take MIDebiasedRegressorCV"),
        (MIDebiasedClassifierCV(MIDebiasedTransformer()), Y > 0, S, TypeError, "predicts nothing"),
        (MIDebiasedRegressorCV(MIDebiasedTransformer()), Y, S, TypeError, "predicts nothing"),
        (search(), Y, X[:, 2], SensitiveFeaturesError, "are continuous"),
        (search(), np.where(S, "a", "b"), S, ValueError, "for classes take"),
        (search(cv=KFold(2)), Y, np.arange(N) // 400, ValueError, "rows of one group alone"),
        (search(bound=-1.0), Y, S, ValueError, "bound"),
    ],
)
def test_bad_input_is_named_before_training(found, y, s, error, message, monkeypatch):
    trained = lambda *_, **__: pytest.fail("it trained")  # noqa: E731
    monkeypatch.setattr(MIBoostingRegressor, "fit_path", trained)
    with pytest.raises(error, match=message):
        found.fit(X, y, sensitive_features=s)


def test_a_path_of_a_regressor_is_what_fits_give_and_is_measured():
    path = fairness_path(X, Y, sensitive_features=S, estimator=trees(), lams=[0.0, 4.0])
    lams, models = path
    alone = trees(lam=4.0).fit(X, Y, sensitive_features=S)
    np.testing.assert_array_equal(models[1].predict(X), alone.predict(X))
    assert lams.tolist() == [model.lam for model in models]
    frontier = path.frontier(X, Y, sensitive_features=S)
    assert frontier.columns.tolist() == ["lam", "r2", "ks_difference"]
    predicted = models[1].predict(X)
    assert frontier.r2[1] == r2_score(Y, predicted)
    ks = ks_2samp(predicted[S == 0], predicted[S == 1]).statistic
    assert frontier.ks_difference[1] == pytest.approx(ks)
    weight = np.where(X[:, 0] > 0, 2.0, 1.0)
    other = {"metric": "wasserstein", "scoring": "neg_mean_absolute_error"}
    frontier = path.frontier(X, Y, sensitive_features=S, sample_weight=weight, **other)
    assert (frontier.wasserstein.diff()[1:] < 0).all()
    errors = np.average(np.abs(Y - predicted), weights=weight)
    assert frontier.neg_mean_absolute_error[1] == pytest.approx(-errors)


def test_networks_are_searched_and_measured_alike():
    network = MIDebiasedRegressor(hidden_layer_sizes=(16,), max_iter=8, random_state=0)
    found = search(network, lams=[0.0, 4.0], bound=0.35).fit(X, Y, sensitive_features=S)
    assert found.lam_ == 4.0
    assert found.frontier_.columns[1] == "mean_r2"
    np.testing.assert_array_equal(found.predict(X), found.models_[1].predict(X))
    path = fairness_path(X, Y, sensitive_features=S, estimator=network, lams=[0.0, 4.0])
    frontier = path.frontier(X, Y, sensitive_features=S)
    assert frontier.ks_difference[1] < 0.8 * frontier.ks_difference[0]


def test_a_path_of_a_classifier_is_measured_by_its_labels():
    y = Y > 0
    estimator = MIBoostingClassifier(max_iter=5, random_state=0)
    path = fairness_path(X, y, sensitive_features=S, estimator=estimator, lams=[0.0, 4.0])
    frontier = path.frontier(X, y, sensitive_features=S)
    predicted = path.models[1].predict(X)
    assert frontier.accuracy[1] == (predicted == y).mean()
    gap = abs(predicted[S == 0].mean() - predicted[S == 1].mean())
    assert frontier.demographic_parity_difference[1] == pytest.approx(gap)
