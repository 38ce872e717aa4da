"""An exported model gives in onnxruntime what the model gives here."""

from __future__ import annotations

import re
import sys

import numpy as np
import onnxruntime
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from fairmi import (
    FairThresholdClassifier,
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
    MIDebiasedClassifierCV,
    MIDebiasedRegressorCV,
)
from fairmi.datasets import load_adult
from fairmi.export import onnx_inputs, to_onnx

pytestmark = [
    pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::fairmi.exceptions.ColumnWarning"),
]

N = 400
RANDOM = np.random.default_rng(0)
NUMBERS = RANDOM.normal(size=(N, 3))
GAPPED = np.where(RANDOM.random((N, 3)) < 0.1, np.nan, NUMBERS)
S = np.array(list("ab") * (N // 2))
Y = (NUMBERS[:, 0] + 0.5 * (S == "a") > 0).astype(int)
THREE = np.array(["low", "middle", "top"])[np.digitize(NUMBERS[:, 0], [-0.5, 0.5])]
JOBS = np.array(["clerk", "nurse", "cook", None], dtype=object)[RANDOM.integers(0, 4, N)]


def trees(**parameters):
    parameters = {"max_iter": 15, "min_samples_leaf": 5, **parameters}
    return MIBoostingClassifier(lam=1.0, random_state=0, **parameters)


def network(**parameters):
    return MIDebiasedClassifier(**{"lam": 1.0, "max_iter": 5, "random_state": 0, **parameters})


KINDS = {
    "trees": trees,
    "network": network,
    "three networks": lambda: network(n_estimators=3),
    "open channel": lambda: network(n_levels=None),
    "published": lambda: MIBackpropClassifier(max_iter=2, random_state=0),
}


def run(exported, rows):
    session = onnxruntime.InferenceSession(exported.SerializeToString())
    return session.run(None, onnx_inputs(exported, rows))


def check(model, rows, exported=None):
    """What the graph gives of rows is what the model gives; at most 2e-15 apart was measured."""
    label, probabilities, z = run(exported or to_onnx(model), rows)
    np.testing.assert_allclose(probabilities, model.predict_proba(rows), rtol=0, atol=1e-12)
    np.testing.assert_allclose(z, model.transform(rows), rtol=0, atol=1e-12)
    assert label.tolist() == model.predict(rows).tolist()


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_same_predictions_on_adult(kind):
    """2,000 rows with text and missing values, of categories and of plain text alike."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    sex = train.sensitive_features["sex"]
    n = 800 if kind == "published" else 4000
    model = KINDS[kind]().fit(train.data[:n], train.target[:n], sensitive_features=sex[:n])
    rows = test.data[:2000]
    assert rows.isna().to_numpy().sum() > 200
    exported = to_onnx(model)
    check(model, rows, exported)
    text = rows.astype(dict.fromkeys(rows.select_dtypes("category"), object))
    check(model, text, exported)
    assert len({*model.predict_proba(rows)[:, 1]}) > 5
    if kind == "trees":
        assert model.trees_["nodes"]["is_categorical"].sum() > 20


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("labels", [Y, Y > 0, THREE, Y - 1.0], ids=["int", "bool", "str", "float"])
def test_numbers_without_names_are_one_matrix(kind, labels):
    model = KINDS[kind]().fit(GAPPED, labels, sensitive_features=S)
    exported = to_onnx(model)
    assert [given.name for given in exported.graph.input] == ["X"]
    check(model, GAPPED[:, :3], exported)
    with pytest.raises(ValueError, match="X has 2 columns, and the model reads 3; give these"):
        onnx_inputs(exported, GAPPED[:, :2])


def odd_table():
    """Columns of each kind that a table may have."""
    codes = RANDOM.integers(0, 5, N)
    return pd.DataFrame(
        {
            "label": GAPPED[:, 0],
            "a name, with ümlauts: /": JOBS,
            "truth": pd.array(np.where(codes == 0, None, codes > 2), dtype="boolean"),
            "code": pd.Categorical(codes),
            "float code": pd.Categorical(np.where(codes == 1, np.nan, codes / 2)),
            "many": [f"m{k % 150}" for k in RANDOM.integers(0, 150, N)],
            "many codes": pd.Categorical(np.arange(N) % 150),
            "empty": np.full(N, np.nan),
            "constant": np.ones(N),
            "time": pd.to_timedelta(np.arange(N), unit="min"),
            "sex": S,
        }
    )


@pytest.mark.parametrize("make", [trees, network])
@pytest.mark.parametrize("drop", [True, False])
@pytest.mark.parametrize("max_bins", [255, 30])
def test_columns_of_each_kind(make, drop, max_bins):
    table = odd_table()
    parameters = {"max_bins": max_bins} if make is trees else {}
    model = make(sensitive_columns="sex", drop_sensitive=drop, **parameters).fit(table, Y)
    exported = to_onnx(model)
    check(model, table, exported)
    inputs = [given.name for given in exported.graph.input]
    assert inputs == [name for name in table.columns if name != "sex" or not drop]
    assert [o.name for o in exported.graph.output] == ["label_", "probabilities", "representation"]
    # What fit never saw: categories, numbers beyond all, and rows without any value.
    later = table.assign(
        **{"a name, with ümlauts: /": "actor", "many": "m-1", "label": 1e30, "empty": 3.0},
        code=pd.Categorical([9] * N),
    )
    later["many codes"] = pd.Categorical([999] * N)
    check(model, later, exported)
    gaps = table.astype(object)
    gaps.loc[:, [name for name in table if name != "sex"]] = None
    check(model, gaps, exported)


SPARSE = np.where(np.abs(GAPPED) < 0.5, 0, GAPPED)
LEAVES = {"min_samples_leaf": N}  # no split is possible, of any tree or of those of the base
SEARCH = MIDebiasedClassifierCV(trees(max_iter=3), lams=[0, 8], cv=2, bound=0.5)


@pytest.mark.parametrize(
    ("model", "rows", "labels"),
    [
        (trees(), csr_array(SPARSE), Y),
        (network(), csr_array(SPARSE), Y),
        (trees(), np.column_stack([NUMBERS.astype(object), JOBS]), Y),
        (trees(n_levels=9), NUMBERS, NUMBERS[:, 0] > 1.9),
        (trees(**LEAVES), np.ones((N, 2)), Y),
        (trees(**LEAVES), np.column_stack([NUMBERS[:, :1], np.ones(N)]), Y),
        (SEARCH, GAPPED, Y),
    ],
    ids=["sparse", "sparse, network", "no names", "rare class", "leaves", "one leaf", "search"],
)
def test_the_same_predictions(model, rows, labels):
    fitted = clone(model).fit(rows, labels, sensitive_features=S)
    check(fitted, rows)
    if isinstance(rows, csr_array):
        check(clone(model).fit(rows.toarray(), labels, sensitive_features=S), rows)


@pytest.mark.slow
@pytest.mark.parametrize(
    "parameters",
    [{"lam": 0.0}, {"lam": 4.0}, {"lam": 4.0, "n_predictions": None, "loss": "poisson"}],
    ids=["base", "levels", "continuous"],
)
def test_a_regressor_predicts_the_same_numbers(parameters):
    random = np.random.default_rng(5)
    x, s = random.normal(size=(400, 3)), random.integers(2, size=400)
    y = random.poisson(np.exp(x[:, 0] / 2 + s)).astype(float)
    model = MIBoostingRegressor(max_iter=5, random_state=0, **parameters)
    model.fit(x, y, sensitive_features=s)
    prediction, z = run(to_onnx(model), x)
    np.testing.assert_allclose(prediction, model.predict(x), rtol=1e-12)
    np.testing.assert_allclose(z, model.transform(x), rtol=0, atol=1e-12)
    search = MIDebiasedRegressorCV(model, lams=[0, 8], cv=2, bound=1.0)
    prediction, _ = run(to_onnx(search.fit(x, y, sensitive_features=s)), x)
    np.testing.assert_allclose(prediction, search.predict(x), rtol=1e-12)


MISSING = pd.DataFrame({"job": np.where(pd.isna(JOBS), "", JOBS), "pay": NUMBERS[:, 0]})
MISSING.loc[:20, "job"] = None
DAYS = pd.DataFrame({"day": pd.date_range("2024-01-01", periods=N), "x": NUMBERS[:, 0]})
MIXED = pd.DataFrame({"a": pd.Series(["x", 1] * (N // 2), dtype=object)})
BIG = pd.DataFrame({"id": pd.Categorical(np.array([2**60, 2**60 + 1])[np.arange(N) % 2])})
DATES = np.where(Y == 1, np.datetime64("2024-01-01"), np.datetime64("2024-01-02"))
OWN = network(encoder=lambda: nn.LazyLinear(4))


@pytest.mark.parametrize(
    ("model", "rows", "labels", "message"),
    [
        (trees(), MISSING, Y, r"missing='' is a category of column 'job'; give a "),
        (network(), MISSING, Y, r"missing='' is a category of column 'job'; give a "),
        (trees(), DAYS, Y, r"can't export dates, .* of column 'day'"),
        (network(), DAYS, Y, r"can't export dates, .* of column 'day'"),
        (trees(), MIXED, Y, r"'a' has categories that are not all text .*astype"),
        (network(), MIXED, Y, r"'a' has categories that are not all text .*astype"),
        (trees(), BIG, Y, r"'id' has the category 115292150460684697\d, .*64 .*astype\(str\)"),
        (trees(), NUMBERS, DATES, r"The class .* is neither text nor a number"),
        (trees(base=LogisticRegression()), NUMBERS, Y, r"the base Log.* under .*; fit with base="),
        (OWN, NUMBERS, Y, "can't export an encoder of yours; export the module"),
    ],
)
def test_what_can_not_be_exported_is_refused(model, rows, labels, message):
    fitted = clone(model).fit(rows, labels, sensitive_features=S)
    with pytest.raises(ValueError, match=message):
        to_onnx(fitted)
    if rows is MISSING:
        check(fitted, rows, to_onnx(fitted, missing="<NA>"))


def test_what_is_no_fitted_model_of_ours_is_refused(monkeypatch):
    with pytest.raises(NotFittedError):
        to_onnx(trees())
    scaled = make_pipeline(StandardScaler(), trees(max_iter=3))
    search = clone(SEARCH).set_params(estimator=scaled)
    for pipeline in (scaled, search.fit(NUMBERS, Y, sensitive_features=S)):
        with pytest.raises(TypeError, match=r"not a Pipeline; of a pipeline give the last step"):
            to_onnx(pipeline)
    model = trees().fit(NUMBERS, Y, sensitive_features=S)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "fairmi\[onnx\]"'):
        to_onnx(model)


def test_inputs_that_can_not_be_made_are_refused():
    table = pd.DataFrame({"job": JOBS, "pay": NUMBERS[:, 0]})
    exported = to_onnx(trees().fit(table, Y, sensitive_features=S))
    with pytest.raises(ValueError, match="X has no column 'pay', which the model reads; add it"):
        onnx_inputs(exported, table[["job"]])
    with pytest.raises(ValueError, match=re.escape("Column 'pay' of X holds 'N/A', and was num")):
        onnx_inputs(exported, table.assign(pay="N/A"))


@pytest.mark.parametrize("drop", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_inputs_are_made_of_what_predict_takes(named, drop):
    """Rows as lists, frames whose names are numbers, with the dropped columns and without."""
    X = pd.DataFrame({"pay": NUMBERS[:, 0], "group": S, "job": JOBS})
    given = X if named else X.to_numpy(dtype=object)
    model = trees(sensitive_columns=["group"] if named else [1], drop_sensitive=drop)
    model.fit(given, Y)
    exported = to_onnx(model)
    names = X.columns if named else ["x0", "x1", "x2"]
    assert [i.name for i in exported.graph.input] == [
        n for n in names if n != names[1] or not drop
    ]
    forms = (
        [X] if named else [given, X.to_numpy(dtype=object).tolist(), X.set_axis([3, 4, 5], axis=1)]
    )
    if drop:
        forms.append(X[["pay", "job"]] if named else given[:, [0, 2]])
    for form in forms:
        session = onnxruntime.InferenceSession(exported.SerializeToString())
        (label,) = session.run(["label"], onnx_inputs(exported, form))
        np.testing.assert_array_equal(label, model.predict(given))
    with pytest.raises(ValueError, match=r"X has (no column|1 columns)"):
        onnx_inputs(exported, X[["pay"]] if named else given[:, :1])


@pytest.mark.parametrize(
    ("constraint", "columns", "parameters"),
    [
        ("demographic_parity", "sex", {}),
        ("equalized_odds", "sex", {}),
        ("demographic_parity", ["sex", "job"], {"missing_sensitive": "mask"}),
        ("demographic_parity", "sex", {"drop_sensitive": True}),
        ("equalized_odds", "sex", {"drop_sensitive": True}),
    ],
    ids=["read", "read, odds", "intersections, some unknown", "estimated", "estimated, odds"],
)
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.SmallGroupWarning")
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.InfeasibleBoundWarning")
def test_decisions_under_a_bound(constraint, columns, parameters):
    """Scores at most 1e-15 apart were measured; multipliers that are not 0 show in the labels."""
    random = np.random.default_rng(0)
    job = np.array(["clerk", "nurse", "cook", None], dtype=object)[random.integers(0, 4, N)]
    table = pd.DataFrame({"number": GAPPED[:, 0], "job": job, "sex": S, "code": np.arange(N) % 7})
    scores = random.normal(size=N) + 1.5 * (S == "a") + (job == "cook")
    labels = np.digitize(scores, [0.5] if constraint == "equalized_odds" else [0.0, 1.5])
    table["tells"] = np.where(random.random(N) < 0.8, S, "c")  # of the group, where it is dropped
    model = FairThresholdClassifier(
        bound=0.02, constraint=constraint, sensitive_columns=columns, random_state=0, **parameters
    ).fit(table, labels)
    assert np.abs(model.multipliers_.iloc[:, -1]).max() > 0.01
    label, scores = run(to_onnx(model), table)
    assert label.tolist() == model.predict(table).tolist()
    expected = model.decision_function(table)
    scores = scores[:, 1] - scores[:, 0] if expected.ndim == 1 else scores
    np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)


@pytest.mark.filterwarnings("ignore::fairmi.exceptions.SmallGroupWarning")
@pytest.mark.filterwarnings("ignore::fairmi.exceptions.InfeasibleBoundWarning")
def test_decisions_by_number_and_what_can_not_be_exported():
    rows = np.column_stack([GAPPED, S == "a"])
    model = FairThresholdClassifier(sensitive_columns=3, random_state=0).fit(rows, Y)
    label, _ = run(to_onnx(model), rows)
    assert label.tolist() == model.predict(rows).tolist()
    for parameters, reason in (
        ({"estimator": LogisticRegression()}, "estimator=LogisticRegression"),
        ({"randomized": True, "constraint": "equalized_odds", "bound": 0.0}, "randomized=True"),
    ):
        model = FairThresholdClassifier(sensitive_columns=2, random_state=0, **parameters)
        with pytest.raises(ValueError, match=f"to_onnx can't export {reason}"):
            to_onnx(model.fit(np.column_stack([NUMBERS[:, :2], S == "a"]), Y))
