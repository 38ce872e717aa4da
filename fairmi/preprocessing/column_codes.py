"""A table -> numbers with NaN and codes of categories: what trees read."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.values import table_columns
from fairmi.preprocessing.encoded_columns import CategoricalColumn, NumericColumn, as_at_fit


def learn_categories(X: Any, max_categories: int) -> dict[str, Any]:
    """Return the columns of a table as plain data: their names, and the categories of each.

    Parameters
    ----------
    X : DataFrame, ndarray or csr_array of shape (n_rows, n_features)
    max_categories : int
        Codes of a column at most. Where it has more categories, the rarest share the last code.

    Returns
    -------
    dict
        `names`; `categories`, for each column an array, the most frequent first, or None for
        numbers; `n_categories` (n_features,), codes of each column, 0 for numbers.
    """
    names, categories = [], []
    for name, values in table_columns(X):
        names.append(name)
        categories.append(_by_frequency(values) if values.dtype == object else None)
    sizes = [0 if found is None else min(len(found), max_categories) for found in categories]
    return {"names": names, "categories": categories, "n_categories": np.array(sizes)}


def column_codes(X: Any, columns: dict[str, Any]) -> np.ndarray:
    """Return a table as trees read it, (n_rows, n_features) float64.

    A missing value is NaN, and so is a category that fit did not see.

    Raises
    ------
    ValueError
        If a column was numeric at fit and is text or categorical now, or the other way round.
    """
    codes = np.empty((X.shape[0], len(columns["names"])))
    for j, (name, values) in enumerate(table_columns(X)):
        categories = columns["categories"][j]
        if categories is None:
            codes[:, j] = as_at_fit(NumericColumn(name, np.zeros(1), True), name, values)
            continue
        values = as_at_fit(CategoricalColumn(name, categories, True), name, values)
        place = pd.Index(categories, dtype=object).get_indexer(pd.Index(values, dtype=object))
        last = columns["n_categories"][j] - 1
        codes[:, j] = np.where(place < 0, np.nan, np.minimum(place, last))
    return codes


def _by_frequency(values: np.ndarray) -> np.ndarray:
    counts = pd.Series(values[~pd.isna(values)], dtype=object).value_counts()
    pairs = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))
    categories = np.empty(len(pairs), dtype=object)
    categories[:] = [value for value, _ in pairs]
    return categories
