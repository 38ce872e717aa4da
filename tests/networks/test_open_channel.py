"""An open channel: units of any value, and the brake on a critic that is lost."""

from __future__ import annotations

import numpy as np
import pytest

from fairmi import MIDebiasedClassifier
from fairmi.dependence import Penalty

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(400, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
S = (X[:, 1] > 0).astype(int)


def fitted(**parameters):
    model = MIDebiasedClassifier(
        **{"n_levels": None, "dropout": 0.0, "max_iter": 40, "random_state": 0, **parameters}
    )
    return model.fit(X, Y, sensitive_features=S)


def test_units_take_any_value():
    """64 units of 12,634 values in all; with 17 levels there is one unit of at most 17."""
    z = fitted(lam=0).transform(X)
    assert z.shape == (400, 64)
    assert z.min() == 0
    assert len(np.unique(z)) > 1000
    assert fitted(lam=0, n_components=3).transform(X).shape == (400, 3)


def test_the_penalty_makes_predictions_fairer():
    """Difference of the groups' mean probabilities, seeds 0 to 2: 0.47 at 0, 0.17 to 0.30 at 4."""

    def apart(lam):
        scores = fitted(lam=lam).predict_proba(X)[:, 1]
        return abs(scores[S == 1].mean() - scores[S == 0].mean())

    assert apart(4.0) < 0.8 * apart(0.0)


class Shift(Penalty):
    """The mean square of Z, less a number: its gradient is the same whatever that is."""

    is_information = False

    def __init__(self, less):
        self.less = less

    def value(self, critic, z, sensitive, generator):
        return z.square().mean((1, 2)) - self.less


def test_the_encoder_does_not_run_from_a_critic_that_is_lost():
    z, below, above = (
        fitted(lam=lam, penalty=Shift(less)).transform(X)
        for lam, less in ((0.0, 0.0), (5.0, 1e9), (5.0, 0.0))
    )
    # Adam hardly sees the loss's scale, which λ alone changes where the estimate is below 0.
    assert abs(below - z).max() < 0.05 * z.max()  # 0.014
    assert (above**2).mean() < 0.1 * (z**2).mean()  # 0.0006
