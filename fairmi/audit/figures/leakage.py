"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import Groups
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.probed_rows import ProbedRows, can_be_dealt, rows_by_label
from fairmi.audit.figures.rates import attribute_name
from fairmi.audit.records import Figure
from fairmi.metrics._representation import Representation, read_representation
from fairmi.metrics.certificate import certify
from fairmi.metrics.conditional_leakage import conditional_leakage_report
from fairmi.metrics.information import (
    MutualInformationReport,
    conditional_mutual_information_report,
    mutual_information_report,
)
from fairmi.metrics.leakage import LeakageReport, leakage_report
from fairmi.metrics.probes import shared_fits

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
    name = attribute_name(groups)
    probed, strata, notes = _probed(predictions, groups)
    everyone = ProbedRows(groups.codes, predictions.true, predictions.clusters)
    features = _features(groups)
    tasks: list[Task] = []
    for subject, values in predictions.subjects.items():
        where: dict[str, Any] = {"attribute": name, "subject": subject}
        Z = read_representation(values, argument=subject)
        probe = "linear" if subject == "predictions" else "panel"  # it finds all they tell
        if probed:
            tasks.append(partial(_told, Z, everyone, probe, seed, where))
        if strata:
            of = np.concatenate(strata)
            given = {**where, "condition": GIVEN_LABEL}
            tasks.append(
                partial(_told_given_label, Z.rows(of), everyone.of(of), probe, seed, given)
            )
        tasks.append(partial(_certificates, Z, features, everyone, confidence, seed, where))
    return tasks, notes


def _probed(predictions: Predictions, groups: Groups) -> tuple[bool, list[np.ndarray], list[str]]:
    """Return whether all rows can be probed, the rows of each label that can, and notes."""
    notes: list[str] = []
    name = attribute_name(groups)
    probed = len(groups.names) == 1
    if probed and not can_be_dealt(groups.codes, predictions.clusters, FOLDS):
        probed = False
        unit = "rows" if predictions.clusters is None else "clusters"
        notes.append(f"A group by {name} has fewer than {FOLDS} {unit}: no probe was trained.")
    strata = rows_by_label(predictions, groups, FOLDS) if probed else []
    if probed and len(strata) < len(predictions.classes):
        notes.append(
            f"Not every label has {FOLDS} rows of two groups by {name}: within the others no "
            "probe was trained."
        )
    return probed, strata, notes


@contextmanager
def _quietly() -> Iterator[None]:
    """Fit a probe once; equal rows are told of elsewhere."""
    with warnings.catch_warnings(), shared_fits():
        warnings.filterwarnings(
            "ignore", message=".* rows equal another row", category=UserWarning
        )
        yield


def _told(
    Z: Representation, rows: ProbedRows, probe: str, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return what fresh probes recover, the test of independence, and the mutual information.

    The probes are trained once for both. What chance gives of the information is bounded by
    theory, not by refits.
    """
    options = _options(rows, seed)
    with _quietly():
        leak = leakage_report(Z, rows.groups, probe=probe, **options)
        nats = mutual_information_report(Z, rows.groups, n_permutations=0, **options)
    return [*_leakage_figures(leak, where), _information_figure(nats, where)]


def _told_given_label(
    Z: Representation, rows: ProbedRows, probe: str, seed: int, where: dict[str, Any]
) -> list[Figure]:
    """Return the same within each label, by probes that know it."""
    options = _options(rows, seed)
    given = (Z, rows.groups, rows.true)
    with _quietly():
        leak = conditional_leakage_report(*given, probe=probe, **options)
        nats = conditional_mutual_information_report(*given, n_permutations=0, **options)
    return [*_leakage_figures(leak, where), _information_figure(nats, where)]


def _options(rows: ProbedRows, seed: int) -> dict[str, Any]:
    return {
        "kind": "categorical",
        "cv": FOLDS,
        "clusters": rows.clusters,
        "random_state": seed,
    }


def _leakage_figures(found: LeakageReport, where: dict[str, Any]) -> list[Figure]:
    where = {**where, "n": found.n_rows}
    low, high = found.interval
    return [
        Figure("leakage", found.metric, found.score, low, high, found.null_quantile, **where),
        Figure("leakage", "balanced_accuracy", found.balanced_accuracy, **where),
        Figure("leakage", "p_value", found.p_value, **where),
    ]


def _information_figure(found: MutualInformationReport, where: dict[str, Any]) -> Figure:
    low, high = found.interval
    where = {**where, "n": found.n_rows, "by_chance": found.null_bound}
    return Figure("information", "mutual_information", found.score, low, high, **where)


def _features(groups: Groups) -> pd.DataFrame:
    """Return a column of categories for each feature: intersections without a row count too."""
    labels = groups.labels if len(groups.names) > 1 else [(label,) for label in groups.labels]
    columns = (
        pd.Categorical([labels[k][j] for k in groups.codes]) for j in range(len(groups.names))
    )
    return pd.DataFrame(dict(enumerate(columns)))


def _certificates(
    Z: Representation,
    features: pd.DataFrame,
    rows: ProbedRows,
    confidence: float,
    seed: int,
    where: dict[str, Any],
) -> list[Figure]:
    """Return the bounds on what is computed from Z, and for scores on thresholds of them."""
    figures = []
    whom = ("classifiers", "thresholds") if where["subject"] == "scores" else ("classifiers",)
    for against in whom:
        for constraint in ("demographic_parity", "equalized_odds"):
            with _quietly():
                found = certify(
                    Z,
                    features,
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
