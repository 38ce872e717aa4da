"""Columns of numbers and codes -> bins of a byte each, in which trees grow."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

_ROWS_OF_QUANTILES = 200_000


@dataclass(frozen=True)
class Binned:
    """The rows of a fit in bins.

    `codes` (n, p) uint8 in column order: a missing value has the code `max_bins`. `ends` has for
    each numeric column the upper ends of its bins but the last, and for each categorical one the
    codes of its categories.
    """

    codes: np.ndarray
    ends: tuple[np.ndarray, ...]
    n_categories: np.ndarray
    max_bins: int

    @property
    def n_bins(self) -> np.ndarray:
        """Bins of each column, that of missing values left out, (p,) uint32."""
        sizes = np.array([len(ends) for ends in self.ends])
        return np.where(self.n_categories > 0, sizes, sizes + 1).astype(np.uint32)

    @property
    def has_missing(self) -> np.ndarray:
        """Whether a column has missing values, (p,) uint8."""
        return (self.codes == self.max_bins).any(axis=0).astype(np.uint8)

    def take(self, index: np.ndarray) -> Binned:
        """Return the rows of an index."""
        return replace(self, codes=np.asfortranarray(self.codes[index]))


def bin_rows(
    x: np.ndarray,
    n_categories: np.ndarray,
    weights: np.ndarray,
    max_bins: int,
    rng: np.random.Generator,
) -> Binned:
    """Bin rows, with about as much weight in each bin; few values get a bin each.

    Parameters
    ----------
    x : ndarray of shape (n, p), float64
        NaN where a value is missing; of a categorical column the codes 0, 1, ...
    n_categories : ndarray of shape (p,), int
        Categories of each column, at most `max_bins`; 0 for a numeric one.
    weights : ndarray of shape (n,)
    max_bins : int
        Bins of a column at most, 2 to 255, and one more for missing values.
    rng : Generator
        Draws the rows whose quantiles are taken, where there are more than 200,000.
    """
    drawn, drawn_weights = x, weights
    if len(x) > _ROWS_OF_QUANTILES:
        index = rng.choice(len(x), _ROWS_OF_QUANTILES, replace=False)
        drawn, drawn_weights = x[index], weights[index]
    codes = np.empty(x.shape, dtype=np.uint8, order="F")
    ends = []
    for j, n in enumerate(n_categories):
        column = np.ascontiguousarray(x[:, j])
        missing = np.isnan(column)
        if n:
            ends.append(np.arange(n, dtype=np.float64))
            place = np.where(missing, 0, column)
        else:
            ends.append(_ends(drawn[:, j], drawn_weights, max_bins))
            place = np.searchsorted(ends[j], column)
        codes[:, j] = np.where(missing, max_bins, place)
    return Binned(codes, tuple(ends), np.asarray(n_categories), max_bins)


def _ends(column: np.ndarray, weights: np.ndarray, max_bins: int) -> np.ndarray:
    """Return the upper ends of a column's bins but the last."""
    present = ~np.isnan(column) & (weights > 0)
    values, position = np.unique(column[present], return_inverse=True)
    if len(values) > max_bins:
        total = np.cumsum(np.bincount(position, weights=weights[present]))
        shares = np.linspace(0, total[-1], max_bins + 1)[1:-1]
        last = np.unique(np.searchsorted(total, shares))
        last = last[last < len(values) - 1]
    else:
        last = np.arange(len(values) - 1)
    return values[last] + (values[last + 1] - values[last]) / 2
