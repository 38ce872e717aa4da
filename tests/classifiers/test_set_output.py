"""`set_output` and `set_config(transform_output=...)` change `transform`, and that alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
import sklearn
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import (
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
    MIDebiasedClassifierCV,
)
from fairmi.metrics import certify, leakage_report, mutual_information_report
from fairmi.preprocessing import TableEncoder

pytestmark = [
    pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning"),
    pytest.mark.filterwarnings("ignore::fairmi.exceptions.SmallGroupWarning"),
]

N = 240
RANDOM = np.random.default_rng(0)
TABLE = pd.DataFrame(
    {"pay": RANDOM.normal(size=N), "job": RANDOM.choice(["clerk", "nurse", None], N)}
)
Y = (TABLE["pay"] + RANDOM.normal(size=N) > 0).to_numpy().astype(int)
S = np.where(TABLE["pay"] + RANDOM.normal(size=N) > 0, "f", "m")
TREES = MIBoostingClassifier(max_iter=5, random_state=0)
MODELS = {
    "trees": TREES,
    "trees on a base": MIBoostingClassifier(
        max_iter=3, random_state=0, base=make_pipeline(TableEncoder(), LogisticRegression())
    ),
    "networks": MIDebiasedClassifier(max_iter=2, random_state=0),
    "CV": MIDebiasedClassifierCV(TREES, lams=[0, 1], cv=2, bound=1.0),
}
FRAMES = {"pandas": pd.DataFrame, "polars": pl.DataFrame}


def answers(model):
    methods = ("predict", "predict_proba", "predict_log_proba", "decision_function")
    return [getattr(model, name)(TABLE) for name in methods if hasattr(model, name)] + [
        model.score(TABLE, Y)
    ]


def check_same(first, second):
    for one, other in zip(answers(first), answers(second), strict=True):
        assert type(one) is type(other)
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("library", FRAMES)
@pytest.mark.parametrize("name", MODELS)
def test_predictions_are_those_of_the_default(name, library):
    expected = clone(MODELS[name]).fit(TABLE, Y, sensitive_features=S)
    asked = clone(MODELS[name]).set_output(transform=library).fit(TABLE, Y, sensitive_features=S)
    check_same(asked, expected)
    assert isinstance(asked.transform(TABLE), FRAMES[library])
    with sklearn.config_context(transform_output=library):
        check_same(clone(MODELS[name]).fit(TABLE, Y, sensitive_features=S), expected)
        check_same(expected, asked)
        z = expected.transform(TABLE)
        assert isinstance(z, FRAMES[library])
    np.testing.assert_array_equal(z, expected.transform(TABLE))


def test_a_frozen_base_goes_on_under_the_setting_that_it_was_fitted_under():
    X = TABLE[["pay"]]
    with sklearn.config_context(transform_output="pandas"):  # so that names reach the last step
        base = make_pipeline(StandardScaler(), LogisticRegression()).fit(X, Y)
        model = clone(TREES).set_params(base=FrozenEstimator(base), lam=0)
        fitted = model.fit(X, Y, sensitive_features=S)
        np.testing.assert_allclose(fitted.predict_proba(X), base.predict_proba(X))


def test_a_regressor_s_base_predicts_as_it_was_fitted():
    X, y = TABLE[["pay"]], TABLE["pay"] + RANDOM.normal(size=N)
    model = MIBoostingRegressor(
        max_iter=3, random_state=0, base=make_pipeline(StandardScaler(), LinearRegression())
    ).fit(X, y, sensitive_features=S)
    with sklearn.config_context(transform_output="pandas"):
        within = model.predict(X)
    np.testing.assert_array_equal(within, model.predict(X))


@pytest.mark.slow_cases("polars")
@pytest.mark.parametrize("library", FRAMES)
def test_reports_read_what_is_returned_and_their_probes_stay_as_they_are(library):
    model = clone(TREES).fit(TABLE, Y, sensitive_features=S)
    Z, X = model.transform(TABLE), TABLE[["job"]].fillna("none")
    with sklearn.config_context(transform_output=library):
        mine = model.transform(TABLE)
        for report in (leakage_report, mutual_information_report):
            expected = report(Z, S, random_state=0)
            assert report(mine, S, random_state=0).score == expected.score
        assert certify(mine, S).bound == certify(Z, S).bound
        of_text = leakage_report(X, S, probe="values", random_state=0)  # it one-hot encodes
    assert of_text.score == leakage_report(X, S, probe="values", random_state=0).score


@pytest.mark.parametrize("library", FRAMES)
def test_the_encoder_names_its_columns(library):
    dated = TABLE.assign(at=pd.date_range("2024-01-01", periods=N), more=np.arange(N) % 150)
    dated["more"] = dated["more"].astype(str)
    encoder = TableEncoder(max_categories=20).fit(dated, Y)
    names = encoder.get_feature_names_out()
    frame = encoder.set_output(transform=library).transform(dated)
    assert list(frame.columns) == names.tolist()
    assert (
        len(set(names))
        == len(names)
        == encoder.set_output(transform="default").transform(dated).shape[1]
    )
    assert {"job=clerk", "job=nurse", "job is missing", "more=others"} <= set(names)
    values = frame if library == "pandas" else frame.to_pandas()
    assert (values["job=clerk"] > 0).eq(dated["job"].eq("clerk")).all()
    step = next(name for name in names if name.startswith("pay>="))
    at = float(step.removeprefix("pay>="))
    clear = (dated["pay"] - at).abs() > 1e-4
    assert (values[step] > 0).eq(dated["pay"] >= at)[clear].all()
