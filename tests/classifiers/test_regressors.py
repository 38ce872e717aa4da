"""Regressors of both kinds: known outcomes, units, losses, bad input, own modules, exports."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import rows_of_numbers
from scipy.stats import ks_2samp
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from torch import nn

from fairmi import (
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
    MIDebiasedRegressor,
)
from fairmi.core.membership import quantile_bins
from fairmi.core.task import Quantity, Scaled
from fairmi.exceptions import CollapseWarning
from fairmi.export import onnx_inputs, to_onnx
from fairmi.networks.losses import quantity_losses, task_loss
from fairmi.networks.rows import TrainingRows

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
    return clone(KINDS[kind]).set_params(**parameters)


trees, networks = (partial(model, kind) for kind in KINDS)


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


# Trees.


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error", "gamma"])
def test_no_penalty_is_the_base_as_it_is(loss):
    y = np.exp(Y / 1e4)
    plain, some = trees(loss=loss, max_iter=3).fit_path(X, y, lams=[0, 4], sensitive_features=S)
    n_nodes = plain.trees_["first_node"][-1]
    assert np.array_equal(plain.trees_["nodes"], some.trees_["nodes"][:n_nodes])
    assert (plain.n_iter_, some.n_iter_) == (0, 3)
    assert len(np.unique(plain.predict(X_NEW))) > 500
    base = HistGradientBoostingRegressor(loss=loss, max_iter=20).fit(X, y)
    frozen = trees(loss=loss, lam=0, base=FrozenEstimator(base)).fit(X, y, sensitive_features=S)
    assert np.array_equal(frozen.predict(X_NEW), base.predict(X_NEW))


def test_predictions_are_made_from_z():
    fitted = trees(n_predictions=9).fit(X, Y, sensitive_features=S)
    z, predicted = fitted.transform(X_NEW)[:, 0], fitted.predict(X_NEW)
    assert set(z) <= set(np.linspace(-1, 1, 9))
    assert all(len(set(predicted[z == level])) == 1 for level in np.unique(z))
    assert (np.diff(predicted[np.argsort(z, kind="stable")]) >= 0).all()
    continuous = trees(n_predictions=None).fit(X, Y, sensitive_features=S)
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


# Networks.


def test_losses_are_those_of_scikit_learn():
    scores, y = _RANDOM.normal(size=50), _RANDOM.gamma(2.0, size=50)
    for quantity in (
        *(Quantity(name) for name in ("squared_error", "absolute_error", "poisson", "gamma")),
        Quantity("quantile", quantile=0.8),
        *(Quantity("tweedie", power=power) for power in (1.0, 1.3, 2.0)),
    ):
        ours = quantity_losses(quantity, torch.tensor(scores)[None], torch.tensor(y))[0].numpy()
        theirs = quantity.sklearn_loss.loss(y_true=y, raw_prediction=scores)
        assert np.ptp(ours - theirs) < 1e-9, quantity  # up to what no score changes


@pytest.mark.parametrize(
    "loss", ["squared_error", "absolute_error", "poisson", "gamma", "tweedie"]
)
def test_units_make_a_constant_a_score_of_0_and_a_loss_of_1(loss):
    y, weights = np.exp(MEAN), np.arange(1500.0) % 3
    units = Scaled.of(Quantity(loss), y, weights)
    none = np.zeros((1500, 1))
    assert np.ptp(units.predictions(none)) == 0
    start = units.quantity.mean(units.quantity.start(y, weights))
    assert units.predictions(none)[0] == pytest.approx(float(start[0]))
    assert units.of_constant - units.optimal == pytest.approx(
        units.quantity.loss(none, units.scaled(y)[:, None], weights)
    )
    rows = TrainingRows(
        torch.tensor(none), torch.tensor(units.scaled(y)), torch.tensor(weights[None]), ()
    )
    for scores, offsets in ((none, None), (none + 2.0, torch.full((1500, 1), -2.0))):
        loss = task_loss(torch.tensor(scores[None]), replace(rows, offsets=offsets), units)
        assert loss.item() == pytest.approx(1)
    perfect = units.scaled(y)[:, None]
    scores = np.log(perfect) if units.quantity.has_log_link else perfect
    assert units.share_explained(scores, y, weights) == pytest.approx(1)


def test_one_lam_serves_a_y_of_little_noise_and_of_much():
    """A nat is weighed against what X explains: the same λ leaves the groups as far apart."""
    left = []
    for noise in (0.3, 3.0):
        y = MEAN + noise * np.random.default_rng(2).normal(size=1500)
        left.append(ks(networks(lam=2.0).fit(X, y, sensitive_features=S).predict(X), S))
    assert left[1] > 0.75 * left[0]  # .93 where it was measured; .58 against the whole loss


def test_warm_start_keeps_the_units():
    fitted = networks(warm_start=True, max_iter=5).fit(X, Y, sensitive_features=S)
    before, score = dict(fitted.units_), fitted.score(X, Y)
    fitted.fit(X[:900], Y[:900], sensitive_features=S[:900])
    assert fitted.units_ == before
    assert fitted.score(X, Y) > score - 0.05


def test_own_module_reads_images():
    random = np.random.default_rng(5)
    images = random.integers(0, 120, size=(600, 6, 6), dtype=np.uint8)
    shade, group = random.integers(0, 120, size=600), random.integers(2, size=600)
    images += shade[:, None, None].astype(np.uint8)
    y = shade / 10 + 4 * group
    images[:, 0] = 200 * group[:, None]
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU())
    parameters = {"encoder": encoder, "learning_rate": 0.01, "max_iter": 40}
    plain, fair = networks(**parameters).fit_path(images, y, lams=[0, 8], sensitive_features=group)
    assert plain.score(images, y) > 0.6  # measured 0.73
    assert fair.units_["explained"] == 1
    assert ks(fair.predict(images), group) < 0.6 * ks(plain.predict(images), group)


def test_what_is_exported_predicts_alike_and_saved_units_are_checked():
    fitted = networks(loss="poisson", n_estimators=2, max_iter=3)
    fitted.fit(X, COUNTS, sensitive_features=S)
    predicted = fitted.predict(X_NEW)
    exported = to_onnx(fitted)
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    (of_graph,) = session.run(["prediction"], onnx_inputs(exported, X_NEW))
    np.testing.assert_allclose(of_graph, predicted, rtol=1e-12)
    state = fitted.__getstate__()
    with pytest.raises(ValueError, match=r"units_\['scale'\]"):
        MIDebiasedRegressor().__setstate__(state | {"units_": state["units_"] | {"scale": "1"}})
