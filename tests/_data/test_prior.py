"""What groups alone tell of the label, and what a fit makes of it."""

from __future__ import annotations

import numpy as np
import pytest

from fairmi import MIDebiasedClassifier
from fairmi._data.labels import prior_offsets
from fairmi.core.membership import Membership
from fairmi.exceptions import SensitiveFeaturesError


def attribute(groups, known=None):
    return Membership.of_codes(np.asarray(groups), int(np.max(groups)) + 1, known)


def test_offsets_are_log_ratios_of_shares():
    """Shares 3/4 and 1/4 in one group, 1/4 and 3/4 in the other, drawn to 1/2 by one row."""
    y = np.repeat([0, 1, 0, 1], [150, 50, 50, 150])
    c = np.repeat([0, 0, 1, 1], [150, 50, 50, 150])
    found = prior_offsets(y, [attribute(c)], np.ones(400), 2)
    assert found.shape == (400, 1)
    expected = np.where(c == 0, np.log(150.5 / 50.5), np.log(50.5 / 150.5))
    np.testing.assert_allclose(found[:, 0], -expected)
    classes = prior_offsets(y, [attribute(c)], np.ones(400), 3)
    np.testing.assert_allclose(classes[0, :2], np.log(np.array([150.5, 50.5]) / 201 * 2))


def test_offsets_vanish_where_groups_tell_nothing_or_are_not_known():
    y = np.tile([0, 1], 50)
    c = np.repeat([0, 1], 50)
    np.testing.assert_allclose(prior_offsets(y, [attribute(c)], np.ones(100), 2), 0, atol=1e-12)
    known = np.arange(100) > 10
    found = prior_offsets(y, [attribute(y, known)], np.ones(100), 2)
    assert not found[~known].any()
    assert found[known].all()


def test_several_attributes_are_intersections_and_weights_are_counts():
    y = np.array([0, 1, 1, 0] * 20)
    a, b = np.array([0, 0, 1, 1] * 20), np.array([0, 1, 0, 1] * 20)
    found = prior_offsets(y, [attribute(a), attribute(b)], np.ones(80), 2)
    assert (np.sign(found[:, 0]) == 2 * y - 1).all()  # alone neither tells y
    twice = np.repeat(np.arange(80), 2)
    weighted = prior_offsets(y, [attribute(a)], np.full(80, 2.0), 2)
    again = prior_offsets(y[twice], [attribute(a[twice])], np.ones(160), 2)
    np.testing.assert_allclose(weighted, again[::2])


def test_continuous_features_are_told():
    values = Membership.of_values(np.zeros((4, 1)))
    with pytest.raises(SensitiveFeaturesError, match="prior_correction=True counts"):
        prior_offsets(np.array([0, 1, 0, 1]), [values], np.ones(4), 2)


def biased(n, tells, seed):
    """A feature of y that overlaps, and one of c, which agrees with y for a share of the rows."""
    random = np.random.default_rng(seed)
    y = random.integers(2, size=n)
    c = np.where(random.random(n) < tells, y, 1 - y)
    return np.column_stack([y + random.normal(size=n), c + 0.1 * random.normal(size=n)]), y, c


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")
def test_rows_whose_group_tells_nothing_are_predicted_better():
    """Accuracy there, seeds 0 to 2: 0.49 without, 0.66 to 0.67 with; 0.69 is the best."""
    X, y, c = biased(3000, 0.95, 0)
    X_test, y_test, _ = biased(3000, 0.5, 1)

    def accuracy(prior_correction):
        model = MIDebiasedClassifier(lam=0, prior_correction=prior_correction, random_state=0)
        return model.fit(X, y, sensitive_features=c).score(X_test, y_test)

    assert accuracy(False) < 0.6  # measured 0.503
    assert accuracy(True) > 0.62  # measured 0.673
