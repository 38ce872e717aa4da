"""Rows that an audit should not get: many of one person."""

from __future__ import annotations

from typing import Any

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import csr_array, issparse

from fairmi._data.groups import Groups
from fairmi._data.tables import is_frame
from fairmi.metrics._clusters import repeated_values


def repeated_note(X: Any, clusters: np.ndarray | None, groups: Groups) -> str:
    """Say that many rows of X equal another and share its group; "" if not, or with clusters."""
    if X is None or clusters is not None:
        return ""
    value = np.unique(_row_hashes(X), return_inverse=True)[1].reshape(-1)
    one_column = len(X.shape) == 1 or X.shape[1] == 1 if hasattr(X, "shape") else False
    return repeated_values(value, groups.codes, one_column=one_column)


def _row_hashes(X: Any) -> np.ndarray:
    """Return a 64-bit hash of each row of a table in any form, (n_rows,)."""
    if issparse(X):  # equal rows have equal sums, in the order of their columns
        rows = csr_array(X, copy=True)
        rows.sum_duplicates()
        return rows @ np.random.default_rng(0).normal(size=rows.shape[1])
    if is_frame(X):
        frame = nw.from_native(X, eager_only=True).to_pandas()
    else:
        array = np.asarray(X)
        frame = pd.DataFrame(array.reshape(len(array), -1))
    try:
        return pd.util.hash_pandas_object(frame, index=False).to_numpy()
    except TypeError:  # values without a hash, such as lists, by their text
        return pd.util.hash_pandas_object(frame.astype(str), index=False).to_numpy()
