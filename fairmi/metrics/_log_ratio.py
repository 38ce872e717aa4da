"""Row by row, ln p(c | z) / p(c): exactly where all is discrete, else by held-out probes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from scipy.stats import norm

from fairmi.metrics._clusters import cluster_sums
from fairmi.metrics._target import Target
from fairmi.metrics.probes import Split, choose_probes, fit_predict, split_rows

NORMAL_95 = 1.959964
MIXTURE_STEPS = 200

Densities = Callable[[Sequence[Split]], np.ndarray]


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


def plugin_log_ratios(codes: np.ndarray, target: Target) -> LogRatios:
    """Return the log ratios of the sample's frequencies, Miller and Madow's bias with them.

    Under independence 2 n times the plain estimate is chi-squared of the degrees of freedom that
    the bias counts, hence the excess.
    """
    c, n = target.values, len(codes)
    _, cell, by_cell = np.unique(
        codes * (c.max() + 1) + c, return_inverse=True, return_counts=True
    )
    by_z, by_c = np.bincount(codes), np.bincount(c)
    values = np.log(by_cell[cell.reshape(-1)] * n / (by_z[codes] * by_c[c]))
    freedom = int(len(by_cell) - (by_z > 0).sum() - (by_c > 0).sum() + 1)
    return LogRatios(values, freedom / (2 * n), max(freedom, 0) / (2 * n**2), "plugin")


def probe_log_ratios(
    Z: np.ndarray,
    target: Target,
    *,
    probe: Any,
    cv: int,
    seed: int,
    clusters: np.ndarray | None,
    n_jobs: int | None,
    more: Densities | None = None,
) -> LogRatios:
    """Return held-out log ratios of a mixture of the probes and of "Z tells nothing".

    Rows of a fold are predicted by probes trained on the others, mixed by the weights that are
    most likely on the others. `more` gives further ratios q(c | z) / p(c) from the splits.
    """
    folds = split_rows(target, cv, seed, clusters)
    splits = [
        (np.concatenate([other for other in folds if other is not fold]), fold) for fold in folds
    ]
    predictions = fit_predict(
        choose_probes(probe, target),
        Z,
        target,
        splits,
        sample_weight=None,
        seed=seed,
        n_jobs=n_jobs,
    )
    held_out = np.empty((len(predictions), *target.columns.shape))
    for p, by_fold in enumerate(predictions):
        for fold, prediction in zip(folds, by_fold, strict=True):
            held_out[p, fold] = prediction
    further = np.empty((len(Z), 0)) if more is None else more(splits)
    values = np.empty(len(Z))
    for train, test in splits:
        ratio = np.hstack([further, _ratios(held_out, target, train)])
        values[test] = np.log(ratio[test] @ _mixture(ratio[train]))
    return LogRatios(values)


def _ratios(held_out: np.ndarray, target: Target, train: np.ndarray) -> np.ndarray:
    """Return q(c | z) / p(c) of each probe, and 1 for none: (n_rows, n_probes + 1)."""
    columns = target.columns
    if target.continuous:
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


def normal_scores(target: Target, rng: np.random.Generator) -> Target:
    """Return a continuous target made exactly normal by its ranks, ties broken at random.

    The information of Z about it stays: it is a function of the values, plus noise.
    """
    shuffled = rng.permutation(len(target.values))
    rank = np.empty(len(shuffled))
    rank[shuffled[np.argsort(target.values[shuffled], kind="stable")]] = np.arange(len(shuffled))
    return Target(target.kind, ndtri((rank + 0.5) / len(rank)), target.labels)
