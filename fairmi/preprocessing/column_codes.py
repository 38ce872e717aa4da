"""A table -> numbers with NaN and codes of categories: what trees read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi.preprocessing.calendar_parts import with_calendar
from fairmi.preprocessing.encoded_columns import (
    CategoricalColumn,
    NumericColumn,
    read_alike,
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
    columns: dict[str, Any] = {"names": [], "categories": [], "n_categories": [], "dates": []}
    codes = []
    for j, (name, values, is_date) in enumerate(with_calendar(X, last=True)):
        known = _by_frequency(values) if values.dtype == object else None
        size = 0 if known is None else min(len(known), max_categories)
        codes.append(values if known is None else _codes(values, known, size))
        columns["names"].append(name)
        columns["categories"].append(known)
        columns["n_categories"].append(size)
        columns["dates"] += [j] * is_date
    columns["n_categories"] = np.array(columns["n_categories"])
    return columns, np.column_stack(codes)


def column_codes(X: Any, columns: dict[str, Any]) -> np.ndarray:
    """Return another table as trees read it; a category that fit did not see is NaN.

    Raises
    ------
    ValueError
        If columns have another kind than they had at fit; all are named.
    """
    dates = columns.get("dates", [])  # which models saved by 0.2.0 have not
    categories, sizes = columns["categories"], columns["n_categories"]
    plans = [
        NumericColumn(name, np.zeros(1), True, j in dates)
        if known is None
        else CategoricalColumn(name, known, True)
        for j, (name, known) in enumerate(zip(columns["names"], categories, strict=True))
    ]

    def place(j: int, values: np.ndarray) -> np.ndarray:
        return values if categories[j] is None else _codes(values, categories[j], sizes[j])

    codes = np.empty((X.shape[0], len(plans)))
    values_of = with_calendar(X, dates, last=True)
    return read_alike(plans, values_of, place, codes, knows_dates="dates" in columns)


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
