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
SCALE = 2.0**30  # of a score that is summed as a whole number: to the last digit in any order


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
    true, scores, owners = predictions.true, predictions.scores, predictions.clusters
    if len(predictions.rated_classes) == 1:
        (positive,) = predictions.rated_classes
        score, came_true = scores[:, positive], true == positive
    else:
        score, came_true = scores.max(axis=1), true == scores.argmax(axis=1)
    counts, sums = predictions.counts, predictions.score_sums
    if counts is None or sums is None:
        counts, sums = np.ones(len(score), dtype=np.int64), summed_scores(score)

    def of_group(inside: np.ndarray) -> tuple[_Bins, float, float]:
        bin_of, n = sums[inside, 0], exact_sums(sums[inside, 0], counts[inside], N_BINS)
        hits, total, squares, of_true = (
            exact_sums(bin_of, values, N_BINS)
            for values in (
                (counts * came_true)[inside],
                sums[inside, 1],
                sums[inside, 2],
                (sums[:, 1] * came_true)[inside],
            )
        )
        who = None if owners is None else owners[inside]
        used, rows = n > 0, n.sum()
        mean = float((total.sum() / SCALE - hits.sum()) / rows)
        spread = squares.sum() / SCALE - 2 * (of_true.sum() / SCALE) + hits.sum() - rows * mean**2
        if who is not None:
            spread = np.square(cluster_sums((score - came_true)[inside] - mean, who)).sum()
        worth = effective_sizes(bin_of, N_BINS, who, counts[inside])[used]
        shares = (total / SCALE)[used] / n[used], hits[used] / n[used]
        return _Bins(n[used], *shares, worth, np.empty(0)), mean, float(np.sqrt(max(spread, 0)))

    def luck(bins: _Bins) -> np.ndarray:
        tries = np.maximum(np.round(bins.worth).astype(int), 1)
        share = rng.binomial(tries, np.clip(bins.score, 0, 1), size=(n_boot, len(tries))) / tries
        return share - bins.score

    def ends(bins: _Bins, b: int) -> tuple[float, float]:
        return share_interval(bins.outcome[b] * bins.worth[b], bins.worth[b], confidence)

    names = ("expected_calibration_error", "mean_score_excess")
    return _of_groups(names, of_group, groups, confidence, luck, ends)


def summed_scores(score: np.ndarray) -> np.ndarray:
    """Return bins of scores from 0 to 1, these and their squares as whole numbers, (n_rows, 3)."""
    bin_of = np.clip((score * N_BINS).astype(np.int64), 0, N_BINS - 1)
    whole = [np.floor(values * SCALE + 0.5).astype(np.int64) for values in (score, score * score)]
    return np.column_stack([bin_of, *whole])


def exact_sums(bin_of: np.ndarray, values: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the sums of whole numbers by bin, as whole numbers, (n_bins,)."""
    sums = np.zeros(n_bins, dtype=np.int64)
    np.add.at(sums, bin_of, values)
    return sums


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

    def of_group(inside: np.ndarray) -> tuple[_Bins, float, float]:
        owners = None if forecasts.clusters is None else forecasts.clusters[inside]
        predicted, true = forecasts.predicted[inside], forecasts.true[inside]
        mean = float((predicted - true).mean())
        spread = np.linalg.norm(cluster_sums(predicted - true - mean, owners))
        return _bins(predicted, true, bin_of[inside], owners), mean, float(spread)

    names = ("calibration_error", "mean_excess")
    return _of_groups(names, of_group, groups, confidence, luck, ends)


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


def _of_groups(
    names: tuple[str, str],
    of_group: Callable[[np.ndarray], tuple[_Bins, float, float]],
    groups: Groups,
    confidence: float,
    luck: Callable[[_Bins], np.ndarray],
    ends: Callable[[_Bins, int], tuple[float, float]],
) -> tuple[list[Figure], list[Curve]]:
    """Return figures and curves of each group.

    `of_group` takes which rows are in it and returns its bins, the mean of score less outcome, and
    the root of the sum of squares about that; `luck` draws by how much the outcome of each bin is
    off by chance, (n_boot, n_bins); `ends` is the interval of a bin's outcome.
    """
    figures, curves = [], []
    joint = 1 - (1 - confidence) / len(groups)
    for code, name in enumerate(group_names(groups)):
        bins, mean, spread = of_group(groups.codes == code)
        n_rows = int(bins.n.sum())
        weight = bins.n / n_rows
        error = float(np.abs(bins.outcome - bins.score) @ weight)
        by_chance = float(np.quantile(np.abs(luck(bins)) @ weight, joint))
        half = float(norm.isf((1 - joint) / 2)) * spread / n_rows
        low, high = mean - half, mean + half
        # Off beyond chance; where the mean alone is off, it is unclear.
        verdict = UNCLEAR if low > 0 or high < 0 else NOTHING
        where = Figure(
            "calibration",
            names[0],
            error,
            by_chance=by_chance,
            n=n_rows,
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
