"""A table in any form -> one float32 array for networks and linear models alike."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, Self

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array, hstack, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.tree import DecisionTreeClassifier
from sklearn.utils.validation import check_is_fitted

# Bins of all numeric columns together: a wide table gets fewer a column, so that its width stays.
_BIN_BUDGET = 2048
_MAX_BINS = 16
_FEWEST_ROWS_IN_BIN = 20


@dataclass(frozen=True)
class NumericColumn:
    """Knots of a piecewise-linear encoding; two knots alone make a linear one."""

    name: str
    knots: np.ndarray
    has_missing: bool

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return a ramp for each interval, a step at each inner knot, and what is missing.

        A missing value is NaN in its ramps and steps.
        """
        x = values[:, None]
        low, high = self.knots[:-1], self.knots[1:]
        ramps = np.clip((x - low) / (high - low), 0, 1)
        steps = np.where(np.isnan(x), np.nan, x >= self.knots[1:-1])
        missing = np.isnan(x) if self.has_missing else x[:, :0]
        return np.hstack([ramps, steps, missing])


@dataclass(frozen=True)
class CategoricalColumn:
    """Categories of a one-hot encoding; a category that fit never saw counts as missing."""

    name: str
    categories: np.ndarray
    has_missing: bool

    def encode(self, values: np.ndarray) -> np.ndarray:
        """Return an indicator for each category, and of what is missing where fit saw any."""
        codes = pd.Index(self.categories, dtype=object).get_indexer(pd.Index(values, dtype=object))
        levels = np.arange(len(self.categories))
        if self.has_missing:
            levels = np.append(levels, -1)
        return codes[:, None] == levels


class TableEncoder(TransformerMixin, BaseEstimator):
    """Encode a table as float32 columns of mean 0: piecewise-linear, one-hot, missing as such.

    A numeric column becomes a ramp for each interval between its knots and a step at each inner
    knot: the piecewise-linear functions with jumps there. Knots are the thresholds of a small
    decision tree that predicts y from that column alone, at most 16 leaves of at least 20 rows; a
    table with more than 512 numeric columns gets two knots each, which is a linear encoding.
    Text, categorical and other columns become an indicator for each category. A missing numeric
    value is the column's mean together with an indicator. Sparse columns are scaled to at most 1
    in size, and stay sparse; a missing value there is 0 together with an indicator.

    Source: Gorishniy et al., *On Embeddings for Numerical Features in Tabular Deep Learning*,
    arXiv 2203.05556 (target-aware bins).

    Attributes
    ----------
    columns_ : list of NumericColumn and CategoricalColumn, or None for a sparse table
    mean_ : ndarray of shape (n_encoded,), float32
    scale_ : ndarray of shape (n_features,), float32, for a sparse table
    missing_ : ndarray, the columns of a sparse table with missing values

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 20, "job": ["a", "b", "a", None] * 20})
    >>> TableEncoder().fit_transform(X, [0, 0, 1, 1] * 20).shape
    (80, 6)
    """

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn knots and categories from X (n_rows, n_features) and classes y (n_rows,).

        Weights are counts of rows: a row of weight 0 is as absent.
        """
        if issparse(X):
            self.columns_: list[NumericColumn | CategoricalColumn] | None = None
            values, missing = _sparse_parts(X)
            self.missing_ = np.unique(missing.indices)
            size = abs(values).max(axis=0).toarray().ravel()
            self.scale_ = (1 / np.where(size > 0, size, 1)).astype(np.float32)
            return self
        weights = np.ones(len(X)) if sample_weight is None else np.asarray(sample_weight, float)
        columns = table_columns(X)
        n_numeric = sum(values.dtype != object for _, values in columns)
        n_bins = min(_MAX_BINS, _BIN_BUDGET // max(n_numeric, 1))
        classes = np.asarray(y)
        self.columns_ = [
            _categorical(name, values)
            if values.dtype == object
            else _numeric(name, values, classes, weights, n_bins)
            for name, values in columns
        ]
        means = [
            _weighted_mean(plan.encode(values), weights)
            for plan, (_, values) in zip(self.columns_, columns, strict=True)
        ]
        self.mean_ = np.concatenate(means)
        return self

    def transform(self, X: Any) -> Any:
        """Return the encoded rows: ndarray (n_rows, n_encoded) float32, or csr_array if sparse."""
        check_is_fitted(self, "columns_")
        if self.columns_ is None:
            values, missing = _sparse_parts(X)
            scaled = values @ diags_array(self.scale_)
            return hstack([scaled, missing[:, self.missing_]], format="csr", dtype=np.float32)
        columns = table_columns(X)
        encoded = np.empty((len(columns[0][1]), len(self.mean_)), dtype=np.float32)
        stop = 0
        for plan, (name, values) in zip(self.columns_, columns, strict=True):
            part = plan.encode(_as_at_fit(plan, name, values))
            start, stop = stop, stop + part.shape[1]
            encoded[:, start:stop] = np.nan_to_num(part - self.mean_[start:stop], nan=0.0)
        return encoded

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories, text and sparse tables; need y."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags


def table_columns(X: Any) -> list[tuple[str, np.ndarray]]:
    """Return the columns of a table: numeric ones as float64, all others as objects with None.

    Raises
    ------
    ValueError
        If a numeric column holds an infinite value, or a column is of a type that is neither
        numeric nor a category (a date, a list).
    """
    if issparse(X):
        X = X.toarray()
    if isinstance(X, np.ndarray):
        return [(str(j), _finite(str(j), X[:, j].astype(float))) for j in range(X.shape[1])]
    if isinstance(X, pd.DataFrame):
        named = [(str(X.columns[j]), X.iloc[:, j]) for j in range(X.shape[1])]
        return [(name, _finite(name, _pandas_values(name, column))) for name, column in named]
    frame = nw.from_native(X, eager_only=True)
    return [(name, _finite(name, _frame_values(name, frame[name]))) for name in frame.columns]


def _as_at_fit(
    plan: NumericColumn | CategoricalColumn, name: str, values: np.ndarray
) -> np.ndarray:
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


def _sparse_parts(X: Any) -> tuple[csr_array, csr_array]:
    """Return the values, missing ones as 0, and indicators of what is missing."""
    values = csr_array(X)
    if (np.abs(values.data) > np.finfo(np.float32).max).any():
        raise ValueError("X holds a value above 3e38 in size; replace it, or scale X.")
    gaps = np.isnan(values.data)
    rows = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))[gaps]
    places = (rows, values.indices[gaps])
    missing = csr_array((np.ones(gaps.sum()), places), shape=values.shape)
    if gaps.any():
        values = values.copy()
        values.data[gaps] = 0
    return values, missing


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


def _numeric(
    name: str, values: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int
) -> NumericColumn:
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


def _categorical(name: str, values: np.ndarray) -> CategoricalColumn:
    missing = pd.isna(values)
    categories = pd.unique(values[~missing])
    order: Callable[[Any], str] = str
    ordered = np.empty(len(categories), dtype=object)
    ordered[:] = sorted(categories, key=order)
    return CategoricalColumn(name, ordered, bool(missing.any()))


def _weighted_mean(part: np.ndarray, weights: np.ndarray) -> np.ndarray:
    present = ~np.isnan(part) if part.dtype != bool else np.ones_like(part)
    total = weights @ present
    mean = weights @ np.where(present, part, 0) / np.where(total > 0, total, 1)
    # In float32, so that the order in which rows are summed leaves no trace.
    return mean.astype(np.float32)
