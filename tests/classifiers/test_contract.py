"""What every estimator under a penalty does alike, whatever it learns and by what."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import shifted_groups
from scipy.sparse import csr_array
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from fairmi import (
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIBoostingRegressor,
    MIDebiasedClassifier,
    MIDebiasedRegressor,
    MIDebiasedTransformer,
)

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

X, Y, S = shifted_groups(0, 300)
NETWORKS = {"max_iter": 3, "batch_size": 100, "hidden_layer_sizes": (16,), "random_state": 0}
TREES = {"max_iter": 3, "random_state": 0}
# Each with what it learns.
KINDS = {
    "networks": (MIDebiasedClassifier(**NETWORKS), Y),
    "trees": (MIBoostingClassifier(**TREES), Y),
    "networks for numbers": (MIDebiasedRegressor(**NETWORKS), X[:, 0] + Y),
    "trees for numbers": (MIBoostingRegressor(**TREES), X[:, 0] + Y),
    "without y": (MIDebiasedTransformer(**NETWORKS), None),
    "published procedure": (MIBackpropClassifier(**NETWORKS, n_critic_steps=1), Y),
}
each_kind = pytest.mark.parametrize("kind", KINDS)
each_predictor = pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "without y"])


def fit(kind, x=X, rows=slice(None), *, s=S, sample_weight=None, **parameters):
    model, y = KINDS[kind]
    model = clone(model).set_params(**parameters)
    y = None if y is None else y[rows]
    return model.fit(x[rows], y, sensitive_features=s[rows], sample_weight=sample_weight)


def answers(model, x):
    methods = ("transform", "decision_function", "predict", "predict_proba")
    return [getattr(model, name)(x) for name in methods if hasattr(model, name)]


def same(first, second, x=X, other=None):
    """Whether two models answer alike to the bit, for `x` and `other`."""
    pairs = zip(answers(first, x), answers(second, x if other is None else other), strict=True)
    return all(np.array_equal(*pair) for pair in pairs)


@each_kind
def test_a_subclass_may_take_fewer_parameters(kind):
    whole, y = KINDS[kind]
    fixed = whole.get_params(deep=False)

    class Fixed(type(whole)):
        def __init__(self, lam=2.0):
            super().__init__(**fixed | {"lam": lam})

    few = clone(Fixed(lam=4.0)).fit(X, y, sensitive_features=S)
    assert few.get_params() == {"lam": 4.0}
    assert same(few, fit(kind, lam=4.0))


@each_kind
def test_a_seed_makes_the_fit_and_no_global_generator_is_read_or_changed(kind):
    models = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        np.random.seed(seed)  # noqa: NPY002
        before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
        models.append(fit(kind))
        assert torch.equal(torch.get_rng_state(), before[0])
        assert np.array_equal(np.random.get_state()[1], before[1])  # noqa: NPY002
    assert same(*models)
    for states in ((0, 1), (None, None), [np.random.RandomState(0)] * 2):
        if kind != "trees for numbers":  # whose folds may choose as many rounds
            assert not same(*(fit(kind, random_state=state) for state in states))
    assert same(*(fit(kind, random_state=np.random.RandomState(0)) for _ in range(2)))


@each_kind
def test_threads_and_order_of_rows_change_nothing(kind):
    order, before = np.random.default_rng(0).permutation(300), torch.get_num_threads()
    with threadpool_limits(1):
        one = fit(kind)
    assert torch.get_num_threads() == before
    torch.set_num_threads(2)
    try:
        with threadpool_limits(3):
            assert same(one, fit(kind, rows=order))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


@each_kind
@pytest.mark.parametrize("dtype", [np.float32, np.int64, bool])
def test_types_and_names_of_columns_leave_no_trace(kind, dtype):
    x = (X > 0).astype(dtype)
    first = fit(kind, x.astype(float))
    assert same(first, fit(kind, x), x.astype(float), x)
    named = pd.DataFrame(x, columns=[f"c{j}" for j in range(4)], index=np.arange(300)[::-1])
    assert same(first, fit(kind, named), x.astype(float), named)


@each_kind
def test_a_second_fit_starts_anew(kind):
    model, y = KINDS[kind]
    model = clone(model).fit(pd.DataFrame(X[:, :2]).add_prefix("c"), y, sensitive_features=S)
    model.fit(X, y, sensitive_features=S)
    once = fit(kind)
    assert same(model, once)
    assert vars(model).keys() == vars(once).keys()
    assert len(model.history_) == model.n_iter_ == 3


@each_kind
@pytest.mark.parametrize("constraint", ["demographic_parity", "equalized_odds"])
@pytest.mark.parametrize("form", [np.asarray, csr_array], ids=["array", "sparse"])
def test_weight_of_two_is_a_repeated_row_and_of_zero_an_absent_one(kind, constraint, form):
    weights = np.random.default_rng(0).integers(0, 3, size=300)
    again, parameters = np.repeat(np.arange(300), weights), {}
    if constraint != "demographic_parity" and kind != "without y":
        parameters["constraint"] = "conditional" if "numbers" in kind else constraint
    x = form(X)
    weighted = fit(kind, x, sample_weight=weights, **parameters)
    assert same(weighted, fit(kind, x, again, **parameters), x)
    assert not same(weighted, fit(kind, x, **parameters), x)


@each_kind
def test_at_lam_0_weights_of_the_task_alone_count(kind):
    weights = np.random.default_rng(0).uniform(1, 2, size=300)
    of_all = {"lam": 0.0, "sample_weight": weights}
    assert same(fit(kind, weighted="penalty", **of_all), fit(kind, lam=0.0))
    assert same(fit(kind, weighted="task", **of_all), fit(kind, **of_all))


@each_kind
@pytest.mark.parametrize("weighted", ["task", "penalty"])
def test_weights_above_0_move_either_term(kind, weighted):
    weights = np.random.default_rng(0).uniform(0.2, 2, size=300)
    moved = fit(kind, sample_weight=weights, weighted=weighted, lam=4.0)
    assert not same(moved, fit(kind, lam=4.0))


@each_kind
def test_callbacks_see_each_record_and_may_stop_and_a_bar_shows_them(kind, capsys):
    fit(kind)
    assert capsys.readouterr() == ("", "")
    seen = []

    def stop_at_two(record):
        seen.append(record)
        return record["epoch"] == 2

    model = fit(kind, callbacks=[stop_at_two, dict.clear], verbose=True)
    assert [record["epoch"] for record in model.history_] == [1, 2]
    assert all(seen[0].get(name, value) == value for name, value in model.history_[0].items())
    assert set(model.history_[0]) == {"epoch", "task_loss", "penalty", "seconds"}
    # A round is told before its trees grow, an epoch after its steps.
    assert (model.n_iter_, model.stopped_) == (1 if "trees" in kind else 2, "callback")
    shown = capsys.readouterr().err
    assert "2/3" in shown
    assert f"MI={model.history_[-1]['penalty']:.4f}" in shown
    assert f"task={model.history_[-1]['task_loss']:.4f}" in shown
    with pytest.raises(ValueError, match="callbacks holds 3"):
        fit(kind, callbacks=[3])


@each_kind
def test_an_interrupt_goes_on_once_the_state_so_far_is_the_model(kind):
    def interrupt(record):
        if record["epoch"] == 3:
            raise KeyboardInterrupt

    model, y = KINDS[kind]
    model = clone(model).set_params(max_iter=9, callbacks=[interrupt])
    with pytest.raises(KeyboardInterrupt, match="the fit was interrupted"):
        model.fit(X, y, sensitive_features=S)
    assert (model.n_iter_, model.stopped_) == (2 if "trees" in kind else 3, "interrupted")
    assert all(np.isfinite(of).all() for of in answers(model, X))


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"lam": -1}, "'lam' parameter"),
        ({"lam": {}}, "lam"),
        ({"penalty": "none"}, "penalty='none'"),
        ({"group_weight": "balanced", "s": X[:, 1]}, 'group_weight="balanced" needs groups'),
    ],
    ids=str,
)
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "published procedure"])
def test_bad_parameters_are_named(kind, parameters, message):
    with pytest.raises(ValueError, match=message):
        fit(kind, **parameters)


@each_predictor
def test_a_search_routes_the_groups(kind):
    model, y = KINDS[kind]
    search = GridSearchCV(clone(model), {"lam": [0.1, 64.0]}, cv=3)
    search.fit(X, y, sensitive_features=S)
    assert clone(search.best_estimator_).lam == search.best_params_["lam"]
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("kind", ["networks for numbers", "without y"])
def test_a_saved_stream_goes_on_as_it_would_in_the_units_of_its_first_part(kind):
    """A part may be one row; test_streaming.py has those of classes."""
    model, y = KINDS[kind]

    def part(fitted, rows):
        of_y = {} if y is None else {"y": y[rows]}
        return fitted.partial_fit(X[rows], **of_y, sensitive_features=S[rows])

    fitted = part(part(clone(model), slice(0, 100)), slice(100, 200))
    units, other = dict(fitted.units_), pickle.loads(pickle.dumps(fitted))
    for each in (fitted, other):
        part(part(each, slice(200, 300)), slice(0, 1))
    assert same(fitted, other)
    assert all(np.array_equal(units[name], value) for name, value in fitted.units_.items())
    assert fitted.n_iter_ == 4


# What a penalty is for. Two columns tell a quantity and a group, and y hangs on both.

N = 800
RANDOM = np.random.default_rng(8)
AGE, SEX = RANDOM.uniform(20, 70, size=N), RANDOM.integers(2, size=N)
BOTH = np.column_stack([AGE / 15 + RANDOM.normal(size=N), 2 * SEX + RANDOM.normal(size=N)])
SUM = BOTH.sum(axis=1) + RANDOM.normal(size=N)
LONG = {"networks": 60, "trees": 40, "networks for numbers": 30, "trees for numbers": 40}
each_long = pytest.mark.parametrize("kind", LONG)


def told(kind, s, **parameters):
    """How far answers go with the quantity and with the group: correlations, at least 0."""
    model = clone(KINDS[kind][0]).set_params(max_iter=LONG[kind], **parameters)
    model.fit(BOTH, SUM if "numbers" in kind else np.median(SUM) < SUM, sensitive_features=s)
    z = model.transform(BOTH)[:, 0]
    return np.array([abs(np.corrcoef(z, of)[0, 1]) for of in (AGE, SEX)]), model


@pytest.mark.slow_cases("networks")
@each_long
def test_a_quantity_is_hidden(kind):
    (plain, _), _ = told(kind, AGE, lam=0.0)
    (of_age, _), model = told(kind, AGE, lam=16.0)
    assert of_age < 0.6 * plain
    assert model.sensitive_kinds_ == {"sensitive_0": "continuous"}


@pytest.mark.slow_cases("networks")
@each_long
def test_each_attribute_has_its_own_lam(kind):
    both = {"age": AGE, "sex": SEX}
    of_sex, _ = told(kind, both, lam={"age": 0.0, "sex": 32.0})
    of_age, _ = told(kind, both, lam={"age": 32.0, "sex": 0.0})
    assert of_sex[1] < 0.6 * of_age[1]
    assert of_age[0] < 0.6 * of_sex[0]


@each_long
def test_rows_of_unknown_group_train_the_task_alone(kind):
    unknown = np.where(np.arange(N) % 3 == 0, np.nan, SEX)
    (_, plain), _ = told(kind, SEX, lam=0.0)
    (_, masked), _ = told(kind, unknown, lam=32.0, missing_sensitive="mask")
    assert masked < 0.6 * plain
