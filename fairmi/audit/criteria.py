"""Rates over all rows and by group, as fairlearn defines them, with intervals."""

from __future__ import annotations

from typing import Any

import numpy as np
from fairlearn.metrics import (
    MetricFrame,
    false_positive_rate,
    selection_rate,
    true_positive_rate,
)
from sklearn.metrics import accuracy_score

from fairmi._data.groups import Groups
from fairmi.audit.answers import Answers
from fairmi.audit.counts import Cells, Rates, count_cells, rates_of
from fairmi.audit.gaps import share_interval
from fairmi.audit.records import Figure

FEWEST_ROWS = 30  # a rate over fewer rows than this says nothing


def group_name(label: object) -> str:
    """Return a group's name: its value, or the values of an intersection."""
    return " & ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def attribute_name(groups: Groups) -> str:
    """Return the name of the sensitive feature, or of the features of an intersection."""
    return " & ".join(groups.names)


def fairlearn_rates(answers: Answers, predicted: np.ndarray, group: np.ndarray) -> np.ndarray:
    """Return fairlearn's rates by group, shape (n_groups, n_rates), in the order of `rates_of`."""
    frames = [_frame({"accuracy": accuracy_score}, answers.true, predicted, group)]
    rates = {
        "selection_rate": selection_rate,
        "true_positive_rate": true_positive_rate,
        "false_positive_rate": false_positive_rate,
    }
    frames += [
        _frame(rates, answers.true == k, predicted == k, group) for k in answers.rated_classes
    ]
    return np.column_stack([frame.by_group.to_numpy(dtype=float) for frame in frames])


def _frame(
    metrics: dict[str, Any], true: np.ndarray, predicted: np.ndarray, group: np.ndarray
) -> MetricFrame:
    return MetricFrame(
        metrics=metrics,
        y_true=true.astype(int),
        y_pred=predicted.astype(int),
        sensitive_features=group,
    )


def overall_figures(answers: Answers, confidence: float) -> list[Figure]:
    """Return the rates over all rows."""
    everyone = np.zeros(len(answers.true), dtype=np.int64)
    cells = count_cells(everyone, 1, answers.true, answers.predicted)
    table = rates_of(cells.outcomes, answers.rated_classes)
    values = defined_rates(answers, answers.predicted, cells, table, everyone)
    return _rate_figures("overall", answers, cells, table, values, [""], "", confidence)


def group_figures(answers: Answers, groups: Groups, confidence: float) -> list[Figure]:
    """Return the rates of each group; NaN where a group has no row that a rate could count."""
    cells = count_cells(groups.codes, len(groups), answers.true, answers.predicted)
    table = rates_of(cells.outcomes, answers.rated_classes)
    values = defined_rates(answers, answers.predicted, cells, table, groups.codes)
    names = [group_name(label) for label in groups.labels]
    where = attribute_name(groups)
    return _rate_figures("group", answers, cells, table, values, names, where, confidence)


def _rate_figures(
    section: str,
    answers: Answers,
    cells: Cells,
    table: Rates,
    values: np.ndarray,
    names: list[str],
    attribute: str,
    confidence: float,
) -> list[Figure]:
    top, bottom = cells.counts @ table.top, cells.counts @ table.bottom
    figures = []
    for g, group in enumerate(names):
        for r, measure in enumerate(table.names):
            interval = share_interval(top[g, r], bottom[g, r], confidence)
            figures.append(
                Figure(
                    section,
                    measure,
                    value=float(values[g, r]),
                    low=interval.low,
                    high=interval.high,
                    n=int(bottom[g, r]),
                    attribute=attribute,
                    group=group,
                    subject=_class_name(answers, table.classes[r]),
                )
            )
    return figures


def _class_name(answers: Answers, k: int) -> str:
    return "" if k < 0 or len(answers.classes) == 2 else str(answers.classes[k])


def defined_rates(
    answers: Answers, predicted: np.ndarray, cells: Cells, table: Rates, group: np.ndarray
) -> np.ndarray:
    """Return fairlearn's rates by group, NaN in place of its 0 for a rate of no rows."""
    values = fairlearn_rates(answers, predicted, group)
    return np.where(cells.counts @ table.bottom > 0, values, np.nan)


def small_groups(figures: list[Figure]) -> str:
    """Name the groups, and labels in groups, of too few rows for a rate; "" if there are none."""
    small = [
        f"{f.attribute} = {f.group} ({f.n} rows{_of_label(f)})"
        for f in figures
        if f.section == "group"
        and f.n < FEWEST_ROWS
        and f.measure in ("accuracy", "true_positive_rate")
    ]
    if not small:
        return ""
    listed = ", ".join(small[:6]) + (f", and {len(small) - 6} more" if len(small) > 6 else "")
    return (
        f"Fewer than {FEWEST_ROWS} rows, too few for a rate to say anything: {listed}. "
        "Gather more rows of these groups, or merge groups."
    )


def _of_label(figure: Figure) -> str:
    if figure.measure == "accuracy":
        return ""
    return f" of label {figure.subject}" if figure.subject else " of the positive label"
