"""Columns of X: those that `sensitive_columns` names, and those that may be read unlike meant."""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Iterable, Iterator
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import sensitive_frame
from fairmi._data.tables import Table
from fairmi._data.values import ColumnValues, read_columns, to_pandas
from fairmi.exceptions import ColumnWarning, Note

_MAX_NAMES = 20
# A column names its rows where most values are held by one row each.
_MIN_NAMED_ROWS = 100
_NAMES_SHARE = 0.9
# Text is a number column in disguise where this share of its distinct values are numbers.
_NUMBERS_SHARE = 0.9
_MIN_NUMBERS = 10
_MAX_PARSED = 1_000


def column_positions(
    X: Table, columns: object, *, argument: str = "sensitive_columns"
) -> list[int]:
    """Return the positions of columns of X, (n_columns,); `argument` is what an error names.

    What is the name of a column is that column, integers among names included (a truth or a float
    is no integer); any other integer is a position, from the end where it is negative.
    """
    names = list(X.columns) if isinstance(X, pd.DataFrame) else list(range(X.shape[1]))
    wanted = named_columns(columns)
    if not wanted:
        raise ValueError(f"{argument} is empty; name at least one column of X.")
    known = {(_kind(name), name): j for j, name in reversed(list(enumerate(names)))}
    positions = []
    for column in wanted:
        kind = _kind(column)
        if kind is not None and (kind, column) in known:
            positions.append(known[kind, column])
        elif kind is int and -len(names) <= column < len(names):
            positions.append(int(column) % len(names))
        else:
            shown = ", ".join(map(repr, names[:_MAX_NAMES])) + ", ..." * (len(names) > _MAX_NAMES)
            raise ValueError(
                f"{argument} names {column!r}, which X does not have; its columns are {shown}. "
                "Give names, or positions from 0."
            )
    if len(set(positions)) < len(positions):
        raise ValueError(f"{argument}={columns!r} names a column twice; name each once.")
    return positions


def _kind(name: Hashable) -> type | None:
    """Return what tells True, 1 and 1.0 apart, which are equal; None for what is no name."""
    try:
        hash(name)  # a tuple that holds a list says only now that it has none
    except TypeError:
        return None
    kinds = ((bool | np.bool_, bool), (Integral, int), (Real, float))
    return next((kind for like, kind in kinds if isinstance(name, like)), object)


def named_columns(columns: object) -> list[Any]:
    """Return each of `columns`: a name or position by itself is one."""
    single = isinstance(columns, str) or (isinstance(columns, np.ndarray) and not columns.ndim)
    return list(columns) if isinstance(columns, Iterable) and not single else [columns]


def take_columns(X: Table, positions: list[int]) -> Table:
    """Return some columns of X as X's own kind of table."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, positions]
    return X[:, positions] if isinstance(X, np.ndarray) else X.tocsr()[:, positions]


def sensitive_columns_of(
    X: object, columns: object, *, argument: str = "sensitive_columns"
) -> pd.DataFrame:
    """Return columns of X as a frame of sensitive features."""
    table = to_pandas(X)
    table = table if hasattr(table, "shape") else pd.DataFrame(table)
    positions = column_positions(table, columns, argument=argument)
    part = take_columns(table, positions)
    if isinstance(part, pd.DataFrame):
        return sensitive_frame(part)
    part = part if isinstance(part, np.ndarray) else part.toarray()
    return pd.DataFrame(part, columns=positions)


def kept_columns(X: Table, columns: object) -> list[int]:
    """Return the positions of all columns of X but the sensitive ones."""
    positions = column_positions(X, columns)
    kept = [j for j in range(X.shape[1]) if j not in positions]
    if not kept:
        raise ValueError(
            f"drop_sensitive=True leaves no column of X: sensitive_columns={columns!r} are all "
            "that it has; give more columns, or drop_sensitive=False."
        )
    return kept


def without_dropped(X: object, kept: list[int], n_columns: int, names: np.ndarray | None) -> Any:
    """Return X without the columns that a fit dropped, which X may have or not.

    `kept` are the positions of those that it kept of `n_columns`, whose `names` were these.
    """
    table = to_pandas(X)
    if isinstance(table, pd.DataFrame) and names is not None:
        dropped = {name for j, name in enumerate(names) if j not in kept}
        stay = [j for j, name in enumerate(table.columns) if name not in dropped]
        return table if len(stay) == table.shape[1] else take_columns(table, stay)
    if not hasattr(table, "shape"):
        try:
            table = np.array(table, dtype=object)
        except ValueError:
            return table  # which is refused where it is read
    has_all = len(table.shape) == 2 and table.shape[1] == n_columns
    return take_columns(table, kept) if has_all else table


def notes_of_columns(X: object) -> list[Note]:
    """Return what to warn of: columns that name rows, or hold numbers as text."""
    notes: list[Note] = []
    for column in read_columns(X):
        if column.values.dtype == object:
            notes += [(ColumnWarning, text) for text in _doubts(column)]
    return notes


def _doubts(column: ColumnValues) -> Iterator[str]:
    name, present = column.name, column.values[~pd.isna(column.values)]
    distinct = pd.unique(present)
    if len(present) >= _MIN_NAMED_ROWS and len(distinct) > _NAMES_SHARE * len(present):
        yield (
            f"Column {name!r} of X has {len(distinct)} distinct values in {len(present)} "
            "rows: it names rows, and tells nothing of others. Drop it, or make features of it."
        )
        return
    distinct = distinct[:_MAX_PARSED]
    # The type of a column of categories says what its user means.
    if column.is_category or not all(isinstance(value, str) for value in distinct):
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
