"""One column of a table -> a float32 that says where it lies among knots or categories."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse
from sklearn.tree import DecisionTreeClassifier

_FEWEST_ROWS_IN_BIN = 20


@dataclass(frozen=True)
class NumericColumn:
    """Knots of a piecewise-linear encoding; two knots alone make a linear one."""

    name: str
    knots: np.ndarray
    has_missing: bool

    @property
    def n_intervals(self) -> int:
        """Intervals between knots."""
        return len(self.knots) - 1

    def places(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie, (n,) float32: k + 0.25 is a quarter into interval k.

        Beyond the knots it is that of the nearest one; a missing value is NaN.
        """
        if not self.n_intervals:
            return np.where(np.isnan(values), np.nan, 0).astype(np.float32)
        k = np.searchsorted(self.knots, values, side="right") - 1
        k = np.clip(k, 0, self.n_intervals - 1)
        low, high = self.knots[k], self.knots[k + 1]
        places = (k + np.clip((values - low) / (high - low), 0, 1)).astype(np.float32)
        # What lies before a knot must stay before it when it is rounded.
        before = np.nextafter((k + 1).astype(np.float32), np.float32(0))
        return np.where(values < high, np.minimum(places, before), places)


@dataclass(frozen=True)
class CategoricalColumn:
    """Categories of a one-hot encoding; a category that fit never saw counts as missing."""

    name: str
    categories: np.ndarray
    has_missing: bool

    def places(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value's category, (n,) float32, -1 where it is missing."""
        index = pd.Index(self.categories, dtype=object)
        return index.get_indexer(pd.Index(values, dtype=object)).astype(np.float32)


Column = NumericColumn | CategoricalColumn


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


def as_at_fit(plan: Column, name: str, values: np.ndarray) -> np.ndarray:
    """Return a column's values in the type that it had at fit, where they are all missing.

    Raises
    ------
    ValueError
        If it was numeric and is text or categorical now, or the other way round.
    """
    categorical = isinstance(plan, CategoricalColumn)
    if pd.isna(values).all():
        # Nothing to see: one row without the value has no telling type.
        return np.full(
            len(values), None if categorical else np.nan, object if categorical else float
        )
    if (values.dtype == object) != categorical:
        kinds = ("numeric", "text or categorical")
        seen, now = kinds if values.dtype == object else kinds[::-1]
        raise ValueError(
            f"Column {name!r} of X was {seen} at fit and is {now} now; "
            "give it the type that it had."
        )
    return values


def numeric_column(
    name: str, values: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int
) -> NumericColumn:
    """Learn the knots of a column: its ends, and where a small tree splits it to predict y."""
    present = ~np.isnan(values) & (weights > 0)
    has_missing = bool((np.isnan(values) & (weights > 0)).any())
    x = values[present]
    if not x.size:
        return NumericColumn(name, np.zeros(1), has_missing)
    ends = np.unique([x.min(), x.max()])
    if n_bins < 4 or len(ends) < 2:
        return NumericColumn(name, ends, has_missing)
    share = _FEWEST_ROWS_IN_BIN / weights[present].sum()
    tree = DecisionTreeClassifier(
        max_leaf_nodes=n_bins, min_weight_fraction_leaf=min(max(share, 1e-3), 0.1), random_state=0
    )
    nodes = tree.fit(x[:, None], y[present], sample_weight=weights[present]).tree_
    knots = np.unique(np.concatenate([ends, nodes.threshold[nodes.feature >= 0]]))
    return NumericColumn(name, knots, has_missing)


def categorical_column(name: str, values: np.ndarray) -> CategoricalColumn:
    """Learn the categories of a column."""
    missing = pd.isna(values)
    categories = pd.unique(values[~missing])
    order: Callable[[Any], str] = str
    ordered = np.empty(len(categories), dtype=object)
    ordered[:] = sorted(categories, key=order)
    return CategoricalColumn(name, ordered, bool(missing.any()))


def _pandas_values(name: str, column: pd.Series) -> np.ndarray:
    dtype = column.dtype
    number = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    categorical = isinstance(dtype, pd.CategoricalDtype)  # of truths, is_bool_dtype says yes
    if number and not (categorical or pd.api.types.is_complex_dtype(dtype)):
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    if categorical or pd.api.types.is_object_dtype(dtype) or pd.api.types.is_string_dtype(dtype):
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
