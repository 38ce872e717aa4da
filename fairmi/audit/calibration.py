"""Do scores, or predicted numbers, mean the same in each group? Reliability by bins."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm, t

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import attribute_name, group_names
from fairmi.audit.counts import effective_sizes
from fairmi.audit.intervals import share_interval
from fairmi.audit.measures import FOUND, NOTHING, UNCLEAR, Curve, Figure, ReliabilityBin
from fairmi.audit.predictions import Forecasts, Predictions
from fairmi.metrics._rows import cluster_sums
from fairmi.metrics.disparities import y_strata

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
    bin_of = np.clip((score * N_BINS).astype(int), 0, N_BINS - 1)

    def luck(bins: _Bins) -> np.ndarray:
        tries = np.maximum(np.round(bins.worth).astype(int), 1)
        share = rng.binomial(tries, np.clip(bins.score, 0, 1), size=(n_boot, len(tries))) / tries
        return share - bins.score

    def ends(bins: _Bins, b: int) -> tuple[float, float]:
        return share_interval(bins.outcome[b] * bins.worth[b], bins.worth[b], confidence)

    names = ("expected_calibration_error", "mean_score_excess")
    return _of_groups(
        names, (score, came_true, bin_of, predictions.clusters), groups, confidence, luck, ends
    )


def number_calibration(
    forecasts: Forecasts,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[list[Figure], list[Curve]]:
    """Return the same of predicted numbers against y, by tenths of all predictions.

    What chance gives are normal draws at each bin's own error.
    """
    if not forecasts.labelled:
        return [], []
    bin_of = y_strata(forecasts.predicted, n_bins=N_BINS)

    def luck(bins: _Bins) -> np.ndarray:
        return rng.normal(0, bins.error, size=(n_boot, len(bins.n)))

    def ends(bins: _Bins, b: int) -> tuple[float, float]:
        half = t.isf((1 - confidence) / 2, max(bins.worth[b] - 1, 1)) * bins.error[b]
        return float(bins.outcome[b] - half), float(bins.outcome[b] + half)

    rows = (forecasts.predicted, forecasts.true, bin_of, forecasts.clusters)
    return _of_groups(("calibration_error", "mean_excess"), rows, groups, confidence, luck, ends)


@dataclass(frozen=True)
class _Bins:
    """The bins of a group that have rows, (n_bins,) each.

    Rows, mean score, mean outcome, how many independent rows they are worth, and the standard
    error of score less outcome.
    """

    n: np.ndarray
    score: np.ndarray
    outcome: np.ndarray
    worth: np.ndarray
    error: np.ndarray


Rows = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None]


def _of_groups(
    names: tuple[str, str],
    rows: Rows,
    groups: Groups,
    confidence: float,
    luck: Callable[[_Bins], np.ndarray],
    ends: Callable[[_Bins, int], tuple[float, float]],
) -> tuple[list[Figure], list[Curve]]:
    """Return figures and curves of each group.

    `rows` are score, outcome, bin and cluster of each row; `luck` draws by how much the outcome of
    each bin is off by chance, (n_boot, n_bins); `ends` is the interval of a bin's outcome.
    """
    figures, curves = [], []
    joint = 1 - (1 - confidence) / len(groups)
    for code, name in enumerate(group_names(groups)):
        inside = groups.codes == code
        score, outcome, bin_of = (values[inside] for values in rows[:3])
        owners = None if rows[3] is None else rows[3][inside]
        bins = _bins(score, outcome, bin_of, owners)
        weight = bins.n / len(score)
        error = float(np.abs(bins.outcome - bins.score) @ weight)
        by_chance = float(np.quantile(np.abs(luck(bins)) @ weight, joint))
        excess = score - outcome
        mean = float(excess.mean())
        half = norm.isf((1 - joint) / 2) * np.linalg.norm(cluster_sums(excess - mean, owners))
        low, high = mean - float(half) / len(score), mean + float(half) / len(score)
        # Off beyond chance; where the mean alone is off, it is unclear.
        verdict = UNCLEAR if low > 0 or high < 0 else NOTHING
        where = Figure(
            "calibration",
            names[0],
            error,
            by_chance=by_chance,
            n=len(score),
            attribute=attribute_name(groups),
            group=name,
            verdict=FOUND if error > by_chance else verdict,
        )
        of_mean = replace(
            where, measure=names[1], value=mean, low=low, high=high, by_chance=np.nan
        )
        figures += [where, of_mean]
        points = tuple(
            ReliabilityBin(
                float(bins.score[b]), float(bins.outcome[b]), *ends(bins, b), int(bins.n[b])
            )
            for b in range(len(bins.n))
        )
        curves.append(Curve(attribute_name(groups), name, points))
    return figures, curves


def _bins(
    score: np.ndarray, outcome: np.ndarray, bin_of: np.ndarray, owners: np.ndarray | None
) -> _Bins:
    n = np.bincount(bin_of)
    used = n > 0
    place = np.cumsum(used) - 1
    bin_of, n = place[bin_of], n[used]
    means = [np.bincount(bin_of, values) / n for values in (score, outcome)]
    rest = (score - outcome) - (means[0] - means[1])[bin_of]
    squares = np.bincount(bin_of, rest**2)
    if owners is not None:
        pairs, cell = np.unique(owners * len(n) + bin_of, return_inverse=True)
        sums = np.bincount(cell.reshape(-1), rest)
        squares = np.bincount(pairs % len(n), sums**2, len(n))
    worth = effective_sizes(bin_of, len(n), owners)
    error = np.sqrt(squares / np.maximum(1 - 1 / worth, 0.5)) / n
    return _Bins(n, means[0], means[1], worth, error)
