"""An exact upper confidence bound on the difference of two binomial proportions."""

from __future__ import annotations

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import norm

PRECISION = 0.01  # of the standard deviation: what the bound is rounded up by, about
FULL_PRECISION_ROWS = 10_000  # beyond, precision falls so that the cost stays
WINDOW = 5.5  # standard deviations of a binomial that are summed; the rest is added whole
CHUNK = 512  # rows of the window tables held at once


def difference_upper_bound(observed: float, n_a: int, n_b: int, error: float) -> float:
    """Return U such that p - q > U has probability at most `error`, whatever p and q are.

    `observed` is at least A / n_a - B / n_b, where A and B are independent binomials of
    parameters (n_a, p) and (n_b, q). U is the largest difference t that some pair p - q = t
    doesn't make `observed` improbable: P(A / n_a - B / n_b <= observed) > error.
    """
    if n_a > n_b:  # (p, q) -> (1 - q, 1 - p) swaps the groups: sum over the smaller one
        n_a, n_b = n_b, n_a
    precision = PRECISION * np.sqrt(max(1.0, n_a / FULL_PRECISION_ROWS))
    step = precision * np.sqrt((1 / n_a + 1 / n_b) / 4)
    t = _largest_on_grid(observed, n_a, n_b, error) + step
    while t < 1 and _possible(t, observed, n_a, n_b, error, narrowest=step / 4):
        t, step = t + step, 2 * step
    return float(min(t, 1.0))


def _largest_on_grid(observed: float, n_a: int, n_b: int, error: float) -> float:
    """Return the largest such t with p + q near 1, where the variance is: a lower bound."""
    guess = observed + norm.isf(error) * np.sqrt((1 / n_a + 1 / n_b) / 4)
    centre = np.linspace(0.4, 0.6, 9)
    low, high = np.full(9, max(observed, 0.0)), np.full(9, min(2 * guess - observed, 1.0))
    for _ in range(14):
        t = (low + high) / 2
        p, q = np.clip(centre + t / 2, 0, 1), np.clip(centre - t / 2, 0, 1)
        likely = _probability(p, q, observed, n_a, n_b) > error
        low, high = np.where(likely, t, low), np.where(likely, high, t)
    return float(low.max())


def _possible(
    t: float, observed: float, n_a: int, n_b: int, error: float, narrowest: float
) -> bool:
    """Whether some p has P(A / n_a - B / n_b <= observed) > error at q = p - t.

    The probability falls in p and rises in q, so over p in [l, h] it is at most that of
    (l, h - t). Intervals whose bound is small enough are dropped and the others halved, until
    none is left (no p has it) or one is narrower than `narrowest` (taken as a yes).
    """
    edges = np.linspace(t, 1.0, 33)
    low, high = edges[:-1], edges[1:]
    while len(low):
        kept = _probability(low, high - t, observed, n_a, n_b) > error
        low, high = low[kept], high[kept]
        if kept.any() and high[0] - low[0] < narrowest:
            return True
        middle = (low + high) / 2
        low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
    return False


def _probability(p: np.ndarray, q: np.ndarray, observed: float, n_a: int, n_b: int) -> np.ndarray:
    """P(A / n_a - B / n_b <= observed) for each pair of `p` and `q`, rounded up."""
    if len(p) > CHUNK:
        parts = [slice(k, k + CHUNK) for k in range(0, len(p), CHUNK)]
        return np.concatenate([_probability(p[s], q[s], observed, n_a, n_b) for s in parts])
    a, mass_a = _window(n_a, p)
    b, mass_b = _window(n_b, q)
    # tail[:, k] is P(B >= b[:, k]), the mass outside the window included
    tail = np.cumsum(mass_b[:, ::-1], axis=1)[:, ::-1]
    outside = np.clip(1 - tail[:, :1], 0, None)
    tail = np.hstack([tail, np.zeros_like(outside)]) + outside
    least = np.ceil(n_b * (a / n_a - observed) - 1e-9).astype(np.int64)  # smallest B of the event
    place = np.clip(least - b[:, :1], 0, b.shape[1])
    reached = np.where(least <= 0, 1.0, np.take_along_axis(tail, place, axis=1))
    return (mass_a * reached).sum(axis=1) + np.clip(1 - mass_a.sum(axis=1), 0, None)


def _window(n: int, p: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts around n * p and their binomial masses, each of shape (len(p), width)."""
    half = int(WINDOW * np.sqrt(n) / 2) + 10
    count = np.rint(n * p).astype(np.int64)[:, None] + np.arange(-half, half + 1)
    inside = np.clip(count, 0, n)
    log_factorial = gammaln(np.arange(1.0, n + 2))
    log_ways = log_factorial[n] - log_factorial[inside] - log_factorial[n - inside]
    share = p[:, None]
    mass = np.exp(log_ways + xlogy(inside, share) + xlog1py(n - inside, -share))
    return count, np.where(count == inside, mass, 0.0)
