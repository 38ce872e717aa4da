"""sample_weight -> a number for each row, of a size that can be summed."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import assert_all_finite

from fairmi._data.tables import named
from fairmi._sklearn_compat import check_sample_weight

_SAFE = (1e-30, 1e30)  # of the largest weight; float32 holds what lies between


def check_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Return a weight >= 0 for each row of X; all 1 where none are given.

    Weights so large or small that their sums leave the range of floats are scaled to at most 1;
    one that is then 0 is as far below the others as no number can tell.

    Raises
    ------
    ValueError
        If a weight is negative or no number, all are 0, or there is not one for each row.
    """
    with named("sample_weight"):
        weights = check_sample_weight(sample_weight, X, ensure_non_negative=True)
        # A single number for all rows, or an older scikit-learn, lets these pass.
        assert_all_finite(weights, input_name="sample_weight")
        if not weights.any():
            raise ValueError(
                "Sample weights are all 0; they must contain at least one non-zero number."
            )
    largest = weights.max()
    if _SAFE[0] < largest < _SAFE[1]:
        return weights
    return np.asarray(weights / largest, dtype=np.float64)
