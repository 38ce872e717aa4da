"""Row by row, ln p(c | z) / p(c): by counts, by held-out probes and densities, or by neighbours.

A probe that predicts a number sees what moves its mean. Densities see its spread and shape as
well; nearest neighbours all of it, in few columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import digamma, ndtri
from scipy.stats import norm
from sklearn.base import BaseEstimator

from fairmi.core.information import optimal_critic
from fairmi.metrics._cross_fit import Sample
from fairmi.metrics._rows import cluster_sums
from fairmi.metrics.probes import Split, choose_probes

NORMAL_95 = 1.959964
MIXTURE_STEPS = 200


@dataclass(frozen=True)
class LogRatios:
    """Estimates of the rows' log ratios, whose mean less `bias` estimates the information.

    `excess` is the variance of that mean beyond what the spread of `values` tells, and
    `estimator` the kind of estimate.
    """

    values: np.ndarray
    bias: float = 0.0
    excess: float = 0.0
    estimator: str = "probe"

    @classmethod
    def combine(cls, parts: Sequence[LogRatios]) -> LogRatios:
        """Return the log ratios of all strata, each row counted once."""
        values = np.concatenate([part.values for part in parts])
        share = np.array([len(part.values) for part in parts]) / len(values)
        bias = share @ [part.bias for part in parts]
        excess = share**2 @ [part.excess for part in parts]
        kinds = {part.estimator for part in parts}
        estimator = next(kind for kind in ("nearest", "plugin", "probe") if kind in kinds)
        return cls(values, float(bias), float(excess), estimator)

    @property
    def mean(self) -> float:
        """The estimate; it can be below 0."""
        return float(self.values.mean() - self.bias)

    def interval(self, clusters: np.ndarray | None = None) -> tuple[float, float]:
        """Return the 95 % interval, no end below 0; rows of a cluster are one draw together."""
        sums = cluster_sums(self.values - self.values.mean(), clusters)
        variance = (sums**2).sum() / len(self.values) ** 2 + self.excess
        error = NORMAL_95 * float(np.sqrt(variance))
        return max(self.mean - error, 0.0), max(self.mean + error, 0.0)


def plugin_log_ratios(codes: np.ndarray, c: np.ndarray) -> LogRatios:
    """Return the log ratios of the sample's frequencies, Miller and Madow's bias with them.

    `codes` (n,) are of values of Z, `c` (n,) of groups. Under independence 2 n times the plain
    estimate is chi-squared of the degrees of freedom that the bias counts, hence the excess.
    """
    n, n_groups = len(codes), int(c.max()) + 1
    codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
    counts = np.bincount(codes * n_groups + c, minlength=(codes.max() + 1) * n_groups)
    counts = counts.reshape(-1, 1, n_groups)
    prior = counts.sum(axis=0) / n
    with np.errstate(divide="ignore"):  # a cell without a row, which none asks for
        values = optimal_critic(counts, prior, 0.0)[codes, 0, c]
    freedom = int((counts > 0).sum()) - len(counts) - int((prior > 0).sum()) + 1
    return LogRatios(values, freedom / (2 * n), max(freedom, 0) / (2 * n**2), "plugin")


def probe_log_ratios(
    sample: Sample,
    *,
    probe: str | BaseEstimator,
    n_jobs: int | None,
    values: np.ndarray | None = None,
) -> LogRatios:
    """Return held-out log ratios of a mixture of the probes and of "Z tells nothing".

    Rows of a fold are predicted by probes trained on the others, mixed by the weights that are
    most likely on the others. Where `values` (n_rows,) are given, of which the target is the
    normal scores, densities are mixed in as well.
    """
    predictions = sample.cross_fitted(choose_probes(probe, sample.target), n_jobs)
    held_out = np.stack([sample.by_row(by_fold) for by_fold in predictions])
    further = np.empty((len(sample), 0))
    if values is not None:
        further = density_ratios(sample, values, n_jobs)
    log_ratios = np.empty(len(sample))
    for train, test in sample.splits[: len(sample.folds)]:
        ratio = np.hstack([further, _ratios(held_out, sample, train)])
        log_ratios[test] = np.log(ratio[test] @ _mixture(ratio[train]))
    return LogRatios(log_ratios)


def _ratios(held_out: np.ndarray, sample: Sample, train: np.ndarray) -> np.ndarray:
    """Return q(c | z) / p(c) of each probe, and 1 for none: (n_rows, n_probes + 1)."""
    columns = sample.columns
    if sample.continuous:
        residual = columns - held_out
        spread = np.sqrt((residual[:, train] ** 2).mean(axis=1, keepdims=True))
        ratio = norm.pdf(residual, scale=spread) / norm.pdf(columns)
    else:
        if columns.shape[1] == 1:
            columns = np.hstack([1 - columns, columns])
            held_out = np.concatenate([1 - held_out, held_out], axis=2)
        ratio = (held_out * columns / columns.mean(axis=0)).sum(axis=2, keepdims=True)
    return np.hstack([ratio[:, :, 0].T, np.ones((len(columns), 1))])


def _mixture(ratio: np.ndarray) -> np.ndarray:
    """Return the weights of the most likely mixture, by expectation-maximisation.

    The last, "Z tells nothing", has the weight of a row at least, so that no single row that a
    sure probe gets wrong costs more than about ln n.
    """
    weight = np.full(ratio.shape[1], 1 / ratio.shape[1])
    for _ in range(MIXTURE_STEPS):
        weight = weight * (ratio / (ratio @ weight)[:, None]).mean(axis=0)
    weight = len(ratio) * weight / weight.sum()
    weight[-1] += 1
    return weight / weight.sum()


def normal_scores(target: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a continuous target made exactly normal by its ranks, ties broken at random.

    The information of Z about it stays: it is a function of the values, plus noise.
    """
    shuffled = rng.permutation(len(target))
    rank = np.empty(len(shuffled))
    rank[shuffled[np.argsort(target[shuffled], kind="stable")]] = np.arange(len(shuffled))
    return ndtri((rank + 0.5) / len(rank))


BINS = 8
BIN_PROBES = ("linear", "network")
SPREAD_PROBE = "network"
KERNELS = ((20, 0.35), (60, 0.15), (60, 0.35))  # neighbours, and the width of the kernel over c
MAX_NEIGHBOUR_COLUMNS = 20  # of Z, beyond which neighbours are not near


def density_ratios(sample: Sample, values: np.ndarray, n_jobs: int | None) -> np.ndarray:
    """Return held-out q(c | z) / p(c), shape (n_rows, n_densities).

    `values` (n_rows,) are the attribute's; the target of the sample are their normal scores.
    Bins, by classifiers: a density that is p(c)'s own within each. The distance from the median,
    by a probe of |c| that is made normal: a density with either sign alike, which sees the spread
    in any number of columns of Z. And kernels over the nearest rows.
    """
    scores, splits = sample.target, sample.splits[: len(sample.folds)]
    bins = quantile_bins(values)
    share = np.bincount(bins) / len(bins)
    ratios = []
    for name in BIN_PROBES:
        chance = sample.held_out(name, bins, n_jobs)
        if chance.shape[1] == 1:
            chance = np.hstack([1 - chance, chance])
        ratios.append(chance[np.arange(len(bins)), bins] / share[bins])
    least = 1 / (2 * len(scores))
    folded = ndtri(np.clip(2 * norm.cdf(np.abs(scores)) - 1, least, 1 - least))
    residual = folded - sample.held_out(SPREAD_PROBE, folded, n_jobs)[:, 0]
    of_spread = np.empty(len(folded))
    for train, test in splits:
        spread = np.sqrt((residual[train] ** 2).mean())
        of_spread[test] = norm.pdf(residual[test], scale=spread) / norm.pdf(folded[test])
    ratios.append(of_spread)
    if sample.Z.matrix.shape[1] <= MAX_NEIGHBOUR_COLUMNS:
        ratios.extend(_neighbour_ratios(sample.Z.matrix, scores, splits).T)
    return np.column_stack(ratios)


def quantile_bins(values: np.ndarray) -> np.ndarray:
    """Return codes of bins of about equal numbers of rows, (n_rows,).

    A value that half a bin's rows share, such as the nought of a zero-inflated attribute, is a
    bin by itself.
    """
    n = len(values)
    _, code, count = np.unique(values, return_inverse=True, return_counts=True)
    code = code.reshape(-1)
    recurs = (count >= n / (2 * BINS))[code]
    others = values[~recurs]
    n_bins = max(1, round(BINS * len(others) / n))
    rank = np.argsort(np.argsort(others, kind="stable"), kind="stable")
    bins = code + n_bins
    bins[~recurs] = rank * n_bins // max(len(others), 1)
    return np.unique(bins, return_inverse=True)[1].reshape(-1)


def _neighbour_ratios(Z: np.ndarray, scores: np.ndarray, splits: Sequence[Split]) -> np.ndarray:
    """Return kernel densities over the scores of the nearest rows, over that of a normal."""
    ratios = np.ones((len(scores), len(KERNELS)))
    for train, test in splits:
        spread = Z[train].std(axis=0)
        unit = np.where(spread > 0, spread, 1.0)
        wanted = min(max(k for k, _ in KERNELS), len(train))
        rows = cKDTree(Z[train] / unit).query(Z[test] / unit, k=range(1, wanted + 1))[1]
        distance = scores[test, None] - scores[train][rows]
        for j, (k, width) in enumerate(KERNELS):
            density = norm.pdf(distance[:, :k], scale=width).mean(axis=1)
            ratios[test, j] = density / norm.pdf(scores[test], scale=np.hypot(1, width))
    return ratios


NEAREST = 5
MAX_COLUMNS = 3
MAX_ROWS = 20_000
CHOICE_ERROR = 0.005  # of taking it where Z and C are independent


def nearest_log_ratios(Z: np.ndarray, scores: np.ndarray, rng: np.random.Generator) -> LogRatios:
    """Return the terms of Kraskov, Stögbauer and Grassberger's estimate, a row each.

    Columns of Z are made normal by their ranks as `scores` (n_rows,) are, ties broken at random,
    which leaves the information as it is. Rows share neighbours, so that the mean varies more
    than independent terms would: its standard error was 1.1 to 1.4 times theirs in simulations of
    independent normals (100 to 1,000 rows, one to three columns). Its variance is doubled.
    """
    n = len(scores)
    z = np.column_stack([_normal(column, rng) for column in Z.T])
    c = scores[:, None]
    both = np.hstack([z, c])
    radius = cKDTree(both).query(both, k=NEAREST + 1, p=np.inf)[0][:, -1]
    radius = np.nextafter(radius, 0.0)
    near_z, near_c = (
        cKDTree(x).query_ball_point(x, radius, p=np.inf, return_length=True) for x in (z, c)
    )
    values = digamma(NEAREST) + digamma(n) - digamma(near_z) - digamma(near_c)
    return LogRatios(values, excess=float(values.var() / n), estimator="nearest")


def _normal(column: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    rank = np.empty(len(column))
    rank[np.lexsort((rng.random(len(column)), column))] = np.arange(len(column))
    return ndtri((rank + 0.5) / len(column))


def is_larger(nearest: LogRatios, other: LogRatios) -> bool:
    """Whether an estimate exceeds another, and nought by more than independence would have."""
    error = np.sqrt(nearest.values.var() / len(nearest.values) + nearest.excess)
    return bool(nearest.mean > max(other.mean, norm.isf(CHOICE_ERROR) * error))
