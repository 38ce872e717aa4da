"""The task loss: log loss of the classes, its first and second derivatives in the scores."""

from __future__ import annotations

import numpy as np
from scipy.special import expit, logsumexp, softmax


def derivatives(
    scores: np.ndarray, y: np.ndarray, weights: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return gradient and hessian, (n, K) each, of the weighted log loss.

    Parameters
    ----------
    scores : ndarray of shape (n, K)
        Log odds of class 1 for two classes (K = 1), else a score for each class.
    y : ndarray of shape (n,), int
        Codes of the classes.
    weights : ndarray of shape (n,)
    """
    if scores.shape[1] == 1:
        p = expit(scores)
        gradient = p - y[:, None]
    else:
        p = softmax(scores, axis=1)
        gradient = p.copy()
        gradient[np.arange(len(y)), y] -= 1
    return gradient * weights[:, None], p * (1 - p) * weights[:, None]


def log_loss(scores: np.ndarray, y: np.ndarray, weights: np.ndarray) -> float:
    """Return the weighted mean log loss in nats."""
    if scores.shape[1] == 1:
        of_rows = np.logaddexp(0, np.where(y > 0, -scores[:, 0], scores[:, 0]))
    else:
        of_rows = logsumexp(scores, axis=1) - scores[np.arange(len(y)), y]
    return float(np.average(of_rows, weights=weights))


def constant_scores(y: np.ndarray, weights: np.ndarray, n_classes: int) -> np.ndarray:
    """Return the scores, (K,), of the classes' shares."""
    shares = np.bincount(y, weights=weights, minlength=n_classes) / weights.sum()
    log_shares = np.log(np.clip(shares, 1e-15, None))
    if n_classes == 2:
        return log_shares[1:] - log_shares[:1]
    return log_shares - log_shares.mean()
