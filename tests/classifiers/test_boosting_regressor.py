"""MIBoostingRegressor: known outcomes, bad input, and what scikit-learn asks of a regressor."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import rows_of_numbers
from scipy.stats import ks_2samp
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator

from fairmi import MIBoostingRegressor
from fairmi.core.task import Quantity

X, MEAN, S, _RANDOM = rows_of_numbers(0, 1500)
Y = 1e4 * (MEAN + _RANDOM.normal(size=1500))
COUNTS = _RANDOM.poisson(np.exp(MEAN / 2)).astype(float)
X_NEW, MEAN_NEW, S_NEW, _ = rows_of_numbers(1, 4000)


def model(**parameters):
    return MIBoostingRegressor(**{"random_state": 0, "max_iter": 40, **parameters})


def ks(predicted, s=S_NEW):
    return ks_2samp(predicted[s == 0], predicted[s == 1]).statistic


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "gamma"])
def test_no_penalty_is_the_base_as_it_is(loss):
    y = np.exp(Y / 1e4)
    plain, some = model(loss=loss, max_iter=3).fit_path(X, y, lams=[0, 4], sensitive_features=S)
    n_nodes = plain.trees_["first_node"][-1]
    assert np.array_equal(plain.trees_["nodes"], some.trees_["nodes"][:n_nodes])
    assert (plain.n_iter_, some.n_iter_) == (0, 3)
    assert len(np.unique(plain.predict(X_NEW))) > 500
    base = HistGradientBoostingRegressor(loss=loss, max_iter=20).fit(X, y)
    frozen = model(loss=loss, lam=0, base=FrozenEstimator(base)).fit(X, y, sensitive_features=S)
    assert np.array_equal(frozen.predict(X_NEW), base.predict(X_NEW))


def test_predictions_are_made_from_z():
    fitted = model(n_predictions=9).fit(X, Y, sensitive_features=S)
    z, predicted = fitted.transform(X_NEW)[:, 0], fitted.predict(X_NEW)
    assert set(z) <= set(np.linspace(-1, 1, 9))
    assert all(len(set(predicted[z == level])) == 1 for level in np.unique(z))
    assert (np.diff(predicted[np.argsort(z, kind="stable")]) >= 0).all()
    continuous = model(n_predictions=None).fit(X, Y, sensitive_features=S)
    assert len(np.unique(continuous.predict(X_NEW))) > 500
    assert continuous.predict(X).mean() == pytest.approx(Y.mean(), rel=1e-6)


@pytest.mark.parametrize("name", ["poisson", "gamma"])
def test_loss_of_leaving_the_base_has_its_derivative(name):
    random = np.random.default_rng(5)
    task, weights = Quantity(name), random.uniform(0.5, 2, size=200)
    base = random.normal(size=(200, 1))
    y = random.poisson(np.exp(base[:, 0])) + (name == "gamma")
    objective = task.beside_base(base, y.astype(float), weights)
    assert np.abs(objective.derivatives(base)[0]).max() < 1e-8  # none where nothing is given up
    scores = base + 0.3 * random.normal(size=(200, 1))
    gradient, hessian = objective.derivatives(scores)
    assert (hessian > 0).all()
    for i in (0, 77):
        step = np.zeros((200, 1))
        step[i] = 1e-5
        slope = (objective.loss(scores + step) - objective.loss(scores - step)) / 2e-5
        assert gradient[i, 0] / weights.sum() == pytest.approx(slope, rel=1e-3, abs=1e-7)
