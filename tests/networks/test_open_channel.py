"""An open channel: units of any value from -1 to 1."""

from __future__ import annotations

import numpy as np
import pytest

from fairmi import MIDebiasedClassifier

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
    """64 units of 25,600 values in all; with 17 levels there is one unit of at most 17."""
    z = fitted(lam=0).transform(X)
    assert z.shape == (400, 64)
    assert abs(z).max() <= 1
    assert len(np.unique(z)) > 1000
    assert fitted(lam=0, n_components=3).transform(X).shape == (400, 3)


@pytest.mark.slow
def test_the_penalty_makes_predictions_fairer():
    """Difference of the groups' mean probabilities, seeds 0 to 2: 0.47 at 0, 0.12 to 0.23 at 4."""

    def apart(lam):
        scores = fitted(lam=lam).predict_proba(X)[:, 1]
        return abs(scores[S == 1].mean() - scores[S == 0].mean())

    assert apart(4.0) < 0.7 * apart(0.0)  # measured 0.218 under 0.332


def test_warm_start_goes_on_with_it():
    model = fitted(lam=0, max_iter=5, warm_start=True)
    before = model.score(X, Y)
    # measured 1 and 0.968
    assert model.fit(X, Y, sensitive_features=S).score(X, Y) >= before - 0.02
    with pytest.raises(ValueError, match="goes on from networks of n_levels=None"):
        model.set_params(n_levels=5, n_components=64).fit(X, Y, sensitive_features=S)
