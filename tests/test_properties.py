"""What must hold of any data: equivalent input gives the equivalent model, bad input an error."""

from __future__ import annotations

import warnings
from unittest import mock

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

import fairmi._classifier
from fairmi import MIDebiasedClassifier

pytestmark = pytest.mark.filterwarnings("ignore::fairmi._errors.CollapseWarning")

FEW = settings(
    max_examples=20, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
MANY = settings(
    max_examples=500, derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow]
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
            "c": np.array(["x", "y", "z"], dtype=object)[random.integers(3, size=n_rows)],
        }
    )
    if draw(st.booleans()):
        frame.loc[random.uniform(size=n_rows) < 0.2, ["a", "c"]] = None
    n_classes, n_groups = draw(st.integers(2, 3)), draw(st.integers(2, 3))
    y = random.permutation(np.arange(n_rows) % n_classes)
    s = random.permutation(np.arange(n_rows) % n_groups)
    return frame, y, s


SETTINGS = st.fixed_dictionaries(
    {
        "lam": st.sampled_from([0.0, 4.0]),
        "constraint": st.sampled_from(["demographic_parity", "equalized_odds"]),
        "schedule": st.sampled_from(["default", "default", "paper"]),
        "hidden_layer_sizes": st.just((8,)),
        "n_components": st.sampled_from([None, 2]),
        "batch_size": st.sampled_from([7, 256]),
        "max_iter": st.just(2),
        "random_state": st.integers(0, 3),
    }
)


def fit(frame, y, s, parameters, **given_too):
    model = MIDebiasedClassifier(**parameters)
    return model.fit(frame, y, sensitive_features=s, **given_too)


def check_same(first, second, frame, other=None):
    other = frame if other is None else other
    np.testing.assert_array_equal(second.transform(other), first.transform(frame))
    np.testing.assert_array_equal(second.decision_function(other), first.decision_function(frame))


@given(problems(), SETTINGS, st.randoms(use_true_random=False))
@FEW
def test_order_of_rows(problem, parameters, random):
    frame, y, s = problem
    order = list(range(len(y)))
    random.shuffle(order)
    shuffled = fit(frame.iloc[order].reset_index(drop=True), y[order], s[order], parameters)
    check_same(fit(frame, y, s, parameters), shuffled, frame)


@given(problems(), SETTINGS)
@FEW
def test_names_of_columns_and_index(problem, parameters):
    frame, y, s = problem
    renamed = frame.set_axis(["z", "a", "age"], axis=1).set_index(np.arange(len(y)) * 2 + 5)
    labels = pd.Series(y, index=renamed.index)
    second = fit(renamed, labels, pd.Series(s, index=renamed.index), parameters)
    check_same(fit(frame, y, s, parameters), second, frame, renamed)


@given(problems(), SETTINGS)
@FEW
def test_types_of_columns(problem, parameters):
    frame, y, s = problem
    first = fit(frame, y, s, parameters)
    for other in (
        frame.astype({"a": np.float32, "b": np.float32}),
        frame.astype({"a": "Int64", "c": "string"}),
        frame.astype({"a": "int64[pyarrow]", "b": "double[pyarrow]", "c": "string[pyarrow]"}),
        frame.astype({"c": "category"}),
        pl.DataFrame({k: pl.Series([None if pd.isna(v) else v for v in frame[k]]) for k in frame}),
    ):
        check_same(first, fit(other, y, s, parameters), frame, other)


@given(problems(), SETTINGS)
@FEW
def test_names_of_labels_and_groups_in_the_same_order(problem, parameters):
    frame, y, s = problem
    first = fit(frame, y, s, parameters)
    text = fit(frame, np.array(["a", "b", "c"])[y], np.array(["f", "m", "x"])[s], parameters)
    check_same(first, text, frame)
    expected = np.array(["a", "b", "c"])[first.predict(frame)]
    np.testing.assert_array_equal(text.predict(frame), expected)


@given(st.integers(0, 9))
@settings(max_examples=5, derandomize=True, deadline=None)
def test_labels_and_groups_in_another_order_give_the_same_answers(seed):
    """Outputs swap places, so that weights start elsewhere; what is learned is the same."""
    random = np.random.default_rng(seed)
    s = random.integers(2, size=200)
    x = random.normal(size=(200, 2)) + s[:, None] * [1.0, 0.0]
    y = (x[:, 0] + x[:, 1] > 0.5).astype(int)
    parameters = {"lam": 0.0, "max_iter": 60, "random_state": 0}
    first = fit(x, y, s, parameters)
    second = fit(x, 1 - y, 1 - s, parameters)
    agree = (first.predict(x) == 1 - second.predict(x)).mean()
    assert agree > 0.93


@given(problems(), SETTINGS, st.data())
@FEW
def test_weight_of_two_is_a_repeated_row(problem, parameters, data):
    frame, y, s = problem
    weights = np.array(data.draw(st.lists(st.integers(1, 2), min_size=len(y), max_size=len(y))))
    again = np.repeat(np.arange(len(y)), weights)
    repeated = fit(frame.iloc[again].reset_index(drop=True), y[again], s[again], parameters)
    check_same(fit(frame, y, s, parameters, sample_weight=weights), repeated, frame)


@given(problems(), SETTINGS)
@FEW
def test_row_alone_and_predictions_from_z(problem, parameters):
    frame, y, s = problem
    model = fit(frame, y, s, parameters)
    z, scores = model.transform(frame), model.decision_function(frame).reshape(len(y), -1)
    if parameters["schedule"] == "default":
        alone = [model.transform(frame.iloc[[i]]) for i in range(len(y))]
        np.testing.assert_array_equal(np.vstack(alone), z)
    _, which = np.unique(z, axis=0, return_inverse=True)
    for k in np.unique(which):
        assert len(np.unique(scores[which == k], axis=0)) == 1
    assert set(model.predict(frame)) <= set(model.classes_)


# Bad input.

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 3),
    st.floats(allow_nan=True, allow_infinity=True),
    st.text(max_size=2),
    st.dates(),
    st.binary(max_size=2),
    st.just(pd.NA),
    st.just(pd.NaT),
    st.complex_numbers(max_magnitude=3),
    st.lists(st.integers(), max_size=2),
)
N = 8


def columns_of(n_rows):
    return st.one_of(
        st.lists(SCALARS, min_size=n_rows, max_size=n_rows),
        st.lists(st.sampled_from([0, 1, None]), min_size=n_rows, max_size=n_rows),
        st.lists(st.sampled_from(["a", "b"]), min_size=n_rows, max_size=n_rows),
        hnp.arrays(hnp.scalar_dtypes(), n_rows).map(lambda a: a.tolist()),
    )


def to_series(values):
    return pd.Series(values, dtype=object)


def arrays(n_rows):
    shapes = st.sampled_from(
        [(), (n_rows,), (n_rows, 1), (n_rows, 2), (0,), (n_rows, 0), (n_rows, 1, 1)]
    )
    return hnp.arrays(hnp.scalar_dtypes(), shapes)


ANYTHING = st.one_of(
    SCALARS,
    st.integers(0, N).flatmap(columns_of),
    columns_of(N),
    columns_of(N).map(to_series),
    arrays(N),
    st.dictionaries(st.text(max_size=1), st.integers(), max_size=2),
    st.just(object()),
    st.just(pd.DataFrame()),
    st.just(pl.DataFrame()),
    st.just(np.zeros),
)
TABLES = st.one_of(
    ANYTHING,
    st.lists(columns_of(N), min_size=1, max_size=3).map(
        lambda columns: pd.DataFrame({f"c{j}": to_series(v) for j, v in enumerate(columns)})
    ),
    st.lists(columns_of(N), min_size=1, max_size=2).map(
        lambda columns: pd.DataFrame({f"c{j}": v for j, v in enumerate(columns)})
    ),
    hnp.arrays(np.float64, (N, 2)).map(csr_array),
)
GOOD = {
    "X": np.arange(2.0 * N).reshape(N, 2),
    "y": np.arange(N) % 2,
    "sensitive_features": np.arange(N) // 2 % 2,
    "sample_weight": np.ones(N),
}
NAMES = {
    "X": r"\bX\b|feature name",
    "y": r"\by\b",
    "sensitive_features": "sensitive",
    "sample_weight": r"sample_weight|\by\b|sensitive_features",
}


class TrainedError(Exception):
    """Training started: nothing was found wrong."""


def check_answer(arguments, parameters, names):
    """Training starts, or an error names one of the arguments that are not the good ones."""
    with (
        mock.patch.object(fairmi._classifier, "train", side_effect=TrainedError),
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            MIDebiasedClassifier(**{"hidden_layer_sizes": (4,), **parameters}).fit(**arguments)
        except TrainedError:
            pass
        except (ValueError, TypeError) as error:
            text = str(error)
            assert any(pd.Series([text]).str.contains(name).item() for name in names), text


@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("X", TABLES),
        ("y", ANYTHING),
        ("sensitive_features", ANYTHING),
        ("sample_weight", ANYTHING),
    ],
    ids=GOOD.keys(),
)
def test_anything_in_place_of_an_argument(argument, values):
    @given(values)
    @MANY
    def check(value):
        check_answer({**GOOD, argument: value}, {}, [NAMES[argument]])

    check()


@given(st.sampled_from(sorted(MIDebiasedClassifier().get_params())), ANYTHING)
@MANY
def test_anything_in_place_of_a_parameter(name, value):
    with warnings.catch_warnings(action="ignore"):
        check_answer(GOOD, {name: value}, [name])


@given(
    st.fixed_dictionaries(
        {}, optional={"X": TABLES, "y": ANYTHING, "sensitive_features": ANYTHING}
    )
)
@MANY
def test_anything_in_place_of_several_arguments(arguments):
    check_answer({**GOOD, **arguments}, {}, [NAMES[name] for name in arguments] or ["$^"])
