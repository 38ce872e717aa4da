"""One column of a table -> its bin position, among knots or categories; dates -> their parts."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

from fairmi._data.values import ColumnValues, raise_faults, read_columns
from fairmi._typing import TableLike
from fairmi.exceptions import ColumnWarning


@dataclass(frozen=True)
class NumericColumn:
    """Knots of a piecewise-linear encoding; two knots alone make a linear one."""

    name: str
    knots: np.ndarray
    has_missing: bool
    is_date: bool = False

    @property
    def n_intervals(self) -> int:
        """Intervals between knots."""
        return len(self.knots) - 1

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie, (n,) float32: k + 0.25 is a quarter into interval k.

        Beyond the knots it is that of the nearest one; a missing value is NaN.
        """
        if not self.n_intervals:
            return np.where(np.isnan(values), np.nan, 0).astype(np.float32)
        k = np.searchsorted(self.knots, values, side="right") - 1
        k = np.clip(k, 0, self.n_intervals - 1)
        low, high = self.knots[k], self.knots[k + 1]
        positions = (k + np.clip((values - low) / (high - low), 0, 1)).astype(np.float32)
        # What lies before a knot must stay before it when it is rounded.
        before = np.nextafter((k + 1).astype(np.float32), np.float32(0))
        return np.where(values < high, np.minimum(positions, before), positions)

    def decode(self, positions: np.ndarray) -> np.ndarray:
        """Return the values (n,) that lie at positions; of dates, days as datetimes."""
        values = np.interp(positions, np.arange(len(self.knots)), self.knots)
        if not self.is_date:
            return values
        gaps = np.isnan(values)
        seconds = np.round(np.where(gaps, 0, values) * _DAY).astype("datetime64[s]")
        return np.where(gaps, np.datetime64("NaT"), seconds)


@dataclass(frozen=True)
class CategoricalColumn:
    """Categories of a one-hot encoding.

    Where fit saw more than it has `categories`, the last of them stands for all others, `rest`;
    else a category that fit never saw counts as missing. One that a single row of fit had is none
    of them: nothing can be learned from it, and a saved model must not give it away.
    """

    name: str
    categories: np.ndarray
    has_missing: bool
    rest: bool = False

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value's category, (n,) float32, -1 where it is missing."""
        index = pd.Index(self.categories[: -1 if self.rest else None], dtype=object)
        places = index.get_indexer(pd.Index(values, dtype=object))
        if self.rest:
            places = np.where((places < 0) & ~pd.isna(values), len(index), places)
        return places.astype(np.float32)

    def decode(self, positions: np.ndarray) -> np.ndarray:
        """Return the categories at positions (n,), None below 0 and for the rest."""
        return np.append(self.categories, [None])[positions.astype(np.int64)]


Column = NumericColumn | CategoricalColumn


def read_alike(
    X: TableLike,
    columns: Sequence[Column],
    dates: Collection[int],
    place: Callable[[int, np.ndarray], np.ndarray],
    out: np.ndarray,
    *,
    last: bool = False,
    knows_dates: bool = True,
) -> np.ndarray:
    """Fill `out` (n_rows, n_columns) with where values lie among those that fit saw of `columns`.

    `place` maps the number of a column and its values (n_rows,) to numbers, below 0 or NaN where
    fit saw no such category. `dates` and `last` are those of `with_calendar`; `knows_dates` says
    whether fit kept which columns were dates.

    Raises ValueError that names all columns of another kind than at fit, and warns of those of
    which fit saw no value.
    """
    faults: dict[str, str] = {}
    unseen = []
    for j, (plan, column) in enumerate(
        zip(columns, with_calendar(X, dates, last=last), strict=True)
    ):
        values, missing = column.values, pd.isna(column.values)
        fault = _fault(plan, column, missing, knows_dates)
        if fault:
            faults[column.name] = fault
            continue
        known = getattr(plan, "categories", None)
        if known is None:  # what is all missing has no type to see
            values = np.full(len(values), np.nan) if missing.all() else values
        elif missing.all() or not len(known):
            values = np.full(len(values), None, dtype=object)
        elif values.dtype != object:  # categories that are numbers
            values = values.astype(object)
            values[missing] = None
        out[:, j] = place(j, values)
        if known is not None and len(known) and not (out[:, j] >= 0).any():
            unseen += [column.name] * (not missing.all())
    raise_faults(faults)
    if unseen:
        shown = ", ".join(map(repr, unseen))
        warnings.warn(
            f"No value of {'column' if len(unseen) == 1 else 'columns'} {shown} of X was seen at "
            "fit, so that all are read as missing: predictions may be far off. Give the values "
            "the spelling and type that they had.",
            ColumnWarning,
            stacklevel=2,
        )
    return out


def _fault(plan: Column, column: ColumnValues, missing: np.ndarray, knows_dates: bool) -> str:
    """Return what is wrong with the kind of a column, whose kind fit saw; "" if nothing is."""
    values, was, now = column.values, "text or categorical", "numeric"
    if missing.all():
        return ""
    if isinstance(plan, NumericColumn):
        was = "a date" if plan.is_date else "numeric"
        if values.dtype == object:
            present = values[~missing]
            other = next((v for v in present if not isinstance(v, Real)), present[0])
            return f"was {was} at fit and is text or categorical now, such as {other!r}"
        if not knows_dates or column.is_date == plan.is_date:
            return ""
        now = "a date" if column.is_date else "numeric"
    else:
        is_text = [isinstance(value, str) for value in plan.categories if value is not None]
        if values.dtype == object or not all(is_text) or not is_text:
            return ""
    return f"was {was} at fit and is {now} now"


def numeric_column(
    column: ColumnValues, y: np.ndarray | None, weights: np.ndarray, n_bins: int
) -> NumericColumn:
    """Learn the knots of a column: its ends, and where a small tree splits it to predict y.

    Without y they are its quantiles.
    """
    missing = np.isnan(column.values)
    present = ~missing & (weights > 0)
    x, knots = column.values[present], np.zeros(1)
    if len(x):
        of, weight = None if y is None else y[present], weights[present]
        knots = (
            quantile_knots(x, weight, n_bins) if of is None else knots_of(x, of, weight, n_bins)
        )
    has_missing = bool((missing & (weights > 0)).any())
    return NumericColumn(column.name, knots, has_missing, column.is_date)


def categorical_column(
    column: ColumnValues, weights: np.ndarray, max_categories: int
) -> CategoricalColumn:
    """Learn the categories of a column, sorted by text.

    Where there are more than `max_categories`, those of the largest weight are kept, and the last
    stands for the rest.
    """
    ranked, unread = shared_categories(column.values, weights)
    rest = len(ranked) > max_categories
    if rest:
        ranked, unread = ranked[: max_categories - 1], pd.isna(column.values)
    categories = np.empty(len(ranked) + rest, dtype=object)
    categories[: len(ranked)] = sorted(ranked, key=str)
    return CategoricalColumn(column.name, categories, bool(unread.any()), rest)


def shared_categories(values: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the categories that two rows have or more, the heaviest first, (n_categories,).

    And which rows have none of them, (n_rows,) bool.
    """
    codes, distinct = pd.factorize(values)  # -1 where one is missing
    present = codes >= 0
    counts = np.bincount(codes[present], minlength=len(distinct))
    sums = np.bincount(codes[present], weights[present], minlength=len(distinct))
    ranked = sorted(np.flatnonzero(counts > 1), key=lambda k: (-sums[k], str(distinct[k])))
    categories = np.empty(len(ranked), dtype=object)
    categories[:] = [distinct[k] for k in ranked]
    return categories, np.isin(codes, ranked, invert=True)


_MIN_ROWS_IN_BIN = 20
# A tree sorts its rows at every node: of a long column it reads the classes in cells of about as
# much weight each, a quarter of its smallest leaf. Few distinct values have a cell each, and then
# the knots are those of all rows.
_MAX_ROWS, _MAX_CELLS = 100_000, 4_096


def knots_of(x: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the ends of a column and the thresholds of a tree that predicts y from it, sorted.

    `x` (n,) are finite, y (n,) classes, and `weights` (n,) counts of rows above 0. There are
    `n_bins` leaves at most; below 4 there are the ends alone.
    """
    ends = np.unique([x.min(), x.max()])
    if n_bins < 4 or len(ends) < 2:
        return ends
    if len(x) <= _MAX_ROWS:
        return np.union1d(ends, _thresholds(x, y, weights, n_bins))
    low, high, cells, classes, counts = _in_cells(x, y, weights)
    before = _thresholds(cells, classes, counts, n_bins).astype(np.int64)
    return np.union1d(ends, high[before] + (low[before + 1] - high[before]) / 2)


def quantile_knots(x: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the ends of a column and about `n_bins` - 1 values between them, sorted.

    Between two knots is about as much weight; a value that many rows share counts as one bin, so
    that the others are told apart too.
    """
    values, codes = np.unique(x, return_inverse=True)
    if n_bins < 4 or len(values) <= 2:
        return values[[0, -1]] if len(values) > 1 else values
    mass = np.bincount(codes, weights)
    ranks = np.cumsum(np.minimum(mass, mass.sum() / n_bins))
    inner = values[np.searchsorted(ranks, ranks[-1] * np.arange(1, n_bins) / n_bins)]
    return np.union1d(inner, values[[0, -1]])


def _thresholds(x: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    share = min(max(_MIN_ROWS_IN_BIN / weights.sum(), 1e-3), 0.1)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=n_bins, min_weight_fraction_leaf=share, random_state=0
    )
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # of its own sums, where values are near float32's end
        nodes = tree.fit(x[:, None], y, sample_weight=weights).tree_
    return nodes.threshold[nodes.feature >= 0]


def _in_cells(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a tree needs of a long column: the weight of each class in each cell.

    That are smallest and largest value of each cell, (n_cells,), and the cell, the class and the
    weight above 0 of each pair, (n_pairs,).
    """
    order = np.argsort(x)
    x, weights = x[order], weights[order]
    first = np.flatnonzero(np.diff(x, prepend=np.nan) != 0)  # of each distinct value
    mass = np.add.reduceat(weights, first)
    if len(first) <= _MAX_CELLS:
        cell = np.arange(len(first))
    else:
        middle = (np.cumsum(mass) - mass / 2) / mass.sum()
        cell = np.unique((middle * _MAX_CELLS).astype(np.int64), return_inverse=True)[1]
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    last = np.append(starts[1:], len(first)) - 1
    kinds, codes = np.unique(y, return_inverse=True)
    of_rows = np.repeat(cell, np.diff(first, append=len(x)))
    n_pairs = len(starts) * len(kinds)
    counts = np.bincount(of_rows * len(kinds) + codes[order], weights, minlength=n_pairs)
    pairs = np.flatnonzero(counts)
    cells, classes = np.divmod(pairs, len(kinds))
    return x[first[starts]], x[first[last]], cells.astype(float), classes, counts[pairs]


N_PARTS = 4  # that a date has
_DAY = 24 * 60 * 60


def with_calendar(
    X: TableLike, dates: Collection[int] | None = None, *, last: bool = False
) -> Iterator[ColumnValues]:
    """Yield the columns of a table, and the parts of each date after it, or `last` of all.

    `dates` are the positions of those that fit saw; None takes what is one. Parts are the month 1
    to 12, day of the month, day of the week (Monday 0) and hour of the day, NaN where missing.
    """
    after: list[ColumnValues] = []
    for j, column in enumerate(read_columns(X)):
        yield column
        if column.is_date if dates is None else j in dates:
            # What is no number is told when the column itself is read.
            is_number = column.values.dtype != object
            days = column.values if is_number else np.full(len(column.values), np.nan)
            missing = np.isnan(days)
            whole = np.floor(np.where(missing, 0, days))
            day = whole.astype("datetime64[D]")
            month = day.astype("datetime64[M]")
            parts = {
                "month": month.astype(int) % 12 + 1,
                "day of month": (day - month).astype(int) + 1,
                "day of week": (whole + 3) % 7,
                "hour": (days - whole) * 24,
            }
            for part, values in parts.items():
                name = f"{column.name}: {part}"
                after.append(ColumnValues(name, np.where(missing, np.nan, values)))
        if not last:
            yield from after
            after = []
    yield from after


def learn_columns(
    X: TableLike, max_categories: int, n_encodings: int = 1, seed: int = 0
) -> tuple[dict[str, Any], np.ndarray]:
    """Return the columns of a table as plain data, and the table as trees read it.

    A column has `max_categories` codes at most: where it has more, the rarest share the last one;
    a category that a single row has has none. There are `n_encodings` ways in which trees read
    categories, each a model of an average: as such, as numbers in order of frequency, and others
    as numbers in random order, which `seed` draws. A column of two is read alike.

    The dict has `names`; `categories`, for each column an array, the most frequent first, or None
    for numbers; `n_categories` (n_columns,), codes of each column, 0 for numbers; `dates`, the
    positions of those of X; and `encodings`, a list of the further ways to read categories, each a
    dict from the position of a column to the number of each code. The table, (n_rows, n_read)
    float64, has numbers, codes 0, 1, ... and NaN where a value is missing: the columns of X, then
    the parts of the calendar of each date, then the columns of each further encoding.
    """
    columns: dict[str, Any] = {"names": [], "categories": [], "n_categories": [], "dates": []}
    codes = []
    for j, column in enumerate(with_calendar(X, last=True)):
        known, values = None, column.values
        if values.dtype == object:
            known, _ = shared_categories(values, np.ones(len(values)))
        size = 0 if known is None else min(len(known), max_categories)
        codes.append(values if known is None else _codes(values, known, size))
        columns["names"].append(column.name)
        columns["categories"].append(known)
        columns["n_categories"].append(size)
        columns["dates"] += [j] * column.is_date
    rng = np.random.default_rng(seed)
    coded = [(j, size) for j, size in enumerate(columns["n_categories"]) if size > 2]
    columns["encodings"] = [
        {j: (rng.permutation(n) if k else np.arange(n)).astype(np.float64) for j, n in coded}
        for k in range(n_encodings - 1 if coded else 0)
    ]
    columns["n_categories"] = np.array(columns["n_categories"])
    return columns, _with_encodings(np.column_stack(codes), columns)


def columns_of_trees(columns: Mapping[str, Any]) -> list[Column]:
    """Return the columns that `learn_columns` learned."""
    dates = columns.get("dates", [])  # which models saved by 0.2.0 have not
    return [
        NumericColumn(name, np.zeros(1), True, j in dates)
        if known is None
        else CategoricalColumn(name, known, True)
        for j, (name, known) in enumerate(
            zip(columns["names"], columns["categories"], strict=True)
        )
    ]


def column_codes(X: Any, columns: dict[str, Any]) -> np.ndarray:
    """Return another table as trees read it; a category that fit did not see is NaN."""
    plans, dates = columns_of_trees(columns), columns.get("dates", [])
    categories, sizes = columns["categories"], columns["n_categories"]

    def place(j: int, values: np.ndarray) -> np.ndarray:
        return values if categories[j] is None else _codes(values, categories[j], sizes[j])

    codes = np.empty((X.shape[0], len(plans)))
    read_alike(X, plans, dates, place, codes, last=True, knows_dates="dates" in columns)
    return _with_encodings(codes, columns)


def encodings_of(columns: Mapping[str, Any]) -> tuple[list[np.ndarray], np.ndarray]:
    """Return which columns that trees read are those of each encoding, and all their categories.

    Positions (n_columns,) of each; the first encoding is that of `n_categories`, and without
    categories the only one. And categories (n_read,) of each column read, 0 for numbers.
    """
    n = len(columns["n_categories"])
    read, first = [np.arange(n)], n
    for encoding in columns.get("encodings", []):
        read.append(np.arange(n))
        read[-1][list(encoding)] = np.arange(first, first + len(encoding))
        first += len(encoding)
    return read, np.append(columns["n_categories"], np.zeros(first - n, dtype=np.int64))


def _with_encodings(codes: np.ndarray, columns: dict[str, Any]) -> np.ndarray:
    """Return columns of codes (n_rows, n_columns) with those of each further encoding."""
    parts = [codes]
    for encoding in columns.get("encodings", []):
        for j, numbers in encoding.items():
            known = ~np.isnan(codes[:, j])
            part = np.full((len(codes), 1), np.nan)
            part[known, 0] = numbers[codes[known, j].astype(np.int64)]
            parts.append(part)
    return np.hstack(parts) if len(parts) > 1 else codes


def _codes(values: np.ndarray, categories: np.ndarray, size: int) -> np.ndarray:
    places = CategoricalColumn("", categories, has_missing=True).positions(values)
    return np.where(places < 0, np.nan, np.minimum(places.astype(np.float64), size - 1))
