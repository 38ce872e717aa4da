"""What both regressors do alike: known outcomes, units, losses, bad input."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import rows_of_numbers
from scipy.stats import ks_2samp

from fairmi import (
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
    MIDebiasedRegressor,
)
from fairmi.core.membership import quantile_bins
from fairmi.exceptions import CollapseWarning

X, MEAN, S, _RANDOM = rows_of_numbers(0, 1500)
Y = 1e4 * (MEAN + _RANDOM.normal(size=1500))
COUNTS = _RANDOM.poisson(np.exp(MEAN / 2)).astype(float)
X_NEW, MEAN_NEW, S_NEW, _ = rows_of_numbers(1, 4000)
KINDS = {
    "trees": MIBoostingRegressor(random_state=0, max_iter=40),
    "networks": MIDebiasedRegressor(random_state=0, max_iter=20),
}
each_kind = pytest.mark.parametrize("kind", KINDS)


def model(kind, **parameters):
    return KINDS[kind].__sklearn_clone__().set_params(**parameters)


def ks(predicted, s=S_NEW):
    return ks_2samp(predicted[s == 0], predicted[s == 1]).statistic


@each_kind
@pytest.mark.parametrize("loss", ["squared_error", "poisson"])
def test_larger_lam_is_fairer_and_keeps_the_mean(kind, loss):
    y = Y if loss == "squared_error" else COUNTS
    models = model(kind, loss=loss).fit_path(X, y, lams=[0, 3, 32], sensitive_features=S)
    gaps = [ks(fitted.predict(X_NEW)) for fitted in models]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.6 * gaps[0]  # of trees measured 0.147 under 0.291 after 40 rounds
    for fitted in models[1:]:
        assert fitted.predict(X).mean() == pytest.approx(y.mean(), rel=1e-5)
        assert len(np.unique(fitted.predict(X_NEW))) <= 33
        assert np.corrcoef(fitted.predict(X_NEW), MEAN_NEW)[0, 1] > 0.6


@pytest.mark.parametrize(("kind", "error"), [("trees", 0.1), ("networks", 1e-3)])
def test_one_lam_serves_every_unit_of_y(kind, error):
    """Scaled and moved, y has the same predictions, scaled and moved; bins of trees may shift."""
    one, other = (
        model(kind, lam=4.0).fit(X, y, sensitive_features=S).predict(X_NEW)
        for y in (Y, 8 * Y + 2**20)
    )
    assert np.std(other - 8 * one - 2**20) < error * other.std()


@pytest.mark.parametrize(
    ("kind", "loss", "share"),
    [
        ("trees", "absolute_error", 0.5),
        ("trees", "quantile", 0.8),
        ("networks", "quantile", 0.8),
    ],
)
def test_median_and_quantile_are_predicted(kind, loss, share):
    fitted = model(kind, loss=loss, quantile=0.8, lam=2.0).fit(X, Y, sensitive_features=S)
    assert np.mean(fitted.predict(X) >= Y) == pytest.approx(share, abs=0.05)


@each_kind
def test_parity_given_y_penalises_what_is_left_among_equal_y(kind):
    """A column tells the group beside y, which it does not: within bins of y it goes."""
    random, n = np.random.default_rng(3), 2000
    group = random.integers(2, size=n)
    y = random.normal(size=n) + group
    x = np.column_stack([y + random.normal(size=n) + group, random.normal(size=n)])
    bins, n_bins = quantile_bins(y, np.ones(n), 4)

    def within(lam):
        fitted = model(kind, constraint="conditional", lam=lam)
        fitted.set_params(max_iter=80 if kind == "trees" else 20)
        p = fitted.fit(x, y, sensitive_features=group).predict(x)
        return np.mean([ks(p[bins == k], group[bins == k]) for k in range(n_bins)])

    assert within(16.0) < 0.7 * within(0.0)


BAD = [
    (np.ones(1500), {}, "y has the one value 1"),
    (COUNTS - 1, {"loss": "poisson"}, "loss='poisson' needs y of 0 or more"),
    (COUNTS, {"loss": "gamma"}, "loss='gamma' needs y above 0, but its smallest value is 0"),
    (np.where(X[:, 0] > 1, np.inf, Y), {}, "Input y contains infinity"),
    (np.where(S, "a", "b"), {}, "predicts numbers; for classes take .*MI(Boosting|Debiased)C"),
    (Y, {"quantile": 1.5}, "quantile"),
    (Y, {"constraint": "conditional", "n_y_bins": 800}, "too few for n_y_bins=800; lower it"),
    (Y, {"group_weight": "balanced", "sensitive_kinds": ["continuous"]}, "needs groups"),
    (Y, {"constraint": "equalized_odds"}, "'conditional', 'demographic_parity'"),
]


@each_kind
@pytest.mark.parametrize(
    ("y", "parameters", "message"), BAD, ids=[message for _, _, message in BAD]
)
def test_bad_input_is_named(kind, y, parameters, message):
    with pytest.raises(ValueError, match=message):
        model(kind, **parameters).fit(X, y, sensitive_features=S)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (MIBoostingClassifier, r"Unknown label type: continuous.* MIBoostingRegressor"),
        (MIDebiasedClassifier, r"needs classes; .* take MIDebiasedRegressor"),
    ],
)
def test_a_classifier_given_numbers_names_the_regressor(kind, message):
    with pytest.raises(ValueError, match=message):
        kind().fit(X, Y, sensitive_features=S)


@each_kind
def test_values_that_rule_the_loss_are_named(kind):
    y = np.where(np.arange(1500) % 500 == 0, 1e6, MEAN)
    with pytest.warns(CollapseWarning, match='loss="absolute_error"'):
        model(kind).fit(X, y, sensitive_features=S)
