"""What must hold of any data: equivalent input gives the equivalent model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.base import clone

from fairmi import MIBackpropClassifier, MIDebiasedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fairmi.exceptions.CollapseWarning")

FEW = settings(
    max_examples=20, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


@st.composite
def problems(draw):
    """A small table of two kinds of columns, with three classes and three groups at most."""
    n_rows = draw(st.integers(15, 30))  # with fewer than 5 a group numbers are quantities
    random = np.random.default_rng(draw(st.integers(0, 10_000)))
    frame = pd.DataFrame(
        {
            "a": random.integers(0, 9, n_rows).astype(float),
            "b": random.normal(size=n_rows).astype(np.float32).astype(float),
            # Each in several rows: a category of one row is not learned.
            "c": random.permutation(
                np.array(["x", "y", "z"], dtype=object)[np.arange(n_rows) % 3]
            ),
        }
    )
    if draw(st.booleans()):
        frame.loc[random.uniform(size=n_rows) < 0.2, ["a", "c"]] = None
    n_classes, n_groups = draw(st.integers(2, 3)), draw(st.integers(2, 3))
    y = random.permutation(np.arange(n_rows) % n_classes)
    s = random.permutation(np.arange(n_rows) % n_groups)
    return frame, y, s


COMMON = {
    "lam": st.sampled_from([0.0, 4.0]),
    "constraint": st.sampled_from(["demographic_parity", "equalized_odds"]),
    "hidden_layer_sizes": st.just((8,)),
    "batch_size": st.sampled_from([7, 256]),
    "max_iter": st.just(2),
    "random_state": st.integers(0, 3),
}
DEBIASED = st.builds(MIDebiasedClassifier, n_components=st.sampled_from(["auto", 2]), **COMMON)
BACKPROP = st.builds(MIBackpropClassifier, n_critic_steps=st.integers(1, 2), **COMMON)
MODELS = st.sampled_from([DEBIASED, DEBIASED, BACKPROP]).flatmap(lambda models: models)


def fit(frame, y, s, model, **given_too):
    return clone(model).fit(frame, y, sensitive_features=s, **given_too)


def check_same(first, second, frame, other=None):
    other = frame if other is None else other
    np.testing.assert_array_equal(second.transform(other), first.transform(frame))
    np.testing.assert_array_equal(second.decision_function(other), first.decision_function(frame))


@pytest.mark.slow
@given(problems(), MODELS, st.randoms(use_true_random=False))
@FEW
def test_order_of_rows(problem, model, random):
    frame, y, s = problem
    order = list(range(len(y)))
    random.shuffle(order)
    shuffled = fit(frame.iloc[order].reset_index(drop=True), y[order], s[order], model)
    check_same(fit(frame, y, s, model), shuffled, frame)


@pytest.mark.slow
@given(problems(), MODELS)
@FEW
def test_names_of_columns_and_index(problem, model):
    frame, y, s = problem
    renamed = frame.set_axis(["z", "a", "age"], axis=1).set_index(np.arange(len(y)) * 2 + 5)
    labels = pd.Series(y, index=renamed.index)
    second = fit(renamed, labels, pd.Series(s, index=renamed.index), model)
    check_same(fit(frame, y, s, model), second, frame, renamed)


@pytest.mark.slow
@given(problems(), MODELS)
@FEW
def test_types_of_columns(problem, model):
    frame, y, s = problem
    first = fit(frame, y, s, model)
    for other in (
        frame.astype({"a": np.float32, "b": np.float32}),
        frame.astype({"a": "Int64", "c": "string"}),
        frame.astype({"a": "int64[pyarrow]", "b": "double[pyarrow]", "c": "string[pyarrow]"}),
        frame.astype({"c": "category"}),
        pl.DataFrame({k: pl.Series([None if pd.isna(v) else v for v in frame[k]]) for k in frame}),
    ):
        check_same(first, fit(other, y, s, model), frame, other)


@pytest.mark.slow
@given(problems(), MODELS)
@FEW
def test_names_of_labels_and_groups_in_the_same_order(problem, model):
    frame, y, s = problem
    first = fit(frame, y, s, model)
    text = fit(frame, np.array(["a", "b", "c"])[y], np.array(["f", "m", "x"])[s], model)
    check_same(first, text, frame)
    expected = np.array(["a", "b", "c"])[first.predict(frame)]
    np.testing.assert_array_equal(text.predict(frame), expected)


@pytest.mark.slow
@given(problems(), MODELS, st.data())
@FEW
def test_weight_of_two_is_a_repeated_row(problem, model, data):
    frame, y, s = problem
    weights = np.array(data.draw(st.lists(st.integers(1, 2), min_size=len(y), max_size=len(y))))
    again = np.repeat(np.arange(len(y)), weights)
    repeated = fit(frame.iloc[again].reset_index(drop=True), y[again], s[again], model)
    check_same(fit(frame, y, s, model, sample_weight=weights), repeated, frame)


@pytest.mark.slow
@given(problems(), MODELS)
@FEW
def test_row_alone_and_predictions_from_z(problem, model):
    frame, y, s = problem
    model = fit(frame, y, s, model)
    z, scores = model.transform(frame), model.decision_function(frame).reshape(len(y), -1)
    alone = np.vstack([model.transform(frame.iloc[[i]]) for i in range(len(y))])
    if isinstance(model, MIDebiasedClassifier):
        np.testing.assert_array_equal(alone, z)
    np.testing.assert_allclose(alone, z, rtol=1e-9, atol=1e-12)
    _, which = np.unique(z, axis=0, return_inverse=True)
    for k in np.unique(which):
        assert len(np.unique(scores[which == k], axis=0)) == 1
    assert set(model.predict(frame)) <= set(model.classes_)
