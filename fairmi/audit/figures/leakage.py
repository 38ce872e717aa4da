"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fairmi._data.groups import Groups
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import attribute_name
from fairmi.audit.records import Figure
from fairmi.metrics._matrix import as_matrix
from fairmi.metrics._target import Target
from fairmi.metrics.certificate import certify
from fairmi.metrics.conditional_leakage import conditional_leakage_report
from fairmi.metrics.information import (
    MutualInformationReport,
    conditional_mutual_information_report,
    mutual_information_report,
)
from fairmi.metrics.leakage import LeakageReport, leakage_report
from fairmi.metrics.probes import split_rows

FOLDS = 5  # of cross-fitting: a probe needs a row of each group in each
GIVEN_LABEL = "given the label"

Task = Callable[[], list[Figure]]


def leakage_tasks(
    predictions: Predictions, groups: Groups, confidence: float, seed: int
) -> tuple[list[Task], list[str]]:
    """Return what is to be measured of all that leaves the model, and notes on what is not.

    Each task trains its own probes, so that they may run side by side. Every probe is trained on
    all rows and on the rows of each label: what is independent of the group may tell it together
    with the label, which the model's users get to know. Intersections of several features have a
    certificate only: a probe that can't tell any of the features has little chance with all of
    them, and most intersections are small.
    """
    notes: list[str] = []
    name = attribute_name(groups)
    probed = len(groups.names) == 1
    if probed and not _can_be_dealt(groups.codes, predictions.clusters):
        probed = False
        unit = "rows" if predictions.clusters is None else "clusters"
        notes.append(f"A group by {name} has fewer than {FOLDS} {unit}: no probe was trained.")
    strata = _rows_by_label(predictions, groups) if probed else []
    if probed and len(strata) < len(predictions.classes):
        notes.append(
            f"Not every label has {FOLDS} rows of two groups by {name}: within the others no "
            "probe was trained."
        )
    tasks: list[Task] = []
    everyone = Rows(groups.codes, predictions.true, predictions.clusters)
    labelled = everyone.of(np.concatenate(strata)) if strata else None
    for subject, values in predictions.subjects.items():
        where: dict[str, Any] = {"attribute": name, "subject": subject}
        Z = as_matrix(values, argument=subject)
        probe = "linear" if subject == "predictions" else "panel"  # it finds all they tell
        if probed:
            tasks.append(partial(_leakage, Z, everyone, probe, seed, where))
            tasks.append(partial(_information, Z, everyone, seed, where))
        if labelled is not None:
            given = {**where, "condition": GIVEN_LABEL}
            of = (Z[np.concatenate(strata)], labelled)
            tasks.append(partial(_leakage_given_label, *of, probe, seed, given))
            tasks.append(partial(_information_given_label, *of, seed, given))
        tasks.append(partial(_certificates, Z, everyone, confidence, seed, where))
    return tasks, notes


@dataclass(frozen=True)
class Rows:
    """Group, label and (if rows belong together) cluster of each row, as codes."""

    groups: np.ndarray
    true: np.ndarray
    clusters: np.ndarray | None

    def of(self, rows: np.ndarray) -> Rows:
        """Return some of the rows."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return Rows(self.groups[rows], self.true[rows], clusters)


def _can_be_dealt(groups: np.ndarray, clusters: np.ndarray | None) -> bool:
    """Whether each group has rows for each fold, no cluster split."""
    if _owners(groups, clusters).min() < FOLDS:
        return False
    try:
        split_rows(Target("categorical", groups, tuple(np.unique(groups))), FOLDS, 0, clusters)
    except ValueError:
        return False
    return True


def _owners(groups: np.ndarray, clusters: np.ndarray | None) -> np.ndarray:
    """Return the number of rows, or of clusters, of each group."""
    if clusters is None:
        return np.bincount(groups)
    return np.bincount(np.unique(np.column_stack([groups, clusters]), axis=0)[:, 0])


def _rows_by_label(predictions: Predictions, groups: Groups) -> list[np.ndarray]:
    """Return the rows of each label, without groups that are too few there for the folds."""
    strata = []
    for k in range(len(predictions.classes)):
        rows = np.flatnonzero(predictions.true == k)
        clusters = None if predictions.clusters is None else predictions.clusters[rows]
        enough = _owners(groups.codes[rows], clusters) >= FOLDS
        rows = rows[enough[groups.codes[rows]]]
        part = Rows(groups.codes, predictions.true, predictions.clusters).of(rows)
        codes = np.unique(part.groups, return_inverse=True)[1].reshape(-1)
        if enough.sum() > 1 and _can_be_dealt(codes, part.clusters):
            strata.append(rows)
    return strata


@contextmanager
def _quietly() -> Iterator[None]:
    """Train on one thread, as more mostly wait for another; equal rows are told of once."""
    with threadpool_limits(limits=1), warnings.catch_warnings():
        warnings.filterwarnings(
            "ignore", message=".* rows equal another row", category=UserWarning
        )
        yield


def _leakage(
    Z: np.ndarray, rows: Rows, probe: str, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return what the best of the fresh probes reaches, and the test of independence."""
    with _quietly():
        found = leakage_report(
            Z,
            rows.groups,
            probe=probe,
            kind="categorical",
            cv=FOLDS,
            clusters=rows.clusters,
            random_state=seed,
        )
    return _leakage_figures(found, where)


def _leakage_given_label(
    Z: np.ndarray, rows: Rows, probe: str, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the same of probes that are trained and scored within each label."""
    with _quietly():
        found = conditional_leakage_report(
            Z,
            rows.groups,
            rows.true,
            probe=probe,
            kind="categorical",
            cv=FOLDS,
            clusters=rows.clusters,
            random_state=seed,
        )
    return _leakage_figures(found, where)


def _leakage_figures(found: LeakageReport, where: dict[str, Any]) -> list[Figure]:
    where = {**where, "n": found.n_rows}
    low, high = found.interval
    return [
        Figure("leakage", found.metric, found.score, low, high, found.null_quantile, **where),
        Figure("leakage", "balanced_accuracy", found.balanced_accuracy, **where),
        Figure("leakage", "p_value", found.p_value, **where),
    ]


def _information(Z: np.ndarray, rows: Rows, seed: int, where: dict[str, Any]) -> list[Figure]:
    """Return the mutual information; what chance gives is bounded by theory, not by refits."""
    with _quietly():
        found = mutual_information_report(
            Z,
            rows.groups,
            kind="categorical",
            cv=FOLDS,
            clusters=rows.clusters,
            n_permutations=0,
            random_state=seed,
        )
    return [_information_figure(found, where)]


def _information_given_label(
    Z: np.ndarray, rows: Rows, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the mutual information given the label."""
    with _quietly():
        found = conditional_mutual_information_report(
            Z,
            rows.groups,
            rows.true,
            kind="categorical",
            cv=FOLDS,
            clusters=rows.clusters,
            n_permutations=0,
            random_state=seed,
        )
    return [_information_figure(found, where)]


def _information_figure(found: MutualInformationReport, where: dict[str, Any]) -> Figure:
    low, high = found.interval
    where = {**where, "n": found.n_rows, "by_chance": found.null_bound}
    return Figure("information", "mutual_information", found.score, low, high, **where)


def _certificates(
    Z: np.ndarray, rows: Rows, confidence: float, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the bounds on what is computed from Z, and for scores on thresholds of them."""
    figures = []
    whom = ("classifiers", "thresholds") if where["subject"] == "scores" else ("classifiers",)
    for against in whom:
        for constraint in ("demographic_parity", "equalized_odds"):
            found = certify(
                Z,
                rows.groups,
                y=rows.true if constraint == "equalized_odds" else None,
                constraint=constraint,
                against=against,
                clusters=rows.clusters,
                confidence=confidence,
                random_state=seed,
            )
            named = {**where, "n": sum(found.group_sizes), "condition": f"any {against[:-1]}"}
            figures.append(Figure("certificate", f"{constraint}_bound", found.bound, **named))
    return figures
