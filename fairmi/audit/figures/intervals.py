"""Rates by group -> the largest disparity between groups, and intervals that hold for it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

# What each criterion compares between groups.
CRITERIA = {
    "demographic_parity": ("selection_rate",),
    "equalized_odds": ("true_positive_rate", "false_positive_rate"),
    "equal_opportunity": ("true_positive_rate",),
    "accuracy": ("accuracy",),
}
GIVEN_LABEL = ("equalized_odds", "equal_opportunity")


@dataclass(frozen=True)
class Interval:
    """A confidence interval."""

    low: float
    high: float


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


def disparity_interval(draws: np.ndarray, confidence: float) -> Interval:
    """Return an interval for the largest disparity, from draws (n_draws, groups, rates).

    The differences of all pairs of groups get intervals that hold jointly; the largest disparity
    then lies between the largest of their lower and the largest of their upper ends. Unlike
    quantiles of the disparity itself, which is never below 0, this reaches 0 where the groups may
    be alike.
    """
    n_groups = draws.shape[1]
    one, other = np.triu_indices(n_groups, k=1)
    with np.errstate(invalid="ignore"):
        difference = draws[:, one] - draws[:, other]
    difference[np.isneginf(draws[:, one]) & np.isneginf(draws[:, other])] = 0.0  # logs of 0, 0
    difference = difference.reshape(len(draws), -1)
    difference = difference[:, ~np.isnan(difference).all(axis=0)]
    if not difference.shape[1]:
        return Interval(np.nan, np.nan)
    undefined = np.isnan(difference)  # a draw without the label: it moves no end of an interval
    if undefined.any():
        difference = np.where(undefined, np.nanmedian(difference, axis=0), difference)
    low, high = joint_interval(difference, confidence)
    return Interval(
        float(np.maximum(np.maximum(low, -high), 0.0).max()),
        float(np.maximum(np.abs(low), np.abs(high)).max()),
    )


def joint_interval(draws: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
    """Return an interval for each column of `draws` such that all hold at once.

    The same number of draws is cut from both ends of every column, as many as leave the share
    `confidence` of draws (rows) untouched. One column alone gets the plain percentile interval.
    """
    n_draws = len(draws)
    ordered = np.sort(draws, axis=0)
    rank = np.argsort(np.argsort(draws, axis=0, kind="stable"), axis=0, kind="stable")
    depth = np.minimum(rank, n_draws - 1 - rank).min(axis=1)
    cut = int(np.sort(depth)[int((1 - confidence) * n_draws)])
    return ordered[cut], ordered[n_draws - 1 - cut]


def quantile_interval(draws: np.ndarray, confidence: float) -> Interval:
    """Return the percentile interval of `draws`, shape (n_draws,), NaN left out."""
    draws = draws[~np.isnan(draws)]
    if not len(draws):
        return Interval(np.nan, np.nan)
    tail = (1 - confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return Interval(float(low), float(high))


def share_interval(top: float, bottom: float, confidence: float) -> Interval:
    """Return Wilson's score interval for the share top / bottom of a count."""
    if not bottom:
        return Interval(np.nan, np.nan)
    low, high = share_intervals(np.array([top]), np.array([bottom]), confidence)
    return Interval(float(low[0]), float(high[0]))


def share_intervals(
    top: np.ndarray, bottom: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return the ends of Wilson's score interval for each share top / bottom of a count.

    References
    ----------
    E. B. Wilson, Probable inference, the law of succession, and statistical inference, 1927.
    """
    z2 = ndtri((1 - confidence) / 2) ** 2
    share = top / bottom
    centre = (share + z2 / (2 * bottom)) / (1 + z2 / bottom)
    half = np.sqrt(z2 * (share * (1 - share) / bottom + z2 / (4 * bottom**2))) / (1 + z2 / bottom)
    return np.maximum(centre - half, 0.0), np.minimum(centre + half, 1.0)
