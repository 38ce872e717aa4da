"""What parity over all rows can hide: disparities within parts of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.figures.conditions import Condition
from fairmi.audit.figures.effective import effective_sizes
from fairmi.audit.figures.intervals import share_intervals, square_and_add
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import MIN_ROWS, attribute_name, class_name, group_name
from fairmi.audit.records import Figure


@dataclass(frozen=True)
class Stratum:
    """Groups of one part of the rows that have rows enough, and how often each is selected.

    `groups` are codes; `rows`, `selected` and `positive` (rows with the positive label) count
    each group's rows, for the class `of_class`. Where rows come in clusters, `worth` says how
    many independent rows each group's are worth.
    """

    name: str
    of_class: int
    groups: np.ndarray
    rows: np.ndarray
    selected: np.ndarray
    positive: np.ndarray
    worth: np.ndarray

    @property
    def pairs(self) -> int:
        """Comparisons of two groups."""
        return len(self.groups) * (len(self.groups) - 1) // 2


def conditional_figures(
    predictions: Predictions, groups: Groups, conditions: Sequence[Condition], confidence: float
) -> list[Figure]:
    """Return the disparity of selection rates within each part of the rows, worst first.

    Only groups of 30 rows or more in a part (of rows in clusters: worth that) are compared. The
    intervals hold for all parts, classes and pairs of groups at once: Newcombe's interval for a
    difference of two shares [1]_, each at the confidence that Bonferroni's inequality asks for
    [2]_. Worst is what has the largest lower end, then the largest value.

    References
    ----------
    .. [1] R. G. Newcombe, Interval estimation for the difference between independent proportions,
       Statistics in Medicine 17 (1998), method 10.
    .. [2] O. J. Dunn, Multiple comparisons among means, JASA 56 (1961).
    """
    strata = [s for c in conditions for s in _strata(predictions, groups, c)]
    comparisons = sum(stratum.pairs for stratum in strata)
    if not comparisons:
        return []
    level = 1 - (1 - confidence) / comparisons
    where: dict[str, Any] = {"attribute": attribute_name(groups)}
    found = []
    for stratum in strata:
        named = {**where, "subject": class_name(predictions, stratum.of_class)}
        named["condition"] = stratum.name
        found.append((_disparity(stratum, level, named), stratum, named))
    found.sort(key=lambda item: (-item[0].low, -item[0].value))
    figures = [figure for figure, _, _ in found]
    for _, stratum, named in found:
        figures += _group_figures(stratum, groups, confidence, named)
    return figures


def _strata(predictions: Predictions, groups: Groups, condition: Condition) -> list[Stratum]:
    """Return the parts in which two groups or more have rows enough, for each class rated."""
    inside = condition.codes >= 0
    shape = (len(condition.names), len(groups))
    bin_of = np.ravel_multi_index((condition.codes[inside], groups.codes[inside]), shape)

    def count(weight: np.ndarray | None = None) -> np.ndarray:
        return np.bincount(bin_of, weight, minlength=shape[0] * shape[1]).reshape(shape)

    rows = count()
    owners = None if predictions.clusters is None else predictions.clusters[inside]
    worth = effective_sizes(bin_of, rows.size, owners).reshape(shape)
    strata = []
    for k in predictions.rated_classes:
        selected = count(predictions.shares[inside, k])
        positive = count((predictions.true[inside] == k).astype(float))
        for s, name in enumerate(condition.names):
            enough = np.flatnonzero(worth[s] >= MIN_ROWS)
            is_part = rows[s].sum() < len(predictions.true)
            if is_part and len(enough) > 1:
                counts = (table[s, enough] for table in (rows, selected, positive, worth))
                strata.append(Stratum(name, k, enough, *counts))
    return strata


def _disparity(stratum: Stratum, level: float, named: dict[str, Any]) -> Figure:
    share = stratum.selected / stratum.rows
    low, high = difference_intervals(share * stratum.worth, stratum.worth, level)
    return Figure(
        "conditional",
        "demographic_parity_difference",
        float(np.ptp(share)),
        float(max(low.max(), 0.0)),
        float(high.max()),
        n=int(stratum.rows.sum()),
        **named,
    )


def _group_figures(
    stratum: Stratum, groups: Groups, confidence: float, named: dict[str, Any]
) -> list[Figure]:
    """Return each group's selection rate in the part, and how often its label is positive."""
    figures = []
    counts = {"selection_rate": stratum.selected, "base_rate": stratum.positive}
    for measure, count in counts.items():
        share = count / stratum.rows
        low, high = share_intervals(share * stratum.worth, stratum.worth, confidence)
        ends = np.column_stack([share, low, high]).tolist()
        for code, n, numbers in zip(stratum.groups, stratum.rows, ends, strict=True):
            of_group = {**named, "n": int(n), "group": group_name(groups.labels[code])}
            figures.append(Figure("conditional group", measure, *numbers, **of_group))
    return figures


def difference_intervals(
    hits: np.ndarray, n: np.ndarray, confidence: float
) -> tuple[np.ndarray, np.ndarray]:
    """Return Newcombe's hybrid score intervals for the differences of shares hits / n.

    Returns
    -------
    low, high : ndarray of shape (n_shares, n_shares)
        Ends of the interval for the share of the row less that of the column.

    References
    ----------
    R. G. Newcombe, Statistics in Medicine 17 (1998), method 10.
    """
    return square_and_add(hits / n, *share_intervals(hits, n, confidence))
