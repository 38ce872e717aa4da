"""A table in any form -> the values of its columns: numbers, or objects."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse


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
