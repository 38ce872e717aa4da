"""The right rows of the sensitive features arrive through all that scikit-learn routes through.

Each value of X hides its row's number, so that the estimator can see, whatever rows, columns or
repetitions it is given, whose sensitive features should have come with them.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingClassifier
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    cross_val_predict,
    cross_validate,
)
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from fairmi import MIDebiasedClassifier
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

N = 90
RANDOM = np.random.default_rng(0)
SIGNAL = RANDOM.integers(0, 9, size=(N, 3))
X = (SIGNAL * 1000 + np.arange(N)[:, None]).astype(float)
Y = (SIGNAL[:, 0] + RANDOM.integers(0, 5, size=N) > 5).astype(int)
S = (SIGNAL[:, 1] + RANDOM.integers(0, 5, size=N) > 5).astype(int)
OTHER_S = S[::-1].copy()
CV = KFold(3)
KINDS = {"constraint": "demographic_parity", "max_iter": 2, "random_state": 0, "lam": 5.0}


class Paired(MIDebiasedClassifier):
    """Notes whether each row of X came with the sensitive feature of that row."""

    seen: list[tuple[int, bool]] = []  # noqa: RUF012 - shared by all clones on purpose
    truth = S

    def fit(self, X, y, *, sensitive_features=None, sample_weight=None):
        rows = np.asarray(X)[:, 0].astype(int) % 1000
        right = np.array_equal(np.asarray(sensitive_features), Paired.truth[rows])
        Paired.seen.append((len(rows), right))
        return super().fit(
            X, y, sensitive_features=sensitive_features, sample_weight=sample_weight
        )


@pytest.fixture
def paired():
    Paired.seen.clear()
    Paired.truth = S
    return Paired(**KINDS)


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


# Each use takes a model and what goes with X and y, and returns what the training came to.


def pipeline(model, **given):
    columns = ColumnTransformer([("first", "passthrough", [2, 0])], remainder="passthrough")
    steps = Pipeline([("columns", columns), ("model", model)])
    return steps.fit(X, Y, **given).decision_function(X)


def grid_search(model, **given):
    search = GridSearchCV(model, {"lam": [0.0, 5.0]}, cv=CV)
    return search.fit(X, Y, **given).decision_function(X)


def validate(model, **given):
    result = cross_validate(model, X, Y, cv=CV, params=given, return_estimator=True)
    return np.concatenate([one.decision_function(X) for one in result["estimator"]])


def predict(model, **given):
    return cross_val_predict(model, X, Y, cv=CV, params=given, method="decision_function")


def calibrate(model, **given):
    return CalibratedClassifierCV(model, cv=CV).fit(X, Y, **given).predict_proba(X)


def bagging(model, **given):
    bag = BaggingClassifier(model, n_estimators=2, random_state=0)
    return bag.fit(X, Y, **given).predict_proba(X)


def one_vs_rest(model, **given):
    return OneVsRestClassifier(model).fit(X, SIGNAL[:, 0] // 3, **given).decision_function(X)


OLD_WAYS = [grid_search, validate, predict, calibrate]
ROUTED = [pipeline, *OLD_WAYS, bagging, one_vs_rest]


def check_pairing(at_least=1):
    assert len(Paired.seen) >= at_least
    assert all(right for _, right in Paired.seen)


def check_dependence(use, paired, given, names):
    """The training's result is the same for the same sensitive features alone."""
    first = use(clone(paired), **dict.fromkeys(names, given))
    check_pairing()
    again = use(clone(paired), **dict.fromkeys(names, given))
    np.testing.assert_array_equal(first, again)
    Paired.truth = OTHER_S
    Paired.seen.clear()
    assert not np.array_equal(first, use(clone(paired), **dict.fromkeys(names, OTHER_S)))
    check_pairing()


@pytest.mark.slow_cases("calibrate", "validate")
@pytest.mark.parametrize("use", ROUTED)
@pytest.mark.usefixtures("routing")
def test_routed(use, paired):
    check_dependence(use, paired, S, ["sensitive_features"])


@pytest.mark.slow_cases("calibrate", "validate")
@pytest.mark.parametrize("use", OLD_WAYS)
def test_with_routing_off(use, paired):
    check_dependence(use, paired, S, ["sensitive_features"])


def test_pipeline_with_routing_off(paired):
    check_dependence(pipeline, paired, S, ["model__sensitive_features"])


@pytest.mark.usefixtures("routing")
def test_forms_of_sensitive_features_that_are_split_and_routed():
    model = MIDebiasedClassifier(**KINDS)
    expected = predict(model, sensitive_features=S)
    text = np.array(["f", "m"])[S]
    for form in (S.tolist(), text, pd.Series(text), pd.DataFrame({"sex": text})):
        np.testing.assert_array_equal(predict(model, sensitive_features=form), expected)


@pytest.mark.usefixtures("routing")
def test_search_under_a_bound_with_a_fairness_scorer_in_a_pipeline(paired):
    """Model and scorer ask for the sensitive features by themselves; both get the right rows."""

    def gap(y_true, y_pred, *, sensitive_features):
        rates = [y_pred[sensitive_features == g].mean() for g in (0, 1)]
        return abs(rates[0] - rates[1])

    gap.__name__ = "gap_difference"
    steps = Pipeline(
        [("scale", ColumnTransformer([("all", "passthrough", [0, 1, 2])])), ("model", paired)]
    )
    found = GridSearchCV(
        steps,
        {"model__lam": [0.0, 5.0]},
        cv=CV,
        scoring={"accuracy": "accuracy", "gap": make_fairness_scorer(gap)},
        refit=best_under_bound("gap", 1.0, maximize="accuracy"),
    )
    found.fit(X, Y, sensitive_features=S)
    check_pairing(at_least=7)
    # The score of each fold is that of its rows' own groups.
    for k, (train, test) in enumerate(CV.split(X)):
        for i, lam in enumerate([0.0, 5.0]):
            fold = MIDebiasedClassifier(**{**KINDS, "lam": lam})
            fold.fit(X[train], Y[train], sensitive_features=S[train])
            expected = -gap(Y[test], fold.predict(X[test]), sensitive_features=S[test])
            assert found.cv_results_[f"split{k}_test_gap"][i] == pytest.approx(expected)


@pytest.mark.usefixtures("routing")
def test_request_can_be_renamed_or_refused(paired):
    renamed = clone(paired).set_fit_request(sensitive_features="group")
    first = cross_val_predict(
        renamed, X, Y, cv=CV, params={"group": S}, method="decision_function"
    )
    check_pairing(at_least=3)
    np.testing.assert_array_equal(first, predict(paired, sensitive_features=S))
    refusing = clone(paired).set_fit_request(sensitive_features=False)
    with pytest.raises(TypeError, match="sensitive_features"):
        predict(refusing, sensitive_features=S)


@pytest.mark.usefixtures("routing")
@pytest.mark.parametrize("weighted", [False, True])
def test_cross_val_predict_is_the_loop_over_folds(weighted):
    """Weights are routed where they are asked for."""
    model, given = MIDebiasedClassifier(**KINDS), {"sensitive_features": S}
    if weighted:
        model.set_fit_request(sample_weight=True)
        given["sample_weight"] = RANDOM.integers(1, 3, size=N)
    expected = np.empty(N)
    for train, test in CV.split(X):
        of_fold = {name: values[train] for name, values in given.items()}
        fold = clone(model).fit(X[train], Y[train], **of_fold)
        expected[test] = fold.decision_function(X[test])
    np.testing.assert_array_equal(predict(model, **given), expected)


# With columns of X that serve as sensitive features nothing need be routed.

WITH_S = np.column_stack([X, S])
FRAME = pd.DataFrame(X, columns=["a", "b", "c"]).assign(sex=np.array(["f", "m"])[S])


@pytest.mark.slow_cases("validate*")
@pytest.mark.parametrize("enabled", [False, True])
@pytest.mark.parametrize("use", [use for use in ROUTED if use is not pipeline])
def test_sensitive_columns_need_no_routing(monkeypatch, use, enabled):
    monkeypatch.setattr(f"{__name__}.X", WITH_S)
    model = MIDebiasedClassifier(**KINDS, sensitive_columns=[-1], drop_sensitive=True)
    with sklearn.config_context(enable_metadata_routing=enabled):
        first = use(model)
        # The encoder does not see the column, the penalty does.
        monkeypatch.setattr(f"{__name__}.X", np.column_stack([WITH_S[:, :3], OTHER_S]))
        assert not np.array_equal(first, use(model))


@pytest.mark.parametrize("drop", [False, True])
def test_sensitive_columns_by_name_in_a_pipeline_and_a_search(drop):
    columns = ColumnTransformer(
        [("jobs", OneHotEncoder(sparse_output=False), ["b"])],
        remainder="passthrough",
        verbose_feature_names_out=False,
    ).set_output(transform="pandas")
    model = MIDebiasedClassifier(**KINDS, sensitive_columns="sex", drop_sensitive=drop)
    frame = FRAME.assign(b=FRAME["b"] // 3000)
    steps = Pipeline([("columns", columns), ("model", model)])
    search = GridSearchCV(steps, {"model__lam": [0.0, 5.0]}, cv=CV).fit(frame, Y)
    best = search.best_estimator_[-1]
    assert best.sensitive_values_ == ["f", "m"]
    n_encoded = best.parameters_["encoder.layers.0.weight"].shape[1]
    without = best.encoder_.columns_
    assert ("sex" in [column.name for column in without]) != drop
    assert n_encoded == best.encoder_.layout_.width


def test_as_a_transformer_before_another_classifier():
    model = MIDebiasedClassifier(**KINDS, sensitive_columns="sex", n_components=2)
    steps = Pipeline([("debias", model), ("again", sklearn.linear_model.LogisticRegression())])
    steps.set_output(transform="pandas").fit(FRAME, Y)
    z = steps[:-1].transform(FRAME)
    names = ["midebiasedclassifier0", "midebiasedclassifier1"]
    assert z.columns.tolist() == steps[:-1].get_feature_names_out().tolist() == names
    assert z.index.equals(FRAME.index)
