"""Scores of the rows of a fit -> whether it ended in a trivial solution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax

# Share of the entropy of y that scores take away where they are of use.
_OF_USE = 0.05


@dataclass(frozen=True)
class FittedRows:
    """Rows of a fit, and what the fitted model makes of them.

    `scores` (n, K) are those of the classes, or (n, 1) log odds of two, `codes` (n,) the positions
    of their labels, and `weights` (n,) those in the task loss.
    """

    scores: np.ndarray
    codes: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True)
class PenalisedGroups:
    """One sensitive attribute: its λ, the codes of its groups (n,), and weights (n,) of rows."""

    lam: float
    groups: np.ndarray
    weights: np.ndarray


def ceiling_of(fitted: FittedRows, attributes: Sequence[PenalisedGroups]) -> float | None:
    """Return the share of λ up to which y itself is better than a constant, if λ is too large.

    A perfect prediction of y has the loss λ I(Y; C), summed over attributes, and a constant has
    H(Y). So the share is H(Y) / (λ I(Y; C)). It is None where that is 1 or more, and where the
    model tells y all the same, by what in y does not hang on C.
    """
    entropy = _entropy(fitted.codes, fitted.weights)
    of_y = sum(a.lam * _information(fitted.codes, a) for a in attributes)
    if of_y <= entropy or not _tells_little(fitted.scores, fitted.codes, fitted.weights):
        return None
    return entropy / of_y


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
    predicted = _of_classes(scores).argmax(axis=1)
    if not (predicted == predicted[0]).all():
        return False
    return _tells_little(scores, codes, weights)


def _of_classes(scores: np.ndarray) -> np.ndarray:
    return np.hstack([np.zeros_like(scores), scores]) if scores.shape[1] == 1 else scores


def _tells_little(scores: np.ndarray, codes: np.ndarray, weights: np.ndarray) -> bool:
    """Whether scores have about the loss of a constant, or a higher one."""
    told = log_softmax(_of_classes(scores).astype(np.float64), axis=1)
    loss = -np.average(told[np.arange(len(codes)), codes], weights=weights)
    return bool(loss > (1 - _OF_USE) * _entropy(codes, weights))


def _entropy(codes: np.ndarray, weights: np.ndarray) -> float:
    counts = np.bincount(codes, weights)
    shares = counts[counts > 0] / counts.sum()
    return float(-(shares * np.log(shares)).sum())


def _information(values: np.ndarray, attribute: PenalisedGroups) -> float:
    """Return I(value; group) in nats by their counts, less the bias of so many rows.

    The bias is that of G. Miller, Note on the bias of information estimates (1955): degrees of
    freedom over twice the rows, weights counted as the number of equal ones that is as certain.
    """
    weights, n_groups = attribute.weights, int(attribute.groups.max()) + 1
    if not weights.any():
        return 0.0
    cells, n_cells = values * n_groups + attribute.groups, (int(values.max()) + 1) * n_groups
    joint = np.bincount(cells, weights, n_cells).reshape(-1, n_groups) / weights.sum()
    joint = joint[joint.sum(1) > 0][:, joint.sum(0) > 0]
    independent = joint.sum(1, keepdims=True) * joint.sum(0)
    ratio = np.divide(joint, independent, out=np.ones_like(joint), where=joint > 0)
    n_rows = weights.sum() ** 2 / (weights**2).sum()
    bias = (joint.shape[0] - 1) * (joint.shape[1] - 1) / (2 * n_rows)
    return max(float((joint * np.log(ratio)).sum() - bias), 0.0)
