"""One column of a table -> its bin position: where each value lies among knots or categories."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.odd_columns import warn_of_unseen
from fairmi._data.tables import raise_faults
from fairmi.preprocessing.knots import knots_of


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

    def knows_none(self, values: np.ndarray, positions: np.ndarray) -> bool:
        """Whether fit saw no value alike: never so of numbers."""
        return False


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

    def knows_none(self, values: np.ndarray, positions: np.ndarray) -> bool:
        """Whether values are there, at `positions`, and fit saw none of them."""
        if not len(self.categories) or (positions >= 0).any():
            return False
        return not pd.isna(values).all()


Column = NumericColumn | CategoricalColumn


def column_to_plain(column: Column) -> dict[str, Any]:
    """Return what a column holds, to save it."""
    kind = "numeric" if isinstance(column, NumericColumn) else "categorical"
    return {"kind": kind, **vars(column)}


def column_from_plain(plain: dict[str, Any]) -> Column:
    """Return a column that was saved."""
    made = NumericColumn if plain["kind"] == "numeric" else CategoricalColumn
    return made(**{key: value for key, value in plain.items() if key != "kind"})


def as_at_fit(plan: Column, name: str, values: np.ndarray) -> np.ndarray:
    """Return a column's values in the type that it had at fit.

    What is all missing has no type to see; numbers among categories that are numbers are these.

    Raises
    ------
    ValueError
        If it was numeric and is text or categorical now, or the other way round.
    """
    categorical = isinstance(plan, CategoricalColumn)
    missing = pd.isna(values)
    if missing.all() or (isinstance(plan, CategoricalColumn) and not len(plan.categories)):
        return np.full(
            len(values), None if categorical else np.nan, object if categorical else float
        )
    if categorical and values.dtype != object and not fault_of(plan, values):
        values = values.astype(object)
        values[missing] = None
    raise_faults({name: fault_of(plan, values)})
    return values


def read_alike(
    columns: Sequence[Column],
    values_of: Iterable[tuple[str, np.ndarray, bool]],
    place: Callable[[int, np.ndarray], np.ndarray],
    out: np.ndarray,
    *,
    knows_dates: bool = True,
) -> np.ndarray:
    """Fill an array with where the values of a table lie among those that fit saw.

    Parameters
    ----------
    columns : sequence of Column
        As they were at fit.
    values_of : iterable of (str, ndarray, bool)
        What `with_calendar` yields of the table.
    place : callable
        The number of a column, and its values (n_rows,), to numbers (n_rows,): below 0 or NaN
        where fit saw no such category.
    out : ndarray of shape (n_rows, n_columns)
        Is filled and returned.
    knows_dates : bool
        Whether fit kept which columns were dates.

    Raises
    ------
    ValueError
        If columns have another kind than they had at fit; all are named.

    Warns
    -----
    ColumnWarning
        If fit saw no value of a column.
    """
    faults: dict[str, str] = {}
    unseen = []
    for j, (column, (name, values, is_date)) in enumerate(zip(columns, values_of, strict=True)):
        fault = fault_of(column, values, is_date=is_date if knows_dates else None)
        if fault:
            faults[name] = fault
            continue
        out[:, j] = place(j, as_at_fit(column, name, values))
        unseen += [name] * column.knows_none(values, out[:, j])
    raise_faults(faults)
    warn_of_unseen(unseen)
    return out


def fault_of(plan: Column, values: np.ndarray, *, is_date: bool | None = None) -> str:
    """Return what is wrong with the values of a column whose kind fit saw; "" if nothing is.

    `is_date` says whether they are dates, where it is known.
    """
    if pd.isna(values).all():
        return ""
    now = "numeric" if values.dtype != object else "text or categorical"
    if isinstance(plan, NumericColumn):
        then = "a date" if plan.is_date else "numeric"
        if values.dtype == object:
            return f"was {then} at fit and is {now} now, such as {_odd_one(values)!r}"
        if is_date in (None, plan.is_date):
            return ""
        return f"was {then} at fit and is {'a date' if is_date else now} now"
    is_text = [isinstance(value, str) for value in plan.categories if value is not None]
    if values.dtype == object or not all(is_text) or not is_text:
        return ""
    return f"was text or categorical at fit and is {now} now"


def _odd_one(values: np.ndarray) -> Any:
    present = [value for value in values if value is not None]
    return next((value for value in present if not isinstance(value, Real)), present[0])


def numeric_column(
    name: str, values: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int
) -> NumericColumn:
    """Learn the knots of a column: its ends, and where a small tree splits it to predict y."""
    present = ~np.isnan(values) & (weights > 0)
    has_missing = bool((np.isnan(values) & (weights > 0)).any())
    x = values[present]
    if not x.size:
        return NumericColumn(name, np.zeros(1), has_missing)
    knots = knots_of(x, y[present], weights[present], n_bins)
    return NumericColumn(name, knots, has_missing)


def categorical_column(
    name: str, values: np.ndarray, weights: np.ndarray, max_categories: int
) -> CategoricalColumn:
    """Learn the categories of a column, sorted by text.

    Where there are more than `max_categories`, those of the largest weight are kept, and the last
    stands for the rest.
    """
    codes, found = pd.factorize(values)  # -1 where one is missing
    shared = np.flatnonzero(shared_categories(codes, len(found)))
    unread = bool(np.isin(codes, shared, invert=True).any())
    rest = len(shared) > max_categories
    if rest:
        sums = np.bincount(codes[codes >= 0], weights[codes >= 0], minlength=len(found))
        ranked = sorted(shared, key=lambda k: (-sums[k], str(found[k])))
        shared = np.array(ranked[: max_categories - 1], dtype=np.int64)
        unread = bool((codes < 0).any())
    categories = np.empty(len(shared) + rest, dtype=object)
    categories[: len(shared)] = sorted((found[k] for k in shared), key=str)
    return CategoricalColumn(name, categories, unread, rest)


def shared_categories(codes: np.ndarray, n_categories: int) -> np.ndarray:
    """Return which categories two rows have or more, (n_categories,) bool, whatever rows weigh.

    Parameters
    ----------
    codes : ndarray of int of shape (n_rows,)
        -1 where a value is missing.
    n_categories : int
    """
    return np.bincount(codes[codes >= 0], minlength=n_categories) > 1
