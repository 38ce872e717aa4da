"""Columns that are read otherwise than meant are named, with the fix; others never."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import clone

from fairmi import MIBoostingClassifier, MIDebiasedClassifier, fairness_path
from fairmi._data.tables import notes_of_columns
from fairmi.datasets import load_adult, load_german
from fairmi.exceptions import ColumnWarning, SmallGroupWarning
from fairmi.metrics import leakage_score

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 200
RANDOM = np.random.default_rng(0)
PAY = RANDOM.normal(size=N).round(3)
JOB = np.array(["clerk", "nurse"])[np.arange(N) % 2]
FRAME = pd.DataFrame({"pay": PAY, "job": JOB})
Y = (PAY > 0).astype(int)
S = np.array(list("ab") * (N // 2))
CODES = np.arange(N) % 25 + 10_000


def fit(frame, s=S, **parameters):
    return MIDebiasedClassifier(max_iter=1, random_state=0, **parameters).fit(
        frame, Y, sensitive_features=s
    )


ODD = {
    "names": ([f"n{k}" for k in range(N)], "has 200 distinct values in 200 rows: it names rows"),
    "codes": (pd.Categorical(np.arange(N)), "it names rows, .* Drop it"),
    "gaps": ([None, *(f"n{k}" for k in range(1, N))], "has 199 distinct values in 199 rows"),
    "one word": (
        ["?", "?", "none", *(str(k % 20) for k in range(3, N))],
        r"because of '\?' and the like in 3 rows: .* pandas\.to_numeric\(X\['odd'\]",
    ),
    "all text": ([str(k % 20) for k in range(N)], "holds numbers as text: each is a category"),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_column_that_is_no_feature_is_named_with_the_fix(kind):
    values, message = ODD[kind]
    with pytest.warns(ColumnWarning, match=f"Column 'odd' of X .*{message}") as caught:
        fit(FRAME.assign(odd=values))
    assert [w.filename for w in caught if w.category is ColumnWarning] == [__file__]


@pytest.mark.parametrize("make", [MIDebiasedClassifier, MIBoostingClassifier])
def test_a_model_keeps_what_its_fit_warned_of_columns(make):
    frame = FRAME.assign(odd=ODD["names"][0])
    codes = pd.DataFrame({"zip": CODES})
    with pytest.warns(ColumnWarning) as caught:
        model = make(lam=0, max_iter=1, random_state=0).fit(frame, Y, sensitive_features=codes)
    told = [(w.category.__name__, str(w.message)) for w in caught if w.category is ColumnWarning]
    assert len(told) == 2
    assert [pair for pair in model.warnings_ if pair[0] == "ColumnWarning"] == told
    with pytest.warns(ColumnWarning) as caught:
        _, (first, _) = fairness_path(
            frame, Y, sensitive_features=S, estimator=clone(model), lams=[0, 1]
        )
    assert [w.category for w in caught].count(ColumnWarning) == 1
    assert ("ColumnWarning", str(caught[0].message)) in first.warnings_


def test_a_stream_keeps_what_its_first_part_was_warned_of():
    model = MIDebiasedClassifier(random_state=0)
    frame = FRAME.assign(odd=ODD["names"][0])
    with pytest.warns(ColumnWarning):
        model.partial_fit(frame, Y, [0, 1], sensitive_features=S)
    ((category, message),) = model.warnings_
    assert category == "ColumnWarning"
    assert "'odd'" in message
    assert model.partial_fit(frame, Y, sensitive_features=S).warnings_ == []


DIGITS = [str(k % 20) for k in range(N)]
USUAL = {
    "codes": FRAME.assign(own=np.arange(N)),
    "numbers": FRAME.assign(own=np.arange(N) / 7),
    "names that recur": FRAME.assign(own=[f"n{k % 150}" for k in range(N)]),
    "categories": FRAME.assign(own=pd.Categorical(np.arange(N) % 30)),
    "few numbers": FRAME.assign(own=["?", *"12345" * 39, *"1234"]),
    "categories that are digits": FRAME.assign(own=pd.Categorical(DIGITS)),
    "of polars": pl.DataFrame({"own": pl.Series(DIGITS, dtype=pl.Categorical)}),
    "Adult": load_adult,
    "German": load_german,
}


@pytest.mark.parametrize("kind", USUAL)
def test_features_are_not_named(kind):
    table = USUAL[kind]
    assert notes_of_columns(table().data if callable(table) else table) == []


def test_categories_none_of_which_fit_saw_are_named():
    model = fit(FRAME)
    with pytest.warns(
        ColumnWarning, match="No value of column 'job' of X was seen at fit"
    ) as told:
        model.predict(FRAME.assign(job=" clerk"))
    assert len(told) == 1
    model.predict(FRAME.assign(job=[" clerk", *JOB[1:]]))
    model.predict(FRAME.assign(job=None))


def test_codes_that_are_taken_for_a_quantity_are_named():
    with pytest.warns(ColumnWarning, match="25 distinct whole numbers, .* taken for a quantity"):
        fit(FRAME, pd.DataFrame({"zip": CODES}))
    for kind in ("categorical", "continuous"):
        model = fit(FRAME, pd.DataFrame({"zip": CODES}), sensitive_kinds={"zip": kind})
        assert model.sensitive_kinds_ == {"zip": kind}
        assert fit(FRAME, CODES, sensitive_kinds=[kind]).sensitive_kinds_ == {"sensitive_0": kind}
    # Not of what is measured, or of few codes.
    fit(FRAME, CODES + 0.5)
    fit(FRAME, CODES % 20)


@pytest.mark.slow
def test_the_audit_reads_them_by_the_same_rule():
    from sklearn.dummy import DummyClassifier

    from fairmi.audit import audit

    model = DummyClassifier().fit(FRAME, Y)
    with pytest.warns(SmallGroupWarning, match="sensitive_0 up to 10006"):  # a quantity, in bins
        report = audit(model, FRAME, Y, sensitive_features=CODES)
    assert "sensitive_0 over 10018" in str(report)
    assert leakage_score(PAY, CODES % 20, kind="categorical") >= 0
