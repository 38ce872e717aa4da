"""What the tests of all folders share."""

from __future__ import annotations

import numpy as np


def parity_difference(predicted, s):
    """The largest difference between groups in the share of predictions that are 1 or True."""
    predicted, s = np.asarray(predicted), np.asarray(s)
    rates = [predicted[s == group].mean() for group in np.unique(s)]
    return max(rates) - min(rates)
