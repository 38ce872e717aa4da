"""Do scores, or predicted numbers, mean the same in each group? Reliability by bins."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
from scipy.stats import norm, t

from fairmi._data.groups import Groups
from fairmi.audit.comparisons import attribute_name, group_names
from fairmi.audit.counts import effective_sizes
from fairmi.audit.intervals import share_intervals
from fairmi.audit.measures import FOUND, NOTHING, UNCLEAR, Curve, Figure, ReliabilityBin
from fairmi.audit.predictions import Forecasts, Predictions
from fairmi.metrics._rows import cluster_sums
from fairmi.metrics.disparities import y_strata

N_BINS = 10
SCALE = 2.0**30  # of a score that is summed as a whole number: to the last digit in any order

# Of each bin of a group mean score, mean outcome, both limits of that and rows, (5, n_bins); draws
# of how far the outcome is off by chance, (n_boot, n_bins); the mean of score less outcome, and
# the root of the sum of squares about it.
Reliability = tuple[np.ndarray, np.ndarray, float, float]


def calibration_figures(
    answers: Predictions | Forecasts,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> tuple[list[Figure], list[Curve]]:
    """Return calibration errors and reliability curves by group; none without probabilities.

    What chance gives and the intervals hold for all groups at once (Bonferroni's correction).
    """
    if not answers.labelled:
        return [], []
    if isinstance(answers, Forecasts):
        measures = ("calibration_error", "mean_excess")
        bin_of = y_strata(answers.predicted, n_bins=N_BINS)
        of_group = partial(_number_reliability, answers, bin_of)
    elif answers.probabilities and answers.scores is not None:
        measures = ("expected_calibration_error", "mean_score_excess")
        of_group = partial(_score_reliability, answers, *_scores_and_outcomes(answers))
    else:
        return [], []
    figures, curves = [], []
    joint = 1 - (1 - confidence) / len(groups)
    for code, name in enumerate(group_names(groups)):
        inside = groups.codes == code
        bins, luck, mean, spread = of_group(inside, (1 - confidence) / 2, n_boot, rng)
        score, outcome, *_, n = bins
        n_rows = int(n.sum())
        weight = n / n_rows
        error = float(np.abs(outcome - score) @ weight)
        by_chance = float(np.quantile(np.abs(luck) @ weight, joint))
        half = float(norm.isf((1 - joint) / 2)) * spread / n_rows
        low, high = mean - half, mean + half
        # Off beyond chance; where the mean alone is off, it is unclear.
        verdict = UNCLEAR if low > 0 or high < 0 else NOTHING
        of_error = Figure(
            "calibration",
            measures[0],
            error,
            by_chance=by_chance,
            n=n_rows,
            attribute=attribute_name(groups),
            group=name,
            verdict=FOUND if error > by_chance else verdict,
        )
        of_mean = replace(of_error, measure=measures[1], value=mean, low=low, high=high)
        figures += [of_error, replace(of_mean, by_chance=np.nan)]
        points = tuple(
            ReliabilityBin(at, share, low, high, int(n))
            for at, share, low, high, n in bins.T.tolist()
        )
        curves.append(Curve(attribute_name(groups), name, points))
    return figures, curves


def _scores_and_outcomes(predictions: Predictions) -> tuple[np.ndarray, np.ndarray]:
    """Return the probability that is examined in each row, and whether it came true.

    That of the positive class, or where each class counts that of the class that is most probable,
    which comes true where the label is that class.
    """
    scores = np.asarray(predictions.scores)
    if len(predictions.rated_classes) == 1:
        (positive,) = predictions.rated_classes
        return scores[:, positive], predictions.true == positive
    return scores.max(axis=1), predictions.true == scores.argmax(axis=1)


def _score_reliability(
    predictions: Predictions,
    score: np.ndarray,
    came_true: np.ndarray,
    inside: np.ndarray,
    tail: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Reliability:
    """Return the reliability of probabilities in a group, by sums that no order changes."""
    counts, sums, owners = predictions.counts, predictions.score_sums, predictions.clusters
    score, came_true = score[inside], came_true[inside]
    of_rows = summed_scores(score) if sums is None else sums[inside]
    times = np.ones(len(score), dtype=np.int64) if counts is None else counts[inside]
    owners = None if owners is None else owners[inside]
    bin_of, whole, squared = of_rows.T
    n, hits, total, squares, of_true = (
        exact_sums(bin_of, values, N_BINS)
        for values in (times, times * came_true, whole, squared, whole * came_true)
    )
    mean = float((total.sum() / SCALE - hits.sum()) / n.sum())
    spread = squares.sum() / SCALE - 2 * (of_true.sum() / SCALE) + hits.sum() - n.sum() * mean**2
    if owners is not None:
        spread = np.square(cluster_sums(score - came_true - mean, owners)).sum()
    used = n > 0
    worth = effective_sizes(bin_of, N_BINS, owners, times)[used]
    means, shares = (total / SCALE)[used] / n[used], hits[used] / n[used]
    tries = np.maximum(np.round(worth).astype(int), 1)
    luck = rng.binomial(tries, np.clip(means, 0, 1), size=(n_boot, len(tries))) / tries - means
    bins = np.stack([means, shares, *share_intervals(shares * worth, worth, tail), n[used]])
    return bins, luck, mean, float(np.sqrt(max(spread, 0)))


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


def _number_reliability(
    forecasts: Forecasts,
    bin_of: np.ndarray,
    inside: np.ndarray,
    tail: float,
    n_boot: int,
    rng: np.random.Generator,
) -> Reliability:
    """Return the same of predicted numbers against y, by tenths of all predictions.

    What chance gives are normal draws at each bin's own error.
    """
    owners = None if forecasts.clusters is None else forecasts.clusters[inside]
    predicted, y = forecasts.predicted[inside], forecasts.true[inside]
    mean = float((predicted - y).mean())
    spread = float(np.linalg.norm(cluster_sums(predicted - y - mean, owners)))
    _, bin_of, n = np.unique(bin_of[inside], return_inverse=True, return_counts=True)
    bin_of = bin_of.reshape(-1)
    means, of_y = (np.bincount(bin_of, values) / n for values in (predicted, y))
    rest = (predicted - y) - (means - of_y)[bin_of]
    squares = np.bincount(bin_of, rest**2)
    if owners is not None:
        pairs, cell = np.unique(owners * len(n) + bin_of, return_inverse=True)
        sums = np.bincount(cell.reshape(-1), rest)
        squares = np.bincount(pairs % len(n), sums**2, len(n))
    worth = effective_sizes(bin_of, len(n), owners)
    error = np.sqrt(squares / np.maximum(1 - 1 / worth, 0.5)) / n
    half = t.isf(tail, np.maximum(worth - 1, 1)) * error
    luck = rng.normal(0, error, size=(n_boot, len(n)))
    return np.stack([means, of_y, of_y - half, of_y + half, n]), luck, mean, spread
