"""Which rows can be probed: enough of each group for the folds, no cluster split."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.figures.predictions import Predictions
from fairmi.metrics._target import Target
from fairmi.metrics.probes import split_rows


@dataclass(frozen=True)
class ProbedRows:
    """Group, label and (if rows belong together) cluster of each row, as codes."""

    groups: np.ndarray
    true: np.ndarray
    clusters: np.ndarray | None

    def of(self, rows: np.ndarray) -> ProbedRows:
        """Return some of the rows."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return ProbedRows(self.groups[rows], self.true[rows], clusters)


def can_be_dealt(groups: np.ndarray, clusters: np.ndarray | None, n_folds: int) -> bool:
    """Whether each group has rows for each fold, no cluster split."""
    if _owners(groups, clusters).min() < n_folds:
        return False
    try:
        split_rows(Target("categorical", groups, tuple(np.unique(groups))), n_folds, 0, clusters)
    except ValueError:
        return False
    return True


def _owners(groups: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Return the number of rows, or of clusters, of each group."""
    if clusters is None:
        return np.bincount(groups)
    return np.bincount(np.unique(np.column_stack([groups, clusters]), axis=0)[:, 0])


def rows_by_label(predictions: Predictions, groups: Groups, n_folds: int) -> list[np.ndarray]:
    """Return the rows of each label, without groups that are too few there for the folds."""
    strata = []
    for k in range(len(predictions.classes)):
        rows = np.flatnonzero(predictions.true == k)
        clusters = None if predictions.clusters is None else predictions.clusters[rows]
        enough = _owners(groups.codes[rows], clusters) >= n_folds
        rows = rows[enough[groups.codes[rows]]]
        part = ProbedRows(groups.codes, predictions.true, predictions.clusters).of(rows)
        codes = np.unique(part.groups, return_inverse=True)[1].reshape(-1)
        if enough.sum() > 1 and can_be_dealt(codes, part.clusters, n_folds):
            strata.append(rows)
    return strata
