"""Scores of the rows of a fit -> whether it ended in a trivial solution."""

from __future__ import annotations

import numpy as np
from scipy.special import log_softmax

# Share of the entropy of y that scores take away where they are of use.
_OF_USE = 0.05


def is_collapsed(scores: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> bool:
    """Whether all rows are predicted to be of one class, and not because it is the likelier one.

    Scores that tell y better than its shares do may well stay on one side for all rows, where the
    other class is rare.

    Parameters
    ----------
    scores : ndarray of shape (n_rows, n_classes), or (n_rows, 1) for the log odds of two
    codes : ndarray of shape (n_rows,)
        Those of the classes of y.
    weights : ndarray of shape (n_rows,)
    """
    if scores.shape[1] == 1:
        scores = np.hstack([np.zeros_like(scores), scores])
    predicted = scores.argmax(axis=1)
    if not (predicted == predicted[0]).all():
        return False
    counts = np.bincount(codes, weights)
    shares = counts[counts > 0] / counts.sum()
    entropy = -(shares * np.log(shares)).sum()
    told = log_softmax(scores.astype(np.float64), axis=1)[np.arange(len(codes)), codes]
    return bool(-np.average(told, weights=weights) > (1 - _OF_USE) * entropy)
