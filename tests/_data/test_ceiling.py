"""Where λ is so large that a constant has the lower loss: said, with λ, the bound and the fix."""

import re

import numpy as np
import pytest

from fairmi import MIBoostingClassifier, MIDebiasedClassifier
from fairmi._diagnosis import notes_of_collapse
from fairmi.core.information import information_of_labels
from fairmi.core.task import Classes
from fairmi.exceptions import CollapseWarning

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
    ((_, message),) = notes_of_collapse(Classes(2), odds, Y, ONES, lam, cost_of_y=cost(10.0))
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


def test_what_is_independent_of_y_has_no_ceiling():
    of_y = np.tile([0, 0, 1, 1, 0, 1, 0, 1], 125)[:1_000]
    assert information_of_labels(of_y, GROUPS, ONES) == 0


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
