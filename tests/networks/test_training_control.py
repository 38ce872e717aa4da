"""How a fit goes on, is told of and ends: callbacks, warm starts, interrupts, divergence."""

from __future__ import annotations

import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning, FitFailedWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import MIBackpropClassifier, MIDebiasedClassifier, StoppedFitError
from fairmi.networks import trainer
from fairmi.networks.trainer import timed_epoch

# Without a penalty, so that no short fit warns of what it left.
MODELS = [
    MIDebiasedClassifier(lam=0.0, max_iter=40, random_state=0),
    MIBackpropClassifier(
        lam=0.0,
        hidden_layer_sizes=(16,),
        n_critic_steps=1,
        max_iter=40,
        batch_size=300,
        learning_rate=0.003,
        random_state=0,
    ),
]


def kind_of(model):
    return type(model).__name__


each_model = pytest.mark.parametrize("model", MODELS, ids=kind_of)


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 3)), columns=["a", "b", "c"])
    y = (X.a + X.b + rng.normal(size=600) > 0).to_numpy()
    s = np.where(X.b + rng.normal(size=600) > 0, "x", "y")
    return X, y, s


def fit(table, model=MODELS[0], **parameters):
    X, y, s = table
    return clone(model).set_params(**parameters).fit(X, y, sensitive_features=s)


def interrupt_at(epoch):
    def callback(record):
        if record["epoch"] == epoch:
            raise KeyboardInterrupt

    return callback


def stop_at(epoch):
    return lambda record: record["epoch"] == epoch


def diverge(monkeypatch, fit_number, epoch):
    """Let the loss of an epoch of one fit, counted from now on, be no number."""
    begun = []

    def with_nan(training, number):
        record = timed_epoch(training, number)
        begun.extend([None] * (number == 1))
        if len(begun) != fit_number or number != epoch:
            return record
        return replace(record, task_loss=(np.nan,) * len(record.task_loss))

    monkeypatch.setattr(trainer, "timed_epoch", with_nan)


# A fit that fails.


def fail(record):
    raise LookupError("the callback's own")


FAILURES = {
    "rows": ({}, 1, ValueError, "y has 599 rows"),
    "parameter": ({"device": "no such device"}, 0, ValueError, "device"),
    "callback": ({"callbacks": [fail]}, 0, LookupError, "the callback's own"),
    "divergence": (
        {"learning_rate": 1e30},
        0,
        StoppedFitError,
        "Nothing was learned in the first",
    ),
}


@each_model
@pytest.mark.parametrize("kind", FAILURES)
def test_a_fit_that_fails_leaves_the_model_as_it_was(table, model, kind):
    X, y, s = table
    parameters, first, error, message = FAILURES[kind]
    fitted = fit(table, model, max_iter=2)
    before, state = fitted.predict_proba(X), dict(vars(fitted))
    fresh = clone(model)
    for each in (fitted, fresh):
        with pytest.raises(error, match=message):
            each.set_params(**parameters).fit(X * 2, ~y[first:], sensitive_features=s)
    np.testing.assert_array_equal(fitted.predict_proba(X), before)
    assert vars(fitted).keys() == state.keys()
    assert all(vars(fitted)[name] is state[name] for name in state if name.endswith("_"))
    assert vars(fresh) == fresh.get_params()
    with pytest.raises(NotFittedError):
        fresh.predict(X)


def test_a_fit_goes_on_only_from_networks_of_its_shape(table):
    X, y, s = table
    model = fit(table, warm_start=True, max_iter=5).set_params(hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.fit(X, y, sensitive_features=s)
    with pytest.raises(ValueError, match="callbacks holds 1"):
        fit(table, callbacks=[1])


def test_a_warm_start_goes_on_from_the_weights(table):
    X, y, s = table
    model = fit(table, warm_start=True)
    first = model.history_[0]["task_loss"]
    model.fit(X, y, sensitive_features=s)
    assert model.history_[0]["task_loss"] < first - 0.05  # measured 0.396 and 0.707
    with pytest.raises(ValueError, match="warm_start=True"):
        model.fit(X, np.where(y, "new", "old"), sensitive_features=s)


# A fit that ends before its last epoch.


@pytest.mark.slow_cases("MIBackpropClassifier")
@each_model
def test_a_whole_fit_tells_of_nothing(table, model):
    model = fit(table, model)
    assert model.stopped_ is None
    assert model.warnings_ == []
    assert model.n_iter_ == len(model.history_) == 40


@each_model
def test_a_diverging_fit_keeps_the_last_good_state(table, model, monkeypatch):
    X, _, _ = table
    good = fit(table, model, callbacks=[stop_at(10)])
    diverge(monkeypatch, fit_number=1, epoch=11)
    with pytest.warns(ConvergenceWarning, match="after 10 whole epochs.*lower learning_rate"):
        kept = fit(table, model)
    assert kept.n_iter_ == len(kept.history_) == 10
    np.testing.assert_array_equal(kept.decision_function(X), good.decision_function(X))
    assert kept.stopped_ == "diverged"
    ((category, message),) = kept.warnings_
    assert category == "ConvergenceWarning"
    assert "non-finite" in message


@each_model
def test_warnings_are_those_that_were_given(table, model, monkeypatch):
    diverge(monkeypatch, fit_number=1, epoch=11)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        kept = fit(table, model)
    assert kept.warnings_
    assert kept.warnings_ == [(one.category.__name__, str(one.message)) for one in caught]
    assert {one.filename for one in caught} == {__file__}


@pytest.mark.slow_cases("MIBackpropClassifier")
@each_model
def test_a_later_fit_forgets_how_the_last_one_ended(table, model):
    X, y, s = table
    model = clone(model).set_params(callbacks=[interrupt_at(10)])
    with pytest.raises(KeyboardInterrupt):
        model.fit(X, y, sensitive_features=s)
    model.set_params(callbacks=None).fit(X, y, sensitive_features=s)
    assert model.stopped_ is None
    assert model.warnings_ == []


# The same inside searches, which must score nothing but whole fits.


def in_steps(model):
    return make_pipeline(StandardScaler(), model)


def score(model, table, **options):
    X, y, s = table
    return cross_val_score(model, X, y, cv=3, params={"sensitive_features": s}, **options)


def search(model, table, values=(10, 9), name="max_iter", **options):
    """The scores of a search over the values of a parameter, (n_values, n_folds)."""
    X, y, s = table
    full_name = next(key for key in model.get_params() if key.split("__")[-1] == name)
    found = GridSearchCV(model, {full_name: values}, cv=3, **options)
    found.fit(X, y, sensitive_features=s)
    assert np.isfinite(found.score(X, y))
    return np.transpose([found.cv_results_[f"split{k}_test_score"] for k in range(3)])


@pytest.fixture
def routing():
    with sklearn.config_context(enable_metadata_routing=True):
        yield


each_use = pytest.mark.parametrize("use", [score, search])
each_wrapping = pytest.mark.parametrize("wrap", [lambda model: model, in_steps], ids=["", "steps"])


@each_model
@each_use
@each_wrapping
@pytest.mark.usefixtures("routing")
def test_an_interrupt_leaves_a_search(table, model, use, wrap):
    calls = []

    def interrupt(record):
        calls.append(record["epoch"])
        if len(calls) == 25:  # in the third of fits of ten epochs
            raise KeyboardInterrupt

    model = wrap(clone(model).set_params(max_iter=10, callbacks=[interrupt]))
    with pytest.raises(KeyboardInterrupt):
        use(model, table)
    assert calls[-1] == 5


@pytest.mark.slow_cases("*MIBackpropClassifier")
@each_model
@each_wrapping
@pytest.mark.usefixtures("routing")
def test_a_fold_that_diverges_has_no_score(table, model, wrap, monkeypatch):
    model = wrap(clone(model).set_params(max_iter=10))
    whole = score(model, table)
    assert np.isfinite(whole).all()
    diverge(monkeypatch, fit_number=2, epoch=1)
    with pytest.warns(FitFailedWarning, match=r"(?s)1 fits failed.*StoppedFitError.*non-finite"):
        scores = score(model, table)
    np.testing.assert_array_equal(scores, [whole[0], np.nan, whole[2]])


@pytest.mark.slow_cases("*MIBackpropClassifier")
@each_model
@pytest.mark.usefixtures("routing")
def test_a_fold_that_diverges_later_is_scored_by_its_last_good_state(table, model, monkeypatch):
    """As its refit would be; the warning is the same as outside of a search."""
    ended = score(clone(model).set_params(max_iter=10, callbacks=[stop_at(8)]), table)
    diverge(monkeypatch, fit_number=2, epoch=9)
    with pytest.warns(ConvergenceWarning, match="after 8 whole epochs"):
        scores = score(clone(model).set_params(max_iter=10), table)
    assert scores[1] == ended[1]
