"""A table as a user gives it -> a checked one: each error names the argument and the fix."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from fairmi.exceptions import SensitiveFeaturesError


def check_table(estimator: BaseEstimator, X: Any, *, reset: bool, argument: str = "X") -> Any:
    """Return X as a DataFrame, a float array or a CSR array, its width and names checked."""
    with named(argument):
        return _checked_table(estimator, X, reset=reset)


@contextmanager
def named(argument: str) -> Iterator[None]:
    """Give an error of what is inside the argument's name, if its text doesn't have it."""
    try:
        yield
    except SensitiveFeaturesError:
        raise
    except (ValueError, TypeError) as error:
        named_error = naming(argument, error)
        if named_error is error:
            raise
        raise named_error from error


def _checked_table(estimator: BaseEstimator, X: Any, *, reset: bool) -> Any:
    _check_unique_names(X)
    if is_frame(X):
        try:
            # Which frames' names are read differs between versions of scikit-learn: pandas' are.
            header = X if isinstance(X, pd.DataFrame) else pd.DataFrame(columns=list(X.columns))
            validate_data(estimator, header, reset=reset, skip_check_array=True)
        except TypeError as error:
            raise naming("X", error) from error
        if not X.shape[1]:
            raise ValueError("Found array with 0 feature(s): X has no column; give at least one.")
        if not len(X):
            raise ValueError(
                "Found array with 0 sample(s): X is empty; a minimum of 1 is required."
            )
        return X
    try:
        return validate_data(
            estimator,
            X,
            reset=reset,
            accept_sparse="csr",
            dtype=[np.float64, np.float32],
            ensure_all_finite="allow-nan",
        )
    except (ValueError, TypeError) as error:
        if "could not convert" not in str(error):
            raise naming("X", error) from error
        raise ValueError(
            f"X is an array that holds text ({error}); give a DataFrame, whose columns each have "
            "a type, or encode the text first."
        ) from error


def check_indexes(**tables: Any) -> None:
    """Raise ValueError where two pandas arguments are of equal length but disagree on index."""
    pandas = {k: v for k, v in tables.items() if isinstance(v, pd.Series | pd.DataFrame)}
    if not pandas:
        return
    first, *others = pandas
    for other in others:
        if len(pandas[first]) == len(pandas[other]) and not pandas[first].index.equals(
            pandas[other].index
        ):
            raise ValueError(
                f"The indexes of {first} and {other} differ: their rows would be paired by "
                f"position, not by index. Align them first, as in {other}.loc[{first}.index], or "
                f"drop the index with {other}.reset_index(drop=True) on both."
            )


def is_frame(X: Any) -> bool:
    """Whether X is a DataFrame of pandas, polars or another library that narwhals knows."""
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def n_rows(X: Any) -> int:
    """Return the number of rows of a table in any form."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


def _check_unique_names(X: Any) -> None:
    if isinstance(X, pd.DataFrame) and not X.columns.is_unique:
        twice = X.columns[X.columns.duplicated()][0]
        raise ValueError(f"X has two columns named {twice!r}; rename one of them.")


def naming(argument: str, error: Exception) -> Exception:
    """Return the error with the argument's name in its text, if it is not there."""
    text = str(error)
    if re.search(rf"\b{argument}\b", text):
        return error
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{argument}: {text}")
