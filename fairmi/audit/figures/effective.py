"""Rows that belong together count for less: how many independent rows they are worth."""

from __future__ import annotations

import numpy as np


def effective_sizes(bin_of: np.ndarray, n_bins: int, clusters: np.ndarray | None) -> np.ndarray:
    """Return how many independent rows those of each bin are worth, shape (n_bins,).

    With m rows of each cluster in a bin it is (sum of m) ** 2 / sum of m ** 2: as if all rows
    of a cluster were alike. The variance of a share is then at most that of as many independent
    rows, whatever the rows of a cluster have in common (Kish's design effect at full correlation).

    Parameters
    ----------
    bin_of : ndarray of int of shape (n_rows,)
        Group or part that each row counts in; negative for none.
    n_bins : int
    clusters : ndarray of int of shape (n_rows,) or None
        Code of each row's cluster; None where each row stands alone.

    References
    ----------
    L. Kish, Survey Sampling (1965), section 5.4.
    """
    inside = bin_of >= 0
    bin_of = bin_of[inside]
    rows = np.bincount(bin_of, minlength=n_bins).astype(float)
    if clusters is None:
        return rows
    pairs, together = np.unique(clusters[inside] * n_bins + bin_of, return_counts=True)
    squares = np.bincount(pairs % n_bins, together**2.0, n_bins)
    return np.divide(rows**2, squares, out=np.zeros(n_bins), where=squares > 0)


def effective_rate_sizes(
    outcomes: np.ndarray,
    bottom: np.ndarray,
    codes: np.ndarray,
    n_groups: int,
    true: np.ndarray,
    clusters: np.ndarray | None,
) -> np.ndarray:
    """Return what the rows of each group's rates are worth, shape (n_groups, n_rates).

    `bottom`, (n_cells, n_rates), says which cells a rate divides by; these are whole labels,
    `outcomes[:, 0]`. `codes` and `true` are group and label of each row.
    """
    sizes = np.zeros((n_groups, bottom.shape[1]))
    known: dict[tuple[int, ...], np.ndarray] = {}
    for r in range(bottom.shape[1]):
        labels = tuple(np.unique(outcomes[bottom[:, r] > 0, 0]).tolist())
        if labels not in known:
            bin_of = np.where(np.isin(true, labels), codes, -1)
            known[labels] = effective_sizes(bin_of, n_groups, clusters)
        sizes[:, r] = known[labels]
    return sizes


def shrunk(size: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Return effective over actual size, 1 where there is nothing."""
    return np.divide(effective, size, out=np.ones_like(effective), where=size > 0)
