"""What the table reports of a method's predictions: metrics, their intervals, and the probe."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import stats
from sklearn.metrics import roc_auc_score

from fairmi.metrics.probes import MIN_TO_HOLD_BACK, PANEL, Task

METRICS = (
    "accuracy",
    "balanced_accuracy",
    "roc_auc",
    "demographic_parity_difference",
    "equalized_odds_difference",
)
_BLOCK = 100  # draws whose weights are sorted at once: bounds the memory of roc_auc


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
    """The metrics under each row of `weights`.

    Parameters
    ----------
    y, labels : ndarray of int of shape (n_rows,)
        True and predicted labels, 0 or 1.
    scores : ndarray of shape (n_rows,) or None
        What ranks the rows; None gives NaN for roc_auc.
    codes : ndarray of int of shape (n_rows,)
        The group of each row.
    weights : ndarray of shape (n_draws, n_rows)
        The weight of each row in each draw.

    Returns
    -------
    metrics : dict of str to ndarray of shape (n_draws,)
        An entry for each of METRICS. A group without rows of a class, in a draw, is left out of
        the difference between groups that needs them.
    """
    confusion = _confusion(y, labels, codes, weights)
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


def roc_auc(y: np.ndarray, scores: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The area under the ROC curve under each row of `weights`; ties count one half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    positive = y[order] == 1
    areas = []
    for block in np.array_split(weights, max(1, len(weights) // _BLOCK)):
        ranked = block[:, order].astype(np.float64)
        positives = np.add.reduceat(ranked * positive, starts, axis=1)
        negatives = np.add.reduceat(ranked * ~positive, starts, axis=1)
        below = np.cumsum(negatives, axis=1) - negatives / 2
        pairs = positives.sum(axis=1) * negatives.sum(axis=1)
        areas.append((positives * below).sum(axis=1) / pairs)
    return np.concatenate(areas)


def percentile_interval(draws: np.ndarray) -> tuple[float, float]:
    """The 95 % bootstrap interval of a metric, from its value in each draw."""
    low, high = np.quantile(draws, [0.025, 0.975])
    return float(low), float(high)


def fold_interval(values: np.ndarray, test_share: float) -> tuple[float, float]:
    """The 95 % interval of a mean over folds that share their training rows.

    Folds of repeated cross-validation are not independent, so the variance is the corrected one
    of C. Nadeau and Y. Bengio, Inference for the generalization error, Machine Learning, 2003;
    `test_share` is the ratio of test to training rows.
    """
    n = len(values)
    error = np.sqrt((1 / n + test_share) * np.var(values, ddof=1))
    reach = float(stats.t.ppf(0.975, n - 1) * error)
    return float(values.mean()) - reach, float(values.mean()) + reach


def probe_auc(
    Z_train: np.ndarray, s_train: np.ndarray, Z_test: np.ndarray, s_test: np.ndarray
) -> float:
    """ROC AUC of the audit's boosting probe, trained to tell the group, on rows it never saw."""
    hold_back = bool(np.unique(s_train, return_counts=True)[1].min() >= MIN_TO_HOLD_BACK)
    task = Task(continuous=False, seed=0, n_rows=len(Z_train), hold_back=hold_back)
    probe = PANEL["boosting"].build(task).fit(Z_train, s_train)
    shares = probe.predict_proba(Z_test)
    if len(probe.classes_) == 2:
        return float(roc_auc_score(s_test == probe.classes_[1], shares[:, 1]))
    return float(roc_auc_score(s_test, shares, multi_class="ovr", labels=probe.classes_))


def _confusion(
    y: np.ndarray, labels: np.ndarray, codes: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """Weighted counts of shape (n_draws, n_groups, 2, 2): group, true label, predicted label."""
    n_groups = int(codes.max()) + 1
    cell = (codes * 2 + y) * 2 + labels
    member = (cell[:, None] == np.arange(4 * n_groups)).astype(weights.dtype)
    return (weights @ member).reshape(len(weights), n_groups, 2, 2).astype(np.float64)


def _spread(rates: np.ndarray) -> np.ndarray:
    """Largest minus smallest rate over the groups (axis 1), groups without rows left out."""
    return np.fmax.reduce(rates, axis=1) - np.fmin.reduce(rates, axis=1)
