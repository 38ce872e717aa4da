"""Conditional densities of a continuous attribute beyond its mean: q(c | z) / p(c), row by row.

Probes that predict a number see what moves its mean. These see its spread and shape as well.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import ndtri
from scipy.stats import norm

from fairmi.metrics._target import Target
from fairmi.metrics.probes import PANEL, Split, fit_predict

BINS = 8
BIN_PROBES = ("linear", "network")
SPREAD_PROBE = "network"
KERNELS = ((20, 0.35), (60, 0.15), (60, 0.35))  # neighbours, and the width of the kernel over c
MAX_NEIGHBOUR_COLUMNS = 20  # of Z, beyond which neighbours are not near


def density_ratios(
    Z: np.ndarray,
    values: np.ndarray,
    scores: np.ndarray,
    splits: Sequence[Split],
    *,
    seed: int,
    n_jobs: int | None,
) -> np.ndarray:
    """Return held-out q(c | z) / p(c), shape (n_rows, n_densities).

    `values` are the attribute's, `scores` the same made normal by ranks, shape (n_rows,).
    """
    parts = [
        _bin_ratios(Z, quantile_bins(values), splits, seed, n_jobs),
        _spread_ratios(Z, scores, splits, seed, n_jobs),
    ]
    if Z.shape[1] <= MAX_NEIGHBOUR_COLUMNS:
        parts.append(_neighbour_ratios(Z, scores, splits))
    return np.hstack(parts)


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


def _bin_ratios(
    Z: np.ndarray, bins: np.ndarray, splits: Sequence[Split], seed: int, n_jobs: int | None
) -> np.ndarray:
    """Return p(bin | z) / p(bin) by classifiers: a density that is p(c)'s own within a bin."""
    share = np.bincount(bins) / len(bins)
    target = Target("categorical", bins, tuple(range(len(share))))
    predictions = fit_predict(
        [PANEL[name] for name in BIN_PROBES],
        Z,
        target,
        splits,
        sample_weight=None,
        seed=seed,
        n_jobs=n_jobs,
    )
    ratios = np.ones((len(bins), len(predictions)))
    for p, by_split in enumerate(predictions):
        for (_, test), found in zip(splits, by_split, strict=True):
            chance = np.hstack([1 - found, found]) if found.shape[1] == 1 else found
            ratios[test, p] = chance[np.arange(len(test)), bins[test]] / share[bins[test]]
    return ratios


def _spread_ratios(
    Z: np.ndarray, scores: np.ndarray, splits: Sequence[Split], seed: int, n_jobs: int | None
) -> np.ndarray:
    """Return q(|c| | z) / p(|c|) by a probe of |c|, made normal: a density with either sign alike.

    It sees how far the attribute lies from its median, in any number of columns of Z.
    """
    least = 1 / (2 * len(scores))
    folded = ndtri(np.clip(2 * norm.cdf(np.abs(scores)) - 1, least, 1 - least))
    [by_split] = fit_predict(
        [PANEL[SPREAD_PROBE]],
        Z,
        Target("continuous", folded, ()),
        splits,
        sample_weight=None,
        seed=seed,
        n_jobs=n_jobs,
    )
    residual = folded.copy()
    for (_, test), found in zip(splits, by_split, strict=True):
        residual[test] -= found[:, 0]
    ratios = np.ones((len(folded), 1))
    for train, test in splits:
        spread = np.sqrt((residual[train] ** 2).mean())
        ratios[test, 0] = norm.pdf(residual[test], scale=spread) / norm.pdf(folded[test])
    return ratios


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
