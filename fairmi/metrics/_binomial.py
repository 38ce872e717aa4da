"""Exact upper confidence limits on the difference of two binomial proportions."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
from scipy.special import gammaln, xlog1py, xlogy
from scipy.stats import norm

PRECISION = 0.02  # of the limit's distance from the estimate: what it is rounded up by, about
FULL_PRECISION_ROWS = 10_000  # beyond, precision falls so that the cost stays
OUTSIDE = 1e-5  # of the error: the binomial mass that is not summed, but added whole
ENTRIES = 1_000_000  # of the tables held at once


@dataclass(frozen=True)
class DifferenceLimit:
    """Upper limits on p - q from independent binomials A of (n_a, p) and B of (n_b, q).

    Samples are ordered by `rank`, an approximate limit. The exact limit of a rank r is the
    largest difference t for which some pair p - q = t has P(rank(A, B) <= r) > error: Buehler's
    limit, the smallest of all valid ones that keep the order. It doesn't fall in r.
    """

    n_a: int
    n_b: int
    error: float

    def rank(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return Newcombe's limit from proportions A / n_a and B / n_b; up in p, down in q."""
        z = norm.isf(self.error)
        return p - q + np.hypot(_wilson_margin(p, self.n_a, z), _wilson_margin(1 - q, self.n_b, z))

    def upper(self, rank: float) -> float:
        """Return the exact limit of this rank, rounded up."""
        if self.n_a > self.n_b:  # (p, q) -> (1 - q, 1 - p) swaps the groups: sum over the smaller
            return DifferenceLimit(self.n_b, self.n_a, self.error).upper(rank)
        if rank >= 1 - 1e-12:
            return 1.0
        step = self._step
        min_in_b = self._min_in_b(rank)
        t = min(max(self._largest_on_grid(rank, min_in_b), 0.0) + step, 1.0)
        while t < 1 and self._possible(t, min_in_b):
            t, step = t + step, 2 * step
        return float(min(t, 1.0))

    def exceeds(self, rank: float, t: float) -> bool:
        """Whether the limit of this rank may be above t."""
        if self.n_a > self.n_b:
            return DifferenceLimit(self.n_b, self.n_a, self.error).exceeds(rank, t)
        return self._possible(t, self._min_in_b(rank))

    @cached_property
    def _step(self) -> float:
        precision = PRECISION * np.sqrt(max(1.0, self.n_a / FULL_PRECISION_ROWS))
        # At a confidence of 0.5 and less the limit is close to the estimate, but a step is a step.
        deviations = max(norm.isf(self.error), 0.5)
        return float(precision * deviations * np.sqrt((1 / self.n_a + 1 / self.n_b) / 4))

    def _min_in_b(self, rank: float) -> np.ndarray:
        """Return for A = 0, 1, ... n_a the smallest B with rank(A, B) <= rank; else n_b + 1."""
        p = np.arange(self.n_a + 1) / self.n_a
        low, high = np.zeros(self.n_a + 1, np.int64), np.full(self.n_a + 1, self.n_b + 1)
        while (low < high).any():
            middle = (low + high) // 2
            within = self.rank(p, np.minimum(middle / self.n_b, 1.0)) <= rank + 1e-12
            within |= middle > self.n_b
            low, high = np.where(within, low, middle + 1), np.where(within, middle, high)
        return low

    def _largest_on_grid(self, rank: float, min_in_b: np.ndarray) -> float:
        """Return the largest such t for a few pairs (p, q): a lower bound."""
        centre = np.linspace(0.0, 1.0, 33)
        low, high = np.full(33, -1.0), np.ones(33)
        for _ in range(14):
            t = (low + high) / 2
            middle = np.abs(t) / 2 + centre * (1 - np.abs(t))
            likely = self._probability(middle + t / 2, middle - t / 2, min_in_b) > self.error
            low, high = np.where(likely, t, low), np.where(likely, high, t)
        return float(low.max())

    def _possible(self, t: float, min_in_b: np.ndarray) -> bool:
        """Whether some p has P(rank(A, B) <= rank) > error at q = p - t.

        The probability falls in p and rises in q, so over p in [l, h] it is at most that of
        (l, h - t). Intervals whose bound is small enough are dropped and the others halved, until
        none is left (no p has it) or one is narrower than a quarter step (taken as a yes).
        """
        edges = np.linspace(t, 1.0, 33)
        low, high = edges[:-1], edges[1:]
        while len(low):
            kept = self._probability(low, high - t, min_in_b) > self.error
            low, high = low[kept], high[kept]
            if kept.any() and high[0] - low[0] < self._step / 4:
                return True
            if (self._probability(low, low - t, min_in_b) > self.error).any():  # a p that has it
                return True
            middle = (low + high) / 2
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        return False

    def _probability(self, p: np.ndarray, q: np.ndarray, min_in_b: np.ndarray) -> np.ndarray:
        """P(B >= min_in_b[A]) for each pair of `p` and `q`, rounded up."""
        spare = self.error * OUTSIDE
        half_a, half_b = _half_window(self.n_a, p, spare), _half_window(self.n_b, q, spare)
        size = max(1, ENTRIES // (half_a + half_b))
        if len(p) > size:
            order = np.argsort(p)  # near ones together: windows are narrow where p is small
            parts = [order[k : k + size] for k in range(0, len(p), size)]
            found = np.empty(len(p))
            for part in parts:
                found[part] = self._probability(p[part], q[part], min_in_b)
            return found
        a, mass_a = _window(self.n_a, p, half_a)
        b, mass_b = _window(self.n_b, q, half_b)
        # tail[:, k] is P(B >= b[:, k]), the mass outside the window included
        tail = np.cumsum(mass_b[:, ::-1], axis=1)[:, ::-1]
        outside = np.clip(1 - tail[:, :1], 0, None)
        tail = np.hstack([tail, np.zeros_like(outside)]) + outside
        least = min_in_b[np.clip(a, 0, self.n_a)]
        place = np.clip(least - b[:, :1], 0, b.shape[1])
        reached = np.where(least <= 0, 1.0, np.take_along_axis(tail, place, axis=1))
        return (mass_a * reached).sum(axis=1) + np.clip(1 - mass_a.sum(axis=1), 0, None)


def _wilson_margin(share: np.ndarray, n: int, z: float) -> np.ndarray:
    """Return how far the upper Wilson limit lies above a share."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre + half - share


def _half_window(n: int, p: np.ndarray, spare: float) -> int:
    """Return a number of counts, either side of n * p, beyond which is about `spare` at most."""
    z = float(norm.isf(spare / 2))
    spread = np.sqrt(n * np.max(p * (1 - p), initial=0.0))
    return int(z * spread + z**2 / 2) + 2


@lru_cache(maxsize=8)
def _log_ways(n: int) -> np.ndarray:
    """Return the logarithms of the binomial coefficients of n."""
    log_factorial = gammaln(np.arange(1.0, n + 2))
    return log_factorial[n] - log_factorial - log_factorial[::-1]


def _window(n: int, p: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return counts around n * p and their binomial masses, each of shape (len(p), width)."""
    count = np.rint(n * p).astype(np.int64)[:, None] + np.arange(-half, half + 1)
    inside = np.clip(count, 0, n)
    share = np.clip(p, 0.0, 1.0)[:, None]
    mass = np.exp(_log_ways(n)[inside] + xlogy(inside, share) + xlog1py(n - inside, -share))
    return count, np.where(count == inside, mass, 0.0)
