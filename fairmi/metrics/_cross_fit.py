"""A sample with its folds, and what the probes' held-out predictions of it come to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils import check_random_state

from fairmi._data.tables import check_indexes
from fairmi.metrics import _probe_scores
from fairmi.metrics._clusters import cluster_codes, exchange, warn_of_repeated_rows
from fairmi.metrics._independence import Order, independence_p_value, permuted_sums
from fairmi.metrics._recurring_values import (
    RecurringValues,
    max_permutations,
    recurring_p_value,
)
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics._target import Target, as_target
from fairmi.metrics.probes import Probe, Split, fit_predict, split_rows

Predictions = list[list[np.ndarray]]  # by probe, then by split

# Of the error, where Z has values that recur: p-values of probes that see a leak are so small
# that a third does them little harm, while those of a rare value can't be small.
RECURRING_SHARE = 2 / 3


@dataclass(frozen=True)
class Sample:
    """Checked arrays, and the rows of each fold."""

    Z: Representation
    target: Target
    weight: np.ndarray
    folds: list[np.ndarray]
    weighted: bool
    seed: int
    clusters: np.ndarray | None

    @classmethod
    def make(
        cls,
        Z: Any,
        sensitive_features: Any,
        *,
        kind: str,
        cv: int,
        sample_weight: Any,
        clusters: Any,
        random_state: Any,
    ) -> Sample:
        """Check the arguments of a report and split the rows."""
        check_indexes(
            Z=Z,
            sensitive_features=sensitive_features,
            sample_weight=sample_weight,
            clusters=clusters,
        )
        Z = read_representation(Z)
        target = as_target(sensitive_features, len(Z), kind=kind).standardised()
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        weight = _weights(sample_weight, len(Z))
        owners = cluster_codes(clusters, len(Z))
        if owners is None:
            warn_of_repeated_rows(Z, target.values)
        folds = split_rows(target, cv, seed, owners)
        return cls(Z, target, weight, folds, sample_weight is not None, seed, owners)

    @property
    def splits(self) -> list[Split]:
        """Each fold after all the others."""
        k = len(self.folds)
        return [
            (np.concatenate([self.folds[j] for j in range(k) if j != i]), self.folds[i])
            for i in range(k)
        ]

    @property
    def early_splits(self) -> list[Split]:
        """Each fold after those before it alone; the first and last are not among them."""
        return [
            (np.concatenate(self.folds[:i]), self.folds[i]) for i in range(1, len(self.folds) - 1)
        ]

    def predict(
        self, probes: Sequence[Probe], splits: Sequence[Split], n_jobs: int | None
    ) -> Predictions:
        """Return the predictions of each probe for each split."""
        weight = self.weight if self.weighted else None
        return fit_predict(
            probes,
            self.Z.matrix,
            self.target,
            splits,
            sample_weight=weight,
            seed=self.seed,
            n_jobs=n_jobs,
        )

    def generator(self) -> np.random.Generator:
        """Return a generator for permutations."""
        return np.random.default_rng(self.seed)

    def owners(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the clusters of some rows."""
        return None if self.clusters is None else self.clusters[rows]

    def effective_units(self) -> float:
        """Return how many rows (or clusters) of equal weight the smallest group's are worth."""
        units = np.arange(len(self.Z)) if self.clusters is None else self.clusters
        group = np.zeros(len(self.Z), int) if self.target.continuous else self.target.values
        worth = []
        for g in np.unique(group):
            sums = np.bincount(units[group == g], self.weight[group == g])
            worth.append(sums.sum() ** 2 / (sums**2).sum())
        return float(min(worth))

    def order(self, rows: np.ndarray) -> Order:
        """Return what permutes the target of some rows."""
        return exchange(self.owners(rows), self.target.columns[rows])

    def shares(self) -> np.ndarray:
        """Return each fold's share of the weight."""
        return np.array([self.weight[fold].sum() for fold in self.folds]) / self.weight.sum()


def fold_scores(sample: Sample, predictions: Predictions) -> list[list[_probe_scores.Score]]:
    """Return the score of each probe in each fold, from predictions of `sample.splits`."""
    score = _probe_scores.r2 if sample.target.continuous else _probe_scores.auc
    columns = sample.target.columns
    return [
        [
            score(columns[fold], prediction, sample.weight[fold])
            for fold, prediction in zip(sample.folds, by_fold, strict=True)
        ]
        for by_fold in predictions
    ]


def balanced_accuracies(sample: Sample, predictions: Predictions) -> np.ndarray:
    """Return the balanced accuracy of each probe; nan where the target is continuous."""
    if sample.target.continuous:
        return np.full(len(predictions), np.nan)
    rows = np.concatenate(sample.folds)
    target, weight = sample.target.columns[rows], sample.weight[rows]
    return np.array(
        [_probe_scores.balanced_accuracy(target, np.concatenate(p), weight) for p in predictions]
    )


def null_scores(sample: Sample, scores: list[list[_probe_scores.Score]]) -> np.ndarray:
    """Return the largest score over probes for each of 999 permutations of the target."""
    rng = sample.generator()
    sums = 0.0
    for k, share in enumerate(sample.shares()):
        forms = np.array([by_fold[k].form for by_fold in scores])
        fold = sample.folds[k]
        target, order = _centred(sample, fold), sample.order(fold)
        sums = sums + share * permuted_sums(target, forms, order, rng)[1]
    largest = np.max(sums, axis=1)
    return np.clip(largest, 0, None) ** 2 if sample.target.continuous else largest + 0.5


def p_value(sample: Sample, predictions: Predictions) -> float:
    """Return the p-value of independence, from predictions of `early_splits` and the last fold."""
    targets = [_centred(sample, fold) for fold in sample.folds[1:]]
    share = 1.0
    if not sample.target.continuous and len(sample.target.labels) > 2:
        share = sample.target.columns.mean(axis=0)
    blocks = [np.array(block) / share for block in zip(*predictions, strict=True)]
    orders = [sample.order(fold) for fold in sample.folds[1:]]
    return independence_p_value(targets, blocks, orders, sample.generator())


def joint_p_value(sample: Sample, of_probes: float) -> float:
    """Return the p-value of independence by probes and by recurring values of Z together.

    Each has its share of the error (Bonferroni), the values none where no value recurs. That
    depends on Z alone, so that the test stays exact.
    """
    recurring = RecurringValues(sample.Z)
    if not recurring:
        return of_probes
    joint = of_probes / (1 - RECURRING_SHARE)
    least = 1 / (max_permutations(len(sample.Z)) + 1) / RECURRING_SHARE
    if joint <= least:
        return joint
    everyone = np.arange(len(sample.Z))
    target = _centred(sample, everyone)
    if target.shape[1] > 1:
        target = target / np.sqrt(sample.target.columns.mean(axis=0))
    of_values = recurring_p_value(recurring, target, sample.order(everyone), sample.generator())
    return min(joint, of_values / RECURRING_SHARE, 1.0)


def _centred(sample: Sample, fold: np.ndarray) -> np.ndarray:
    columns, weight = sample.target.columns[fold], sample.weight[fold]
    return weight[:, None] * (columns - np.average(columns, axis=0, weights=weight))


def _weights(sample_weight: Any, n_rows: int) -> np.ndarray:
    """Return weights of mean 1, so that their unit doesn't matter to regularised probes."""
    if sample_weight is None:
        return np.ones(n_rows)
    weight = np.asarray(sample_weight, dtype=np.float64)
    if weight.shape != (n_rows,):
        raise ValueError(
            f"sample_weight has shape {weight.shape}; give one weight for each of {n_rows} rows."
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError("sample_weight has a negative, missing or no positive value; fix these.")
    return weight / weight.mean()
