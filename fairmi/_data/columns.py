"""Columns of X by name or position: the one reading of `sensitive_columns`."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral, Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from fairmi._data.groups import sensitive_frame
from fairmi._data.tables import plain, to_pandas

_MAX_NAMES = 20


def column_positions(X: Any, columns: Any, *, argument: str = "sensitive_columns") -> list[int]:
    """Return the positions of columns of X, (n_columns,).

    What is the name of a column is that column, integers among names included (a truth or a float
    is no integer); any other integer is a position, from the end where it is negative.

    Parameters
    ----------
    X : DataFrame, ndarray or sparse matrix of shape (n_rows, n_features)
    columns : str, int or list of these
    argument : str
        What an error names.

    Raises
    ------
    ValueError
        If none is named, X has no such column, or one is named twice.
    """
    names = list(X.columns) if isinstance(X, pd.DataFrame) else list(range(X.shape[1]))
    wanted = named_columns(columns)
    if not wanted:
        raise ValueError(f"{argument} is empty; name at least one column of X.")
    positions = [_position(column, names, argument) for column in wanted]
    if len(set(positions)) < len(positions):
        raise ValueError(f"{argument}={columns!r} names a column twice; name each once.")
    return positions


def named_columns(columns: Any) -> list[Any]:
    """Return each of `columns`: a name or position by itself is one."""
    no_list = isinstance(columns, str) or not isinstance(columns, Iterable)
    single = no_list or (isinstance(columns, np.ndarray) and not columns.ndim)
    return [columns] if single else list(columns)


def take_columns(X: Any, positions: list[int]) -> Any:
    """Return some columns of X as X's own kind of table."""
    if isinstance(X, pd.DataFrame):
        return X.iloc[:, positions]
    return (X.tocsr() if issparse(X) else X)[:, positions]


def sensitive_columns_of(
    X: Any, columns: Any, *, argument: str = "sensitive_columns"
) -> pd.DataFrame:
    """Return columns of X as a frame of sensitive features."""
    X = to_pandas(plain(X, argument="X"))
    X = X if hasattr(X, "shape") else pd.DataFrame(X)
    positions = column_positions(X, columns, argument=argument)
    part = take_columns(X, positions)
    if isinstance(X, pd.DataFrame):
        return sensitive_frame(part)
    part = part.toarray() if hasattr(part, "toarray") else part
    return pd.DataFrame(part, columns=positions)


def kept_columns(X: Any, columns: Any) -> list[int]:
    """Return the positions of all columns of X but the sensitive ones.

    Raises
    ------
    ValueError
        If none is left.
    """
    positions = column_positions(X, columns)
    kept = [j for j in range(X.shape[1]) if j not in positions]
    if not kept:
        raise ValueError(
            f"drop_sensitive=True leaves no column of X: sensitive_columns={columns!r} are all "
            "that it has; give more columns, or drop_sensitive=False."
        )
    return kept


def without_dropped(X: Any, kept: list[int], n_columns: int, names: Any) -> Any:
    """Return X without the columns that a fit dropped, which X may have or not.

    Parameters
    ----------
    X : table in any form
    kept : list of int
        Positions of the columns that the fit kept of those it was given.
    n_columns : int
        Columns that the fit was given.
    names : sequence of str or None
        Their names, if they had some.
    """
    X = to_pandas(plain(X, argument="X"))
    if isinstance(X, pd.DataFrame) and names is not None:
        dropped = {name for j, name in enumerate(names) if j not in kept}
        stay = [j for j, name in enumerate(X.columns) if name not in dropped]
        return X if len(stay) == X.shape[1] else take_columns(X, stay)
    if not hasattr(X, "shape"):
        try:
            X = np.array(X, dtype=object)
        except ValueError:
            return X  # which is refused where it is read
    return take_columns(X, kept) if len(X.shape) == 2 and X.shape[1] == n_columns else X


def _position(column: Any, names: list[Any], argument: str) -> int:
    kind = _kind(column)
    if kind is not None:
        known = {(_kind(name), name): j for j, name in reversed(list(enumerate(names)))}
        if (kind, column) in known:
            return known[kind, column]
        if kind is int and -len(names) <= column < len(names):
            return int(column) % len(names)
    shown = ", ".join(map(repr, names[:_MAX_NAMES])) + ", ..." * (len(names) > _MAX_NAMES)
    raise ValueError(
        f"{argument} names {column!r}, which X does not have; its columns are {shown}. Give "
        "names, or positions from 0."
    )


def _kind(name: Any) -> type | None:
    """Return what tells True, 1 and 1.0 apart, which are equal; None for what is no name."""
    if not _is_hashable(name):
        return None
    kinds = ((bool | np.bool_, bool), (Integral, int), (Real, float))
    return next((kind for like, kind in kinds if isinstance(name, like)), object)


def _is_hashable(value: Any) -> bool:
    """Whether a value has a hash; a tuple that holds a list says so only when it is asked."""
    try:
        hash(value)
    except TypeError:
        return False
    return True
