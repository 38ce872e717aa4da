"""Columns of numbers and codes -> bins of a byte each, in which trees grow."""

from __future__ import annotations

from dataclasses import dataclass

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
        sizes = np.array([len(ends) for ends in self.ends], dtype=np.uint32)
        return np.where(self.n_categories > 0, sizes, sizes + 1).astype(np.uint32)

    @property
    def has_missing(self) -> np.ndarray:
        """Whether a column has missing values, (p,) uint8."""
        return (self.codes == self.max_bins).any(axis=0).astype(np.uint8)

    def take(self, rows: np.ndarray) -> Binned:
        """Return the rows of an index."""
        return Binned(
            np.asfortranarray(self.codes[rows]), self.ends, self.n_categories, self.max_bins
        )


def bin_rows(
    x: np.ndarray, n_categories: np.ndarray, max_bins: int, rng: np.random.Generator
) -> Binned:
    """Bin rows, with about as many of them in each bin; few values get a bin each.

    Parameters
    ----------
    x : ndarray of shape (n, p), float64
        NaN where a value is missing; of a categorical column the codes 0, 1, ...
    n_categories : ndarray of shape (p,), int
        Categories of each column, at most `max_bins`; 0 for a numeric one.
    max_bins : int
        Bins of a column at most, 2 to 255, and one more for missing values.
    rng : Generator
        Draws the rows whose quantiles are taken, where there are more than 200,000.
    """
    drawn = x
    if len(x) > _ROWS_OF_QUANTILES:
        drawn = x[rng.choice(len(x), _ROWS_OF_QUANTILES, replace=False)]
    ends = tuple(
        np.arange(n, dtype=np.float64) if n else _ends(drawn[:, j], max_bins)
        for j, n in enumerate(n_categories)
    )
    codes = np.empty(x.shape, dtype=np.uint8, order="F")
    for j, n in enumerate(n_categories):
        column = np.ascontiguousarray(x[:, j])
        missing = np.isnan(column)
        place = np.where(missing, 0, column) if n else np.searchsorted(ends[j], column)
        codes[:, j] = np.where(missing, max_bins, place)
    return Binned(codes, ends, np.asarray(n_categories), max_bins)


def _ends(column: np.ndarray, max_bins: int) -> np.ndarray:
    present = column[~np.isnan(column)]
    values = np.unique(present)
    if len(values) <= max_bins:
        return values[:-1] + np.diff(values) / 2
    shares = np.linspace(0, 1, max_bins + 1)[1:-1]
    return np.unique(np.quantile(present, shares, method="median_unbiased"))
