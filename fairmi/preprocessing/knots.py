"""Knots of a numeric column: where a small tree splits it to predict y."""

from __future__ import annotations

import numpy as np
from sklearn.tree import DecisionTreeClassifier

_MIN_ROWS_IN_BIN = 20
# A tree sorts its rows at every node: of a long column it reads the classes in cells of about as
# much weight each, a quarter of its smallest leaf. Few distinct values have a cell each, and then
# the knots are those of all rows.
_MAX_ROWS, _MAX_CELLS = 100_000, 4_096


def knots_of(x: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the ends of a column and the thresholds of a tree that predicts y from it, sorted.

    Parameters
    ----------
    x : ndarray of shape (n,), float64
        Finite values.
    y : ndarray of shape (n,)
        Classes.
    weights : ndarray of shape (n,)
        Above 0: counts of rows.
    n_bins : int
        Leaves at most; below 4 there are the ends alone.
    """
    ends = np.unique([x.min(), x.max()])
    if n_bins < 4 or len(ends) < 2:
        return ends
    if len(x) <= _MAX_ROWS:
        return np.union1d(ends, _thresholds(x, y, weights, n_bins))
    low, high, cells, classes, counts = _in_cells(x, y, weights)
    before = _thresholds(cells, classes, counts, n_bins).astype(np.int64)
    return np.union1d(ends, high[before] + (low[before + 1] - high[before]) / 2)


def _thresholds(x: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    share = min(max(_MIN_ROWS_IN_BIN / weights.sum(), 1e-3), 0.1)
    tree = DecisionTreeClassifier(
        max_leaf_nodes=n_bins, min_weight_fraction_leaf=share, random_state=0
    )
    with np.errstate(
        invalid="ignore", over="ignore"
    ):  # of its own sums, where values are near float32's end
        nodes = tree.fit(x[:, None], y, sample_weight=weights).tree_
    return nodes.threshold[nodes.feature >= 0]


def _in_cells(x: np.ndarray, y: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, ...]:
    """Return what a tree needs of a long column: the weight of each class in each cell.

    Returns
    -------
    low, high : ndarray of shape (n_cells,)
        Smallest and largest value of each cell.
    cells, classes, counts : ndarray of shape (n_pairs,)
        Number of the cell, class, and weight above 0.
    """
    order = np.argsort(x)
    x, weights = x[order], weights[order]
    first = np.flatnonzero(np.diff(x, prepend=np.nan) != 0)  # of each distinct value
    mass = np.add.reduceat(weights, first)
    if len(first) <= _MAX_CELLS:
        cell = np.arange(len(first))
    else:
        middle = (np.cumsum(mass) - mass / 2) / mass.sum()
        cell = np.unique((middle * _MAX_CELLS).astype(np.int64), return_inverse=True)[1]
    starts = np.flatnonzero(np.diff(cell, prepend=-1))
    last = np.append(starts[1:], len(first)) - 1
    kinds, codes = np.unique(y, return_inverse=True)
    of_rows = np.repeat(cell, np.diff(first, append=len(x)))
    n_pairs = len(starts) * len(kinds)
    counts = np.bincount(of_rows * len(kinds) + codes[order], weights, minlength=n_pairs)
    pairs = np.flatnonzero(counts)
    cells, classes = np.divmod(pairs, len(kinds))
    return x[first[starts]], x[first[last]], cells.astype(float), classes, counts[pairs]
