"""Rows are never paired by position where pandas indexes say that they belong elsewhere."""

from __future__ import annotations

from functools import partial

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
S = pd.Series(np.random.default_rng(0).integers(2, size=N), index=np.arange(N) + 5, name="s")
Z = S.to_frame("z").astype(float)
OTHER = pd.Series(np.arange(N) % 2)
MODEL = DummyClassifier(strategy="constant", constant=1).fit(Z, OTHER)


def scored(Z, s, **weights):
    scorer = make_fairness_scorer("demographic_parity_difference")
    return scorer(MODEL, Z, s, sensitive_features=s, **weights)


@pytest.mark.parametrize(
    ("measure", "options"),
    [
        (certify, {"clusters": OTHER}),
        (certify, {"y": OTHER, "constraint": "equalized_odds"}),
        (partial(leakage_score, probe="linear"), {"sample_weight": OTHER + 1.0}),
        (partial(leakage_report, probe="linear"), {"given": OTHER}),
        (mutual_information_score, {"given": OTHER}),
        (mutual_information_report, {"clusters": OTHER}),
        (scored, {"sample_weight": OTHER + 1.0}),
    ],
)
def test_rows_in_another_order_are_refused(measure, options):
    measure(Z, S)
    for s in (S.sort_values(kind="stable"), S.reset_index(drop=True).to_frame()):
        with pytest.raises(ValueError, match="The indexes of"):
            measure(Z, s)
    with pytest.raises(ValueError, match=f"The indexes of [ZX] and {next(iter(options))} differ"):
        measure(Z, S, **options)
