"""A table as a user gives it -> a checked one, and its columns as numbers or objects."""

from __future__ import annotations

import re
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse
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


def table_columns(X: Any) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the columns of a table: numeric ones as float64, all others as objects with None.

    Raises
    ------
    ValueError
        If a numeric column holds an infinite value, or a column is of a type that is neither
        numeric nor a category (a date, a list).
    """
    if issparse(X):
        X = X.toarray()
    if isinstance(X, np.ndarray):
        for j in range(X.shape[1]):
            yield str(j), _finite(str(j), X[:, j].astype(float))
    elif isinstance(X, pd.DataFrame):
        for j in range(X.shape[1]):
            name = str(X.columns[j])
            yield name, _finite(name, _pandas_values(name, X.iloc[:, j]))
    else:
        frame = nw.from_native(X, eager_only=True)
        for name in frame.columns:
            yield name, _finite(name, _frame_values(name, frame[name]))


def _pandas_values(name: str, column: pd.Series) -> np.ndarray:
    dtype = column.dtype
    number = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    categorical = isinstance(dtype, pd.CategoricalDtype)  # of truths, is_bool_dtype says yes
    if number and not (categorical or pd.api.types.is_complex_dtype(dtype)):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if categorical:
        names = column.cat.categories
        categories = np.empty(len(names) + 1, dtype=object)  # a missing value's code is -1
        categories[:-1] = names.to_numpy(dtype=object)
        return categories[column.cat.codes.to_numpy()]
    if pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
        values = column.astype(object).to_numpy(dtype=object, copy=True)
        values[column.isna().to_numpy()] = None
        return _hashable(name, values)
    raise _unknown_type(name, dtype)


def _frame_values(name: str, column: nw.Series) -> np.ndarray:
    dtype = column.dtype
    if dtype.is_numeric() or dtype == nw.Boolean:
        return column.cast(nw.Float64).to_numpy().astype(np.float64)
    if dtype in (nw.String, nw.Categorical, nw.Enum, nw.Object):
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
        return _hashable(name, values)
    if column.null_count() == len(column):
        return np.full(len(column), None, dtype=object)
    raise _unknown_type(name, dtype)


def _hashable(name: str, values: np.ndarray) -> np.ndarray:
    odd = next((value for value in values if not isinstance(value, Hashable)), None)
    if odd is not None:
        raise _unknown_type(name, type(odd).__name__)
    return values


def _unknown_type(name: str, dtype: Any) -> ValueError:
    return ValueError(
        f"Column {name!r} of X has dtype {dtype}, which is neither numeric nor categorical; "
        "convert it to numbers, text or categories, or drop it."
    )


def _finite(name: str, values: np.ndarray) -> np.ndarray:
    if values.dtype != object and (np.abs(values) > np.finfo(np.float32).max).any():
        what = "an infinite value" if np.isinf(values).any() else "a value above 3e38 in size"
        raise ValueError(
            f"Column {name!r} of X holds {what}; replace it by a number, or by NaN for a missing "
            "one."
        )
    return values
