"""Rows that belong together count for less: how many independent rows they are worth."""

from __future__ import annotations

import numpy as np


def effective_sizes(place: np.ndarray, n_places: int, clusters: np.ndarray | None) -> np.ndarray:
    """Return how many independent rows those of each place are worth, shape (n_places,).

    With m rows of each cluster in a place it is (sum of m) ** 2 / sum of m ** 2: as if all rows
    of a cluster were alike. The variance of a share is then at most that of as many independent
    rows, whatever the rows of a cluster have in common (Kish's design effect at full correlation).

    Parameters
    ----------
    place : ndarray of int of shape (n_rows,)
        Group or part that each row counts in; negative for none.
    n_places : int
    clusters : ndarray of int of shape (n_rows,) or None
        Code of each row's cluster; None where each row stands alone.

    References
    ----------
    L. Kish, Survey Sampling (1965), section 5.4.
    """
    inside = place >= 0
    place = place[inside]
    rows = np.bincount(place, minlength=n_places).astype(float)
    if clusters is None:
        return rows
    pairs, together = np.unique(clusters[inside] * n_places + place, return_counts=True)
    squares = np.bincount(pairs % n_places, together**2.0, n_places)
    return np.divide(rows**2, squares, out=np.zeros(n_places), where=squares > 0)


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
            place = np.where(np.isin(true, labels), codes, -1)
            known[labels] = effective_sizes(place, n_groups, clusters)
        sizes[:, r] = known[labels]
    return sizes


def shrunk(size: np.ndarray, effective: np.ndarray) -> np.ndarray:
    """Return effective over actual size, 1 where there is nothing."""
    return np.divide(effective, size, out=np.ones_like(effective), where=size > 0)
