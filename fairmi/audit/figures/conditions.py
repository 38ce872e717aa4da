"""Parts of the rows within which groups are compared: by label, and by columns of X."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.columns import sensitive_columns_of
from fairmi._data.groups import sensitive_frame
from fairmi._data.tables import is_frame
from fairmi.audit.figures.predictions import Predictions

BINS = 4  # quantile bins of a numeric column
MAX_VALUES = 10  # distinct numbers up to which a column is taken value by value
MAX_STRATA = 50  # of a column: its most common values
MAX_COLUMNS = 100  # of X, beyond which none is taken unless named
LABEL = "label"


@dataclass(frozen=True)
class Condition:
    """A column that splits the rows; `codes` (n_rows,) are positions in `names`, -1 for none."""

    names: tuple[str, ...]
    codes: np.ndarray


def label_condition(predictions: Predictions) -> Condition:
    """Return the split by label."""
    names = tuple(f"{LABEL} = {label}" for label in predictions.classes)
    return Condition(names, predictions.true)


def conditions_of(X: Any, conditions: Any, n_rows: int) -> tuple[list[Condition], list[str]]:
    """Return the splits that a user asked for, and notes on what was left out.

    Parameters
    ----------
    X : table of shape (n_rows, n_columns) or None
    conditions : "auto", None, list of str or int, or table of shape (n_rows, n_conditions)
        "auto" for all columns of X, up to 100 of them.
    n_rows : int

    Raises
    ------
    ValueError
        If a column is not in X, or a table has another number of rows.
    """
    # Rows of more than one dimension, such as images, have no columns.
    has_columns = X is not None and len(getattr(X, "shape", (0, 0))) <= 2
    if conditions is None or (isinstance(conditions, str) and not has_columns):
        return [], []
    if isinstance(conditions, str) and conditions == "auto":
        width = np.shape(X)[1] if np.ndim(X) == 2 or hasattr(X, "shape") else 0
        if width > MAX_COLUMNS or hasattr(X, "toarray"):
            note = (
                f"X has {width} columns: disparities within parts of the rows were measured by "
                "label alone. Name columns in conditions to have more."
            )
            return [], [note]
        frame = _frame(X)
    elif _names_columns(conditions):
        names = [conditions] if isinstance(conditions, str) else list(conditions)
        if X is None:
            raise ValueError(f"conditions={names} are columns of X, but X is None; give X too.")
        part = sensitive_columns_of(X, names, argument="conditions")
        frame = _frame(part, list(part.columns))
    else:
        frame = _frame(conditions)
    if len(frame) != n_rows:
        raise ValueError(
            f"conditions has {len(frame)} rows, but y has {n_rows}; give one row for each label."
        )
    return [_condition(name, frame.iloc[:, j]) for j, name in enumerate(frame)], []


def _names_columns(conditions: Any) -> bool:
    one = isinstance(conditions, str)
    several = isinstance(conditions, list | tuple)
    return one or (several and all(isinstance(c, str | int | np.integer) for c in conditions))


def _frame(table: Any, names: list[Any] | None = None) -> pd.DataFrame:
    """Return the columns by name, or as "column 3" where they have none."""
    frame = sensitive_frame(table, argument="conditions")
    if names is None and isinstance(table, pd.Series):
        names = [table.name if table.name is not None else 0]
    if names is None:
        names = list(table.columns if is_frame(table) else range(frame.shape[1]))
    frame.columns = [_name(name) for name in names]
    return frame


def _name(name: Any) -> str:
    plain = isinstance(name, str) and name != LABEL  # that is y's
    return name if plain else f"column {name}"


def _condition(name: str, column: pd.Series) -> Condition:
    """Split by value, or a numeric column of many values by bins; NaN is "missing"."""
    column = column.infer_objects() if column.dtype == object else column
    numeric = pd.api.types.is_any_real_numeric_dtype(column)
    if numeric and column.nunique() > MAX_VALUES:
        return _binned(name, column.to_numpy(dtype=float, na_value=np.nan))
    values = column.astype(object).where(column.notna(), "missing").map(str)
    counts = values.value_counts()
    kept = sorted(counts.index[:MAX_STRATA])
    position = {value: code for code, value in enumerate(kept)}
    codes = np.array([position.get(value, -1) for value in values], dtype=np.int64)
    return Condition(tuple(f"{name} = {value}" for value in kept), codes)


def _binned(name: str, values: np.ndarray) -> Condition:
    """Split into quarters; a value that a quarter of the rows have is a part of its own."""
    codes = np.full(len(values), -1, dtype=np.int64)
    names: list[str] = []
    rest = np.isfinite(values)
    common, counts = np.unique(values[rest], return_counts=True)
    for value in common[counts * BINS >= rest.sum()]:
        codes[values == value] = len(names)
        names.append(f"{name} = {value:g}")
        rest &= values != value
    if rest.any():
        edges = np.unique(np.quantile(values[rest], np.linspace(0, 1, BINS + 1), method="lower"))
        codes[rest] = len(names) + np.searchsorted(edges[1:-1], values[rest], side="left")
        names += [f"{name} {low:g} to {high:g}" for low, high in pairwise(edges)]
    if not np.isfinite(values).all():
        codes[~np.isfinite(values)] = len(names)
        names.append(f"{name} missing")
    return Condition(tuple(names), codes)
