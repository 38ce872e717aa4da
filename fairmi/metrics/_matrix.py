"""Z in any form (representation, scores, predictions) -> a dense matrix, or codes of values."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd

from fairmi._data.forms import plain
from fairmi._data.tables import table_columns


def as_matrix(Z: Any, *, argument: str = "Z", allow_missing: bool = True) -> np.ndarray:
    """Return Z as a float array of shape (n_rows, n_columns), its float precision kept.

    One dimension is taken as one column. A column of text or of other objects becomes one
    indicator column for each of its values. A missing number becomes its column's median, and a
    column more says where; a whole number beyond 2 ** 53 has its last bits in a column more.

    Raises
    ------
    ValueError
        If Z is empty, has more than two dimensions, or holds an infinite value (or
        a missing one, if not `allow_missing`).
    """
    Z = plain(Z, argument=argument)
    Z = Z.toarray() if hasattr(Z, "toarray") else Z
    native = nw.from_native(Z, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series | nw.DataFrame):
        Z = native.to_pandas()
    if not isinstance(Z, pd.DataFrame | pd.Series):
        Z = np.asarray(Z)
        if Z.ndim > 2:
            raise ValueError(f"{argument} has {Z.ndim} dimensions; reshape it to rows by columns.")
        Z = Z[:, None] if Z.ndim == 1 else Z
    matrix = _numeric(Z, argument)
    if not matrix.size:
        raise ValueError(f"{argument} has shape {matrix.shape}; give at least one row and column.")
    infinite = np.isinf(matrix).any(axis=1)
    if infinite.any():
        raise ValueError(
            f"{argument} has an infinite value in {int(infinite.sum())} rows; clip these values "
            "or drop the rows."
        )
    missing = int(np.isnan(matrix).any(axis=1).sum())
    if missing and not allow_missing:
        raise ValueError(
            f"{argument} has a missing value in {missing} rows; fill these values in or drop the "
            "rows."
        )
    return _with_indicators(matrix)


def _with_indicators(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix with missing values as their column's median and an indicator column."""
    missing = np.isnan(matrix)
    somewhere = missing.any(axis=0)
    if not somewhere.any():
        return matrix
    nothing = missing.all(axis=0)
    known = np.where(nothing, matrix.dtype.type(0), matrix)
    filled = np.where(missing, np.nanmedian(known, axis=0), matrix)
    return np.hstack([filled, missing[:, somewhere]]).astype(matrix.dtype)


def _numeric(table: Any, argument: str) -> np.ndarray:
    if isinstance(table, np.ndarray) and table.dtype.kind in "bf":
        small = table.dtype in (np.float16, np.float32)
        return np.ascontiguousarray(table, dtype=np.float32 if small else np.float64)
    frame = pd.DataFrame(table).reset_index(drop=True)
    read = [values for _, values in table_columns(frame, argument=argument, finite=False)]
    numbers = [
        _exact(frame.iloc[:, j], values) for j, values in enumerate(read) if values.dtype != object
    ]
    text = [pd.Series(values) for values in read if values.dtype == object]
    indicators = [pd.get_dummies(column, dummy_na=True).to_numpy(float) for column in text]
    return np.ascontiguousarray(np.hstack([np.empty((len(frame), 0)), *numbers, *indicators]))


def _exact(column: pd.Series, values: np.ndarray) -> np.ndarray:
    """Return numbers as floats, (n_rows, 1), with whole ones too large for these in two parts."""
    values = values[:, None]
    if not pd.api.types.is_integer_dtype(column.dtype) or not (np.abs(values) > 2**53).any():
        return values
    low = column.mod(2**20).to_numpy(dtype=np.float64, na_value=np.nan)[:, None]
    return np.hstack([values, low])


def value_codes(matrix: np.ndarray) -> np.ndarray:
    """Return the code of each row's value, shape (n_rows,): equal bits, equal code.

    Bits are compared, not numbers, so that 0.0 and -0.0, which a program can tell apart, are two
    values: what is said of the codes holds for all that can be computed from the rows.
    """
    rows = np.ascontiguousarray(matrix)
    keys = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1]))).ravel()
    return np.unique(keys, return_inverse=True)[1].reshape(-1).astype(np.int64)
