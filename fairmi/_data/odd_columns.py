"""Columns that are read otherwise than their user may have meant: one sentence for each."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.kinds import MAX_CATEGORIES
from fairmi._data.tables import read_columns
from fairmi.exceptions import ColumnWarning, Note

# A column names its rows where most values are held by one row each.
_MIN_ROWS = 100
_NAMES_SHARE = 0.9
# Text is a number column in disguise where this share of its distinct values are numbers.
_NUMBERS_SHARE = 0.9
_MIN_NUMBERS = 10
_MAX_PARSED = 1_000


def notes_of_columns(X: Any) -> list[Note]:
    """Return what to warn of: columns that name rows, or hold numbers as text."""
    notes: list[Note] = []
    for name, read in read_columns(X):
        if read.values.dtype == object:
            notes += [(ColumnWarning, text) for text in _odd(name, read.values, read.is_category)]
    return notes


def _odd(name: str, values: np.ndarray, is_category: bool) -> Iterator[str]:
    present = values[~pd.isna(values)]
    distinct = pd.unique(present)
    if len(present) >= _MIN_ROWS and len(distinct) > _NAMES_SHARE * len(present):
        yield (
            f"Column {name!r} of X has {len(distinct)} distinct values in {len(present)} "
            "rows: it names rows, and tells nothing of others. Drop it, or make features of it."
        )
    elif not is_category:  # whose type says what its user means
        yield from _told_of_numbers(name, present, distinct[:_MAX_PARSED])


def warn_of_unseen(names: list[str]) -> None:
    """Warn of columns of categories, if any, none of which fit saw."""
    if names:
        shown = ", ".join(map(repr, names))
        warnings.warn(
            f"No value of {'column' if len(names) == 1 else 'columns'} {shown} of X was seen at "
            "fit, so that all are read as missing: predictions may be far off. Give the values "
            "the spelling and type that they had.",
            ColumnWarning,
            stacklevel=2,
        )


def notes_of_codes(column: pd.Series, argument: str) -> list[Note]:
    """Return what to warn of whole numbers taken for a quantity, which may be codes of groups."""
    numbers = pd.to_numeric(column.dropna())
    if not pd.api.types.is_integer_dtype(numbers):
        return []
    name = column.name
    text = (
        f"{argument}: {name!r} has {numbers.nunique()} distinct whole numbers, more than "
        f"{MAX_CATEGORIES}, and is taken for a quantity. If they are codes of groups, give "
        f'sensitive_kinds={{{name!r}: "categorical"}}; if not, "continuous" says so.'
    )
    return [(ColumnWarning, text)]


def _told_of_numbers(name: str, present: np.ndarray, distinct: np.ndarray) -> Iterator[str]:
    if not all(isinstance(value, str) for value in distinct):
        return
    words = [value for value in distinct if not _is_number(value)]
    n_numbers = len(distinct) - len(words)
    if n_numbers < _MIN_NUMBERS or n_numbers < _NUMBERS_SHARE * len(distinct):
        return
    why = "numbers as text"
    if words:
        counts = pd.Series(present)[np.isin(present, words)].value_counts()
        # A model keeps this sentence, so that it names no value of one row.
        such = f"{counts.index[0]!r} and the like" if counts.iloc[0] > 1 else "what is no number"
        why = f"numbers as text, because of {such} in {counts.sum()} rows"
    yield (
        f"Column {name!r} of X holds {why}: each is a category. For numbers give "
        f"pandas.to_numeric(X[{name!r}], errors='coerce'); for codes, a categorical column."
    )


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
