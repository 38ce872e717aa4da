"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fairmi._data.groups import Groups
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import attribute_name
from fairmi.audit.records import Figure
from fairmi.metrics._matrix import as_matrix
from fairmi.metrics.certificate import certify
from fairmi.metrics.information import (
    MutualInformationReport,
    conditional_mutual_information_report,
    mutual_information_report,
)
from fairmi.metrics.leakage import leakage_report

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
    if probed and groups.counts.min() < FOLDS:
        probed = False
        notes.append(f"A group by {name} has fewer than {FOLDS} rows: no probe was trained.")
    strata = _rows_by_label(predictions, groups) if probed else {}
    if probed and len(strata) < len(predictions.classes):
        notes.append(
            f"Not every label has {FOLDS} rows of two groups by {name}: within the others no "
            "probe was trained."
        )
    tasks: list[Task] = []
    for subject, values in predictions.subjects.items():
        where: dict[str, Any] = {"attribute": name, "subject": subject}
        Z = as_matrix(values, argument=subject)
        probe = "linear" if subject == "predictions" else "panel"  # it finds all they tell
        if probed:
            tasks.append(partial(_leakage, Z, groups.codes, probe, seed, where))
            for label, rows in strata.items():
                given = {**where, "condition": f"label = {label}"}
                tasks.append(partial(_leakage, Z[rows], groups.codes[rows], probe, seed, given))
            tasks.append(partial(_information, Z, groups.codes, seed, where))
            if strata:
                rows = np.concatenate(list(strata.values()))
                of = (Z[rows], groups.codes[rows], predictions.true[rows])
                tasks.append(partial(_information_given_label, *of, seed, where))
        tasks.append(partial(_certificate, Z, groups.codes, confidence, where))
    return tasks, notes


def _rows_by_label(predictions: Predictions, groups: Groups) -> dict[str, np.ndarray]:
    """Return the rows of each label, without groups of fewer rows there than there are folds."""
    strata = {}
    for k, label in enumerate(predictions.classes):
        rows = np.flatnonzero(predictions.true == k)
        counts = np.bincount(groups.codes[rows], minlength=len(groups))
        if (counts >= FOLDS).sum() > 1:
            strata[str(label)] = rows[counts[groups.codes[rows]] >= FOLDS]
    return strata


def _leakage(
    Z: np.ndarray, codes: np.ndarray, probe: str, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return what the best of the fresh probes reaches, and the test of independence."""
    with threadpool_limits(limits=1):  # small fits: more threads mostly wait for another
        found = leakage_report(
            Z, codes, probe=probe, kind="categorical", cv=FOLDS, random_state=seed
        )
    where = {**where, "n": len(codes)}
    low, high = found.interval
    return [
        Figure("leakage", found.metric, found.score, low, high, found.null_quantile, **where),
        Figure("leakage", "balanced_accuracy", found.balanced_accuracy, **where),
        Figure("leakage", "p_value", found.p_value, **where),
    ]


def _information(
    Z: np.ndarray, codes: np.ndarray, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the mutual information; what chance gives is bounded by theory, not by refits."""
    with threadpool_limits(limits=1):
        found = mutual_information_report(
            Z, codes, kind="categorical", cv=FOLDS, n_permutations=0, random_state=seed
        )
    return [_information_figure(found, where)]


def _information_given_label(
    Z: np.ndarray, codes: np.ndarray, true: np.ndarray, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the mutual information given the label."""
    with threadpool_limits(limits=1):
        found = conditional_mutual_information_report(
            Z, codes, true, kind="categorical", cv=FOLDS, n_permutations=0, random_state=seed
        )
    return [_information_figure(found, {**where, "condition": GIVEN_LABEL})]


def _information_figure(found: MutualInformationReport, where: dict[str, Any]) -> Figure:
    low, high = found.interval
    where = {**where, "n": found.n_rows, "by_chance": found.null_bound}
    return Figure("information", "mutual_information", found.score, low, high, **where)


def _certificate(
    Z: np.ndarray, codes: np.ndarray, confidence: float, where: dict[str, Any]
) -> list[Figure]:
    """Return the bound on the disparity of anything computed from Z."""
    bound = certify(Z, codes, confidence=confidence).bound
    return [Figure("certificate", "demographic_parity_bound", bound, n=len(codes), **where)]
