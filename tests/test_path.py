from __future__ import annotations

import copy
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
import sklearn
from sklearn.base import clone
from sklearn.metrics import accuracy_score

from fairmi import InfeasibleBoundWarning, MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.exceptions import ConvergenceWarning, SensitiveFeaturesError
from fairmi.dependence import PENALTIES
from fairmi.path import fairness_path
from fairmi.plot import FairnessFrontierDisplay

RANDOM = np.random.default_rng(0)
N = 900
S = RANDOM.integers(2, size=N)
X = np.column_stack([RANDOM.normal(size=(N, 3)), S + 0.3 * RANDOM.normal(size=N)])
Y = (X[:, 0] + 1.5 * S - 0.75 + 0.5 * RANDOM.normal(size=N) > 0).astype(int)
SMALL = {"hidden_layer_sizes": (16,), "max_iter": 25, "random_state": 0}


def gap(model, X=X, s=S):
    predicted = model.predict(X)
    return abs(predicted[s == 1].mean() - predicted[s == 0].mean())


def search(**parameters):
    return MIDebiasedClassifierCV(**{"lams": [0.0, 1.0, 16.0], "cv": 3, **SMALL, **parameters})


@pytest.fixture(scope="module")
def fitted():
    return search(bound=0.2).fit(X, Y, sensitive_features=S)


def test_model_of_a_path_is_what_a_fit_of_its_own_gives():
    lams, models = fairness_path(X, Y, sensitive_features=S, lams=[0.0, 4.0], **SMALL)
    for lam, model in zip(lams, models, strict=True):
        alone = MIDebiasedClassifier(lam=lam, **SMALL).fit(X, Y, sensitive_features=S)
        assert model.lam == lam
        assert (model.predict(X) == alone.predict(X)).mean() > 0.97
        assert model.n_iter_ == alone.n_iter_
        np.testing.assert_allclose(
            [r["task_loss"] for r in model.history_[:5]],
            [r["task_loss"] for r in alone.history_[:5]],
            rtol=1e-3,
        )
    assert gap(models[0]) > 0.4 > 0.2 > gap(models[1])


@pytest.mark.filterwarnings("ignore::fairmi.CollapseWarning")
@pytest.mark.parametrize("kind", ["groups", "values"])
@pytest.mark.parametrize("penalty", sorted(PENALTIES))
def test_any_penalty_trains_a_path_as_it_trains_a_fit(penalty, kind):
    c = S if kind == "groups" else X[:, 3]
    few = {**SMALL, "penalty": penalty, "max_iter": 2, "n_estimators": 2}
    _, models = fairness_path(X, Y, sensitive_features=c, lams=[0.0, 2.0, 1.0], **few)
    alone = MIDebiasedClassifier(lam=2.0, **few).fit(X, Y, sensitive_features=c)
    for name in ("task_loss", "penalty"):
        path, fit = ([record[name] for record in m.history_] for m in (models[1], alone))
        np.testing.assert_allclose(path, fit, rtol=0.05, atol=0.01)


def big(n=6_000):
    random = np.random.default_rng(1)
    s = random.integers(2, size=n)
    x = np.column_stack([random.normal(size=(n, 3)), s + 0.3 * random.normal(size=n)])
    return x, (x[:, 0] + 1.5 * s - 0.75 + 0.5 * random.normal(size=n) > 0).astype(int), s


def test_models_of_a_path_of_many_rows_share_hidden_layers_in_training_alone():
    x, y, s = big()
    few = {**SMALL, "max_iter": 8}
    lams, models = fairness_path(x, y, sensitive_features=s, lams=[0.0, 4.0], **few)
    first, second = (model.parameters_ for model in models)
    assert first.keys() == second.keys()
    for name in first:
        assert first[name].shape == second[name].shape
        own = name.startswith(("encoder.layers.1", "head"))
        assert np.array_equal(first[name], second[name]) != own
        assert not np.shares_memory(first[name], second[name])
    # Measured over eight draws: accuracies differ by 0.02 at most, gaps by 0.06.
    for lam, model in zip(lams, models, strict=True):
        alone = MIDebiasedClassifier(lam=lam, **few).fit(x, y, sensitive_features=s)
        assert model.score(x, y) == pytest.approx(alone.score(x, y), abs=0.04)
        assert gap(model, x, s) == pytest.approx(gap(alone, x, s), abs=0.1)
    assert gap(models[0], x, s) > 0.35 > 0.2 > gap(models[1], x, s)


def test_a_fit_of_many_rows_trains_companions_that_no_one_sees():
    x, y, s = big()
    told = []
    few = {**SMALL, "max_iter": 3, "n_estimators": 2, "hidden_layer_sizes": (16, 8)}
    model = MIDebiasedClassifier(lam=4.0, callbacks=[told.append], **few)
    model.fit(x, y, sensitive_features=s)
    assert {len(values) for values in model.parameters_.values()} == {2}
    assert told == model.history_
    _, models = fairness_path(x, y, sensitive_features=s, lams=[0.0, 1.0, 2.0, 4.0], **few)
    np.testing.assert_array_equal(models[-1].decision_function(x), model.decision_function(x))
    _, models = fairness_path(x, y, sensitive_features=s, lams=[4.0], **few)
    np.testing.assert_array_equal(models[0].decision_function(x), model.decision_function(x))


def test_early_stopping_keeps_the_best_state_beside_companions():
    x, y, s = big(7_000)
    few = {**SMALL, "max_iter": 10, "early_stopping": True}
    model = MIDebiasedClassifier(lam=4.0, **few).fit(x, y, sensitive_features=s)
    assert {len(values) for values in model.parameters_.values()} == {1}
    _, models = fairness_path(x, y, sensitive_features=s, lams=[0.0, 1.0, 2.0, 4.0], **few)
    np.testing.assert_array_equal(models[-1].decision_function(x), model.decision_function(x))
    assert gap(model, x, s) < 0.25


@pytest.mark.filterwarnings("ignore:The penalty did little", "ignore:The fit collapsed")
def test_path_that_shares_layers_diverges_as_one_and_keeps_a_good_state():
    x, y, s = big()
    few = {**SMALL, "max_iter": 3}
    with pytest.warns(ConvergenceWarning, match="non-finite"):
        models = fairness_path(x, y, sensitive_features=s, lams=[0.0, 1e39], **few)[1]
    assert all(np.isfinite(model.decision_function(x)).all() for model in models)


def test_default_path_spans_from_no_debiasing_to_full():
    lams, models = fairness_path(X, Y, sensitive_features=S, lams=5, **SMALL)
    assert lams[0] == 0
    assert len(lams) == len(models) == 5
    np.testing.assert_allclose(np.diff(np.log(lams[1:])), np.log(4))
    assert gap(models[-1]) < 0.1


@pytest.mark.filterwarnings("ignore:The penalty did little", "ignore:The fit collapsed")
def test_model_that_diverges_leaves_those_beside_it_alone():
    kept = fairness_path(X, Y, sensitive_features=S, lams=[0.0, 2.0], **SMALL)[1]
    with pytest.warns(ConvergenceWarning, match="non-finite"):
        models = fairness_path(X, Y, sensitive_features=S, lams=[0.0, 2.0, 1e39], **SMALL)[1]
    for model, alone in zip(models, kept, strict=False):
        assert (model.predict(X) == alone.predict(X)).mean() > 0.97
    assert models[2].n_iter_ < models[0].n_iter_
    assert np.isfinite(models[2].decision_function(X)).all()


def test_early_stopping_keeps_the_best_state_of_each_model():
    _, models = fairness_path(
        X, Y, sensitive_features=S, lams=[0.0, 8.0], early_stopping=True, **SMALL
    )
    assert {len(model.history_) for model in models} == {models[0].n_iter_}
    assert all("val_task_loss" in model.history_[-1] for model in models)
    assert gap(models[1]) < gap(models[0])


@pytest.mark.parametrize("lams", [1, 0, -3, [], [1.0, -1.0], [1.0, np.nan], [2.0, 2.0], "many"])
def test_impossible_lams_are_named(lams):
    with pytest.raises(ValueError, match="lams"):
        fairness_path(X, Y, sensitive_features=S, lams=lams)


@pytest.mark.parametrize("name", ["lam", "warm_start", "schedule"])
def test_parameter_that_a_path_can_t_take_is_named(name):
    with pytest.raises(ValueError, match=name):
        fairness_path(X, Y, sensitive_features=S, **{name: "paper"})


def test_search_takes_the_best_model_within_the_bound(fitted):
    frontier = fitted.frontier_
    within = frontier[frontier.mean_demographic_parity_difference <= 0.2]
    best = within.mean_accuracy.idxmax()
    assert fitted.lam_ == frontier.lam[best] == fitted.model_.lam
    assert fitted.best_index_ == best
    np.testing.assert_array_equal(fitted.predict(X), fitted.models_[best].predict(X))
    folds = [fitted.cv_results_[f"split{k}_test_accuracy"] for k in range(3)]
    np.testing.assert_allclose(frontier.mean_accuracy, np.mean(folds, axis=0))
    np.testing.assert_allclose(frontier.se_accuracy, np.std(folds, axis=0, ddof=1) / np.sqrt(3))
    assert (frontier.mean_accuracy > 0.6).all()
    assert gap(fitted) < gap(fitted.models_[0]) - 0.1


def test_frontier_is_measured_on_rows_that_were_held_out():
    noise = RANDOM.integers(2, size=N)
    found = search(bound=1.0, lams=[0.0, 1.0]).fit(X, noise, sensitive_features=S)
    assert (found.frontier_.mean_accuracy < 0.58).all()
    assert accuracy_score(noise, found.models_[0].predict(X)) > 0.6


def test_operating_point_moves_without_training(fitted):
    models = list(fitted.models_)
    try:
        assert fitted.set_operating_point(1.0).lam_ == 0.0
        assert accuracy_score(Y, fitted.predict(X)) > 0.85
        with pytest.warns(InfeasibleBoundWarning):
            fitted.set_operating_point(0.0)
        assert fitted.lam_ == 16.0
    finally:
        fitted.set_operating_point(0.2)
    assert all(a is b for a, b in zip(models, fitted.models_, strict=True))


def test_search_is_the_same_in_any_number_of_processes_and_after_pickling(fitted):
    parallel = search(bound=0.2, n_jobs=2).fit(X, Y, sensitive_features=S)
    pd.testing.assert_frame_equal(parallel.frontier_, fitted.frontier_)
    loaded = pickle.loads(pickle.dumps(fitted))
    for other in (parallel, loaded):
        np.testing.assert_array_equal(other.decision_function(X), fitted.decision_function(X))


def test_search_shares_parameters_and_defaults_with_the_classifier():
    single = inspect.signature(MIDebiasedClassifier).parameters
    several = inspect.signature(MIDebiasedClassifierCV).parameters
    own = {"lams", "cv", "bound", "metric", "scoring", "rule", "n_jobs"}
    assert set(several) == set(single) - {"lam", "schedule", "warm_start"} | own
    for name in set(several) - own:
        assert several[name].default == single[name].default
    assert clone(search(bound=0.1)).get_params() == search(bound=0.1).get_params()


def test_search_takes_columns_frames_and_missing_groups():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(s=np.where(S == 1, "m", "f"))
    frame.loc[:20, "s"] = None
    found = search(bound=0.3, sensitive_columns="s", missing_sensitive="mask").fit(frame, Y)
    assert list(found.feature_names_in_) == ["a", "b", "c", "d", "s"]
    assert found.set_output(transform="pandas").transform(frame).shape == (N, 1)
    assert (found.frontier_.mean_demographic_parity_difference < 0.9).all()


def test_search_is_routed_its_sensitive_features():
    from sklearn.model_selection import cross_val_predict

    with sklearn.config_context(enable_metadata_routing=True):
        predicted = cross_val_predict(
            search(bound=0.2, cv=2), X, Y, cv=2, params={"sensitive_features": S}
        )
    assert abs(predicted[S == 1].mean() - predicted[S == 0].mean()) < 0.3


@pytest.mark.parametrize(
    ("parameters", "sensitive", "error", "named"),
    [
        ({}, X[:, 0], SensitiveFeaturesError, "continuous"),
        ({}, None, SensitiveFeaturesError, "sensitive_features"),
        ({"bound": -1.0}, S, ValueError, "bound"),
        ({"lams": [3.0, 3.0]}, S, ValueError, "lams"),
        ({"metric": "no_such_metric"}, S, ValueError, "no_such_metric"),
        ({"scoring": "no_such_score"}, S, ValueError, "no_such_score"),
        ({"rule": "median"}, S, ValueError, "rule"),
    ],
)
def test_search_refuses_before_it_trains(parameters, sensitive, error, named, monkeypatch):
    monkeypatch.setattr(MIDebiasedClassifier, "_train", None)
    with pytest.raises(error, match=named):
        search(**parameters).fit(X, Y, sensitive_features=sensitive)


def test_frontier_of_a_search_can_be_drawn(fitted):
    display = FairnessFrontierDisplay.from_estimator(fitted)
    np.testing.assert_allclose(display.score, fitted.frontier_.mean_accuracy)
    np.testing.assert_allclose(
        display.unfairness, fitted.frontier_.mean_demographic_parity_difference
    )
    assert display.chosen == fitted.best_index_


def test_members_are_averaged_and_z_is_the_mean_of_their_scores():
    model = MIDebiasedClassifier(lam=2.0, n_estimators=3, **SMALL).fit(X, Y, sensitive_features=S)
    z = model.transform(X)
    assert z.shape == (N, 1)
    assert list(model.get_feature_names_out()) == ["midebiasedclassifier0"]
    np.testing.assert_array_equal(model.decision_function(X), z[:, 0])
    members = []
    for k in range(3):
        member = copy.copy(model)
        member.architecture_ = model.architecture_ | {"n_models": 1}
        member.parameters_ = {name: v[k : k + 1] for name, v in model.parameters_.items()}
        members.append(member.decision_function(X))
    np.testing.assert_allclose(np.mean(members, axis=0), z[:, 0], atol=1e-12)
    assert np.abs(members[0] - members[1]).max() > 0.01
    np.testing.assert_array_equal(model.transform(X[:5]), z[:5])


def test_a_path_has_all_members_of_each_model():
    _, models = fairness_path(X, Y, sensitive_features=S, lams=[0.0, 2.0], n_estimators=3, **SMALL)
    alone = MIDebiasedClassifier(lam=2.0, n_estimators=3, **SMALL).fit(X, Y, sensitive_features=S)
    assert (models[1].predict(X) == alone.predict(X)).mean() > 0.97
    assert len(models[0].parameters_["head.layers.0.bias"]) == 3


def test_paper_s_schedule_has_one_network():
    with pytest.raises(ValueError, match="n_estimators"):
        MIDebiasedClassifier(schedule="paper", n_estimators=2).fit(X, Y, sensitive_features=S)
