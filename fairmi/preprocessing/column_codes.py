"""A table -> numbers with NaN and codes of categories: what trees read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.odd_columns import warn_of_unseen
from fairmi._data.tables import table_columns
from fairmi.preprocessing.encoded_columns import CategoricalColumn, NumericColumn, as_at_fit


def learn_columns(X: Any, max_categories: int) -> tuple[dict[str, Any], np.ndarray]:
    """Return the columns of a table as plain data, and the table as trees read it.

    Parameters
    ----------
    X : DataFrame, ndarray or csr_array of shape (n_rows, n_features)
    max_categories : int
        Codes of a column at most. Where it has more categories, the rarest share the last code.

    Returns
    -------
    columns : dict
        `names`; `categories`, for each column an array, the most frequent first, or None for
        numbers; `n_categories` (n_features,), codes of each column, 0 for numbers.
    codes : ndarray of shape (n_rows, n_features), float64
        Numbers, and codes 0, 1, ... of categories; NaN where a value is missing.
    """
    names, categories, sizes = [], [], []
    codes = np.empty(X.shape)
    for j, (name, values) in enumerate(table_columns(X)):
        found = _by_frequency(values) if values.dtype == object else None
        names.append(name)
        categories.append(found)
        sizes.append(0 if found is None else min(len(found), max_categories))
        codes[:, j] = values if found is None else _codes(values, found, sizes[j])
    columns = {"names": names, "categories": categories, "n_categories": np.array(sizes)}
    return columns, codes


def column_codes(X: Any, columns: dict[str, Any]) -> np.ndarray:
    """Return another table as trees read it; a category that fit did not see is NaN.

    Raises
    ------
    ValueError
        If a column was numeric at fit and is text or categorical now, or the other way round.
    """
    codes = np.empty(X.shape)
    unseen = []
    for j, (name, values) in enumerate(table_columns(X)):
        found, size = columns["categories"][j], columns["n_categories"][j]
        if found is None:
            codes[:, j] = as_at_fit(NumericColumn(name, np.zeros(1), True), name, values)
        else:
            values = as_at_fit(CategoricalColumn(name, found, True), name, values)
            codes[:, j] = _codes(values, found, size)
            unseen += [name] * bool(size and np.isnan(codes[:, j]).all() and not _empty(values))
    if unseen:
        warn_of_unseen(unseen)
    return codes


def _empty(values: np.ndarray) -> bool:
    return bool(pd.isna(values).all())


def _codes(values: np.ndarray, categories: np.ndarray, size: int) -> np.ndarray:
    index = pd.Index(categories, dtype=object)
    places = index.get_indexer(pd.Index(values, dtype=object))
    return np.where(places < 0, np.nan, np.minimum(places, size - 1))


def _by_frequency(values: np.ndarray) -> np.ndarray:
    counts = pd.Series(values[~pd.isna(values)], dtype=object).value_counts()
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    categories = np.empty(len(pairs), dtype=object)
    categories[:] = [value for value, _ in pairs]
    return categories
