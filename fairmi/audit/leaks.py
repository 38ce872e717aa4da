"""What representation, scores and predictions tell of the sensitive features."""

from __future__ import annotations

from typing import Any

from threadpoolctl import threadpool_limits

from fairmi._data.groups import Groups
from fairmi.audit.answers import Answers
from fairmi.audit.criteria import attribute_name
from fairmi.audit.records import Figure
from fairmi.metrics.certificate import certify
from fairmi.metrics.information import mutual_information_report
from fairmi.metrics.leakage import leakage_report

FOLDS = 5  # of cross-fitting: a probe needs a row of each group in each


def leak_figures(
    answers: Answers, groups: Groups, confidence: float, seed: int
) -> tuple[list[Figure], list[str]]:
    """Return leakage, information and a certificate for what leaves the model, and notes.

    Intersections of several features have a certificate only: a probe that can't tell any of the
    features has little chance with all of them, and most intersections are small.
    """
    figures: list[Figure] = []
    notes: list[str] = []
    where: dict[str, Any] = {"attribute": attribute_name(groups), "n": len(groups.codes)}
    if len(groups.names) > 1:
        probed = False
    elif groups.counts.min() < FOLDS:
        probed = False
        notes.append(
            f"A group by {where['attribute']} has fewer than {FOLDS} rows: no probe was trained."
        )
    else:
        probed = True
    for subject, values in answers.subjects.items():
        where["subject"] = subject
        if probed:
            with threadpool_limits(limits=1):  # small fits: more threads mostly wait for another
                figures += _leakage(values, groups, seed, where)
                figures.append(_information(values, groups, seed, where))
        bound = certify(values, groups.codes, confidence=confidence).bound
        figures.append(Figure("certificate", "demographic_parity_bound", bound, **where))
    return figures, notes


def _leakage(values: Any, groups: Groups, seed: int, where: dict[str, Any]) -> list[Figure]:
    """Return what the best of the fresh probes reaches, and the test of independence."""
    found = leakage_report(values, groups.codes, kind="categorical", cv=FOLDS, random_state=seed)
    low, high = found.interval
    return [
        Figure(
            "leakage",
            found.metric,
            found.score,
            low,
            high,
            by_chance=found.null_quantile,
            **where,
        ),
        Figure("leakage", "balanced_accuracy", found.balanced_accuracy, **where),
        Figure("leakage", "p_value", found.p_value, **where),
    ]


def _information(values: Any, groups: Groups, seed: int, where: dict[str, Any]) -> Figure:
    """Return the mutual information; what chance gives is bounded by theory, not by refits."""
    found = mutual_information_report(
        values, groups.codes, kind="categorical", cv=FOLDS, n_permutations=0, random_state=seed
    )
    low, high = found.interval
    return Figure(
        "information",
        "mutual_information",
        found.score,
        low,
        high,
        by_chance=found.null_bound,
        **where,
    )
