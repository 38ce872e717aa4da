from __future__ import annotations

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fairmi import MIDebiasedClassifier

# The checks' labels depend on column 0, and some hide values of it: so a weak penalty, and rows
# without a sensitive feature train the task alone.
ESTIMATOR = MIDebiasedClassifier(
    sensitive_columns=[0], missing_sensitive="mask", lam=0.1, max_iter=60
)


@pytest.mark.filterwarnings("ignore::fairmi._errors.CollapseWarning")
@parametrize_with_checks([ESTIMATOR])
def test_scikit_learn_accepts_the_estimator(estimator, check):
    check(estimator)
