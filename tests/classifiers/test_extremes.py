"""Sizes, weights and types at the edge of what makes sense: the right answer, or a clear error."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.base import clone

from fairmi import MIBackpropClassifier, MIDebiasedClassifier
from fairmi.exceptions import StoppedFitError
from fairmi.networks import inference

N = 120
RANDOM = np.random.default_rng(0)
X = RANDOM.normal(size=(N, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
S = RANDOM.integers(2, size=N)
NAMES = np.array(["a", "b"])

MODELS = [
    MIDebiasedClassifier(max_iter=3, random_state=0),
    MIBackpropClassifier(hidden_layer_sizes=(8,), n_critic_steps=1, max_iter=3, random_state=0),
]

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")


def fit(x=X, y=Y, s=S, *, sample_weight=None, model=MODELS[0], **parameters):
    model = clone(model).set_params(**parameters)
    return model.fit(x, y, sensitive_features=s, sample_weight=sample_weight)


def kind_of(model):
    return type(model).__name__


@pytest.mark.parametrize("model", MODELS, ids=kind_of)
@pytest.mark.parametrize(
    "device", ["meta", "cuda:99", "hpu", "privateuseone", "mps", "xla", "CPU", "", "cpu:x"]
)
def test_device_that_can_not_be_used(model, device):
    with pytest.raises(ValueError, match=f"device='{device}' can't be used here"):
        fit(model=model, device=device)


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS, ids=kind_of)
@pytest.mark.parametrize("sizes", [(10**10,), (8, 10**20, 10**20), [10**6, 10**6]], ids=str)
def test_hidden_layers_that_no_memory_holds(model, sizes):
    with pytest.raises(ValueError, match="hidden_layer_sizes"):
        fit(model=model, hidden_layer_sizes=sizes)


@pytest.mark.parametrize(
    "parameters",
    [{"n_components": 10**12}, {"n_levels": 10**20}, {"n_levels": 10**5, "n_components": 10**4}],
    ids=str,
)
def test_z_that_no_memory_holds(parameters):
    with pytest.raises(ValueError, match=next(iter(parameters))):
        fit(**parameters)


@pytest.mark.slow_cases("MIDebiasedClassifier")
@pytest.mark.parametrize("model", MODELS, ids=kind_of)
def test_networks_of_no_layer_and_of_many(model):
    none = fit(model=model, hidden_layer_sizes=(), learning_rate=0.01)
    assert (none.predict(X) == Y).mean() > 0.5  # measured 0.575 to 0.933
    assert len(fit(model=model, hidden_layer_sizes=[4] * 100).parameters_) > 200


@pytest.mark.parametrize("size", [5e-324, 1e-300, 1e300, 1.7e308])
def test_equal_weights_of_any_size_are_no_weights(size):
    weighted = fit(sample_weight=np.full(N, size)).decision_function(X)
    np.testing.assert_array_equal(weighted, fit().decision_function(X))


def test_weights_of_all_sizes_at_once():
    half = np.arange(N) % 2
    mixed = fit(sample_weight=np.where(half, 1e300, 1e-300)).decision_function(X)
    alone = fit(sample_weight=half).decision_function(X)
    np.testing.assert_array_equal(mixed, alone)
    one = fit(sample_weight=np.where(np.arange(N) < 1, 1e20, 1.0))
    assert np.isfinite(one.decision_function(X)).all()


@pytest.mark.parametrize(
    ("model", "name"),
    [
        (MODELS[0], "lam"),
        (MODELS[0], "learning_rate"),
        (MODELS[0], "weight_decay"),
        (MODELS[1], "lam"),
        (MODELS[1], "learning_rate"),
    ],
    ids=lambda given: given if isinstance(given, str) else kind_of(given),
)
def test_training_that_breaks_in_the_last_step_of_an_epoch(model, name):
    """The losses of the epoch are numbers, the weights after it are not: nothing is to be kept."""
    with pytest.raises(StoppedFitError, match="Nothing was learned in the first epoch"):
        fit(model=model, **{name: 1e300})


@pytest.mark.parametrize("missing", ["error", "category", "mask"])
def test_sensitive_features_of_one_name_are_two(missing):
    twice = pd.DataFrame(np.column_stack([S, Y]), columns=["s", "s"])
    model = fit(s=twice, missing_sensitive=missing)
    assert model.sensitive_values_ == [(0, 0), (0, 1), (1, 0), (1, 1)]


@pytest.fixture
def dense_shapes(monkeypatch):
    """The shapes of the sparse tables that are made dense."""
    shapes = []
    dense = csr_array.toarray

    def noted(table):
        shapes.append(table.shape)
        return dense(table)

    monkeypatch.setattr(csr_array, "toarray", noted)
    return shapes


@pytest.mark.parametrize("model", MODELS, ids=kind_of)
@pytest.mark.parametrize("limit", ["_ROWS_AT_ONCE", "_VALUES_AT_ONCE"])
def test_sparse_rows_are_never_dense_all_at_once_at_prediction(
    monkeypatch, dense_shapes, model, limit
):
    sparse = csr_array(X)
    model = fit(sparse, model=model, hidden_layer_sizes=(8,))  # wider than the rows
    whole = model.transform(sparse)
    values_of_a_row = 1 if limit == "_ROWS_AT_ONCE" else model._networks().widest
    monkeypatch.setattr(inference, limit, 50 * values_of_a_row)
    dense_shapes.clear()
    np.testing.assert_allclose(model.transform(sparse), whole, rtol=1e-9, atol=1e-12)
    assert dense_shapes == [(50, 3), (50, 3), (20, 3)]


@pytest.mark.parametrize("model", MODELS, ids=kind_of)
def test_sparse_rows_are_dense_a_batch_at_a_time_in_training(monkeypatch, dense_shapes, model):
    monkeypatch.setattr(
        "fairmi.networks.rows._MAX_DIAGNOSED", 40
    )  # of those that a fit is diagnosed by
    fit(csr_array(X), model=model, batch_size=40)
    assert set(dense_shapes) == {(40, 3)}
