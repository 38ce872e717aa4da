"""Rates over all rows and by group, as fairlearn defines them, with intervals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.figures.effective import effective_rate_sizes, effective_sizes, shrunk
from fairmi.audit.figures.intervals import share_interval
from fairmi.audit.figures.outcomes import OutcomeCounts, Rates, count_outcomes, rates_of
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.records import Figure

MIN_ROWS = 30  # a rate over fewer rows than this says nothing


def group_name(label: object) -> str:
    """Return a group's name: its value, or the values of an intersection."""
    return " & ".join(map(str, label)) if isinstance(label, tuple) else str(label)


def attribute_name(groups: Groups) -> str:
    """Return the name of the sensitive feature, or of the features of an intersection."""
    return " & ".join(groups.names)


def overall_figures(predictions: Predictions, confidence: float) -> list[Figure]:
    """Return the rates over all rows."""
    everyone = np.zeros(len(predictions.true), dtype=np.int64)
    cells = count_outcomes(everyone, 1, predictions.true, predictions.shares)
    table = rates_of(cells.outcomes, predictions.rated_classes)
    worth = _worth(predictions, everyone, 1, cells, table)
    return _rate_figures("overall", predictions, cells, table, [""], "", confidence, worth)


def group_figures(predictions: Predictions, groups: Groups, confidence: float) -> list[Figure]:
    """Return the rates of each group; NaN where a group has no row that a rate could count."""
    cells = count_outcomes(groups.codes, len(groups), predictions.true, predictions.shares)
    table = rates_of(cells.outcomes, predictions.rated_classes)
    names = [group_name(label) for label in groups.labels]
    where = attribute_name(groups)
    worth = _worth(predictions, groups.codes, len(groups), cells, table)
    return _rate_figures("group", predictions, cells, table, names, where, confidence, worth)


def _worth(
    predictions: Predictions, codes: np.ndarray, n_groups: int, cells: OutcomeCounts, table: Rates
) -> np.ndarray:
    """Return the share of its rows that each rate's interval counts, (n_groups, n_rates)."""
    rows = (codes, n_groups, predictions.true, predictions.clusters)
    effective = effective_rate_sizes(cells.outcomes, table.bottom, *rows)
    return shrunk(cells.counts @ table.bottom, effective)


def _rate_figures(
    section: str,
    predictions: Predictions,
    cells: OutcomeCounts,
    table: Rates,
    names: list[str],
    attribute: str,
    confidence: float,
    worth: np.ndarray,
) -> list[Figure]:
    top, bottom = cells.counts @ table.top, cells.counts @ table.bottom
    values = table.of(cells.counts)
    figures = []
    for g, group in enumerate(names):
        for r, measure in enumerate(table.names):
            counted = worth[g, r] * top[g, r], worth[g, r] * bottom[g, r]
            interval = share_interval(*counted, confidence)
            figures.append(
                Figure(
                    section,
                    measure,
                    value=float(values[g, r]),
                    low=interval.low,
                    high=interval.high,
                    n=round(bottom[g, r]),
                    attribute=attribute,
                    group=group,
                    subject=class_name(predictions, table.classes[r]),
                )
            )
    return figures


def class_name(predictions: Predictions, k: int) -> str:
    """Return the class that a rate is of, where there are several; "" for all classes (-1)."""
    return "" if k < 0 or len(predictions.rated_classes) == 1 else str(predictions.classes[k])


def small_groups(predictions: Predictions, attributes: Sequence[Groups]) -> str:
    """Name the groups, and labels in groups, of too few rows for a rate; "" if there are none.

    Rows in clusters count for the independent rows that they are worth.
    """
    small = [
        f"{attribute_name(groups)} = {group_name(groups.labels[g])} ({text})"
        for groups in attributes
        for label in (-1, *predictions.rated_classes)
        for g, text in _few_rows(predictions, groups, label)
    ]
    if not small:
        return ""
    kind = "rows" if predictions.clusters is None else "independent rows"
    listed = ", ".join(small[:6]) + (f", and {len(small) - 6} more" if len(small) > 6 else "")
    return (
        f"Fewer than {MIN_ROWS} {kind}, too few for a rate to say anything: {listed}. "
        "Gather more rows of these groups, or merge groups."
    )


def _few_rows(predictions: Predictions, groups: Groups, label: int) -> Iterator[tuple[int, str]]:
    """Yield the groups of too few rows of a label (-1 for any), and how many in words."""
    counted = predictions.true == label if label >= 0 else np.ones(len(groups.codes), bool)
    bin_of = np.where(counted, groups.codes, -1)
    rows = effective_sizes(bin_of, len(groups), None)
    worth = effective_sizes(bin_of, len(groups), predictions.clusters)
    for g in np.flatnonzero(worth < MIN_ROWS):
        of_label = ""
        if label >= 0:
            name = class_name(predictions, label)
            of_label = f" of label {name}" if name else " of the positive label"
        less = f", worth {worth[g]:.3g}" if worth[g] < rows[g] else ""
        yield int(g), f"{rows[g]:.0f} rows{of_label}{less}"
