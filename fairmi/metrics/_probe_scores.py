"""ROC AUC and R2 with their influence functions, and as sums that permutation can reuse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairmi.metrics._clusters import cluster_sums


@dataclass(frozen=True)
class Score:
    """A score of held-out predictions.

    `influence` (n_rows,) is what each row adds to the score's error, so that its sum of squares
    is the score's variance. `form` (n_rows, n_outputs) gives the score that permuted targets
    would get: with s the sum of form times the weighted, centred target, an AUC is s + 1/2, and
    an R2 that knows its best scale is s squared (0 where s is negative).
    """

    value: float
    influence: np.ndarray
    form: np.ndarray

    def standard_error(self, clusters: np.ndarray | None = None) -> float:
        """Return the standard error of the value; with clusters (n_rows,), theirs are summed.

        The variance of G clusters is that of their sums times G / (G - 1).
        """
        error = float(np.linalg.norm(cluster_sums(self.influence, clusters)))
        if clusters is None:
            return error
        n_clusters = len(np.unique(clusters))
        return error * float(np.sqrt(n_clusters / max(n_clusters - 1, 1)))


def auc(target: np.ndarray, prediction: np.ndarray, weight: np.ndarray) -> Score:
    """Return the weighted ROC AUC, its mean over outputs (one against the rest).

    With F the weighted mid-distribution of a prediction, AUC - 1/2 is the mean of F over the
    output's rows less the mean over the others: linear in the target. The influence is that of
    DeLong, DeLong and Clarke-Pearson, Biometrics 44 (1988).
    """
    parts = [_auc(t, p, weight) for t, p in zip(target.T, prediction.T, strict=True)]
    return Score(
        float(np.mean([part.value for part in parts])),
        np.mean([part.influence for part in parts], axis=0),
        np.column_stack([part.form for part in parts]) / len(parts),
    )


def _auc(target: np.ndarray, prediction: np.ndarray, weight: np.ndarray) -> Score:
    inside, outside = weight * target, weight * (1 - target)
    below = _mid_distribution(prediction, outside)
    above = 1 - _mid_distribution(prediction, inside)
    value = float(inside @ below / inside.sum())
    influence = inside * (below - value) / inside.sum() + outside * (above - value) / outside.sum()
    form = _mid_distribution(prediction, weight) * weight.sum() / inside.sum() / outside.sum()
    return Score(value, influence, form)


def _mid_distribution(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Return the weighted share of values below each value, ties counted half."""
    code = np.unique(values, return_inverse=True)[1].reshape(-1)
    mass = np.bincount(code, weight)
    return ((np.cumsum(mass) - mass / 2) / mass.sum())[code]


def r2(target: np.ndarray, prediction: np.ndarray, weight: np.ndarray) -> Score:
    """Return the weighted coefficient of determination."""
    centred = target[:, 0] - np.average(target[:, 0], weights=weight)
    total = (weight * centred**2).sum()
    residual = (target[:, 0] - prediction[:, 0]) ** 2
    value = float(1 - (weight * residual).sum() / total)
    influence = weight * ((1 - value) * centred**2 - residual) / total
    shape = prediction - np.average(prediction[:, 0], weights=weight)
    size = np.sqrt((weight * shape[:, 0] ** 2).sum() * total)
    return Score(value, influence, shape / size if size > 0 else np.zeros_like(shape))


def balanced_accuracy(target: np.ndarray, prediction: np.ndarray, weight: np.ndarray) -> float:
    """Return the mean recall over groups of the group whose probability exceeds its share most."""
    if target.shape[1] == 1:
        target = np.hstack([1 - target, target])
        prediction = np.hstack([1 - prediction, prediction])
    group_weight = weight @ target
    guess = np.argmax(prediction / group_weight, axis=1)
    hit = target[np.arange(len(target)), guess]
    recall = np.bincount(guess, weight * hit, minlength=len(group_weight)) / group_weight
    return float(recall.mean())
