"""Do scores mean the same in each group? Reliability by bins and its summary."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from fairmi._data.groups import Groups
from fairmi.audit.figures.intervals import share_interval
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import attribute_name, group_name
from fairmi.audit.records import Curve, Figure, ReliabilityBin

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
    if not predictions.probabilities or predictions.scores is None:
        return [], []
    if len(predictions.rated_classes) == 1:
        (positive,) = predictions.rated_classes
        score, came_true = predictions.scores[:, positive], predictions.true == positive
    else:
        score = predictions.scores.max(axis=1)
        came_true = predictions.true == predictions.scores.argmax(axis=1)
    figures, curves = [], []
    joint = 1 - (1 - confidence) / len(groups)
    for code, label in enumerate(groups.labels):
        rows = groups.codes == code
        where = (attribute_name(groups), group_name(label))
        figures += [
            _error_figure(score[rows], came_true[rows], *where, joint, n_boot, rng),
            _excess_figure(score[rows], came_true[rows], *where, joint),
        ]
        curves.append(Curve(*where, _reliability(score[rows], came_true[rows], confidence)))
    return figures, curves


def _error_figure(
    score: np.ndarray,
    came_true: np.ndarray,
    attribute: str,
    group: str,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Figure:
    """Return the expected calibration error, and what calibrated scores show by chance."""
    n, mean, hits = _bins(score, came_true)
    lucky = rng.binomial(n, np.clip(mean, 0, 1), size=(n_boot, len(n)))
    error, by_chance = (
        (np.abs(h / n - mean) * n).sum(axis=-1) / len(score) for h in (hits, lucky)
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
    score: np.ndarray, came_true: np.ndarray, attribute: str, group: str, confidence: float
) -> Figure:
    """Return the mean score less the share that came true."""
    excess = score - came_true
    mean = float(excess.mean())
    half = float(norm.isf((1 - confidence) / 2) * excess.std() / np.sqrt(len(excess)))
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
    score: np.ndarray, came_true: np.ndarray, confidence: float
) -> tuple[ReliabilityBin, ...]:
    bins = []
    for n, mean, hits in zip(*_bins(score, came_true), strict=True):
        ends = share_interval(hits, n, confidence)
        bins.append(ReliabilityBin(float(mean), float(hits / n), ends.low, ends.high, int(n)))
    return tuple(bins)


def _bins(score: np.ndarray, came_true: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, mean score and rows that came true in each bin of equal width that has rows."""
    bin_of = np.clip((score * N_BINS).astype(int), 0, N_BINS - 1)
    n = np.bincount(bin_of, minlength=N_BINS)
    used = n > 0
    mean = np.bincount(bin_of, score, N_BINS)[used] / n[used]
    return n[used], mean, np.bincount(bin_of, came_true, N_BINS)[used]
