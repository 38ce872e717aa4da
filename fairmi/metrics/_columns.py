"""Columns of X by name or position, whatever kind of table X is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import narwhals.stable.v2 as nw
import numpy as np


def columns_of(X: Any, columns: Sequence[str | int], *, argument: str) -> Any:
    """Return those columns of X, a DataFrame, array or sparse matrix, as X's own kind of table.

    Raises
    ------
    ValueError
        If X has no such column; `argument` is the name under which the user gave `columns`.
    """
    native = nw.from_native(X, eager_only=True, pass_through=True)
    framed = isinstance(native, nw.DataFrame)
    table: Any = native if framed or hasattr(X, "shape") else np.asarray(X)
    names = list(table.columns) if framed else []
    width = table.shape[1]
    unknown = [c for c in columns if (c not in names if isinstance(c, str) else c >= width)]
    if unknown:
        raise ValueError(
            f"{argument} {unknown} are not in X, a {type(X).__name__} of {width} columns"
            + (f" named {names}." if framed else " without names; give positions from 0.")
        )
    chosen = table[:, [names.index(c) if isinstance(c, str) else c for c in columns]]
    return chosen.to_native() if framed else chosen
