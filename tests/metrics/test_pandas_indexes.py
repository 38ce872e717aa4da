"""Rows are never paired by position where pandas indexes say that they belong elsewhere."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.dummy import DummyClassifier

from fairmi.metrics import (
    certify,
    leakage_report,
    leakage_score,
    make_fairness_scorer,
    mutual_information_report,
    mutual_information_score,
)

N = 600
SCORER = make_fairness_scorer("demographic_parity_difference")


def scored(Z, s, **weights):
    """By a classifier that predicts the group."""
    model = DummyClassifier(strategy="constant", constant=1).fit(Z, np.arange(len(s)) % 2)
    return SCORER(model, Z, s, sensitive_features=s, **weights)


CALLS = {
    "certify": certify,
    "leakage_score": lambda Z, s: leakage_score(Z, s, probe="linear"),
    "leakage_report": lambda Z, s: leakage_report(Z, s, probe="linear"),
    "mutual_information_score": mutual_information_score,
    "mutual_information_report": mutual_information_report,
    "information given y": lambda Z, s: mutual_information_score(
        Z, s, given=np.arange(len(s)) % 2
    ),
    "scorer": scored,
}


def sample():
    """Z that is the group itself, as frames with an index."""
    s = pd.Series(np.random.default_rng(0).integers(2, size=N), index=np.arange(N) + 5, name="s")
    return s.to_frame("z").astype(float), s


@pytest.mark.parametrize("name", CALLS)
def test_rows_in_another_order_are_refused(name):
    Z, s = sample()
    CALLS[name](Z, s)
    with pytest.raises(ValueError, match="The indexes of"):
        CALLS[name](Z, s.sort_values(kind="stable"))
    with pytest.raises(ValueError, match="The indexes of"):
        CALLS[name](Z, s.reset_index(drop=True).to_frame())


def test_labels_and_weights_count_too():
    Z, s = sample()
    other = pd.Series(np.arange(N) % 2)
    with pytest.raises(ValueError, match="The indexes of Z and given differ"):
        mutual_information_score(Z, s, given=other)
    for name in ("y", "clusters"):
        constraint = "equalized_odds" if name == "y" else "demographic_parity"
        with pytest.raises(ValueError, match=f"The indexes of Z and {name} differ"):
            certify(Z, s, constraint=constraint, **{name: other})
    with pytest.raises(ValueError, match="The indexes of Z and sample_weight differ"):
        leakage_score(Z, s, probe="linear", sample_weight=other + 1.0)
    with pytest.raises(ValueError, match="The indexes of X and sample_weight differ"):
        scored(Z, s, sample_weight=other + 1.0)
