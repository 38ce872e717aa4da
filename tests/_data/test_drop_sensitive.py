"""Who drops the sensitive columns has no right to hold them: at prediction they may be gone."""

from __future__ import annotations

import datetime

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array

from fairmi import MIBackpropClassifier, MIDebiasedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 60
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 4))
X[:, 1] = np.arange(N) % 2
X[:, 3] = np.arange(N) // 2 % 2
Y = (X[:, 0] > 0).astype(int)
NAMES = ["pay", "sex", "age", "race"]
FRAME = pd.DataFrame(X, columns=NAMES)
TABLES = {
    "array": (X, [1, 3], np.delete(X, [1, 3], axis=1)),
    "list": (X.tolist(), [1, 3], np.delete(X, [1, 3], axis=1).tolist()),
    "sparse": (csr_array(X), [-1, 1], csr_array(X[:, [0, 2]])),
    "frame": (FRAME, ["sex", "race"], FRAME[["pay", "age"]]),
    "positions": (FRAME, [1, 3], FRAME[["pay", "age"]]),
    "polars": (pl.DataFrame(FRAME), ["sex", "race"], pl.DataFrame(FRAME[["pay", "age"]])),
    "numbered": (FRAME.set_axis([5, 6, 7, 8], axis=1), [6, 8], X[:, [0, 2]]),
}


@pytest.mark.parametrize("kind", TABLES)
@pytest.mark.parametrize("make", [MIDebiasedClassifier, MIBackpropClassifier])
def test_tables_with_and_without_the_column_give_the_same(make, kind):
    table, columns, without = TABLES[kind]
    model = make(max_iter=1, sensitive_columns=columns, drop_sensitive=True, random_state=0)
    model.fit(table, Y)
    assert model.n_features_in_ == 4
    expected = model.predict_proba(table)
    np.testing.assert_array_equal(model.predict_proba(without), expected)


@pytest.fixture(scope="module")
def model():
    model = MIDebiasedClassifier(
        max_iter=1, sensitive_columns=["sex", "race"], drop_sensitive=True, random_state=0
    )
    return model.fit(FRAME, Y)


def test_nothing_in_the_column_is_read(model):
    expected = model.predict_proba(FRAME)
    for odd in (np.inf, "unknown", 1j, datetime.date(2020, 1, 1), None):
        np.testing.assert_array_equal(model.predict_proba(FRAME.assign(sex=odd)), expected)
    some = FRAME.drop(columns="race").assign(sex=[[1]] * N)
    np.testing.assert_array_equal(model.predict_proba(some), expected)


def test_what_else_is_missing_is_told(model):
    with pytest.raises(ValueError, match=r"(?s)feature names should match.*missing:\n- age"):
        model.predict(FRAME[["pay"]])
    with pytest.raises(ValueError, match="must be in the same order"):
        model.predict(FRAME[["age", "pay"]])
    array = MIDebiasedClassifier(max_iter=1, sensitive_columns=1, drop_sensitive=True).fit(X, Y)
    for table in (X[:, :2], X[0], None, [[1], [2, 3]]):
        with pytest.raises(ValueError, match=r"\bX\b"):
            array.predict(table)
