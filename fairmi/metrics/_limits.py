"""How far two groups can differ, at most: from counts of values to exact limits, over all pairs.

A set of values has a difference of shares in the sample. `Comparison` ranks the best set of a pair
of groups by an approximate limit, `DifferenceLimit` turns a rank into an exact one, and
`largest_limit` finds the largest of all pairs without working out each.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import combinations

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from scipy.special import gammaln, ndtri

PRECISION = 0.02  # of the limit's distance from the estimate: what it is rounded up by, about
FULL_PRECISION_ROWS = 10_000  # beyond, precision falls so that the cost stays
OUTSIDE = 1e-5  # of the error: the binomial mass that is not summed, but added whole
ENTRIES = 200_000  # of the tables held at once
STRIDE = 64  # of the counts whose limits are looked for first
MAX_WORK = 20_000_000  # values times rows, beyond which parts of values count as sets


@dataclass(frozen=True)
class DifferenceLimit:
    """Upper limits on p - q from independent binomials A of (n_a, p) and B of (n_b, q).

    The sums are over A: it is quicker where that is the smaller sample.
    Samples are ordered by `rank`, an approximate limit. The exact limit of a rank r is the
    largest difference t for which some pair p - q = t has P(rank(A, B) <= r) > error: Buehler's
    limit, the smallest of all valid ones that keep the order. It doesn't fall in r.
    """

    n_a: int
    n_b: int
    error: float

    def rank(self, p: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Return Newcombe's limit from proportions A / n_a and B / n_b; up in p, down in q."""
        return (
            p
            - q
            + np.hypot(
                _wilson_margin(p, self.n_a, self.z), _wilson_margin(1 - q, self.n_b, self.z)
            )
        )

    def upper(self, rank: float) -> float:
        """Return the exact limit of this rank, rounded up."""
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
        return self._possible(t, self._min_in_b(rank))

    @cached_property
    def z(self) -> float:
        """The normal quantile of the error."""
        return -float(ndtri(self.error))

    @cached_property
    def _step(self) -> float:
        precision = PRECISION * np.sqrt(max(1.0, self.n_a / FULL_PRECISION_ROWS))
        # At a confidence of 0.5 and less the limit is close to the estimate, but a step is a step.
        deviations = max(self.z, 0.5)
        return float(precision * deviations * np.sqrt((1 / self.n_a + 1 / self.n_b) / 4))

    def _min_in_b(self, rank: float) -> np.ndarray:
        """Return for A = 0, 1, ... n_a the smallest B with rank(A, B) <= rank; else n_b + 1.

        It doesn't fall in A: so first those of some A are looked for, then the others between.
        """
        some = np.minimum(np.arange(0, self.n_a + STRIDE, STRIDE), self.n_a)
        least = self._search(some, np.zeros_like(some), np.full_like(some, self.n_b + 1), rank)
        every = np.arange(self.n_a + 1)
        before = every // STRIDE
        return self._search(every, least[before], least[(every + STRIDE - 1) // STRIDE], rank)

    def _search(self, a: np.ndarray, low: np.ndarray, high: np.ndarray, rank: float) -> np.ndarray:
        """Return the smallest such B from `low` to `high` of each A in `a`, by halving."""
        margins_a, margins_b = self._margins
        p, margin = a / self.n_a, margins_a[a]
        while (low < high).any():
            middle = (low + high) // 2
            b = np.minimum(middle, self.n_b)
            within = p - b / self.n_b + np.hypot(margin, margins_b[b]) <= rank + 1e-12
            within |= middle > self.n_b
            low, high = np.where(within, low, middle + 1), np.where(within, middle, high)
        return low

    @cached_property
    def _margins(self) -> tuple[np.ndarray, np.ndarray]:
        """Wilson's margins of A / n_a and of 1 - B / n_b, for all A and all B."""
        p, q = (np.arange(n + 1) / n for n in (self.n_a, self.n_b))
        return _wilson_margin(p, self.n_a, self.z), _wilson_margin(1 - q, self.n_b, self.z)

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
        if (self._probability(edges, edges - t, min_in_b) > self.error).any():
            return True
        low, high = edges[:-1], edges[1:]
        while len(low):
            possible = self._probability(low, high - t, min_in_b) > self.error
            low, high = low[possible], high[possible]
            if possible.any() and high[0] - low[0] < self._step / 4:
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
            probability = np.empty(len(p))
            for part in parts:
                probability[part] = self._probability(p[part], q[part], min_in_b)
            return probability
        a, mass_a = _window(self.n_a, p, half_a)
        b, mass_b = _window(self.n_b, q, half_b)
        # tail[:, k] is P(B >= b + k), the mass outside the window included
        tail = np.zeros((len(q), mass_b.shape[1] + 1))
        np.cumsum(mass_b[:, ::-1], axis=1, out=tail[:, -2::-1])
        tail += np.clip(1 - tail[:, :1], 0, None)
        least = min_in_b[np.clip(a[:, None] + np.arange(mass_a.shape[1]), 0, self.n_a)]
        place = np.clip(least - b[:, None], 0, mass_b.shape[1])
        reached = np.where(least <= 0, 1.0, np.take_along_axis(tail, place, axis=1))
        return (mass_a * reached).sum(axis=1) + np.clip(1 - mass_a.sum(axis=1), 0, None)


@dataclass(frozen=True, eq=False)
class Comparison:
    """What sets are compared of two groups, the smaller one first, and where.

    `counts_a` and `counts_b` are of each value, (n_values,), where any values make a set; values
    without a row of the smaller group are left out, since they can only lower a rank. With
    `thresholds` they are of each set that could be the best, (n_sets,).
    """

    pair: tuple[int, int]
    stratum: Hashable
    counts_a: np.ndarray = field(repr=False)
    counts_b: np.ndarray = field(repr=False)
    limit: DifferenceLimit
    thresholds: bool = False

    @cached_property
    def distance(self) -> float:
        """The largest difference of the groups' shares of a set."""
        n_a, n_b = self.sizes
        apart = self.counts_a * n_b - self.counts_b * n_a  # whole numbers, which are exact
        return float(apart.max() if self.thresholds else apart.clip(0).sum()) / (n_a * n_b)

    @cached_property
    def rank(self) -> float:
        """The largest `DifferenceLimit.rank` of a set, rounded up."""
        a, b, (n_a, n_b) = self.counts_a, self.counts_b, self.sizes
        if not self.thresholds:
            least = _min_in_b if a.size * n_a <= MAX_WORK else _min_in_b_or_below
            a, b = np.arange(n_a + 1), least(a, b, n_b)
        return float(self.limit.rank(a / n_a, b / n_b).max())

    @property
    def sizes(self) -> tuple[int, int]:
        """Rows of the smaller group and of the larger."""
        return self.limit.n_a, self.limit.n_b

    def cannot_exceed(self, t: float, rank: float) -> bool:
        """Whether the limit of a rank, or of a lower one, is t at most, by Hoeffding's inequality.

        Let h be what p - q exceeds its estimate by with probability `error` at most. The limit of
        rank r is above t only where some sample of that rank differs by t - h or more. But a
        sample that differs by x >= 0 has a rank of x + m(x) at least: Wilson's margins are
        concave and nought at 1, so that on the line p - q = x their root of squares is at least
        that of the point nearest to 0 between (a, 0) and (0, b), a and b the margins at x. And
        x + m(x) doesn't fall, since the margins fall by less than x rises.
        """
        n_a, n_b = self.sizes
        x = t - np.sqrt((1 / n_a + 1 / n_b) * np.log(1 / self.limit.error) / 2)
        if x <= 0:
            return False
        a, b = _wilson_margin(x, n_a, self.limit.z), _wilson_margin(x, n_b, self.limit.z)
        return bool(a > 0 and b > 0 and x + a * b / np.hypot(a, b) > rank + 1e-9)

    @cached_property
    def rank_at_most(self) -> float:
        """What no set's rank exceeds: the distance, and the most of each part of the margins."""
        z, margins = self.limit.z, []
        for n in self.sizes:
            half = z * np.sqrt(1 / (4 * n) + z**2 / (4 * n**2))
            margins.append((z**2 / (2 * n) + half) / (1 + z**2 / n))
        return self.distance + float(np.linalg.norm(margins))


def compare_groups(
    codes: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    *,
    stratum: Hashable,
    thresholds: bool,
    error: float,
) -> Iterator[Comparison]:
    """Compare all pairs of groups with rows by one column of codes of values, (n_rows,)."""
    sizes = np.bincount(group, minlength=n_groups).tolist()
    if thresholds:
        by_group = [np.sort(codes[group == g]) for g in range(n_groups)]
    else:
        n_values = int(codes.max(initial=0)) + 1
        flat = np.bincount(group * n_values + codes, minlength=n_groups * n_values)
        counts = flat.reshape(n_groups, n_values)
        by_group = [np.flatnonzero(of_group) for of_group in counts]
    for pair in combinations([g for g in range(n_groups) if sizes[g]], 2):
        a, b = sorted(pair, key=sizes.__getitem__)
        limit = DifferenceLimit(sizes[a], sizes[b], error)
        if thresholds:
            of_sets = _half_lines(by_group[a], by_group[b])
        else:
            of_sets = counts[a, by_group[a]], counts[b, by_group[a]]
        yield Comparison(pair, stratum, *of_sets, limit, thresholds)


def _half_lines(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows of two groups in each half-line that could be the best one for group a.

    That is one which ends at a value of a. `a` and `b` are the ordered values of all rows.
    """
    ends = np.concatenate([a[:1], a[1:][np.diff(a) > 0]])
    of_a, of_b = (
        np.r_[0, rows.searchsorted(ends, "right"), len(rows) - rows.searchsorted(ends, "left")]
        for rows in (a, b)
    )
    return of_a, of_b


def largest_limit(comparisons: list[Comparison]) -> tuple[float, Comparison]:
    """Return the largest exact limit and the comparison that has it.

    The limit of each is near its rank. So most need not be computed: it is enough that they
    can't exceed the largest so far, by a crude bound or by an exact one.
    """
    first = max(comparisons, key=lambda pair: (round(pair.rank_at_most, 12), *pair.sizes))
    at_least = first.limit.upper(first.rank)
    near = [
        pair
        for pair in comparisons
        if pair is first or not pair.cannot_exceed(at_least, pair.rank_at_most)
    ]
    # Sizes come second, so that the order of groups doesn't matter.
    near.sort(key=lambda pair: (round(pair.rank, 12), *pair.sizes), reverse=True)
    widest, *others = near
    largest = at_least if widest is first else widest.limit.upper(widest.rank)
    for other in others:
        if largest == 1 or other.cannot_exceed(largest, other.rank):
            continue
        if other.limit.exceeds(other.rank, largest):
            limit = other.limit.upper(other.rank)
            if limit > largest:
                largest, widest = limit, other
    return largest, widest


def _min_in_b(a: np.ndarray, b: np.ndarray, n_b: int) -> np.ndarray:
    """Return the fewest rows in b of a set that has 0, 1, ... rows in a; `n_b` where none has.

    Value by value, as in a knapsack.
    """
    min_in_b = np.full(a.sum() + 1, n_b)
    min_in_b[0] = 0
    for in_a, in_b in zip(a, b, strict=True):
        min_in_b[in_a:] = np.minimum(min_in_b[in_a:], min_in_b[:-in_a] + in_b)
    return min_in_b


def _min_in_b_or_below(a: np.ndarray, b: np.ndarray, n_b: int) -> np.ndarray:
    """Return a lower bound on the same: parts of values count as sets (Neyman and Pearson)."""
    order = np.argsort(-a / (a + b), kind="stable")
    total_a, total_b = (np.concatenate([[0], np.cumsum(n[order])]) for n in (a, b))
    return np.ceil(np.interp(np.arange(a.sum() + 1), total_a, total_b) - 1e-6)


def _wilson_margin(share: np.ndarray, n: int, z: float) -> np.ndarray:
    """Return how far the upper Wilson limit lies above a share."""
    centre = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2)) / (1 + z**2 / n)
    return centre + half - share


def _half_window(n: int, p: np.ndarray, spare: float) -> int:
    """Return a number of counts, either side of n * p, beyond which is about `spare` at most."""
    z = -float(ndtri(spare / 2))
    spread = np.sqrt(n * np.max(p * (1 - p), initial=0.0))
    return min(int(z * spread + z**2 / 2) + 2, n)


@lru_cache(maxsize=8)
def _log_ways(n: int) -> np.ndarray:
    """Return the logarithms of the binomial coefficients of n, and around them of none at all."""
    log_factorial = gammaln(np.arange(1.0, n + 2))
    ways = log_factorial[n] - log_factorial - log_factorial[::-1]
    return np.pad(ways, n, constant_values=-np.inf)


def _window(n: int, p: np.ndarray, half: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the first of counts around n * p, (len(p),), and their masses (len(p), width)."""
    first = np.rint(n * p).astype(np.int64) - half
    # The logarithm of nought times no count is nought.
    log_p, log_q = (np.log(np.clip(share, 1e-300, 1.0))[:, None] for share in (p, 1 - p))
    count = first[:, None] + np.arange(2 * half + 1.0)
    log_mass = sliding_window_view(_log_ways(n), 2 * half + 1)[first + n]
    log_mass += count * log_p
    log_mass += (n - count) * log_q
    return first, np.exp(log_mass, out=log_mass)
