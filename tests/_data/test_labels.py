"""What groups alone tell of the label: as a prior in a fit, and as the ceiling of λ."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fairmi import MIBoostingClassifier, MIDebiasedClassifier
from fairmi._diagnosis import notes_of_collapse
from fairmi.core.information import information_of_labels, prior_offsets
from fairmi.core.membership import Membership
from fairmi.core.task import Classes
from fairmi.exceptions import CollapseWarning, SensitiveFeaturesError


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


# 1,000 rows of two groups, of which y is 1 in 1 and in 4 of 5: H(Y) = 0.6931, and
# I(Y; C) = log 2 - H(0.2) = 0.6931 - 0.5004 = 0.1927 nats, so that the ceiling is 3.60.
GROUPS = np.repeat([0, 1], 500)
Y = np.where(np.arange(1_000) % 5 == 0, 1 - GROUPS, GROUPS)
X = np.column_stack([GROUPS, np.random.default_rng(0).normal(size=1_000)])
ONES = np.ones(1_000)
CEILING = np.log(2) / (np.log(2) + 0.2 * np.log(0.2) + 0.8 * np.log(0.8))


def cost(lam):
    """λ I(Y; C) of the rows above: their exact information, less the bias of 1,000 rows."""
    return lam * information_of_labels(Y, GROUPS, ONES)


def ceiling_of(odds, cost_of_y, labels=Y):
    return Classes(2).ceiling(np.asarray(odds, dtype=float)[:, None], labels, ONES, cost_of_y)


def warned(odds, lam):
    odds = np.asarray(odds, dtype=float)[:, None]
    fit = {"penalty": "donsker_varadhan", "attributes": [(10.0, Y, GROUPS, ONES)]}
    ((_, message),) = notes_of_collapse(Classes(2), odds, Y, ONES, lam, **fit)
    return message


def test_the_ceiling_is_entropy_over_information():
    constant = np.zeros(1_000)
    assert ceiling_of(constant, cost(CEILING * 0.98)) is None
    # The bias of 1,000 rows takes 0.0005 of 0.1927 off.
    assert 10 * ceiling_of(constant, cost(10.0)) == pytest.approx(CEILING, rel=0.005)


def test_no_ceiling_where_the_model_is_better_than_a_constant():
    """Losses 0.127 and 0.689 at H(Y) = 0.693; the limit is 0.658."""
    assert ceiling_of(4 * Y - 2, cost(10.0)) is None
    assert ceiling_of(0.01 * Y, cost(10.0)) is not None


def test_both_causes_are_named_in_one_warning():
    message = warned(np.full(1_000, -0.1), 10.0)
    assert re.search(r"of one class\. lam=10\.0 is above H\(Y\) / I\(Y; C\) = 3\.61", message)
    sides = np.where(np.arange(1_000) % 2, 0.1, -0.1)
    assert re.search(r"about that of a constant\. lam=10\.0 is above", warned(sides, 10.0))
    message = warned(sides, {"sex": 10.0})
    assert re.search(
        r"\{'sex': 10\.0\} the sum of .* 2\.77 times H\(Y\).*less than 0\.36", message
    )


@pytest.mark.parametrize("make", [MIBoostingClassifier, MIDebiasedClassifier])
@pytest.mark.parametrize("lam", [20.0, 100.0])
def test_a_fit_above_the_ceiling_says_so(make, lam):
    """X tells y by C alone; of three seeds all warn at both λ, none at 2."""
    with pytest.warns(CollapseWarning, match=r"lam=\d+\.0 is above H\(Y\) / I\(Y; C\) = 3\.6"):
        make(lam=lam, random_state=0).fit(X, Y, sensitive_features=GROUPS)


@pytest.mark.slow_cases("parameters1")
@pytest.mark.parametrize("parameters", [{"lam": 2.0}, {"lam": 20.0, "penalty": "hsic"}])
@pytest.mark.filterwarnings("ignore:The fit collapsed", "ignore:The penalty did little")
def test_a_fit_below_it_or_of_another_unit_does_not(parameters):
    model = MIBoostingClassifier(**parameters, random_state=0)
    model.fit(X, Y, sensitive_features=GROUPS)
    assert not any("is above" in told for _, told in model.warnings_)
