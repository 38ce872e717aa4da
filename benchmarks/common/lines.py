"""A method's line of accuracy over unfairness, and how two lines differ at one unfairness."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


@dataclass(frozen=True)
class Line:
    """Points of one method on one test part, by unfairness.

    `unfairness` (n_points,) rises; `correct` (n_points, n_rows) says how often a row's prediction
    was right: 0 or 1, or a mean over seeds.
    """

    unfairness: np.ndarray
    correct: np.ndarray

    @classmethod
    def of(cls, unfairness: Sequence[float], correct: Sequence[np.ndarray]) -> Self:
        """Return the line through points in any order."""
        order = np.argsort(unfairness, kind="stable")
        return cls(np.asarray(unfairness, float)[order], np.asarray(correct, float)[order])

    def rows_at(self, unfairness: float) -> np.ndarray | None:
        """Return how often each row is right, (n_rows,), between two points; None beyond ends."""
        ends = self.unfairness[[0, -1]]
        if not ends[0] <= unfairness <= ends[1]:
            return None
        position = np.interp(unfairness, self.unfairness, np.arange(len(self.unfairness)))
        low = int(position)
        high = min(low + 1, len(self.unfairness) - 1)
        share = position - low
        return (1 - share) * self.correct[low] + share * self.correct[high]

    def accuracy_at(self, unfairness: float) -> float:
        """Return the accuracy read off the line; NaN where the line does not reach."""
        rows = self.rows_at(unfairness)
        return float("nan") if rows is None else float(rows.mean())


def paired_difference(first: Line, second: Line, unfairness: float) -> tuple[float, float]:
    """Return by how much the first line is more accurate at one unfairness, and standard error.

    The error is that of the mean over rows which both lines predict: it holds what the draw of the
    test rows does to accuracy, not what it does to unfairness, nor what a draw of the training
    rows would do. Both are NaN where one of the lines does not reach.
    """
    rows = [line.rows_at(unfairness) for line in (first, second)]
    if rows[0] is None or rows[1] is None:
        return float("nan"), float("nan")
    difference = rows[0] - rows[1]
    return float(difference.mean()), float(difference.std(ddof=1) / np.sqrt(len(difference)))
