"""A table -> numbers with NaN and codes of categories: what trees read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.odd_columns import warn_of_unseen
from fairmi._data.tables import raise_faults, read_columns
from fairmi.preprocessing.calendar_parts import calendar_parts
from fairmi.preprocessing.encoded_columns import (
    CategoricalColumn,
    Column,
    NumericColumn,
    as_at_fit,
    fault_of,
    shared_categories,
)


def learn_columns(X: Any, max_categories: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return the columns of a table as plain data, and the table as trees read it.

    Parameters
    ----------
    X : DataFrame, ndarray or csr_array of shape (n_rows, n_features)
    max_categories : int
        Codes of a column at most. Where it has more categories, the rarest share the last code;
        one that a single row has is none.

    Returns
    -------
    columns : dict
        `names`; `categories`, for each column an array, the most frequent first, or None for
        numbers; `n_categories` (n_columns,), codes of each column, 0 for numbers; `dates`, the
        positions of the columns of X that hold dates.
    codes : ndarray of shape (n_rows, n_columns), float64
        Numbers, and codes 0, 1, ... of categories; NaN where a value is missing. After the columns
        of X come the parts of the calendar of each date.
    """
    names, categories, sizes, dates = [], [], [], []
    parts: list[tuple[str, np.ndarray]] = []
    codes = np.empty(X.shape)
    for j, (name, read) in enumerate(read_columns(X)):
        values = read.values
        found = _by_frequency(values) if values.dtype == object else None
        names.append(name)
        categories.append(found)
        sizes.append(0 if found is None else min(len(found), max_categories))
        codes[:, j] = values if found is None else _codes(values, found, sizes[j])
        if read.is_date:
            dates.append(j)
            parts += calendar_parts(name, values)
    columns = {
        "names": names + [part for part, _ in parts],
        "categories": categories + [None] * len(parts),
        "n_categories": np.array(sizes + [0] * len(parts)),
        "dates": dates,
    }
    return columns, _with(codes, parts)


def column_codes(X: Any, columns: dict[str, Any]) -> np.ndarray:
    """Return another table as trees read it; a category that fit did not see is NaN.

    Raises
    ------
    ValueError
        If columns have another kind than they had at fit; all are named.
    """
    dates = columns.get("dates", [])  # which models saved by 0.2.0 have not
    codes = np.empty(X.shape)
    parts: list[tuple[str, np.ndarray]] = []
    faults: dict[str, str] = {}
    unseen = []
    for j, (name, read) in enumerate(read_columns(X)):
        found, size = columns["categories"][j], columns["n_categories"][j]
        plan = _plan(name, found, is_date=j in dates)
        fault = fault_of(plan, read.values, is_date=read.is_date if "dates" in columns else None)
        if fault:
            faults[name] = fault
            continue
        values = as_at_fit(plan, name, read.values)
        if found is None:
            codes[:, j] = values
        else:
            codes[:, j] = _codes(values, found, size)
            unseen += [name] * bool(size and np.isnan(codes[:, j]).all() and not _empty(values))
        if j in dates:
            parts += calendar_parts(name, values)
    raise_faults(faults)
    warn_of_unseen(unseen)
    return _with(codes, parts)


def _plan(name: str, found: np.ndarray | None, *, is_date: bool) -> Column:
    if found is None:
        return NumericColumn(name, np.zeros(1), True, is_date)
    return CategoricalColumn(name, found, True)


def _with(codes: np.ndarray, parts: list[tuple[str, np.ndarray]]) -> np.ndarray:
    return np.column_stack([codes, *(values for _, values in parts)]) if parts else codes


def _empty(values: np.ndarray) -> bool:
    return bool(pd.isna(values).all())


def _codes(values: np.ndarray, categories: np.ndarray, size: int) -> np.ndarray:
    index = pd.Index(categories, dtype=object)
    places = index.get_indexer(pd.Index(values, dtype=object))
    return np.where(places < 0, np.nan, np.minimum(places, size - 1))


def _by_frequency(values: np.ndarray) -> np.ndarray:
    codes, found = pd.factorize(values)
    counts = np.bincount(codes[codes >= 0], minlength=len(found))
    shared = np.flatnonzero(shared_categories(codes, len(found)))
    ranked = sorted(shared, key=lambda k: (-counts[k], str(found[k])))
    categories = np.empty(len(ranked), dtype=object)
    categories[:] = [found[k] for k in ranked]
    return categories
