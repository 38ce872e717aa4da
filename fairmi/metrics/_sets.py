"""The sets of values that tell two groups apart best: all sets, or the half-lines of a score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairmi.metrics._binomial import DifferenceLimit

MAX_WORK = 20_000_000  # values times rows, beyond which parts of values count as sets


@dataclass(frozen=True)
class Reach:
    """What the best set of values reaches in the sample.

    `distance` is the largest difference of the groups' shares of a set, and `rank` the largest
    `DifferenceLimit.rank` of a set, rounded up.
    """

    distance: float
    rank: float


def reach_of_all_sets(a: np.ndarray, b: np.ndarray, limit: DifferenceLimit) -> Reach:
    """Return the reach of all sets of values, from counts by value in two groups."""
    distance = float(np.abs(a / limit.n_a - b / limit.n_b).sum() / 2)
    a, b = a[a > 0], b[a > 0]  # other values can only lower a rank
    find = _min_in_b if a.size * limit.n_a <= MAX_WORK else _min_in_b_or_below
    rank = limit.rank(np.arange(limit.n_a + 1) / limit.n_a, find(a, b) / limit.n_b)
    return Reach(distance, float(rank.max()))


def _min_in_b(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the fewest rows in b of a set that has 0, 1, ... rows in a; b's sum where none has.

    Value by value, as in a knapsack.
    """
    min_in_b = np.full(a.sum() + 1, b.sum())
    min_in_b[0] = 0
    for in_a, in_b in zip(a, b, strict=True):
        min_in_b[in_a:] = np.minimum(min_in_b[in_a:], min_in_b[:-in_a] + in_b)
    return min_in_b


def _min_in_b_or_below(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return a lower bound on the same: parts of values count as sets (Neyman and Pearson)."""
    order = np.argsort(-a / (a + b), kind="stable")
    total_a, total_b = (np.concatenate([[0], np.cumsum(n[order])]) for n in (a, b))
    return np.ceil(np.interp(np.arange(a.sum() + 1), total_a, total_b) - 1e-6)


def reach_of_thresholds(a: np.ndarray, b: np.ndarray, limit: DifferenceLimit) -> Reach:
    """Return the reach of the half-lines, from counts by value of a score in ascending order."""
    p, q = (np.concatenate([[0], np.cumsum(n)]) / n.sum() for n in (a, b))
    rank = np.maximum(limit.rank(p, q), limit.rank(1 - p, 1 - q))
    return Reach(float(np.abs(p - q).max()), float(rank.max()))
