"""A table in any form -> one float32 array for all models that read numbers; equal rows once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.sparse import csr_array, diags_array, hstack, issparse
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_encoder, of_this_format, with_format
from fairmi._data.values import n_rows, read_columns, to_pandas
from fairmi._sklearn_compat import DocLinkMixin
from fairmi._typing import ColumnLike, TableLike
from fairmi.preprocessing.encoded_columns import (
    N_PARTS,
    CategoricalColumn,
    Column,
    NumericColumn,
    categorical_column,
    numeric_column,
    read_alike,
    with_calendar,
)

# Bins of all numeric columns together: a wide table gets fewer a column, so that its width stays.
_BIN_BUDGET = 2048
_MAX_BINS = 16
_PARTS = range(1, N_PARTS + 1)  # of a date, behind it


class TableEncoder(DocLinkMixin, TransformerMixin, BaseEstimator):
    """Encode a table as float32 columns of mean 0: piecewise-linear, one-hot, missing as such.

    A numeric column becomes a ramp for each interval between its knots and a step at each inner
    knot: the piecewise-linear functions with jumps there. Knots are the thresholds of a small
    decision tree that predicts y from that column alone, at most 16 leaves of at least 20 rows
    (of more than 100,000 rows it reads the classes in 4,096 cells of about equal weight), and
    without y the column's quantiles; a table with more than 512 numeric columns gets two knots
    each, which is a linear encoding. Text, categorical and other columns become an indicator for
    each category; of more than `max_categories` the rarest share one, and one that a single row
    has is read as unseen, whatever that row weighs. A missing numeric value is the column's mean
    together with an indicator. Sparse columns are scaled to at most 1 in size, and stay sparse; a
    missing value there is 0 together with an indicator.

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

    def fit(
        self, X: TableLike, y: ColumnLike | None = None, sample_weight: np.ndarray | None = None
    ) -> Self:
        """Learn knots and categories from X (n_rows, n_features) and classes y (n_rows,).

        Weights are counts of rows: a row of weight 0 is as absent.
        """
        X = _as_table(X)
        if issparse(X):
            return self._fit_sparse(X)
        if self.max_categories < 1:
            raise ValueError(f"max_categories={self.max_categories!r} must be an int above 0.")
        for argument, of_rows in (("y", y), ("sample_weight", sample_weight)):
            if of_rows is not None and n_rows(of_rows) != X.shape[0]:
                raise ValueError(f"{argument} has {n_rows(of_rows)} rows, but X has {X.shape[0]}.")
        read = list(read_columns(X))
        self.dates_ = [j for j, column in enumerate(read) if column.is_date]
        n_numeric = sum(column.values.dtype != object for column in read)
        n_bins = min(_MAX_BINS, _BIN_BUDGET // max(n_numeric, 1))
        classes = None if y is None else np.asarray(y)
        weights = np.ones(X.shape[0])
        if sample_weight is not None:
            weights = np.asarray(sample_weight, float)
        columns: list[Column] = []
        positions = []
        for values in with_calendar(X, self.dates_):
            if values.values.dtype == object:
                columns.append(categorical_column(values, weights, self.max_categories))
            else:
                columns.append(numeric_column(values, classes, weights, n_bins))
            positions.append(columns[-1].positions(values.values))
        self.columns_, self.layout_ = columns, layout_of(columns, positions, weights)
        return self

    def _fit_sparse(self, X: TableLike) -> Self:
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

        def place(j: int, values: np.ndarray) -> np.ndarray:
            return columns[j].positions(values)

        positions = np.empty((X.shape[0], len(columns)), dtype=np.float32)
        return read_alike(X, columns, self.dates_, place, positions)

    def codes(self, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return `positions` of a table as trees read them, and the categories of each column.

        Returns
        -------
        codes : ndarray of shape (n_rows, n_columns), float64
            NaN where a value is missing. In order those of a number are what it is.
        n_categories : ndarray of shape (n_columns,)
            0 for a column of numbers.
        """
        known = [getattr(column, "categories", ()) for column in self.columns_ or ()]
        n_categories = np.array([len(categories) for categories in known])
        codes = positions.astype(np.float64)
        codes[codes < 0] = np.nan
        return codes, n_categories

    def transform(self, X: TableLike) -> Any:
        """Return the encoded rows: ndarray (n_rows, n_encoded) float32, or csr_array if sparse."""
        check_is_fitted(self, "columns_")
        return self.expand(self.positions(_as_table(X, self.n_columns)))

    def expand(self, positions: Any) -> Any:
        """Return the encoded rows of `positions`."""
        return positions if self.layout_ is None else self.layout_.expand(positions)

    def decode(self, positions: np.ndarray) -> list[np.ndarray]:
        """Return the values (n_rows,) of each column of X that lie at `positions`.

        A missing value is NaN, or None among categories; parts of the calendar are left out.
        """
        check_is_fitted(self, "columns_")
        parts = {j + N_PARTS * k + part for k, j in enumerate(self.dates_) for part in _PARTS}
        pairs = enumerate(zip(self.columns_ or (), positions.T, strict=True))
        return [column.decode(at) for j, (column, at) in pairs if j not in parts]

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
            kinds = {NumericColumn: "numeric", CategoricalColumn: "categorical"}
            state["columns_"] = [{"kind": kinds[type(c)], **vars(c)} for c in self.columns_ or ()]
            state["layout_"] = vars(self.layout_)
        return with_format(state)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data."""
        state = of_this_format(state, type(self))
        check_encoder(state)
        if state.get("columns_") is not None:
            made: dict[str, Any] = {"numeric": NumericColumn, "categorical": CategoricalColumn}
            state["columns_"] = [made[plain.pop("kind")](**plain) for plain in state["columns_"]]
            state["layout_"] = Layout(**state["layout_"])
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Take missing values, categories, text and sparse tables."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        tags.input_tags.sparse = True
        return tags


# Saved models name the public place of a class, which stays where its file moves.
TableEncoder.__module__ = "fairmi.preprocessing"


def _as_table(X: Any, n_columns: int | None = None) -> Any:
    """Return X as what has a shape; ValueError where it is no table, or of another width."""
    table = to_pandas(X)
    table = table if hasattr(table, "shape") else pd.DataFrame(table)
    if len(table.shape) != 2 or n_columns not in (None, table.shape[1]):
        wanted = "a table" if n_columns is None else f"the {n_columns} columns of fit"
        raise ValueError(f"X has the shape {tuple(table.shape)}; give {wanted}.")
    return table


def _sparse_parts(X: TableLike) -> tuple[csr_array, csr_array]:
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


# Larger than any position over its least distance from the knot after it.
_STEEP = np.float32(1e9)
_ROWS_AT_ONCE = 4096  # of a pass that stays in the cache


@dataclass(frozen=True)
class Layout:
    """What each encoded column is made of: ramps first, then steps, indicators, what is missing.

    An encoded column is clip((positions[source] - offset) * slope + base, 0, 1) for ramps and
    steps, and whether positions[source] is `offset`, or missing, for the others; less its mean.
    """

    source: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    base: np.ndarray
    n_ramped: int
    n_indicators: int
    mean: np.ndarray

    @property
    def width(self) -> int:
        """Encoded columns P."""
        return len(self.source)

    def names(self, columns: Sequence[Column]) -> list[str]:
        """Return a name of each encoded column, (P,): a ramp's says where it rises."""
        names = []
        for k, (j, offset) in enumerate(zip(self.source, self.offset.astype(int), strict=True)):
            column = columns[j]
            if k >= self.n_ramped + self.n_indicators or offset < 0:
                names.append(f"{column.name} is missing")
            elif isinstance(column, CategoricalColumn):
                value = column.categories[offset]
                is_rest = column.rest and offset == len(column.categories) - 1
                shown = "others" if is_rest else value if isinstance(value, str) else repr(value)
                names.append(f"{column.name}={shown}")
            elif k < self.n_ramped and self.slope[k] == 1:
                low, high = column.knots[offset : offset + 2].tolist()
                names.append(f"{column.name}: {low:g} to {high:g}")
            else:
                names.append(f"{column.name}>={column.knots[offset]:g}")
        seen: dict[str, int] = {}
        for k, name in enumerate(names):  # numbers alike in six digits
            seen[name] = seen.get(name, 0) + 1
            names[k] = name if seen[name] == 1 else f"{name} ({seen[name]})"
        return names

    def expand(self, positions: np.ndarray) -> np.ndarray:
        """Return the encoded rows, (n, P) float32, of positions (n, n_columns) float32."""
        encoded = np.empty((len(positions), self.width), dtype=np.float32)
        for start in range(0, len(positions), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            encoded[part] = self._columns(positions[part]).T
        return encoded

    def _columns(self, positions: np.ndarray) -> np.ndarray:
        columns = np.take(positions.T, self.source, axis=0)
        columns -= self.offset[:, None]
        ramped, indicators, missing = np.split(
            columns, [self.n_ramped, self.n_ramped + self.n_indicators]
        )
        ramped *= self.slope[:, None]
        ramped += self.base[:, None]
        np.clip(ramped, 0, 1, out=ramped)
        indicators[:] = indicators == 0
        missing[:] = np.isnan(missing)
        columns -= self.mean[:, None]
        return np.nan_to_num(columns, copy=False)


def layout_of(
    columns: Sequence[Column], positions: Sequence[np.ndarray], weights: np.ndarray
) -> Layout:
    """Return the layout of columns, and the mean of each over rows of `weights` (n,)."""
    rows = [
        (part, j, *of_part)
        for j, (column, at) in enumerate(zip(columns, positions, strict=True))
        for part, *of_part in _parts(column, at, weights)
    ]
    table = np.array(sorted(rows, key=lambda row: row[0])).reshape(-1, 6)
    part, single = table[:, 0], table.astype(np.float32)
    n_ramped = int((part < _INDICATOR).sum())
    return Layout(
        source=table[:, 1].astype(np.int64),
        offset=single[:, 2],
        slope=single[:n_ramped, 3],
        base=single[:n_ramped, 4],
        n_ramped=n_ramped,
        n_indicators=int((part == _INDICATOR).sum()),
        # In float32, so that the order in which rows are summed leaves no trace.
        mean=single[:, 5],
    )


_RAMP, _STEP, _INDICATOR, _GAP = range(4)


def _parts(
    column: Column, positions: np.ndarray, weights: np.ndarray
) -> Iterator[tuple[int, float, float, float, float]]:
    """Yield what a column is encoded as: the kind of each, its offset, slope, base and mean."""
    whole = max(weights.sum(), np.finfo(float).tiny)
    if isinstance(column, CategoricalColumn):
        n = len(column.categories)
        shares = np.bincount(positions.astype(np.int64) + 1, weights, minlength=n + 1) / whole
        for k in [*range(n), *[-1] * column.has_missing]:
            yield _INDICATOR, k, 1.0, 0.0, shares[k + 1]
        return
    n = column.n_intervals
    gaps = np.isnan(positions)
    at, mass = positions[~gaps].astype(np.float64), weights[~gaps]
    k = np.minimum(at.astype(np.int64), max(n - 1, 0))
    total = max(mass.sum(), np.finfo(float).tiny)
    inside = np.bincount(k, mass, minlength=n + 1)[: n + 1]
    beyond = np.append(np.cumsum(inside[::-1])[::-1][1:], 0.0)
    partly = np.bincount(k, mass * (at - k), minlength=n + 1)
    for j in range(n):
        yield _RAMP, j, 1.0, 0.0, (partly[j] + beyond[j]) / total
        if j:
            yield _STEP, j, float(_STEEP), 1.0, (inside[j] + beyond[j]) / total
    if column.has_missing:
        yield _GAP, 0.0, 1.0, 0.0, weights[gaps].sum() / whole


def encode_rows(rows: FitInput, encoder: TableEncoder) -> FitInput:
    """Return the distinct rows of a fit, encoded, in an order that only their content sets.

    So a weight of 2 is exactly a repeated row, a weight of 0 exactly an absent one, and a fit does
    not depend on the order in which rows came.
    """
    x = encoder.positions(rows.features)
    # Numbers by rank: a fit does not hang on their unit.
    labels = rows.codes if len(rows.classes) else np.unique(rows.codes, return_inverse=True)[1]
    apart = np.column_stack([labels, *(part.columns for part in rows.members)])
    both = np.column_stack([rows.task_weights, rows.penalty_weights])
    first, weights = merge_rows(x, apart, both)
    return replace(
        rows,
        features=x[first],
        codes=rows.codes[first],
        members=tuple(part.take(first) for part in rows.members),
        task_weights=weights[:, 0],
        penalty_weights=weights[:, 1],
        positions=rows.positions[first],
        layout=encoder.layout_,
    )


def merge_rows(
    x: np.ndarray | csr_array, rest: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows to keep, in their order, and the weight of each.

    `x` (n_rows, n_encoded) are float32, or CSR, `rest` (n_rows, n_columns) what else tells rows
    apart: label and sensitive columns. Rows whose `weights`, (n_rows,) or (n_rows, n_weights), are
    all 0 are left out.
    """
    # Two independent 64-bit hashes: different rows agree in both with a chance below 1e-18.
    first, second = (hash_rows(x, rest, seed) for seed in (0, 1))
    order = np.lexsort((second, first))
    order = order[weights.reshape(len(weights), -1)[order].any(axis=1)]
    new = np.ones(len(order), dtype=bool)
    new[1:] = (np.diff(first[order]) != 0) | (np.diff(second[order]) != 0)
    starts = np.flatnonzero(new)
    return order[starts], np.add.reduceat(weights[order], starts, axis=0)


def hash_rows(x: np.ndarray | csr_array, rest: np.ndarray, seed: int) -> np.ndarray:
    """Return 64 bits for each row, (n_rows,) uint64, of what `merge_rows` tells rows apart by."""
    random = np.random.default_rng(seed)
    keys = _odd_numbers(random, x.shape[1])
    with np.errstate(over="ignore"):
        if isinstance(x, csr_array):
            terms = _bits(np.asarray(x.data)) * keys[x.indices]
            sums = np.concatenate([np.zeros(1, np.uint64), np.cumsum(terms, dtype=np.uint64)])
            hashed = sums[x.indptr[1:]] - sums[x.indptr[:-1]]
        else:
            hashed = np.zeros(len(x), dtype=np.uint64)
            for column, key in zip(np.asarray(x).T, keys, strict=True):
                hashed += _bits(np.ascontiguousarray(column)) * key
        # A column of float64 bits mixed by itself, so that small codes fill all 64 bits.
        others = (np.ascontiguousarray(rest, dtype=np.float64) + 0.0).view(np.uint64)
        mixed = (others ^ (others >> np.uint64(32))) * _odd_numbers(random, 1)
        return hashed + (
            (mixed ^ (mixed >> np.uint64(29))) * _odd_numbers(random, rest.shape[1])
        ).sum(1)


def _bits(values: np.ndarray) -> np.ndarray:
    # + 0.0 makes -0.0 and 0.0 the same bits.
    return (values.astype(np.float32) + np.float32(0.0)).view(np.uint32).astype(np.uint64)


def _odd_numbers(random: np.random.Generator, size: int) -> Any:
    return random.integers(0, 2**63, size, dtype=np.uint64) * np.uint64(2) + np.uint64(1)
