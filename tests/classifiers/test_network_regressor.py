"""MIDebiasedRegressor: known outcomes, streams, own modules, bad input, scikit-learn's checks."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch
from conftest import rows_of_numbers
from scipy.stats import ks_2samp
from torch import nn

from fairmi import MIDebiasedRegressor
from fairmi.core.task import Quantity, Scaled
from fairmi.export import onnx_inputs, to_onnx
from fairmi.networks.losses import quantity_losses

X, MEAN, S, _RANDOM = rows_of_numbers(0, 1500)
Y = 1e4 * (MEAN + _RANDOM.normal(size=1500))
COUNTS = _RANDOM.poisson(np.exp(MEAN / 2)).astype(float)
X_NEW, MEAN_NEW, S_NEW, _ = rows_of_numbers(1, 4000)


def model(**parameters):
    return MIDebiasedRegressor(**{"random_state": 0, "max_iter": 20, **parameters})


def ks(predicted, s=S_NEW):
    return ks_2samp(predicted[s == 0], predicted[s == 1]).statistic


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
    perfect = units.scaled(y)[:, None]
    scores = np.log(perfect) if units.quantity.has_log_link else perfect
    assert units.share_explained(scores, y, weights) == pytest.approx(1)


def test_one_lam_serves_a_y_of_little_noise_and_of_much():
    """A nat is weighed against what X explains: the same λ leaves the groups as far apart."""
    left = []
    for noise in (0.3, 3.0):
        y = MEAN + noise * np.random.default_rng(2).normal(size=1500)
        left.append(ks(model(lam=2.0).fit(X, y, sensitive_features=S).predict(X), S))
    assert left[1] > 0.75 * left[0]  # .93 where it was measured; .58 against the whole loss


def test_warm_start_keeps_the_units():
    fitted = model(warm_start=True, max_iter=5).fit(X, Y, sensitive_features=S)
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
    plain, fair = model(**parameters).fit_path(images, y, lams=[0, 8], sensitive_features=group)
    assert plain.score(images, y) > 0.6  # measured 0.73
    assert fair.units_["explained"] == 1
    assert ks(fair.predict(images), group) < 0.6 * ks(plain.predict(images), group)


def test_what_is_exported_predicts_alike_and_saved_units_are_checked():
    fitted = model(loss="poisson", n_estimators=2, max_iter=3)
    fitted.fit(X, COUNTS, sensitive_features=S)
    predicted = fitted.predict(X_NEW)
    exported = to_onnx(fitted)
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    (of_graph,) = session.run(["prediction"], onnx_inputs(exported, X_NEW))
    np.testing.assert_allclose(of_graph, predicted, rtol=1e-12)
    state = fitted.__getstate__()
    with pytest.raises(ValueError, match=r"units_\['scale'\]"):
        MIDebiasedRegressor().__setstate__(state | {"units_": state["units_"] | {"scale": "1"}})
