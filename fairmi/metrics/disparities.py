"""How predictions of a number differ between groups: the figures of scorers, searches and audits.

Each function of two groups takes what `ks_pairs` does, and returns the figures of all pairs,
(G, G), NaN where one of the two has no weight; `largest_pair` reads off the one that counts.
Weights are those of rows; a row that may be in several groups counts in each by its share.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Concatenate

import numpy as np

from fairmi.core.membership import Membership, quantile_bins

N_Y_BINS = 4  # of y, within which groups are compared; the estimator's own number

Pairs = Callable[Concatenate[np.ndarray, Membership, ...], np.ndarray]


def ks_pairs(
    y_pred: np.ndarray, members: Membership, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the greatest difference of distribution functions of each pair of groups, (G, G).

    It is the two-sample Kolmogorov-Smirnov statistic, from 0 to 1.
    """
    _, below = _distributions(y_pred, members, sample_weight)
    return np.stack([np.abs(below - of_group).max(axis=1) for of_group in below])


def wasserstein_pairs(
    y_pred: np.ndarray, members: Membership, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the Wasserstein-1 distance of each pair of groups, (G, G), in units of y."""
    values, below = _distributions(y_pred, members, sample_weight)
    widths = np.diff(values, append=values[-1:])
    return np.stack([np.abs(below - of_group) @ widths for of_group in below])


def mean_pairs(
    y_pred: np.ndarray, members: Membership, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the row's group's mean less the column's, (G, G), in units of y."""
    means = group_means(y_pred, members, sample_weight)
    return means[:, None] - means


def pairs_within(
    pairs: Pairs,
    strata: np.ndarray,
    y_pred: np.ndarray,
    members: Membership,
    sample_weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return the mean over strata of another figure of pairs, each stratum by its weight.

    Where a stratum lacks one of two groups, it doesn't count for that pair. `strata` (n_rows,) are
    codes from 0 on, such as those of `y_strata`.
    """
    n_groups = members.n_groups
    total, counted = np.zeros((2, n_groups, n_groups))
    weights = np.ones(len(y_pred)) if sample_weight is None else sample_weight
    for stratum in range(int(strata.max()) + 1):
        at = np.flatnonzero((strata == stratum) & members.known)
        if not weights[at].any():
            continue
        figures = pairs(y_pred[at], members.take(at), weights[at])
        share = weights[at].sum() * np.isfinite(figures)
        total += np.where(share > 0, share * figures, 0)
        counted += share
    return np.divide(total, counted, out=np.full_like(total, np.nan), where=counted > 0)


def y_strata(
    y_true: np.ndarray, sample_weight: np.ndarray | None = None, n_bins: int = N_Y_BINS
) -> np.ndarray:
    """Return the quantile bin of each y, (n_rows,) int64; few values are a bin each."""
    values, codes = np.unique(y_true, return_inverse=True)
    if len(values) <= n_bins:
        return codes.reshape(-1)
    weights = np.ones(len(y_true)) if sample_weight is None else sample_weight
    return quantile_bins(y_true, weights, n_bins)[0]


def group_means(
    y_pred: np.ndarray, members: Membership, sample_weight: np.ndarray | None = None
) -> np.ndarray:
    """Return the mean prediction of each group, (n_groups,), NaN where it has no weight."""
    weights = _weights(members, sample_weight)
    totals = np.bincount(members.groups, weights, members.n_groups)
    sums = np.bincount(members.groups, weights * y_pred[members.rows], members.n_groups)
    return np.divide(sums, totals, out=np.full(members.n_groups, np.nan), where=totals > 0)


def largest_pair(figures: np.ndarray) -> tuple[float, int, int]:
    """Return the largest of the figures (G, G) of pairs, and the groups: its row and column."""
    apart = np.where(np.eye(len(figures), dtype=bool), np.nan, figures)
    if not np.isfinite(apart).any():
        raise ValueError(
            "No two groups have rows that can be compared: each needs some of positive weight."
        )
    row, column = np.unravel_index(int(np.nanargmax(apart)), apart.shape)
    return float(figures[row, column]), int(row), int(column)


def _distributions(
    y_pred: np.ndarray, members: Membership, sample_weight: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray]:
    """Return the values that occur (m,), and each group's share at or below them, (G, m)."""
    values, at = np.unique(y_pred, return_inverse=True)
    at = at.reshape(-1)[members.rows] + members.groups * len(values)
    weights = np.bincount(at, _weights(members, sample_weight), members.n_groups * len(values))
    below = np.cumsum(weights.reshape(members.n_groups, -1), axis=1)
    return values, below / np.where(below[:, -1:] > 0, below[:, -1:], np.nan)


def _weights(members: Membership, sample_weight: np.ndarray | None) -> np.ndarray:
    """Return the weight of each membership, (m,)."""
    return (
        members.shares if sample_weight is None else sample_weight[members.rows] * members.shares
    )
