"""The nearest-neighbour estimate of mutual information, for a Z of few columns."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri
from scipy.stats import norm

from fairmi.metrics._log_ratio import LogRatios

NEIGHBOURS = 5
MAX_COLUMNS = 3
MAX_ROWS = 20_000
CHOICE_ERROR = 0.005  # of taking it where Z and C are independent


def nearest_log_ratios(Z: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> LogRatios:
    """Return the terms of Kraskov, Stögbauer and Grassberger's estimate, a row each.

    Columns of Z are made normal by their ranks as `scores` (n_rows,) are, ties broken at random,
    which leaves the information as it is. Rows share neighbours, so that the mean varies more
    than independent terms would: its standard error was 1.1 to 1.4 times theirs in simulations of
    independent normals (100 to 1,000 rows, one to three columns). Its variance is doubled.

    References
    ----------
    A. Kraskov, H. Stögbauer, P. Grassberger, Estimating mutual information, Physical Review E 69
    (2004), doi:10.1103/PhysRevE.69.066138.
    """
    n = len(scores)
    z = np.column_stack([_normal(column, rng) for column in Z.T])
    c = scores[:, None]
    both = np.hstack([z, c])
    radius = cKDTree(both).query(both, k=NEIGHBOURS + 1, p=np.inf)[0][:, -1]
    radius = np.nextafter(radius, 0.0)
    near_z, near_c = (
        cKDTree(x).query_ball_point(x, radius, p=np.inf, return_length=True) for x in (z, c)
    )
    values = digamma(NEIGHBOURS) + digamma(n) - digamma(near_z) - digamma(near_c)
    return LogRatios(values, excess=float(values.var() / n), estimator="nearest")


def _normal(column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rank = np.empty(len(column))
    rank[np.lexsort((rng.random(len(column)), column))] = np.arange(len(column))
    return ndtri((rank + 0.5) / len(column))


def is_larger(found: LogRatios, other: LogRatios) -> bool:
    """Whether an estimate exceeds another, and nought by more than independence would have."""
    error = np.sqrt(found.values.var() / len(found.values) + found.excess)
    return bool(found.mean > max(other.mean, norm.isf(CHOICE_ERROR) * error))
