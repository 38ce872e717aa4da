"""Columns that are read otherwise than their user may have meant: one sentence for each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.kinds import MAX_CATEGORIES
from fairmi._data.tables import table_columns
from fairmi.exceptions import warn_user

# A column names its rows where most values are held by one row each.
_MIN_ROWS = 100
_NAMES_SHARE = 0.9
# Text is a number column in disguise where this share of its distinct values are numbers.
_NUMBERS_SHARE = 0.9
_MIN_NUMBERS = 10
_MAX_PARSED = 1_000


def warn_of_odd_columns(X: Any) -> None:
    """Warn of text columns of a frame that name rows, or hold numbers and a few words."""
    for message in told_of_columns(table_columns(X)):
        warn_user(message, "ColumnWarning")


def told_of_columns(columns: Iterable[tuple[str, np.ndarray]]) -> Iterator[str]:
    """Yield what is odd about columns, each with the column's name and the fix."""
    for name, values in columns:
        if values.dtype != object:
            continue
        present = values[~pd.isna(values)]
        distinct = pd.unique(present)
        if len(present) >= _MIN_ROWS and len(distinct) > _NAMES_SHARE * len(present):
            yield (
                f"Column {name!r} of X has {len(distinct)} distinct values in {len(present)} "
                "rows: it names rows, and tells nothing of others. Drop it, or make features of "
                "it."
            )
        else:
            yield from _told_of_numbers(name, present, distinct[:_MAX_PARSED])


def warn_of_unseen(names: list[str]) -> None:
    """Warn of columns of categories, one at least, none of which fit saw."""
    shown = ", ".join(map(repr, names))
    warn_user(
        f"No value of {'column' if len(names) == 1 else 'columns'} {shown} of X was seen at "
        "fit, so that all are read as missing: predictions may be far off. Give the values "
        "the spelling and type that they had.",
        "ColumnWarning",
    )


def warn_of_codes(column: pd.Series, argument: str) -> None:
    """Warn of whole numbers that are taken for a quantity, and may be codes of groups."""
    numbers = pd.to_numeric(column.dropna())
    if pd.api.types.is_integer_dtype(numbers):
        name = column.name
        warn_user(
            f"{argument}: {name!r} has {numbers.nunique()} distinct whole numbers, more than "
            f"{MAX_CATEGORIES}, and is taken for a quantity. If they are codes of groups, give "
            f'sensitive_kinds={{{name!r}: "categorical"}}; if not, "continuous" says so.',
            "ColumnWarning",
        )


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
