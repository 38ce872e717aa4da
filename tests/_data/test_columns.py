"""One reading of sensitive_columns: the classifier and the scorer find the same columns of X."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import csr_array
from sklearn.dummy import DummyClassifier

from fairmi import MIDebiasedClassifier
from fairmi._data.tables import column_positions, sensitive_columns_of
from fairmi._data.values import to_pandas
from fairmi.metrics import make_fairness_scorer

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 60
RANDOM = np.random.default_rng(0)
X = np.column_stack([RANDOM.integers(2, size=(N, 2)), np.arange(N) % 3]).astype(float)
Y = RANDOM.integers(2, size=N)
GUESS = DummyClassifier(strategy="stratified", random_state=0).fit(X, Y)
NAMES = ["age", "job", "sex"]
TABLES = {
    "array": X,
    "sparse": csr_array(X),
    "frame": pd.DataFrame(X, columns=NAMES),
    "polars": pl.DataFrame(X, schema=NAMES),
    "numbered": pd.DataFrame(X, columns=[5, 6, 7]),
    "reversed": pd.DataFrame(X, columns=[2, 1, 0]),
}
SHOWN = {
    "array": "0, 1, 2",
    "sparse": "0, 1, 2",
    "frame": "'age', 'job', 'sex'",
    "polars": "'age', 'job', 'sex'",
    "numbered": "5, 6, 7",
    "reversed": "2, 1, 0",
}
NAMED = ("frame", "polars")
EVERY_KIND = tuple(TABLES)
UNNAMED = ("array", "sparse", "numbered")

# What is asked for, of which tables, and the positions that it has there.
FOUND = [
    (2, (*NAMED, *UNNAMED), [2]),
    (np.int8(2), (*NAMED, *UNNAMED), [2]),
    (np.array([2, 0]), (*NAMED, *UNNAMED), [2, 0]),
    (-1, EVERY_KIND, [2]),
    ((0, -1), (*NAMED, *UNNAMED), [0, 2]),
    ("sex", NAMED, [2]),
    (["sex", "age"], NAMED, [2, 0]),
    (["sex", 0], NAMED, [2, 0]),
    (np.array(["sex"]), NAMED, [2]),
    (pd.Index(["sex"]), NAMED, [2]),
    ([7], ("numbered",), [2]),
    ([7, 0], ("numbered",), [2, 0]),
    # A name comes before a position.
    (0, ("reversed",), [2]),
    ([2], ("reversed",), [0]),
]
REFUSED = [
    ([True], EVERY_KIND, "True"),
    ([np.True_], EVERY_KIND, "True"),
    (-4, EVERY_KIND, "-4"),
    ([0, 3], EVERY_KIND, "3"),
    ([7], ("array", "sparse", "frame", "polars", "reversed"), "7"),
    ("sex", UNNAMED, "'sex'"),
    (["age", "Sex"], NAMED, "'Sex'"),
    ([""], EVERY_KIND, "''"),
    ([2.0], EVERY_KIND, "2.0"),
    ([7.0], ("numbered",), "7.0"),
    ([([1],)], EVERY_KIND, "([1],)"),
    ([None], EVERY_KIND, "None"),
    ([np.nan], EVERY_KIND, "nan"),
    ([pd.NaT], EVERY_KIND, "NaT"),
    ([-1, [0]], EVERY_KIND, "[0]"),
    (np.array([[0, 1]]), EVERY_KIND, "array([0, 1])"),
    ([b"sex"], EVERY_KIND, "b'sex'"),
]


def cases(table):
    return [
        pytest.param(columns, kind, answer, id=f"{columns!r}-{kind}")
        for columns, kinds, answer in table
        for kind in kinds
    ]


def classify(columns, kind, **parameters):
    model = MIDebiasedClassifier(
        sensitive_columns=columns,
        hidden_layer_sizes=(4,),
        max_iter=1,
        random_state=0,
        **parameters,
    )
    return model.fit(TABLES[kind], Y)


def score(columns, kind):
    scorer = make_fairness_scorer("demographic_parity_difference", sensitive_columns=columns)
    return scorer(GUESS, TABLES[kind], Y)


def resolve(columns, kind):
    return column_positions(to_pandas(TABLES[kind]), columns)


@pytest.mark.parametrize(("columns", "kind", "positions"), cases(FOUND))
def test_the_scorer_reads_these_columns_and_the_encoder_the_others(columns, kind, positions):
    assert resolve(columns, kind) == positions
    taken = sensitive_columns_of(TABLES[kind], columns)
    np.testing.assert_array_equal(taken.to_numpy(), X[:, positions])
    plain = make_fairness_scorer("demographic_parity_difference")
    expected = plain(GUESS, X, Y, sensitive_features=X[:, positions])
    assert score(columns, kind) == expected
    others = [j for j in range(3) if j not in positions]
    model = classify(columns, kind, drop_sensitive=True)
    assert model._kept == others
    rows = sorted({tuple(row) for row in X[:, positions].tolist()})
    assert model.sensitive_values_ == ([a for (a,) in rows] if len(positions) == 1 else rows)
    assert model.encoder_.n_columns == len(others)


@pytest.mark.parametrize("read", [classify, score, resolve])
@pytest.mark.parametrize(("columns", "kind", "shown"), cases(REFUSED))
def test_what_is_no_column_is_refused_in_the_same_words(columns, kind, shown, read):
    with pytest.raises(ValueError, match="sensitive_columns") as caught:
        read(columns, kind)
    text = str(caught.value).replace("np.True_", "True")
    assert text == (
        f"sensitive_columns names {shown}, which X does not have; its columns are {SHOWN[kind]}. "
        "Give names, or positions from 0."
    )


@pytest.mark.parametrize(
    ("column", "position"), [(True, 0), (np.False_, 1), (1, 1), (0, 0), (2.0, 2), (2, 2)]
)
def test_truths_and_floats_may_be_names(column, position):
    frame = pd.DataFrame(X, columns=pd.Index([True, False, 2.0], dtype=object))
    assert column_positions(frame, [column]) == [position]
    assert sensitive_columns_of(frame, column).shape == (N, 1)


@pytest.mark.parametrize("read", [classify, score, resolve])
@pytest.mark.parametrize("columns", [[], (), np.array([])], ids=repr)
def test_no_column_is_refused(columns, read):
    for kind in EVERY_KIND:
        with pytest.raises(ValueError, match="sensitive_columns is empty; name at least one"):
            read(columns, kind)


def test_an_error_names_its_argument_and_some_names_of_many():
    wide = pd.DataFrame(np.zeros((2, 30)), columns=[f"c{j}" for j in range(30)])
    with pytest.raises(
        ValueError, match=r"^columns names 'sex'.*'c18', 'c19', \.\.\.\. Give names"
    ):
        column_positions(wide, "sex", argument="columns")
