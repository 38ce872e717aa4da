"""Do scores mean the same in each group? Reliability by bins and its summary."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy.stats import norm

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import attribute_name, group_names
from fairmi.audit.counts import effective_sizes
from fairmi.audit.intervals import share_interval
from fairmi.audit.measures import FOUND, NOTHING, UNCLEAR, Curve, Figure, ReliabilityBin
from fairmi.audit.predictions import Predictions
from fairmi.metrics._rows import cluster_sums

N_BINS = 10


def calibration_figures(
    predictions: Predictions,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[list[Figure], list[Curve]]:
    """Return calibration errors and reliability curves by group; none without probabilities.

    The score is the probability of the positive class, or where each class counts that of the
    class that is most probable, which comes true where the label is that class. What chance gives
    and the intervals hold for all groups at once (Bonferroni's correction).
    """
    if not predictions.probabilities or predictions.scores is None or not predictions.labelled:
        return [], []
    if len(predictions.rated_classes) == 1:
        (positive,) = predictions.rated_classes
        score, came_true = predictions.scores[:, positive], predictions.true == positive
    else:
        score = predictions.scores.max(axis=1)
        came_true = predictions.true == predictions.scores.argmax(axis=1)
    figures, curves = [], []
    joint = 1 - (1 - confidence) / len(groups)
    for code, name in enumerate(group_names(groups)):
        rows = groups.codes == code
        where = (attribute_name(groups), name)
        owners = None if predictions.clusters is None else predictions.clusters[rows]
        sample = (score[rows], came_true[rows], owners)
        error = _error_figure(*sample, *where, joint, n_boot, rng)
        excess = _excess_figure(*sample, *where, joint)
        # Off beyond chance; where the mean alone is off, it is unclear.
        verdict = UNCLEAR if excess.low > 0 or excess.high < 0 else NOTHING
        if error.value > error.by_chance:
            verdict = FOUND
        figures += [replace(figure, verdict=verdict) for figure in (error, excess)]
        curves.append(Curve(*where, _reliability(*sample, confidence)))
    return figures, curves


def _error_figure(
    score: np.ndarray,
    came_true: np.ndarray,
    owners: np.ndarray | None,
    attribute: str,
    group: str,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Figure:
    """Return the expected calibration error, and what calibrated scores show by chance."""
    n, mean, hits, worth = _bins(score, came_true, owners)
    tries = np.maximum(np.round(worth).astype(int), 1)
    lucky = rng.binomial(tries, np.clip(mean, 0, 1), size=(n_boot, len(n))) / tries
    error, by_chance = (
        (np.abs(share - mean) * n).sum(axis=-1) / len(score) for share in (hits / n, lucky)
    )
    return Figure(
        "calibration",
        "expected_calibration_error",
        float(error),
        by_chance=float(np.quantile(by_chance, confidence)),
        n=len(score),
        attribute=attribute,
        group=group,
    )


def _excess_figure(
    score: np.ndarray,
    came_true: np.ndarray,
    owners: np.ndarray | None,
    attribute: str,
    group: str,
    confidence: float,
) -> Figure:
    """Return the mean score less the share that came true."""
    excess = score - came_true
    mean = float(excess.mean())
    error = np.linalg.norm(cluster_sums(excess - mean, owners)) / len(excess)
    half = float(norm.isf((1 - confidence) / 2) * error)
    return Figure(
        "calibration",
        "mean_score_excess",
        mean,
        mean - half,
        mean + half,
        n=len(score),
        attribute=attribute,
        group=group,
    )


def _reliability(
    score: np.ndarray, came_true: np.ndarray, owners: np.ndarray | None, confidence: float
) -> tuple[ReliabilityBin, ...]:
    bins = []
    for n, mean, hits, worth in zip(*_bins(score, came_true, owners), strict=True):
        low, high = share_interval(hits * (worth / n), worth, confidence)
        bins.append(ReliabilityBin(float(mean), float(hits / n), low, high, int(n)))
    return tuple(bins)


def _bins(
    score: np.ndarray, came_true: np.ndarray, owners: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return what is in each bin of equal width that has rows.

    Rows, mean score, rows that came true, and how many independent rows they are worth.
    """
    bin_of = np.clip((score * N_BINS).astype(int), 0, N_BINS - 1)
    n = np.bincount(bin_of, minlength=N_BINS)
    used = n > 0
    mean = np.bincount(bin_of, score, N_BINS)[used] / n[used]
    worth = effective_sizes(bin_of, N_BINS, owners)[used]
    return n[used], mean, np.bincount(bin_of, came_true, N_BINS)[used], worth
