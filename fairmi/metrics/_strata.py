"""Labels y -> the rows of each value: what is measured given y is measured in each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.labels import plain_series


def strata_of(y: Any, n_rows: int) -> list[tuple[Any, np.ndarray]]:
    """Return each value of y with its rows, in order of appearance; (None, all) without y.

    Raises
    ------
    ValueError
        If y has a missing value or another length.
    """
    if y is None:
        return [(None, np.arange(n_rows))]
    labels = np.asarray(plain_series(y), dtype=object).reshape(-1)
    codes, values = pd.factorize(labels, use_na_sentinel=True)
    if len(codes) != n_rows or (codes < 0).any():
        raise ValueError(
            f"y has {len(codes)} rows, {int((codes < 0).sum())} of them missing; give a label for "
            f"each of the {n_rows} rows of Z."
        )
    return [(value, np.flatnonzero(codes == k)) for k, value in enumerate(values)]
