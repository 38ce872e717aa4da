from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fairmi import MIDebiasedClassifier


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    X = pd.DataFrame(rng.normal(size=(600, 3)), columns=["a", "b", "c"])
    y = (X.a + X.b + rng.normal(size=600) > 0).to_numpy()
    s = np.where(X.b + rng.normal(size=600) > 0, "x", "y")
    return X, y, s


def fit(table, **parameters):
    X, y, s = table
    settings = {"max_iter": 40, "random_state": 0, **parameters}
    return MIDebiasedClassifier(**settings).fit(X, y, sensitive_features=s)


def criterion(record, lam):
    return record["val_task_loss"] + lam * max(record["val_penalty"], 0)


def test_early_stopping_waits_and_keeps_the_best_state(table):
    X, y, s = table
    model = MIDebiasedClassifier(max_iter=200, n_iter_no_change=3, random_state=0, lam=2.0)
    # Validation rows with flipped labels: the more is learnt, the worse they fare.
    model.fit(X, y, sensitive_features=s, X_val=X, y_val=~y, sensitive_features_val=s)
    scores = [criterion(record, 2.0) for record in model.history_]
    # The first 80 % of the epochs do not count.
    best = 159 + int(np.argmin(scores[159:]))
    assert model.n_iter_ == best + 1 + 3 < 200


def test_early_stopping_keeps_a_debiased_state(table):
    X, _, s = table

    def gap(model):
        predicted = model.predict(X)
        return abs(predicted[s == "x"].mean() - predicted[s == "y"].mean())

    # Measured over three seeds: 0.26 without the penalty, 0.03 to 0.05 with it, 0.02 to 0.10
    # with early stopping.
    assert gap(fit(table, lam=0.0, max_iter=100)) > 0.2
    assert gap(fit(table, lam=8.0, max_iter=100)) < 0.1
    assert gap(fit(table, lam=8.0, max_iter=100, early_stopping=True)) < 0.13


def test_a_fit_that_fails_leaves_the_model_as_it_was(table):
    X, y, s = table
    model = fit(table, max_iter=5)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="y_val has classes"):
        model.fit(
            X * 2, ~y, sensitive_features=s, X_val=X, y_val=[3] * 600, sensitive_features_val=s
        )
    np.testing.assert_array_equal(model.predict_proba(X), before)
    fresh = MIDebiasedClassifier(device="no such device")
    with pytest.raises(ValueError, match="device"):
        fresh.fit(X, y, sensitive_features=s)
    with pytest.raises(sklearn.exceptions.NotFittedError):
        fresh.predict(X)


def test_a_fit_goes_on_only_from_networks_of_its_shape(table):
    X, y, s = table
    model = fit(table, warm_start=True, max_iter=5).set_params(hidden_layer_sizes=(3,))
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        model.fit(X, y, sensitive_features=s)
    with pytest.raises(ValueError, match="callbacks holds 1"):
        fit(table, callbacks=[1])


def test_early_stopping_holds_rows_out(table):
    model = fit(table, early_stopping=True, max_iter=5)
    assert {"val_task_loss", "val_penalty"} <= set(model.history_[0])
    assert "val_task_loss" not in fit(table, max_iter=5).history_[0]


def test_validation_rows_pass_through_a_pipeline(table):
    X, y, s = table
    with sklearn.config_context(enable_metadata_routing=True):
        model = MIDebiasedClassifier(max_iter=5, random_state=0).set_fit_request(
            X_val=True, y_val=True, sensitive_features_val=True
        )
        pipeline = make_pipeline(StandardScaler(), model)
        pipeline.set_params(transform_input=["X_val"])
        pipeline.fit(
            X,
            y,
            sensitive_features=s,
            X_val=X[:200],
            y_val=y[:200],
            sensitive_features_val=s[:200],
        )
    scaled = StandardScaler().fit(X).transform(X)
    alone = MIDebiasedClassifier(max_iter=5, random_state=0)
    alone.fit(
        scaled,
        y,
        sensitive_features=s,
        X_val=scaled[:200],
        y_val=y[:200],
        sensitive_features_val=s[:200],
    )
    routed = [record["val_task_loss"] for record in pipeline[-1].history_]
    assert routed == [record["val_task_loss"] for record in alone.history_]


def test_unseen_groups_and_classes_of_validation_rows_are_named(table):
    X, y, s = table
    model = MIDebiasedClassifier(max_iter=2)
    with pytest.raises(ValueError, match="sensitive_features_val has groups"):
        model.fit(
            X, y, sensitive_features=s, X_val=X, y_val=y, sensitive_features_val=["x", "z"] * 300
        )
    with pytest.raises(ValueError, match="y_val has classes"):
        model.fit(X, y, sensitive_features=s, X_val=X, y_val=[3] * 600, sensitive_features_val=s)


def test_a_callback_sees_each_epoch_and_may_stop(table):
    seen = []

    def stop_at_four(record):
        seen.append(record["epoch"])
        return record["epoch"] == 4

    model = fit(table, callbacks=[stop_at_four])
    assert seen == [1, 2, 3, 4]
    assert model.n_iter_ == 4


def test_a_warm_start_goes_on_from_the_weights(table):
    X, y, s = table
    model = fit(table, warm_start=True)
    first = model.history_[0]["task_loss"]
    model.fit(X, y, sensitive_features=s)
    assert model.history_[0]["task_loss"] < first - 0.05
    with pytest.raises(ValueError, match="warm_start=True"):
        model.fit(X, np.where(y, "new", "old"), sensitive_features=s)


def test_ctrl_c_keeps_the_best_state_on_validation_rows(table):
    def interrupt(record):
        if record["epoch"] == 10:
            raise KeyboardInterrupt

    with pytest.warns(sklearn.exceptions.ConvergenceWarning, match="interrupted"):
        model = fit(table, callbacks=[interrupt], early_stopping=True, n_iter_no_change=50)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ten epochs of two steps may predict one class
        told = fit(
            table,
            callbacks=[lambda record: record["epoch"] == 10],
            early_stopping=True,
            n_iter_no_change=50,
        )
    assert model.n_iter_ == told.n_iter_ == 10
    X, _, _ = table
    np.testing.assert_array_equal(model.decision_function(X), told.decision_function(X))
