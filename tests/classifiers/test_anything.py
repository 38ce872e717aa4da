"""Anything at all in place of an argument: a ValueError or TypeError that names it, or none."""

from __future__ import annotations

import warnings
from functools import cache
from unittest import mock

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.sparse import csr_array

from fairmi import MIBackpropClassifier, MIDebiasedClassifier
from fairmi.networks.trainer import Trainer

MANY = settings(max_examples=500, deadline=None, suppress_health_check=[HealthCheck.too_slow])

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
    "classes": r"\bclasses\b",
}


class TrainedError(Exception):
    """Training started: nothing was found wrong."""


def check_names(text, names):
    assert any(pd.Series([text]).str.contains(name).item() for name in names), text


def check_answer(arguments, model, names, method="fit"):
    """Training starts, or an error names one of the arguments that are not the good ones."""
    with (
        mock.patch.object(Trainer, "train", side_effect=TrainedError),
        mock.patch("fairmi.networks.trainer.run_epochs", side_effect=TrainedError),
        mock.patch.object(Trainer, "feed", side_effect=TrainedError),
        warnings.catch_warnings(action="ignore"),
    ):
        try:
            getattr(model, method)(**arguments)
        except TrainedError:
            pass
        except (ValueError, TypeError) as error:
            check_names(str(error), names)


def fresh():
    return MIDebiasedClassifier(hidden_layer_sizes=(4,))


@cache
def streamed():
    model = MIDebiasedClassifier(hidden_layer_sizes=(4,), random_state=0)
    return model.partial_fit(**GOOD, classes=[0, 1])


@pytest.mark.slow
@pytest.mark.parametrize("kind", [MIDebiasedClassifier, MIBackpropClassifier])
def test_anything_in_place_of_a_parameter(kind):
    @given(st.sampled_from(sorted(kind().get_params())), ANYTHING)
    @MANY
    def check(name, value):
        model = kind(**{"hidden_layer_sizes": (4,), name: value})
        check_answer(GOOD, model, [name])

    check()


@pytest.mark.slow
@given(ANYTHING, st.booleans())
@MANY
def test_anything_in_place_of_sensitive_columns(value, drop):
    model = MIDebiasedClassifier(
        hidden_layer_sizes=(4,), sensitive_columns=value, drop_sensitive=drop
    )
    arguments = {"X": np.column_stack([GOOD["X"], GOOD["y"]]), "y": GOOD["y"]}
    check_answer(
        arguments, model, ["sensitive_columns", "No sensitive features", "drop_sensitive"]
    )


@pytest.mark.slow
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "X": TABLES,
            "y": ANYTHING,
            "sensitive_features": ANYTHING,
            "sample_weight": ANYTHING,
        },
    )
)
@MANY
def test_anything_in_place_of_several_arguments(arguments):
    check_answer({**GOOD, **arguments}, fresh(), [NAMES[name] for name in arguments] or ["$^"])


@pytest.mark.slow
@pytest.mark.parametrize("later", [False, True], ids=["first", "later"])
@pytest.mark.parametrize(
    ("argument", "values"),
    [
        ("X", TABLES),
        ("y", ANYTHING),
        ("classes", ANYTHING),
        ("sensitive_features", ANYTHING),
        ("sample_weight", ANYTHING),
    ],
    ids=["X", "y", "classes", "sensitive_features", "sample_weight"],
)
def test_anything_in_place_of_an_argument_of_partial_fit(argument, values, later):
    good = {**GOOD, "classes": [0, 1]}

    @given(values)
    @MANY
    def check(value):
        model = streamed() if later else fresh()
        check_answer({**good, argument: value}, model, [NAMES[argument]], "partial_fit")

    check()


@pytest.mark.slow
@pytest.mark.parametrize("method", ["predict_proba", "transform"])
def test_anything_in_place_of_x_at_prediction(method):
    @given(TABLES)
    @MANY
    def check(value):
        check_answer({"X": value}, streamed(), [NAMES["X"]], method)

    check()
