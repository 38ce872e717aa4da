"""Confidence sequences for rates and their differences, from counts alone.

For rows in any order, of which the i-th is a success with probability p_i given all before it, and
a bet b, the product of exp(b x_i) / (1 - p_i + p_i exp(b)) is a martingale that starts at 1. The
logarithm of a mean is at least the mean of logarithms, so with p the mean of the p_i

    exp(b S) / (1 - p + p exp(b))^n

is never above it. It holds the counts S and n alone: no order of the rows, no batch and no merge
of counts changes it, and the p_i may drift. So does the mean of it over a fixed set of bets, and
by Ville's inequality a martingale that starts at 1 reaches 1 / error at any time with a
probability of at most `error`. The means p that are not refuted so are an interval that holds at
all times at once [1]_. The bets of two groups multiply, which gives the difference of their means
as in [2]_.

The mixture has fixed bets, where the usual beta mixture bets on a rate and so takes bets that
depend on p: that one needs a rate that never drifts.

References
----------
.. [1] I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting, JRSS-B
   86 (2024); S. R. Howard, A. Ramdas, J. McAuliffe, J. Sekhon, Time-uniform Chernoff bounds via
   nonnegative supermartingales, Probability Surveys 17 (2020).
.. [2] R. J. Turner, P. D. Grünwald, Exact anytime-valid confidence intervals for contingency
   tables and beyond, Statistics & Probability Letters 198 (2023); B. Chugg, S. Cortes-Gomez,
   B. Wilder, A. Ramdas, Auditing fairness by betting, NeurIPS 2023, arXiv 2305.17570.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

# Log odds ratios. The best bet against a rate of variance v is about sqrt(2 log(1/error) / (n v)):
# 4 suits ten rows, the smallest a billion. A factor of 2 between bets loses a tenth of the power.
BETS = 4.0 * 0.5 ** np.arange(16)
HALVINGS = 30  # of the interval that a limit lies in, to 1e-9
SECTIONS = 40  # of the interval that the least evidence lies in
GOLDEN = (np.sqrt(5.0) - 1.0) / 2.0


def log_evidence(
    successes: np.ndarray, trials: np.ndarray, rate: np.ndarray, *, above: bool
) -> np.ndarray:
    """Return the log of what bets on a mean above (or below) `rate` have won, at the least.

    It is convex in `rate`, falls where it bets above and rises where it bets below.
    """
    bets = BETS if above else -BETS
    gains = np.asarray(successes)[..., None] * bets
    costs = np.asarray(trials)[..., None] * np.log1p(np.asarray(rate)[..., None] * np.expm1(bets))
    won = gains - costs
    most = won.max(axis=-1)
    return np.asarray(most + np.log(np.exp(won - most[..., None]).mean(axis=-1)))


def rate_limits(
    successes: np.ndarray, trials: np.ndarray, error: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of a mean rate, at all times at once but for a probability `error`."""
    successes, trials = np.broadcast_arrays(successes, trials)
    return (
        _lower_rate_limit(successes, trials, error / 2),
        1 - _lower_rate_limit(trials - successes, trials, error / 2),
    )


def _lower_rate_limit(successes: np.ndarray, trials: np.ndarray, error: float) -> np.ndarray:
    def evidence(rate: np.ndarray) -> np.ndarray:
        return log_evidence(successes, trials, rate, above=True)

    return _least_not_refuted(evidence, np.zeros(successes.shape), -np.log(error))


def _least_not_refuted(
    evidence: Callable[[np.ndarray], np.ndarray], low: np.ndarray, wanted: np.ndarray
) -> np.ndarray:
    """Return the least value from `low` to 1 against which the evidence is below `wanted`."""
    high = np.ones(low.shape)
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        refuted = evidence(middle) >= wanted
        low, high = np.where(refuted, middle, low), np.where(refuted, high, middle)
    return low


def log_difference_evidence(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    difference: np.ndarray | float,
) -> np.ndarray:
    """Return the log evidence that the mean of `first` is above that of `second` by `difference`.

    `first` and `second` are (successes, trials). It is the least that the bets on both have gained
    against any two means that differ by so much or less. As the bets on the first fall in its mean
    and those on the second rise, these two differ by just `difference`.
    """
    low = np.maximum(0.0, -np.asarray(difference, dtype=float))
    high = np.minimum(1.0, 1.0 - np.asarray(difference, dtype=float))
    shape = np.broadcast_shapes(low.shape, *(np.shape(x) for x in (*first, *second)))
    low, high = np.broadcast_to(low, shape).copy(), np.broadcast_to(high, shape).copy()
    gained = partial(_pair_evidence, first, second, difference=difference)
    # Golden section: the sum is convex in the rate.
    left, right = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    at_left, at_right = gained(left), gained(right)
    for _ in range(SECTIONS):
        is_left = at_left < at_right
        low, high = np.where(is_left, low, left), np.where(is_left, right, high)
        new = np.where(is_left, high - GOLDEN * (high - low), low + GOLDEN * (high - low))
        at_new = gained(new)
        left, right = np.where(is_left, new, right), np.where(is_left, left, new)
        at_left, at_right = np.where(is_left, at_new, at_right), np.where(is_left, at_left, at_new)
    return np.minimum(at_left, at_right)


def difference_limits(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    error: np.ndarray | float,
) -> tuple[np.ndarray, np.ndarray]:
    """Return both ends of the difference of two means, `error` / 2 for each end."""
    return _lower_limit(first, second, error), -_lower_limit(second, first, error)


def _lower_limit(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    error: np.ndarray | float,
) -> np.ndarray:
    wanted = np.log(2.0 / np.asarray(error))
    shape = np.broadcast_shapes(wanted.shape, *(np.shape(x) for x in (*first, *second)))
    evidence = partial(log_difference_evidence, first, second)
    return _least_not_refuted(evidence, np.full(shape, -1.0), wanted)


def is_above(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    difference: float,
    wanted: np.ndarray,
) -> np.ndarray:
    """Whether `log_difference_evidence` reaches `wanted`."""
    arrays = np.broadcast_arrays(*first, *second, wanted)
    s, n, t, m, wanted = (np.asarray(a, dtype=float) for a in arrays)
    # Most pairs are far from it: then the observed difference, or the evidence against the pair of
    # means that fits the counts best, says so without a search for the least.
    reached = (s * m - t * n) > difference * n * m
    at = np.nonzero(reached)
    first, second, wanted = (s[at], n[at]), (t[at], m[at]), wanted[at]
    rate = (first[0] + second[0] - first[1] * difference) / (first[1] + second[1])
    rate = np.clip(rate, max(0.0, -difference), min(1.0, 1.0 - difference))
    near = _pair_evidence(first, second, rate, difference) >= wanted
    if near.any():
        pair = (first[0][near], first[1][near]), (second[0][near], second[1][near])
        near[near] = log_difference_evidence(*pair, difference) >= wanted[near]
    reached[at] = near
    return reached


def _pair_evidence(
    first: tuple[np.ndarray, np.ndarray],
    second: tuple[np.ndarray, np.ndarray],
    rate: np.ndarray,
    difference: np.ndarray | float,
) -> np.ndarray:
    """Return what the bets have gained against the means `rate` + `difference` and `rate`."""
    return log_evidence(*first, rate + difference, above=True) + log_evidence(
        *second, rate, above=False
    )
