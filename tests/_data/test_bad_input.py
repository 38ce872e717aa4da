"""Every bad input is answered before training starts, by an error that names the argument."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import polars as pl
import pytest
from scipy.sparse import coo_array, csr_array
from sklearn.base import clone
from torch import nn

from fairmi import MIBackpropClassifier, MIDebiasedClassifier
from fairmi._data.groups import group_rows
from fairmi.dependence import DonskerVaradhan
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.networks.trainer import Trainer

TRAIN = Trainer.train

N = 40
X = np.random.default_rng(0).normal(size=(N, 3))
Y = np.arange(N) % 2
S = np.array(list("aabb") * (N // 4))
FRAME = pd.DataFrame({"age": X[:, 0], "job": list("pq") * (N // 2), "pay": X[:, 2]})
SHIFTED = np.arange(N) + 1


def put(values, position, value, dtype=None):
    """A copy of `values` with one of them replaced."""
    values = np.array(values, dtype=dtype)
    values[position] = value
    return values


@pytest.fixture(autouse=True)
def no_training(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("training started")

    monkeypatch.setattr(Trainer, "train", refuse)
    monkeypatch.setattr("fairmi.networks.trainer.run_epochs", refuse)


@pytest.mark.parametrize("kind", [MIDebiasedClassifier, MIBackpropClassifier])
def test_good_input_reaches_training(kind):
    with pytest.raises(AssertionError, match="training started"):
        kind().fit(X, Y, sensitive_features=S, sample_weight=np.ones(N))


PARAMETERS = {
    "lam": [True, -1, -1e-9, np.nan, np.inf, "1", None, {}, {"a": "1"}, {"a": -1}, {"a": np.inf}],
    "penalty": ["mutual", None, 1, DonskerVaradhan, nn.Linear(2, 2)],
    "constraint": ["dp", None, 1],
    "sensitive_columns": [1.5, len],
    "drop_sensitive": ["yes", None],
    "missing_sensitive": ["drop", None],
    "sensitive_kinds": ["continuous", 3, ["categorical"] * 2, ["odd"], ["continuous"], {"b": "x"}],
    "group_weight": ["even", 2],
    "weighted": ["loss", None],
    "class_weight": ["even", 2, {7: 1}, {0: -1}, {0: "x"}, {1: np.inf}],
    "prior_correction": ["yes", None],
    "teacher": ["boosting", 3, len, True],
    "encoder": [3, "cnn", (64,)],
    "hidden_layer_sizes": [
        (0,),
        (-1,),
        (1.5,),
        "a",
        0,
        1.5,
        True,
        None,
        ("a",),
        [[3]],
        (True,),
        (np.nan,),
    ],
    "n_components": [0, -1, 1.5, "3", "Auto", None],
    "n_levels": [1, 0, 2.5, "3", "Auto"],
    "n_estimators": [0, -1, 2.5, "3", None],
    "n_critic_steps": [0, 1.5, "3", "auto", None],
    "max_iter": [0, -1, 1.5, "3", "Auto", None],
    "batch_size": [0, -1, 1.5, "3", "Auto", None],
    "learning_rate": [0, -1, np.nan, np.inf, "x", "Auto", None],
    "weight_decay": [-1, np.nan, np.inf, "x", "Auto", None],
    "dropout": [-0.1, 1, 1.0, np.nan, "x", "Auto", None],
    "warm_start": ["yes", None],
    "callbacks": [3, "x"],
    "device": ["abacus", "gpu", "cuda:99", None, 0],
    "verbose": ["x", -1],
    "random_state": ["x", -1, 1.5, len],
}


# Of the authors' procedure: no λ for each column, and a rate that no data choose.
OWN = {"lam": [{"a": 1}], "learning_rate": ["auto"], "keep_best": [3, "best"]}
BACKPROP_PARAMETERS = {
    name: PARAMETERS.get(name, []) + OWN.get(name, [])
    for name in MIBackpropClassifier().get_params()
}
CASES = [
    (kind, name, value)
    for kind, table in (
        (MIDebiasedClassifier, PARAMETERS),
        (MIBackpropClassifier, BACKPROP_PARAMETERS),
    )
    for name, values in table.items()
    for value in values
]


@pytest.mark.parametrize(
    ("kind", "name", "value"), CASES, ids=lambda value: getattr(value, "__name__", str(value))
)
def test_parameter_out_of_range(kind, name, value):
    model = kind(**{name: value})
    with pytest.raises(ValueError, match=name):
        model.fit(X, Y, sensitive_features=S)


def test_every_parameter_is_in_the_table():
    assert set(PARAMETERS) == set(MIDebiasedClassifier().get_params())


LABELS = {
    "none": (None, "y is None"),
    "empty": ([], "y has 0 rows, but X has 40"),
    "short": (Y[:-1], "y has 39 rows, but X has 40"),
    "long": (np.append(Y, 1), "y has 41 rows"),
    "one class": (np.zeros(N), "y has 1 class"),
    "NaN": (put(Y, 3, np.nan, float), "y contains NaN"),
    "infinite": (put(Y, 3, np.inf, float), "y contains infinity"),
    "None in it": (put(Y, 3, None, object), "y contains NaN in 1 rows"),
    "NA": (pd.Series(Y, dtype="Int64").where(np.arange(N) > 1), "y contains NaN in 2 rows"),
    "NA in an array": (pd.array([True, None] * (N // 2)), "y contains NaN in 20 rows"),
    "null of Arrow": (
        pd.Series(["a", None] * (N // 2), dtype="string[pyarrow]"),
        "y contains NaN in 20 rows",
    ),
    "null of polars": (pl.Series([None, *Y[1:].tolist()]), "y contains NaN in 1 rows"),
    "missing category": (pd.Categorical(["a", None] * (N // 2)), "y contains NaN in 20 rows"),
    "continuous": (X[:, 0], "y: Unknown label type: continuous"),
    "text and numbers": (put(Y, 3, "a", object), "y: Unknown label type"),
    "two columns": (np.column_stack([Y, Y]), "y should be a 1d array"),
    "scalar": (3, "y should be a 1d array"),
    "dict": ({0: 1}, "y should be a 1d array"),
    "three dimensions": (np.zeros((N, 1, 1)), "y: Found array with dim 3"),
    "ragged": ([[1], [2, 3]] * (N // 2), "y: "),
    "bytes that are no text": (["", b"\x80"] * (N // 2), "y: 'ascii' codec"),
    "truths among text": (pd.Series(put(Y.astype(bool), 3, "", object)), "y: "),
    "complex": (Y + 1j, "y: Complex data"),
    "sparse": (csr_array(Y[:, None]), "passed for y"),
}


@pytest.mark.parametrize("case", LABELS)
def test_labels(case):
    y, message = LABELS[case]
    with pytest.raises((ValueError, TypeError), match=rf"(?s)\b{message}"):
        MIDebiasedClassifier().fit(X, y, sensitive_features=S)


SENSITIVE = {
    "none": (None, r"No sensitive features: give fit\(X, y, sensitive_features="),
    "short": (S[:-1], "has 39 rows, but X has 40"),
    "empty": ([], "has 0 rows"),
    "no column": (np.zeros((N, 0)), "has no column"),
    "one value": (np.full(N, "a"), "has the single value 'a'"),
    "one value in each column": (np.full((N, 2), [1, 2]), r"has the single value \(1, 2\)"),
    "one group of two rows": (put(np.full(N, "a"), 0, "z"), "has 1 groups of two rows or more"),
    "None in one of two": (
        pd.DataFrame({"sex": S, "race": put(S, [3, 5], None, object)}),
        r"missing value \(NaN or None\) in 2 rows of 'race'; drop",
    ),
    "None in it": (put(S, 3, None, object), r"missing value \(NaN or None\) in 1 rows"),
    "NaN in it": (put(X[:, 0], 3, np.nan), "missing value"),
    "NA in it": (pd.array([True, None] * (N // 2)), "missing value .* in 20 rows"),
    "null of polars": (pl.Series(["a", None] * (N // 2)), "missing value .* in 20 rows"),
    "missing in one column": (pd.DataFrame({"a": S, "b": [None, *S[1:]]}), "in 1 rows"),
    "all missing": (np.full(N, np.nan), "missing value .* in 40 rows"),
    "infinite": (put(X[:, 0], 3, -np.inf), "infinite value in 1 rows"),
    "three dimensions": (np.zeros((N, 1, 1)), "got 3 dimensions"),
    "scalar": (3, "got 0 dimensions"),
    "text": ("sex", "name columns of X in the constructor: sensitive_columns='sex'"),
    "names": (("job", "sex"), "name columns of X in the constructor"),
    "dict of a number": ({"a": 1}, "got 0 dimensions"),
    "dict of columns of two lengths": ({"a": S, "b": S[1:]}, "a dict whose columns have the shap"),
    "dict of no column": ({}, "has 0 rows"),
    "lazy frame": (pl.LazyFrame({"a": S}), r"give sensitive_features\.collect\(\)"),
    "set": (set(S), "got 0 dimensions"),
    "function": (len, "got 0 dimensions"),
    "complex": (X[:, 0] + 1j, "dtype complex128"),
    "ragged": ([[1], [2, 3]] * (N // 2), "can't be made an array"),
    "lists": (pd.Series([[1], [2]] * (N // 2)), "list"),
}


@pytest.mark.parametrize("case", SENSITIVE)
def test_sensitive_features(case):
    values, message = SENSITIVE[case]
    with pytest.raises(SensitiveFeaturesError, match=message) as caught:
        MIDebiasedClassifier().fit(X, Y, sensitive_features=values)
    assert "sensitive_features" in str(caught.value)


@pytest.mark.parametrize("missing", ["mask", "category"])
def test_sensitive_features_that_are_all_missing(missing):
    model = MIDebiasedClassifier(missing_sensitive=missing)
    with pytest.raises(SensitiveFeaturesError, match="sensitive_features has"):
        model.fit(X, Y, sensitive_features=[None] * N)


def test_missing_quantity_is_no_category():
    model = MIDebiasedClassifier(missing_sensitive="category")
    with pytest.raises(SensitiveFeaturesError, match=r"missing value .* in 1 rows"):
        model.fit(X, Y, sensitive_features=put(X[:, 0], 3, np.nan))


@pytest.mark.parametrize("values", [[[1], [2]], pd.Series([{}, {}])], ids=["array", "series"])
def test_groups_of_what_can_not_be_compared(values):
    series = pd.Series([[1], [2]]) if isinstance(values, list) else values
    with pytest.raises(SensitiveFeaturesError, match="sensitive_features"):
        group_rows(series)


ONLY_A = (S == "a").astype(float)
WEIGHTS = {
    "negative": (-np.ones(N), "Negative values .* `sample_weight`"),
    "short": (np.ones(N - 1), "sample_weight.shape"),
    "NaN": (put(np.ones(N), 0, np.nan), "sample_weight contains NaN"),
    "infinite": (put(np.ones(N), 0, np.inf), "sample_weight contains infinity"),
    "two columns": (np.ones((N, 2)), "sample_weight: Sample weights must be 1D"),
    "infinite number": (np.inf, "sample_weight contains infinity"),
    "NaN number": (np.nan, "sample_weight contains NaN"),
    "zero": (0.0, "sample_weight: .* at least one non-zero"),
    "all zero": (np.zeros(N), "sample_weight: .* at least one non-zero"),
    "text": (np.full(N, "a"), "sample_weight: could not convert"),
    "name": ("balanced", "sample_weight: could not convert"),
    "None in it": (np.array([1, None] * (N // 2), dtype=object), "sample_weight contains NaN"),
    "complex": (np.ones(N) + 1j, "sample_weight: Complex data"),
    "one class left": (Y.astype(float), "y has 1 class"),
    "one group left": (ONLY_A, "sensitive_features has the single value"),
    "group of one left": (
        put(1 - ONLY_A, 0, 1),
        "sensitive_features has 1 groups of two rows or more, and 1 of one row each",
    ),
}


@pytest.mark.parametrize("case", WEIGHTS)
def test_weights(case):
    weights, message = WEIGHTS[case]
    with pytest.raises(ValueError, match=rf"(?s){message}"):
        MIDebiasedClassifier().fit(X, Y, sensitive_features=S, sample_weight=weights)


TABLES = {
    "none": (None, "X: Expected 2D array"),
    "scalar": (3, "X: Expected 2D array"),
    "text": ("abc", "X is an array that holds text"),
    "dict": ({"a": X[:, 0]}, r"X is a dict; give a table, as in pandas\.DataFrame\(X\)"),
    "one dimension": (X[:, 0], "X: Expected 2D array"),
    "series": (
        FRAME["age"],
        r"X is a pandas\.Series, a single column; .* X\.to_frame\(\)",
    ),
    "rows as dicts": ([{"a": 1.0}] * N, r"X is a list of dicts; .* pandas\.DataFrame\(X\)"),
    "three dimensions": (X[..., None], "X: Found array with dim 3"),
    "ragged": ([[1], [1, 2]] * (N // 2), "X is ragged: its rows differ in length"),
    "no rows": (X[:0], "X: Found array with 0 sample"),
    "frame without rows": (FRAME[:0], "X is empty"),
    "no columns": (X[:, :0], "X: Found array with 0 feature"),
    "frame without columns": (FRAME[[]], "X has no column"),
    "complex": (X + 1j, "X: Complex data"),
    "infinite": (put(X, (0, 0), np.inf), "X contains infinity"),
    "too large for float32": (X * 1e300, "'0' of X holds a value above 3e38"),
    "too large for float32, sparse": (csr_array(X * 1e300), "X holds a value above 3e38"),
    "infinite in a frame": (FRAME.assign(age=np.inf), "'age' of X holds an infinite"),
    "infinite in polars": (pl.DataFrame({"age": [np.inf] * N}), "'age' of X holds an infinite"),
    "infinite in sparse": (csr_array(put(X, (0, 0), np.inf)), "X contains infinity"),
    "infinite in COO": (coo_array(put(X, (0, 0), np.inf)), "X contains infinity"),
    "lists of polars": (pl.DataFrame({"l": [[1]] * N}), "'l' of X has dtype list"),
    "structs of polars": (pl.DataFrame({"l": [{"a": 1}] * N}), "'l' of X has dtype dict"),
    "lists": (FRAME.assign(tags=[[1]] * N), "'tags' of X has dtype list"),
    "dicts": (FRAME.assign(tags=[{}] * N), "'tags' of X has dtype dict"),
    "complex column": (FRAME.assign(c=1j), "'c' of X has dtype complex128"),
    "two of one name": (pd.DataFrame(X, columns=list("aab")), "X has two columns named 'a'"),
    "names of two kinds": (
        pd.DataFrame(X, columns=["a", 1, 2]),
        "Feature names are only supported .* X.columns",
    ),
    "lazy": (pl.LazyFrame({"a": Y}), r"X is a polars\.LazyFrame, .*give X\.collect\(\)"),
    "several": (
        FRAME.assign(tags=[[1]] * N, z=1j, big=np.inf),
        r"3 columns: 'tags' of X has dtype list; 'z' of X has dtype complex128; 'big' of X .*\. C",
    ),
    "matrix": (np.asmatrix(X), "X: np.matrix is not supported"),
}


@pytest.mark.parametrize("case", TABLES)
def test_tables(case):
    table, message = TABLES[case]
    n_rows = table.shape[0] if getattr(table, "ndim", 1) == 2 else N
    with pytest.raises((ValueError, TypeError), match=rf"(?s){message}"):
        MIDebiasedClassifier().fit(table, Y[:n_rows], sensitive_features=S[:n_rows])


FIT = {
    "equal opportunity of three classes": (
        {"constraint": "equal_opportunity"},
        {"y": np.arange(N) % 3, "sensitive_features": S},
        'constraint="equal_opportunity" needs two classes, but y has 3',
    ),
    "columns and features": (
        {"sensitive_columns": "job"},
        {"sensitive_features": S},
        "sensitive_features is given, and sensitive_columns='job' too",
    ),
    "all dropped": (
        {"sensitive_columns": ["age", "job", "pay"], "drop_sensitive": True},
        {},
        "drop_sensitive=True leaves no column of X",
    ),
    "nothing to drop": (
        {"drop_sensitive": True},
        {"sensitive_features": S},
        "drop_sensitive=True has no columns to drop",
    ),
    "column of one value": (
        {"sensitive_columns": "job"},
        {"X": FRAME.assign(job="p")},
        "sensitive_columns='job' has the single value 'p'",
    ),
    "column with a group of one": (
        {"sensitive_columns": "job"},
        {"X": FRAME.assign(job=["z"] + ["y"] * (N - 1))},
        "sensitive_columns='job' has 1 groups of two rows or more",
    ),
    "column with a missing value": (
        {"sensitive_columns": "job"},
        {"X": FRAME.assign(job=[None, *FRAME["job"][1:]])},
        "sensitive_columns='job' has a missing value",
    ),
    "indexes of X and y": (
        {"sensitive_columns": "job"},
        {"y": pd.Series(Y, index=np.arange(N)[::-1])},
        "indexes of X and y differ",
    ),
    "indexes of X and sensitive_features": (
        {},
        {"sensitive_features": pd.Series(S, index=SHIFTED)},
        "indexes of X and sensitive_features differ",
    ),
    "indexes of y and sensitive_features": (
        {},
        {"X": X, "y": pd.Series(Y), "sensitive_features": pd.DataFrame(S, index=SHIFTED)},
        "indexes of y and sensitive_features differ",
    ),
    "indexes of X and sample_weight": (
        {"sensitive_columns": "job"},
        {"sample_weight": pd.Series(np.ones(N), index=SHIFTED)},
        "indexes of X and sample_weight differ",
    ),
}


@pytest.mark.parametrize("case", FIT)
def test_combinations(case):
    parameters, changes, message = FIT[case]
    arguments = {"X": FRAME, "y": Y, **changes}
    with pytest.raises(ValueError, match=message):
        MIDebiasedClassifier(**parameters).fit(**arguments)


@pytest.mark.parametrize("kind", [MIDebiasedClassifier, MIBackpropClassifier])
def test_sensitive_features_by_position_are_refused(kind):
    with pytest.raises(TypeError, match="positional"):
        kind().fit(X, Y, S)


@pytest.fixture(scope="module")
def fitted():
    tables = {"array": X, "frame": FRAME, "sparse": csr_array(X)}
    model = MIDebiasedClassifier(max_iter=1, random_state=0)
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings(action="ignore"):
        patch.setattr(Trainer, "train", TRAIN)
        return {k: clone(model).fit(v, Y, sensitive_features=S) for k, v in tables.items()}


@pytest.mark.parametrize("method", ["predict", "predict_proba", "transform"])
@pytest.mark.parametrize(
    ("kind", "table", "message"),
    [
        ("array", X[:, :2], "X has 2 features, but .* expecting 3"),
        ("array", np.hstack([X, X]), "X has 6 features"),
        ("array", X[0], "X: Expected 2D array"),
        ("array", X[:0], "X: Found array with 0 sample"),
        ("array", np.full((2, 3), np.inf), "X contains infinity"),
        (
            "array",
            np.full((2, 3), "a"),
            "3 columns: '0' of X was numeric at fit and is text .* 'a'",
        ),
        ("array", None, "X: Expected 2D array"),
        ("sparse", csr_array(X[:, :2]), "X has 2 features"),
        ("sparse", csr_array([[np.inf, 0, 0]]), "X contains infinity"),
        ("frame", FRAME[["age", "job"]], r"(?s)feature names should match.*missing:\n- pay"),
        ("frame", FRAME.assign(more=1), "(?s)feature names should match.*unseen.*more"),
        ("frame", FRAME[["pay", "job", "age"]], "feature names should match"),
        ("frame", FRAME.assign(age="old"), "'age' of X was numeric at fit and is text"),
        ("frame", FRAME.assign(job=1.0), "'job' of X was text .* and is numeric now"),
        ("frame", FRAME.assign(pay=np.inf), "'pay' of X holds an infinite value"),
        ("frame", FRAME[:0], "X is empty"),
    ],
)
def test_other_table_than_at_fit(fitted, method, kind, table, message):
    with pytest.raises(ValueError, match=message):
        getattr(fitted[kind], method)(table)
