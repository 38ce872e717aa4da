"""What is measured of a method's predictions: metrics, intervals, the probe, lines."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import combinations

import numpy as np
import pandas as pd
from scipy.special import xlogy
from sklearn.metrics import roc_auc_score

from fairmi.metrics.probes import MIN_TO_HOLD_BACK, build_probe

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "roc_auc",
    "demographic_parity_difference",
    "equalized_odds_difference",
)
CHOSEN = "chosen in the folds"
_BLOCK = 100  # draws whose weights are sorted at once: bounds the memory


@dataclass(frozen=True)
class Reading:
    """What a comparison reads off predictions, and its words.

    Lines are drawn of the columns `score` and `unfairness`, the higher and the lower the better;
    sentences call them `score_words` and `unfairness_words`, and the picture writes `axis` below
    the latter. `heads` has the head of each measured column in the printed table, in order.
    Methods are ranked at the unfairness of `levels`, and one is recommended under `bound`, unless
    another is asked for. `constant` is the method that predicts alike for all.
    """

    score: str
    unfairness: str
    heads: dict[str, str]
    score_words: str
    unfairness_words: str
    axis: str
    levels: tuple[float, ...]
    bound: float
    constant: str


CLASSES = Reading(
    score="accuracy",
    unfairness="demographic_parity_difference",
    heads=dict(zip(METRICS, ("accuracy", "bal.", "AUC", "DP diff.", "EO diff."), strict=True)),
    score_words="accuracy",
    unfairness_words="DP difference",
    axis="demographic parity difference (0: equal shares selected; fairer to the left)",
    levels=(0.01, 0.02, 0.03, 0.05, 0.1, 0.15),
    bound=0.05,
    constant="Majority class",
)
_HEADS_OF_NUMBERS = {
    "ks_difference": "KS",
    "wasserstein": "W1",
    "mean_difference": "mean diff.",
}
NUMBERS = Reading(
    score="r2",
    unfairness="ks_difference",
    heads={"r2": "R²"} | _HEADS_OF_NUMBERS,
    score_words="R²",
    unfairness_words="KS",
    axis="KS between groups (0: distributed alike; fairer to the left)",
    levels=(0.05, 0.1, 0.15, 0.2, 0.3),
    bound=0.1,
    constant="Mean for all",
)
COUNTS = replace(NUMBERS, score="d2", heads={"d2": "D²"} | _HEADS_OF_NUMBERS, score_words="D²")


def reading_of(table: pd.DataFrame) -> Reading:
    """Return what the columns of a comparison's table are."""
    return next(reading for reading in (CLASSES, NUMBERS, COUNTS) if reading.score in table)


@lru_cache(maxsize=2)
def bootstrap_weights(n_rows: int, n_draws: int, seed: int = 0) -> np.ndarray:
    """How often each row is drawn: float32 of shape (1 + n_draws, n_rows).

    Row 0 is the sample itself, each row once. The draws are the same for every method, so that
    differences between methods are paired.
    """
    rng = np.random.default_rng(seed)
    weights = np.ones((1 + n_draws, n_rows), dtype=np.float32)
    for draw in weights[1:]:
        draw[:] = np.bincount(rng.integers(n_rows, size=n_rows), minlength=n_rows)
    return weights


def weighted_metrics(
    y: np.ndarray,
    labels: np.ndarray,
    scores: np.ndarray | None,
    codes: np.ndarray,
    weights: np.ndarray,
) -> dict[str, np.ndarray]:
    """Return METRICS, (n_draws,) each, under each row of `weights` (n_draws, n_rows).

    `y` and `labels` (n_rows,) are 0 or 1, `codes` the group of each row, and `scores` rank the
    rows: None gives NaN for roc_auc. A group without rows of a class, in a draw, is left out of
    the difference between groups that needs them.
    """
    n_groups = int(codes.max()) + 1
    cell = (codes * 2 + y) * 2 + labels
    member = (cell[:, None] == np.arange(4 * n_groups)).astype(weights.dtype)
    # Weighted counts by draw, group, true label and predicted label.
    confusion = (weights @ member).reshape(-1, n_groups, 2, 2).astype(np.float64)
    by_class = confusion.sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        recall = np.stack([by_class[:, k, k] / by_class[:, k].sum(axis=-1) for k in (0, 1)])
        selected = confusion[..., 1].sum(axis=-1) / confusion.sum(axis=(-2, -1))
        positive_rates = confusion[..., 1] / confusion.sum(axis=-1)
    auc = np.full(len(weights), np.nan) if scores is None else roc_auc(y, scores, weights)
    values = (
        (by_class[:, 0, 0] + by_class[:, 1, 1]) / by_class.sum(axis=(1, 2)),
        recall.mean(axis=0),
        auc,
        _spread(selected),
        _spread(positive_rates).max(axis=-1),
    )
    return dict(zip(METRICS, values, strict=True))


def number_metrics(
    y: np.ndarray, predicted: np.ndarray, codes: np.ndarray, weights: np.ndarray, loss: str
) -> dict[str, np.ndarray]:
    """Return what is measured of predicted numbers, under each row of `weights`; as for labels.

    That is the share of the loss that is explained, R² or D², and KS, Wasserstein distance and
    difference of means of the widest pair of groups.
    """
    order = np.argsort(predicted, kind="stable")
    y, predicted, codes = y[order], predicted[order], codes[order]
    last_of_ties = np.append(predicted[1:] > predicted[:-1], True)
    steps = np.diff(predicted[last_of_ties])
    members = codes == np.arange(codes.max() + 1)[:, None]
    counts = loss == "poisson"
    lost = losses(y, predicted, loss)
    blocks = []
    for w in _in_order(weights, order):
        mean = (w @ y) / w.sum(axis=1)
        of_constant = (
            2 * (w @ xlogy(y, y) - (w @ y) * np.log(mean)) if counts else w @ y**2 - mean * (w @ y)
        )
        with np.errstate(invalid="ignore", divide="ignore"):
            below = np.stack([np.cumsum(w * own, axis=1) for own in members])
            means = np.stack([(w * own) @ predicted for own in members]) / below[..., -1]
            below = below[..., last_of_ties] / below[..., -1:]
        apart = [np.abs(below[a] - below[b]) for a, b in combinations(range(len(members)), 2)]
        blocks.append(
            (
                1 - w @ lost / of_constant,
                np.fmax.reduce([of_pair.max(axis=1) for of_pair in apart]),
                np.fmax.reduce([of_pair[:, :-1] @ steps for of_pair in apart]),
                np.fmax.reduce(means) - np.fmin.reduce(means),
            )
        )
    values = map(np.concatenate, zip(*blocks, strict=True))
    return dict(zip((COUNTS if counts else NUMBERS).heads, values, strict=True))


def losses(y: np.ndarray, predicted: np.ndarray, loss: str) -> np.ndarray:
    """Return the squared error, or Poisson's deviance, of each row."""
    if loss == "poisson":
        return 2 * (xlogy(y, y / predicted) - y + predicted)
    return (y - predicted) ** 2


def _in_order(weights: np.ndarray, order: np.ndarray) -> Iterator[np.ndarray]:
    """Yield a few draws at a time, their columns in that order, in double precision."""
    for block in np.array_split(weights, max(1, len(weights) // _BLOCK)):
        yield block[:, order].astype(np.float64)


def roc_auc(y: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve under each row of `weights`; ties count one half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positive = y[order] == 1
    areas = []
    for ranked in _in_order(weights, order):
        positives = np.add.reduceat(ranked * positive, starts, axis=1)
        negatives = np.add.reduceat(ranked * ~positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        areas.append((positives * below).sum(axis=1) / pairs)
    return np.concatenate(areas)


def probe_auc(
    Z_train: np.ndarray, s_train: np.ndarray, Z_test: np.ndarray, s_test: np.ndarray
) -> float:
    """ROC AUC of the audit's boosting probe, trained to tell the group, on rows it never saw."""
    hold_back = bool(np.unique(s_train, return_counts=True)[1].min() >= MIN_TO_HOLD_BACK)
    probe = build_probe("boosting", False, 0, len(Z_train), hold_back).fit(Z_train, s_train)
    shares = probe.predict_proba(Z_test)
    if len(probe.classes_) == 2:
        return float(roc_auc_score(s_test == probe.classes_[1], shares[:, 1]))
    return float(roc_auc_score(s_test, shares, multi_class="ovr", labels=probe.classes_))


def _spread(rates: np.ndarray) -> np.ndarray:
    """Largest minus smallest rate over the groups (axis 1), groups without rows left out."""
    return np.fmax.reduce(rates, axis=1) - np.fmin.reduce(rates, axis=1)


def correct_at(
    unfairness: Sequence[float], correct: Sequence[np.ndarray], at: float
) -> np.ndarray:
    """Return how often each row is right, (n_rows,), read between two of a method's settings.

    Of each setting that are its unfairness, and which rows it has right. Beyond the ends of the
    line all are NaN. The difference of two lines is paired by rows: its error holds what the draw
    of the test rows does to accuracy, not what it does to unfairness, nor the training rows' draw.
    """
    x, right = np.asarray(unfairness, float), np.asarray(correct, float)
    order = np.argsort(x, kind="stable")
    x, right = x[order], right[order]
    if not x[0] <= at <= x[-1]:
        return np.full(right.shape[1], np.nan)
    position = np.interp(at, x, np.arange(len(x)))
    low = int(position)
    share = position - low
    return (1 - share) * right[low] + share * right[min(low + 1, len(x) - 1)]


Mixture = dict[int, float]
"""Positions of rows of the table, and the share of each in a mixture of them."""


def best_within(points: pd.DataFrame, at: float) -> Mixture | None:
    """The mixture of a method's settings that scores highest at that unfairness or less.

    `points` are rows of the table, whose index is their position in it. Between two neighbouring
    settings a mixture is drawn at random. None where the method's line ends above `at`.
    """
    reading = reading_of(points)
    x, scores = reading.unfairness, points[reading.score]
    within = points[points[x] <= at]
    able: list[Mixture] = [{within[reading.score].idxmax(): 1.0}] if len(within) else []
    line = points[points["setting"] != CHOSEN].sort_values(x)
    if len(line) and line[x].iloc[0] <= at <= line[x].iloc[-1]:
        position = np.interp(at, line[x], np.arange(len(line)))
        low = int(position)
        able.append({line.index[low]: 1 - (position - low)})
        if position > low:
            able[-1][line.index[low + 1]] = position - low
    return max(able, key=lambda mixture: mean_of(scores, mixture), default=None)


def score_within(points: pd.DataFrame, at: float) -> float | None:
    """Score of a method at that unfairness or less, or None where its line ends above it."""
    mixture = best_within(points, at)
    return None if mixture is None else mean_of(points[reading_of(points).score], mixture)


def mean_of(values: pd.Series, mixture: Mixture) -> float:
    """Return the mean of values under a mixture."""
    return float(sum(share * values[k] for k, share in mixture.items()))
