"""Rates by group -> the largest disparity between groups, and intervals that hold for it."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy.special import betainccinv, betaincinv, ndtri
from scipy.stats import norm, studentized_range

TINY = 1e-17  # stands for a rate of 0 where logarithms are compared


def max_disparity(rates: np.ndarray) -> np.ndarray:
    """Largest less smallest over groups, then the largest over rates: (..., groups, rates) -> ...

    A group for which a rate is undefined (NaN) has no part in it.
    """
    defined = ~np.isnan(rates)
    largest = np.where(defined, rates, -np.inf).max(axis=-2)
    smallest = np.where(defined, rates, np.inf).min(axis=-2)
    with np.errstate(invalid="ignore"):
        apart = np.where(
            largest == smallest, 0.0, largest - smallest
        )  # equal are also two logs of 0
    apart = np.where(defined.sum(axis=-2) > 1, apart, np.nan)
    nothing = np.isnan(apart).all(axis=-1)
    return np.where(nothing, np.nan, np.where(np.isnan(apart), -np.inf, apart).max(axis=-1))


def disparity_interval(
    rates: np.ndarray,
    sizes: np.ndarray,
    confidence: float,
    *,
    ratio: bool = False,
    n_joint: int | None = None,
) -> tuple[float, float]:
    """Return an interval for the largest disparity, from rates of shape (groups, rates).

    `sizes` has the number of rows of each rate, 0 where it is undefined. With `ratio` the
    disparity is that of the rates' logarithms. It holds for as many rates together as are given,
    or for `n_joint`, of which these are some.

    The differences of all pairs of groups get intervals that hold jointly; the largest disparity
    then lies between the largest of their lower and the largest of their upper ends. Unlike
    quantiles of the disparity itself, which is never below 0, this reaches 0 where the groups may
    be alike.
    """
    defined = [r for r in range(rates.shape[1]) if (sizes[:, r] > 0).sum() > 1]
    if not defined:
        return np.nan, np.nan
    error = (1 - confidence) / max(len(defined), n_joint or 0)
    low, high = zip(
        *(_pairs_interval(rates[:, r], sizes[:, r], error, ratio) for r in defined), strict=True
    )
    return max(low), max(high)


def _pairs_interval(
    rate: np.ndarray, size: np.ndarray, error: float, ratio: bool
) -> tuple[float, float]:
    """Return the largest lower and the largest upper end of all pairs' joint intervals, or 0.

    A pair's interval is Newcombe's: the limits of the two rates, squared and added. The limits
    are Clopper and Pearson's, at the level that makes all pairs hold: the quantile of the
    studentised range, as for Tukey's comparisons of means (A. Agresti, M. Bini, B. Bertaccini,
    E. Ryu, Simultaneous Confidence Intervals for Comparing Binomial Parameters, Biometrics 64,
    2008, doi:10.1111/j.1541-0420.2008.00990.x).
    """
    rate, size = rate[size > 0], size[size > 0]
    low, high = _share_limits(rate * size, size, joint_tail(len(rate), error))
    lower, upper = square_and_add(rate, low, high)
    if ratio:
        differs = lower > 0  # a ratio of 1 is a difference of 0
        with np.errstate(divide="ignore"):
            log_rate = np.log(np.maximum(rate, TINY))
            lower, upper = square_and_add(log_rate, np.log(low), np.log(high))
        lower = np.where(differs, lower, 0.0)
    return max(0.0, float(lower.max())), max(0.0, float(upper.max()))


@lru_cache(maxsize=64)
def joint_tail(n_groups: int, error: float) -> float:
    """Return what is left beyond each limit of each group, for all pairs to hold jointly."""
    return float(norm.sf(studentized_range.isf(error, n_groups, np.inf) / np.sqrt(2)))


def square_and_add(
    value: np.ndarray, low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return limits of the differences of all pairs of values from the limits of each value."""
    down, up = value - low, high - value
    difference = value[:, None] - value
    lower = difference - np.hypot(down[:, None], up)
    upper = difference + np.hypot(up[:, None], down)
    np.fill_diagonal(upper, 0.0)
    return lower, upper


def _share_limits(top: np.ndarray, size: np.ndarray, tail: float) -> tuple[np.ndarray, np.ndarray]:
    """Return Clopper and Pearson's limits of shares top / size, `tail` beyond each."""
    rest = size - top
    low = np.where(top > 0, betaincinv(np.maximum(top, TINY), rest + 1, tail), 0.0)
    high = np.where(rest > 0, betainccinv(top + 1, np.maximum(rest, TINY), tail), 1.0)
    return low, high


def quantile_interval(draws: np.ndarray, confidence: float) -> tuple[float, float]:
    """Return the percentile interval of `draws`, shape (n_draws,), NaN left out."""
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return np.nan, np.nan
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


def share_intervals(
    top: np.ndarray, bottom: np.ndarray, tail: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Wilson's limits of shares top / bottom of a count, `tail` beyond each; NaN of none.

    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z2 = ndtri(tail) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = top / bottom
        centre = (share + z2 / (2 * bottom)) / (1 + z2 / bottom)
        half = np.sqrt(z2 * (share * (1 - share) / bottom + z2 / (4 * bottom**2)))
        half = half / (1 + z2 / bottom)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
