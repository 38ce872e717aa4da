"""Z in any form (representation, scores, predictions) -> a dense matrix, or codes of its cells."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from fairmi._data.forms import plain
from fairmi._data.tables import table_columns

NUMERIC_KINDS = "biuf"


def as_matrix(Z: Any, *, argument: str = "Z") -> np.ndarray:
    """Return Z as a float array of shape (n_rows, n_columns), its float precision kept.

    One dimension is taken as one column. A column of text or of other objects becomes one
    indicator column for each of its values.

    Raises
    ------
    ValueError
        If Z is empty, has more than two dimensions, or holds a missing or infinite value.
    """
    Z = plain(Z, argument=argument)
    Z = Z.toarray() if hasattr(Z, "toarray") else Z
    native = nw.from_native(Z, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        Z = native.to_frame().to_native()
    elif not isinstance(native, nw.DataFrame):
        Z = np.asarray(Z)
        if Z.ndim > 2:
            raise ValueError(f"{argument} has {Z.ndim} dimensions; reshape it to rows by columns.")
        Z = Z[:, None] if Z.ndim == 1 else Z
    matrix = _numeric(Z, argument)
    if not matrix.size:
        raise ValueError(f"{argument} has shape {matrix.shape}; give at least one row and column.")
    finite = np.isfinite(matrix).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"{argument} has a missing or infinite value in {int((~finite).sum())} rows; "
            "fill these values in or drop the rows."
        )
    return matrix


def _numeric(table: Any, argument: str) -> np.ndarray:
    if isinstance(table, np.ndarray) and table.dtype.kind in NUMERIC_KINDS:
        small = table.dtype in (np.float16, np.float32)
        return np.ascontiguousarray(table, dtype=np.float32 if small else np.float64)
    columns = [values for _, values in table_columns(table, argument=argument, finite=False)]
    numbers = [values[:, None] for values in columns if values.dtype != object]
    text = [values for values in columns if values.dtype == object]
    indicators = [pd.get_dummies(pd.Series(v), dummy_na=True).to_numpy(float) for v in text]
    parts = [*numbers, *indicators] or [np.empty((len(table), 0))]
    return np.ascontiguousarray(np.hstack(parts))


def cells(matrix: np.ndarray) -> np.ndarray:
    """Return the code of each row's value, shape (n_rows,): equal bits, equal code.

    Bits are compared, not numbers, so that 0.0 and -0.0, which a program can tell apart, are two
    values: what is said of the codes holds for all that can be computed from the rows.
    """
    rows = np.ascontiguousarray(matrix)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)
