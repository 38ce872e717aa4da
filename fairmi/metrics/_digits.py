"""The decimal digits of Z as features: where a value hides in digits too fine for other probes."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

MOST_DIGITS = 16  # digits handed to the probe: those that tell the most on the training rows
MOST_PLACES = 15


class DigitSelector(TransformerMixin, BaseEstimator):
    """Decimal digits of Z's columns, of which those most dependent on the target are kept.

    Dependence is the between-digit sum of squares of the (one-hot) target, which is Pearson's
    chi-squared where the target is a category, over its expectation under independence.

    Parameters
    ----------
    continuous : bool, default=False
        Whether the target is a number and not a code.
    """

    def __init__(self, continuous: bool = False) -> None:
        self.continuous = continuous

    def fit(self, Z: np.ndarray, c: np.ndarray) -> DigitSelector:
        """Choose the digits."""
        target = c[:, None].astype(np.float64) if self.continuous else np.eye(c.max() + 1)[c]
        target = target[:, target.std(axis=0) > 0]
        target = (target - target.mean(axis=0)) / target.std(axis=0)
        candidates = [(j, k) for j in range(Z.shape[1]) for k in places(Z[:, j])]
        strength = np.array([_dependence(digits(Z[:, j], k), target) for j, k in candidates])
        self.chosen_ = [candidates[i] for i in np.argsort(-strength, kind="stable")[:MOST_DIGITS]]
        return self

    def transform(self, Z: np.ndarray) -> np.ndarray:
        """Return the chosen digits, shape (n_rows, at most 16)."""
        if not self.chosen_:
            return np.zeros((len(Z), 1))
        return np.column_stack([digits(Z[:, j], k) for j, k in self.chosen_]).astype(np.float64)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        return tags


def places(column: np.ndarray) -> range:
    """Return the decimal places of a column that its precision resolves and that vary."""
    size = float(np.median(np.abs(column)))
    precision = float(np.spacing(column.dtype.type(size)))
    finest = min(int(np.floor(-np.log10(precision))), MOST_PLACES)
    whole = np.rint(column) == column
    return range(0) if whole.all() else range(1, finest + 1)


def digits(column: np.ndarray, place: int) -> np.ndarray:
    """Return the digit (0 to 9) at a decimal place, the value rounded to that place."""
    return (np.rint(column.astype(np.float64) * 10.0**place) % 10).astype(np.int64)


def _dependence(digit: np.ndarray, target: np.ndarray) -> float:
    count = np.bincount(digit, minlength=10)
    sums = np.array([np.bincount(digit, column, minlength=10) for column in target.T])
    return float((sums**2 / np.maximum(count, 1)).sum() / max((count > 0).sum() - 1, 1))
