"""A sample with its folds, what probes predict of it when held out, and what these come to."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.utils import check_random_state

from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._independence import (
    RecurringValues,
    independence_p_value,
    max_permutations,
    permuted_sums,
    recurring_p_value,
)
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics._rows import (
    Attribute,
    Kind,
    Order,
    cluster_codes,
    cluster_sums,
    exchange,
    is_continuous,
    probable_members,
    read_target,
    row_weights,
    strata_of,
    warn_of_repeated_rows,
)
from fairmi.metrics.probes import Probe, Split, fit_predict, probe_name, split_rows

Predictions = list[list[np.ndarray]]  # by probe, then by split

# Of the error, where Z has values that recur: p-values of probes that see a leak are so small
# that a third does them little harm, while those of a rare value can't be small.
RECURRING_SHARE = 2 / 3


@dataclass(frozen=True, eq=False)
class Sample:
    """Checked arrays, their folds, and the predictions of the probes that were fitted on them.

    Whoever measures one sample in several ways hands the same `Sample` on, so that no probe is
    fitted twice. `target` has codes into `labels`, or floats where it is continuous. `weight` has
    mean 1; `total` is what the weights given sum to. Where groups are known by probability, a row
    is there once for each group that it may be in, weighted by it: `row` (n,) says which one it
    is, and its copies are one cluster, unless it is in a larger one.
    """

    Z: Representation
    kind: Kind
    target: np.ndarray
    labels: tuple[Any, ...]
    weight: np.ndarray
    total: float
    weighted: bool
    clusters: np.ndarray | None
    cv: int
    seed: int
    row: np.ndarray | None = None
    fits: dict[tuple[str, int], np.ndarray] = field(default_factory=dict, repr=False)

    @classmethod
    def make(
        cls,
        Z: TableLike,
        sensitive_features: SensitiveLike,
        *,
        kind: str,
        cv: int,
        random_state: RandomState,
        sample_weight: ColumnLike | None = None,
        clusters: ColumnLike | None = None,
        given: SensitiveLike | None = None,
        argument: str = "sensitive_features",
    ) -> Sample:
        """Check the arguments of a report."""
        check_indexes(
            Z=Z,
            **{argument: sensitive_features},
            given=given,
            sample_weight=sample_weight,
            clusters=clusters,
        )
        Z = read_representation(Z)
        seed = int(check_random_state(random_state).randint(2**31 - 1))
        weight = row_weights(sample_weight, len(Z))
        weighted = weight is not None
        weight = np.ones(len(Z)) if weight is None else weight
        owners = cluster_codes(clusters, len(Z))
        total, row = float(weight.sum()), None
        if kind == "probabilities":
            members, labels = probable_members(sensitive_features, kind, len(Z), table="Z")
            of_rows: Attribute = "probabilities", members.groups, labels
            if not members.is_certain:
                row, weighted = members.rows, True
                Z, weight = Z.rows(row), weight[row] * members.shares
                owners = row if owners is None else owners[row]
        else:
            of_rows = read_target(sensitive_features, len(Z), kind=kind, argument=argument)
            if owners is None:
                warn_of_repeated_rows(Z, of_rows[1])
        # The unit of weights must not matter to regularised probes.
        weight = weight / weight.mean()
        return cls(Z, *of_rows, weight, total, weighted, owners, cv, seed, row)

    def __len__(self) -> int:
        return len(self.Z)

    def rows(self, chosen: np.ndarray) -> Sample:
        """Return some of the rows; groups that are absent from them are left out."""
        weight, target, labels = self.weight[chosen], self.target[chosen], self.labels
        if not self.continuous:
            present, codes = np.unique(target, return_inverse=True)
            target, labels = codes.reshape(-1), tuple(labels[k] for k in present)
        return replace(
            self,
            Z=self.Z.rows(chosen),
            target=target,
            labels=labels,
            weight=weight / weight.mean(),
            total=self.total * float(weight.sum() / self.weight.sum()),
            clusters=self.owners(chosen),
            row=None if self.row is None else self.row[chosen],
            fits={},
        )

    @property
    def continuous(self) -> bool:
        """Whether probes are regressors."""
        return is_continuous(self.target)

    @cached_property
    def columns(self) -> np.ndarray:
        """The target (n_rows, n_outputs): the number, the second of two groups, or one-hot."""
        if self.continuous or self.target.max() < 2:
            return self.target[:, None].astype(np.float64)
        return np.eye(int(self.target.max()) + 1)[self.target]

    @property
    def n_rows(self) -> int:
        """Rows given, each once."""
        return len(self) if self.row is None else len(np.unique(self.row))

    def strata(self, given: SensitiveLike | None) -> list[tuple[Hashable, Sample]]:
        """Return each value of `given` that has weight with its rows; the whole without."""
        if given is None:
            return [(None, self)]
        by_value = strata_of(given, self.n_rows, argument="given")
        if self.row is not None:
            by_value = [(v, np.flatnonzero(np.isin(self.row, rows))) for v, rows in by_value]
        return [(value, self.rows(rows)) for value, rows in by_value if self.weight[rows].any()]

    def with_target(self, target: np.ndarray) -> Sample:
        """Return the same rows with another target."""
        return replace(self, target=target, fits={})

    @cached_property
    def folds(self) -> list[np.ndarray]:
        """The rows of each fold, in which each group has some weight."""
        folds = split_rows(self.target, self.cv, self.seed, self.clusters, self.labels)
        group = np.zeros(len(self), int) if self.continuous else self.target
        for fold in folds:
            weight = np.bincount(group[fold], self.weight[fold])
            if not weight.all():
                who = "the sample"
                if self.labels:
                    who = f"group {self.labels[int(weight.argmin())]!r}"
                raise SensitiveFeaturesError(
                    f"{who} has no positive sample_weight in one of cv={self.cv} folds; drop the "
                    "rows of weight 0, or take fewer folds."
                )
        return folds

    @cached_property
    def splits(self) -> list[Split]:
        """Each fold after all the others; behind them each after those before it alone.

        The first and last folds are not among the latter: nothing is before the first, and all
        others are before the last.
        """
        k = len(self.folds)
        rest = (np.concatenate([self.folds[j] for j in range(k) if j != i]) for i in range(k))
        before = [(np.concatenate(self.folds[:i]), self.folds[i]) for i in range(1, k - 1)]
        return [*zip(rest, self.folds, strict=True), *before]

    def cross_fitted(self, probes: Sequence[Probe], n_jobs: int | None) -> Predictions:
        """Return each probe's predictions of each fold, trained on all the others."""
        return self._predictions(probes, range(len(self.folds)), n_jobs)

    def held_out(self, probe: str, target: np.ndarray, n_jobs: int | None) -> np.ndarray:
        """Return what a probe of another target predicts of each row, (n_rows, n_outputs)."""
        return self.by_row(self._fit([(probe, k) for k in range(len(self.folds))], target, n_jobs))

    def by_row(self, by_fold: list[np.ndarray]) -> np.ndarray:
        """Return predictions of each fold as one array, (n_rows, n_outputs)."""
        return np.concatenate(by_fold)[np.argsort(np.concatenate(self.folds))]

    def in_order(self, probes: Sequence[Probe], n_jobs: int | None) -> Predictions:
        """Return each probe's predictions of folds 2, 3, ..., trained on those before it alone."""
        k = len(self.folds)
        return self._predictions(probes, [*range(k, len(self.splits)), k - 1], n_jobs)

    def _predictions(
        self, probes: Sequence[Probe], numbers: Iterable[int], n_jobs: int | None
    ) -> Predictions:
        wanted = [[(probe_name(probe), number) for number in numbers] for probe in probes]
        missing = {
            key: (probe, key[1])
            for probe, keys in zip(probes, wanted, strict=True)
            for key in keys
            if key not in self.fits
        }
        work = self._fit(missing.values(), self.target, n_jobs)
        self.fits.update(zip(missing, work, strict=True))
        return [[self.fits[key] for key in keys] for keys in wanted]

    def _fit(
        self, fits: Iterable[tuple[Probe, int]], target: np.ndarray, n_jobs: int | None
    ) -> list[np.ndarray]:
        """Return the predictions of probes, each trained and asked by one of the splits."""
        weight = self.weight if self.weighted else None
        return Parallel(n_jobs=n_jobs)(
            delayed(fit_predict)(
                probe, self.Z.matrix, target, self.splits[number], weight, self.seed
            )
            for probe, number in fits
        )

    def generator(self) -> np.random.Generator:
        """Return a generator for permutations."""
        return np.random.default_rng(self.seed)

    def owners(self, rows: np.ndarray) -> np.ndarray | None:
        """Return the clusters of some rows."""
        return None if self.clusters is None else self.clusters[rows]

    def effective_units(self) -> float:
        """Return how many rows (or clusters) of equal weight the smallest group's are worth."""
        units = np.arange(len(self)) if self.clusters is None else self.clusters
        group = np.zeros(len(self), int) if self.continuous else self.target
        worth = []
        for g in np.unique(group):
            sums = np.bincount(units[group == g], self.weight[group == g])
            worth.append(sums.sum() ** 2 / (sums**2).sum())
        return float(min(worth))

    def order(self, rows: np.ndarray) -> Order:
        """Return what permutes the target of some rows."""
        return exchange(self.owners(rows), self.columns[rows])

    def shares(self) -> np.ndarray:
        """Return each fold's share of the weight."""
        return np.array([self.weight[fold].sum() for fold in self.folds]) / self.weight.sum()


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


def fold_scores(sample: Sample, predictions: Predictions) -> list[list[Score]]:
    """Return the score of each probe in each fold, from predictions of `sample.splits`."""
    score = r2 if sample.continuous else auc
    return [
        [
            score(sample.columns[fold], prediction, sample.weight[fold])
            for fold, prediction in zip(sample.folds, by_fold, strict=True)
        ]
        for by_fold in predictions
    ]


def balanced_accuracies(sample: Sample, predictions: Predictions) -> np.ndarray:
    """Return the balanced accuracy of each probe; nan where the target is continuous."""
    if sample.continuous:
        return np.full(len(predictions), np.nan)
    rows = np.concatenate(sample.folds)
    target, weight = sample.columns[rows], sample.weight[rows]
    return np.array([balanced_accuracy(target, np.concatenate(p), weight) for p in predictions])


def null_scores(sample: Sample, scores: list[list[Score]]) -> np.ndarray:
    """Return the largest score over probes for each of 999 permutations of the target."""
    rng = sample.generator()
    sums = 0.0
    for k, share in enumerate(sample.shares()):
        forms = np.array([by_fold[k].form for by_fold in scores])
        fold = sample.folds[k]
        target, order = _centred(sample, fold), sample.order(fold)
        sums = sums + share * permuted_sums(target, forms, order, rng)[1]
    largest = np.max(sums, axis=1)
    return np.clip(largest, 0, None) ** 2 if sample.continuous else largest + 0.5


def p_value(sample: Sample, predictions: Predictions) -> float:
    """Return the p-value of independence, from predictions of `early_splits` and the last fold."""
    targets = [_centred(sample, fold) for fold in sample.folds[1:]]
    share = 1.0
    if not sample.continuous and len(sample.labels) > 2:
        share = sample.columns.mean(axis=0)
    blocks = [np.array(block) / share for block in zip(*predictions, strict=True)]
    orders = [sample.order(fold) for fold in sample.folds[1:]]
    return independence_p_value(targets, blocks, orders, sample.generator())


def joint_p_value(sample: Sample, of_probes: float) -> float:
    """Return the p-value of independence by probes and by recurring values of Z together.

    Each has its share of the error (Bonferroni), the values none where no value recurs. That
    depends on Z alone, so that the test stays exact.
    """
    recurring = RecurringValues(sample.Z, sample.row)
    if not recurring:
        return of_probes
    joint = of_probes / (1 - RECURRING_SHARE)
    least = 1 / (max_permutations(len(sample)) + 1) / RECURRING_SHARE
    if joint <= least:
        return joint
    everyone = np.arange(len(sample))
    target = _centred(sample, everyone)
    if target.shape[1] > 1:
        target = target / np.sqrt(sample.columns.mean(axis=0))
    of_values = recurring_p_value(recurring, target, sample.order(everyone), sample.generator())
    return min(joint, of_values / RECURRING_SHARE, 1.0)


def _centred(sample: Sample, fold: np.ndarray) -> np.ndarray:
    columns, weight = sample.columns[fold], sample.weight[fold]
    return weight[:, None] * (columns - np.average(columns, axis=0, weights=weight))
