"""Rows that belong together, such as the visits of one person: codes, and one row of each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi._inputs import plain_series


def cluster_codes(clusters: Any, n_rows: int) -> np.ndarray | None:
    """Return the code of each row's cluster, shape (n_rows,); None where none are given.

    Raises
    ------
    ValueError
        If a row has no cluster, the length differs, or all rows are one cluster.
    """
    if clusters is None:
        return None
    values = np.asarray(plain_series(clusters), dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n_rows,):
        raise ValueError(
            f"clusters has shape {values.shape}; give one label for each of the {n_rows} rows."
        )
    codes, labels = pd.factorize(values, use_na_sentinel=True)
    missing = int((codes < 0).sum())
    if missing:
        raise ValueError(
            f"clusters has a missing value in {missing} rows; give a row that belongs to no other "
            "a label of its own."
        )
    if len(labels) < 2:
        raise ValueError("clusters puts all rows in one cluster; at least two are needed.")
    return codes.astype(np.int64)


def one_row_each(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random row of each cluster, in the order of rows."""
    order = rng.permutation(len(codes))
    return np.sort(order[np.unique(codes[order], return_index=True)[1]])
