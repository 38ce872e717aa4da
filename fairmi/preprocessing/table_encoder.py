"""A table in any form -> one float32 array for networks and linear models alike."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from scipy.sparse import csr_array, diags_array, hstack, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fairmi._data.saved_format import check_encoder, of_this_format, with_format
from fairmi._data.tables import read_columns
from fairmi._sklearn_compat import DocLinkMixin
from fairmi.preprocessing.calendar_parts import N_PARTS, with_calendar
from fairmi.preprocessing.encoded_columns import (
    Column,
    categorical_column,
    column_from_plain,
    column_to_plain,
    numeric_column,
    read_alike,
)
from fairmi.preprocessing.layout import Layout, layout_of

# Bins of all numeric columns together: a wide table gets fewer a column, so that its width stays.
_BIN_BUDGET = 2048
_MAX_BINS = 16


class TableEncoder(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Encode a table as float32 columns of mean 0: piecewise-linear, one-hot, missing as such.

    A numeric column becomes a ramp for each interval between its knots and a step at each inner
    knot: the piecewise-linear functions with jumps there. Knots are the thresholds of a small
    decision tree that predicts y from that column alone, at most 16 leaves of at least 20 rows
    (of more than 100,000 rows it reads the classes in 4,096 cells of about equal weight); a
    table with more than 512 numeric columns gets two knots each, which is a linear encoding.
    Text, categorical and other columns become an indicator for each category; of more than
    `max_categories` the rarest share one, and one that a single row has is read as unseen,
    whatever that row weighs. A missing numeric value is the column's mean together
    with an indicator. Sparse columns are scaled to at most 1 in size, and stay sparse; a missing
    value there is 0 together with an indicator.

    The values tell the kind, not the dtype: numbers, booleans among them, in a column of objects
    are numbers. A date is a number, its days since 1970 by the clock that it shows, and four more
    columns: month, day of the month, day of the week, and hour. Durations and times of day are
    days.

    Source: Gorishniy et al., *On Embeddings for Numerical Features in Tabular Deep Learning*,
    arXiv 2203.05556 (target-aware bins).

    Parameters
    ----------
    max_categories : int, default=100
        Indicators of a column at most, what is missing aside.

    Attributes
    ----------
    columns_ : list of NumericColumn and CategoricalColumn, or None for a sparse table
    dates_ : list of int, the columns of a table that hold dates
    layout_ : Layout, or None for a sparse table
    scale_ : ndarray of shape (n_features,), float32, for a sparse table
    missing_ : ndarray, the columns of a sparse table with missing values

    Examples
    --------
    >>> import pandas as pd
    >>> X = pd.DataFrame({"age": [20, 30, 40, 50] * 20, "job": ["a", "b", "a", None] * 20})
    >>> TableEncoder().fit_transform(X, [0, 0, 1, 1] * 20).shape
    (80, 6)
    """

    columns_: list[Column] | None
    layout_: Layout | None

    def __init__(self, *, max_categories: int = 100) -> None:
        self.max_categories = max_categories

    def fit(self, X: Any, y: Any, sample_weight: np.ndarray | None = None) -> Self:
        """Learn knots and categories from X (n_rows, n_features) and classes y (n_rows,).

        Weights are counts of rows: a row of weight 0 is as absent.
        """
        if issparse(X):
            return self._fit_sparse(X)
        found = [read for _, read in read_columns(X)]
        self.dates_ = [j for j, read in enumerate(found) if read.is_date]
        n_numeric = sum(read.values.dtype != object for read in found)
        n_bins = min(_MAX_BINS, _BIN_BUDGET // max(n_numeric, 1))
        classes = np.asarray(y)
        weights = np.ones(len(classes))
        if sample_weight is not None:
            weights = np.asarray(sample_weight, float)
        columns: list[Column] = []
        positions = []
        for name, values, is_date in with_calendar(X, self.dates_):
            if values.dtype == object:
                column: Column = categorical_column(name, values, weights, self.max_categories)
            else:
                column = numeric_column(name, values, classes, weights, n_bins)
                column = replace(column, is_date=is_date)
            columns.append(column)
            positions.append(column.positions(values))
        self.columns_, self.layout_ = columns, layout_of(columns, positions, weights)
        return self

    def _fit_sparse(self, X: Any) -> Self:
        self.columns_, self.layout_ = None, None
        values, missing = _sparse_parts(X)
        self.missing_ = np.unique(missing.indices)
        size = abs(values).max(axis=0).toarray().ravel()
        self.scale_ = (1 / np.where(size > 0, size, 1)).astype(np.float32)
        return self

    def positions(self, X: Any) -> Any:
        """Return where each value lies among the knots or categories of its column.

        Returns
        -------
        ndarray of shape (n_rows, n_columns), float32
            What `layout_` spreads out: the columns of X, and parts of the calendar after a date.
            Of a sparse table the encoded rows, a csr_array.
        """
        check_is_fitted(self, "columns_")
        if self.columns_ is None:
            values, missing = _sparse_parts(X)
            scaled = values @ diags_array(self.scale_)
            return hstack([scaled, missing[:, self.missing_]], format="csr", dtype=np.float32)
        columns = self.columns_
        return read_alike(
            columns,
            with_calendar(X, self.dates_),
            lambda j, values: columns[j].positions(values),
            np.empty((X.shape[0], len(columns)), dtype=np.float32),
        )

    def transform(self, X: Any) -> Any:
        """Return the encoded rows: ndarray (n_rows, n_encoded) float32, or csr_array if sparse."""
        return self.expand(self.positions(X))

    def expand(self, positions: Any) -> Any:
        """Return the encoded rows of `positions`."""
        return positions if self.layout_ is None else self.layout_.expand(positions)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the encoded columns, (n_encoded,), such as "job=clerk", "pay>=30.5".

        `set_output` gives frames of these names; a sparse table has none, as everywhere in
        scikit-learn. `input_features` is not read: names are those of fit.
        """
        check_is_fitted(self, "columns_")
        if self.columns_ is None or self.layout_ is None:
            names = [str(j) for j in range(len(self.scale_))]
            names += [f"{j} is missing" for j in self.missing_]
        else:
            names = self.layout_.names(self.columns_)
        return np.array(names, dtype=object)

    @property
    def n_columns(self) -> int:
        """Columns of X that fit saw."""
        check_is_fitted(self, "columns_")
        if self.columns_ is None:
            return len(self.scale_)
        return len(self.columns_) - N_PARTS * len(self.dates_)

    @property
    def n_encoded(self) -> int:
        """Columns that `transform` returns."""
        check_is_fitted(self, "columns_")
        if self.layout_ is None:
            return len(self.scale_) + len(self.missing_)
        return self.layout_.width

    def __getstate__(self) -> dict[str, Any]:
        """Return plain data alone: arrays, numbers and strings."""
        state = dict(super().__getstate__())
        if state.get("columns_") is not None:
            state["columns_"] = [column_to_plain(column) for column in self.columns_ or ()]
            state["layout_"] = vars(self.layout_)
        return with_format(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data.

        Raises
        ------
        ValueError
            If it was saved in another format, or something in it doesn't fit.
        """
        state = of_this_format(state, type(self))
        check_encoder(state)
        if state.get("columns_") is not None:
            state["columns_"] = [column_from_plain(plain) for plain in state["columns_"]]
            state["layout_"] = Layout(**state["layout_"])
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories, text and sparse tables; need y."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        tags.target_tags.required = True
        return tags


# Saved models name the public place of a class, which stays where its file moves.
TableEncoder.__module__ = "fairmi.preprocessing"


def _sparse_parts(X: Any) -> tuple[csr_array, csr_array]:
    """Return the values, missing ones as 0, and indicators of what is missing."""
    values = csr_array(X)
    if (np.abs(values.data) > np.finfo(np.float32).max).any():
        raise ValueError("X holds a value above 3e38 in size; replace it, or scale X.")
    gaps = np.isnan(values.data)
    rows = np.repeat(np.arange(values.shape[0]), np.diff(values.indptr))[gaps]
    positions = (rows, values.indices[gaps])
    missing = csr_array((np.ones(gaps.sum()), positions), shape=values.shape)
    if gaps.any():
        values = values.copy()
        values.data[gaps] = 0
    return values, missing
