"""Rates over all rows and by group, how groups differ by them, and how a baseline differs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import pandas as pd

from fairmi._data.groups import Groups
from fairmi.audit.counts import (
    count_outcomes,
    draw_cluster_rates,
    draw_fair_counts,
    draw_rates,
    rate_sizes,
    rates_of,
)
from fairmi.audit.intervals import (
    disparity_interval,
    max_disparity,
    quantile_interval,
    share_intervals,
)
from fairmi.audit.measures import (
    NOT_MEASURED,
    Curve,
    Figure,
    agreed,
    criterion_of,
    direction,
    rates_of_criteria,
)
from fairmi.audit.predictions import Forecasts, Predictions

MIN_ROWS = 30  # a rate over fewer rows than this says nothing


def attribute_name(groups: Groups) -> str:
    """Return the name of the sensitive feature, or of the features of an intersection."""
    return " & ".join(groups.names)


def group_names(groups: Groups) -> list[str]:
    """Return a name for each group: its value, or the values of an intersection.

    A value that says nothing by itself, such as True or 0, gets the name of its column.
    """
    return [
        " & ".join(_value_name(*pair) for pair in zip(label, groups.names, strict=True))
        if isinstance(label, tuple)
        else _value_name(label, groups.names[0])
        for label in groups.labels
    ]


def _value_name(value: object, column: str) -> str:
    if isinstance(value, pd.Interval):
        if np.isinf(value.left):
            return f"{column} up to {value.right:g}"
        to = "" if np.isinf(value.right) else f" to {value.right:g}"
        return f"{column} over {value.left:g}{to}"
    if isinstance(value, bool | np.bool_) or str(value) in ("True", "False"):
        return f"{column}: {'yes' if str(value) == 'True' else 'no'}"
    try:
        float(str(value))
    except ValueError:
        return str(value)
    return f"{column}: {value}"


def class_name(predictions: Predictions, k: int) -> str:
    """Return the class that a rate is of, where there are several; "" for all classes (-1)."""
    return "" if k < 0 or len(predictions.rated_classes) == 1 else str(predictions.classes[k])


class GroupFigures(ABC):
    """What a model does in each group of the rows, or in all rows as one group without a name.

    `values`, and the `rows` that they are of, have a column for each of `measures`, whose class
    is in `subjects`: (n_groups, n_figures). `codes` (n_rows,) are the rows' groups.
    """

    answers: Predictions | Forecasts
    measures: Sequence[str]
    subjects: Sequence[str]
    values: np.ndarray
    rows: np.ndarray

    def __init__(self, groups: Groups | None, n_rows: int) -> None:
        self.groups = groups
        self.codes, self.names, self.attribute = np.zeros(n_rows, dtype=np.int64), [""], ""
        if groups is not None:
            self.codes, self.names = groups.codes, group_names(groups)
            self.attribute = attribute_name(groups)

    @abstractmethod
    def limits(self, tail: float) -> tuple[np.ndarray, np.ndarray]:
        """Return both limits of each figure, (n_groups, n_figures), `tail` beyond each."""

    @abstractmethod
    def counted(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Return what rows figures are of, the independent rows of each group, and its rows."""

    def curves(self, confidence: float) -> list[Curve]:
        """Return curves of the groups for pictures, beside those of calibration."""
        return []

    def figures(self, section: str, confidence: float, part: str = "") -> list[Figure]:
        """Return the figures of each group, each with an interval of its own."""
        low, high = self.limits((1 - confidence) / 2)
        return [
            Figure(
                section,
                measure,
                float(self.values[g, j]),
                float(low[g, j]),
                float(high[g, j]),
                n=round(self.rows[g, j]),
                attribute=self.attribute,
                group=group,
                subject=self.subjects[j],
                part=part,
            )
            for g, group in enumerate(self.names)
            for j, measure in enumerate(self.measures)
        ]


class GroupRates(GroupFigures):
    """The rates of a classifier in each group, and how many independent rows each rests on.

    All are (n_groups, n_rates): `values`, NaN where a group has no row that one could count,
    `rows` that they divide by, `sizes`, as many independent rows as those are worth, and whether
    a group has rows enough to be `compared`: where fewer than two have, all that have any are.
    """

    answers: Predictions

    def __init__(self, predictions: Predictions, groups: Groups | None = None) -> None:
        super().__init__(groups, len(predictions.true))
        self.answers, true, shares = predictions, predictions.true, predictions.shares
        self.counts, outcomes = count_outcomes(
            self.codes, len(self.names), true, shares, counts=predictions.counts
        )
        self.table = rates_of(outcomes, predictions.rated_classes, labelled=predictions.labelled)
        self.measures = self.table.names
        self.subjects = [class_name(predictions, k) for k in self.table.classes]
        self.values = self.table.of(self.counts)
        self.rows = self.counts @ self.table.bottom
        self.sizes = self.rows
        if predictions.clusters is not None:
            self.sizes = rate_sizes(
                self.table, self.codes, len(self.names), true, shares, predictions.clusters
            )
        enough = self.sizes >= MIN_ROWS
        self.compared = np.where(enough.sum(axis=0) > 1, enough, self.sizes > 0)

    @property
    def worth(self) -> np.ndarray:
        """Share of its rows that each rate's interval counts, (n_groups, n_rates); 1 for none."""
        ones = np.ones_like(self.sizes)
        return np.divide(self.sizes, self.rows, out=ones, where=self.rows > 0)

    def limits(self, tail: float) -> tuple[np.ndarray, np.ndarray]:
        """Return Wilson's limits of each rate."""
        return share_intervals(self.counts @ self.table.top * self.worth, self.sizes, tail)

    def counted(self) -> list[tuple[str, np.ndarray, np.ndarray]]:
        """Count all rows, and those of each label that is rated."""
        of_labels = {self.table.where("selection_rate")[0]: ""}
        for r in self.table.where("true_positive_rate"):
            name = self.subjects[r]
            of_labels[r] = f" of label {name}" if name else " of the positive label"
        return [(what, self.sizes[:, r], self.rows[:, r]) for r, what in of_labels.items()]

    def disparities(
        self, section: str, *, confidence: float, n_boot: int, rng: np.random.Generator
    ) -> list[Figure]:
        """Return the difference and the ratio between groups by each criterion.

        Groups of fewer than 30 independent rows have no part in it: what such a few show says
        nothing, and would be the largest difference of all more often than not. A rate has the
        same interval in every criterion: one that holds for all rates of the largest in which it
        takes part.
        """
        table = self.table
        criteria = rates_of_criteria(labelled=self.answers.labelled)
        fair: dict[bytes, np.ndarray] = {}
        figures = []
        for criterion, names in criteria.items():
            at = table.where(*names)
            joint = max(
                len(table.where(*others))
                for others in criteria.values()
                if set(names) & set(others)
            )
            used = self.compared[:, at]
            point = np.where(used, self.values[:, at], np.nan)
            sizes = np.where(used, self.sizes[:, at], 0.0)
            # Rates that divide by the same rows are drawn once, whatever they count of them.
            worth = self.worth[:, at].min(axis=1)
            strata = np.unique(table.bottom[:, at], axis=0, return_inverse=True)[1].reshape(-1)
            key = strata.tobytes() + worth.tobytes()
            if key not in fair:
                fair[key] = table.of(draw_fair_counts(self.counts, strata, n_boot, rng, worth))
            alike = np.where(used, fair[key][..., at], np.nan)
            n = round(self.counts[used.any(axis=1)].sum())
            for ratio in (False, True)[: 1 + bool(criterion_of(criterion).ratio)]:
                j, most, least = _extremes(point, ratio=ratio)
                numbers = _disparity(point, sizes, alike, confidence, joint, ratio=ratio)
                if not ratio:  # a ratio says of the same groups what their difference says
                    value, low, _, chance = numbers
                    verdict = agreed(low > 0, value > chance) if value == value else NOT_MEASURED
                figures.append(
                    Figure(
                        section,
                        f"{criterion}_{'ratio' if ratio else 'difference'}",
                        *numbers,
                        n=n,
                        attribute=self.attribute,
                        subject=self.subjects[at[j]],
                        verdict=verdict,
                        rate=table.names[at[j]],
                        most=self.names[most],
                        least=self.names[least],
                    )
                )
        return figures

    def changes(
        self, before: GroupRates, *, confidence: float, n_boot: int, rng: np.random.Generator
    ) -> list[Figure]:
        """Return how differences between groups (of all rows: rates) differ from a baseline's.

        Both models are rated on the same draws of rows, so that what they have in common drops
        out.
        """
        ours, theirs = self.answers, before.answers
        labelled, clusters = ours.labelled, ours.clusters
        rows = (self.codes, len(self.names), ours.true, ours.shares, theirs.shares)
        counts, outcomes = count_outcomes(*rows, counts=ours.counts)
        tables = [
            rates_of(outcomes, ours.rated_classes, column, labelled=labelled) for column in (1, 2)
        ]
        points = [table.of(counts) for table in tables]
        if clusters is None:
            draws = draw_rates(counts, tables, n_boot, rng)
        else:
            draws = draw_cluster_rates(rows, clusters, tables, n_boot, rng)
        changes: list[tuple[str, np.ndarray, np.ndarray, str]] = []
        if self.groups is None:
            point, drawn = (now[..., 0, :] - then[..., 0, :] for now, then in (points, draws))
            for r, name in enumerate(self.measures):
                if tables[0].classes[r] < 0 or (name == "selection_rate" and not labelled):
                    changes.append((name, point[r], drawn[:, r], self.subjects[r]))
        else:
            compared = self.compared & before.compared
            for criterion, names in rates_of_criteria(labelled=labelled).items():
                at = tables[0].where(*names)
                value, change = (
                    max_disparity(now) - max_disparity(then)
                    for now, then in (
                        [np.where(compared, rates, np.nan)[..., at] for rates in pair]
                        for pair in (points, draws)
                    )
                )
                changes.append((f"{criterion}_difference", value, change, ""))
        return [
            change_figure(
                measure, value, change, confidence, ours.n_rows, self.attribute, subject=subject
            )
            for measure, value, change, subject in changes
        ]


def _extremes(rates: np.ndarray, *, ratio: bool) -> tuple[int, int, int]:
    """Return by which of the rates groups differ most, and in which groups most and least.

    With `ratio` they differ most where the smallest is the least part of the largest.
    """
    with np.errstate(divide="ignore"):
        values = np.log(rates) if ratio else rates
    apart = [max_disparity(values[:, [j]]) for j in range(values.shape[1])]
    j = int(np.argmax(np.nan_to_num(apart, nan=-1)))
    if np.isnan(rates[:, j]).all():
        return j, 0, 0
    return j, int(np.nanargmax(rates[:, j])), int(np.nanargmin(rates[:, j]))


def _disparity(
    point: np.ndarray,
    sizes: np.ndarray,
    alike: np.ndarray,
    confidence: float,
    joint: int,
    *,
    ratio: bool,
) -> tuple[float, float, float, float]:
    """Return the largest difference, its interval and what chance gives; or the smallest ratio.

    The ratio is that of the largest difference of logarithms.
    """
    low, high = disparity_interval(point, sizes, confidence, ratio=ratio, n_joint=joint)
    if not ratio:
        chance = _at_most(max_disparity(alike), confidence)
        return float(max_disparity(point)), low, high, chance
    with np.errstate(divide="ignore"):
        point, alike = np.log(point), np.log(alike)
    chance = _at_most(max_disparity(alike), confidence)
    value, low, high, chance = np.exp(
        -np.array([max_disparity(point), high, low, chance])
    ).tolist()
    return value, low, high, chance


def _at_most(disparities: np.ndarray, confidence: float) -> float:
    """Return the quantile of disparities, infinite ones too; NaN if all are undefined."""
    defined = disparities[~np.isnan(disparities)]
    return float(np.quantile(defined, confidence, method="higher")) if len(defined) else np.nan


def change_figure(
    measure: str,
    value: float | np.ndarray,
    draws: np.ndarray,
    confidence: float,
    n_rows: int,
    attribute: str,
    margin: float = 0.0,
    subject: str = "",
) -> Figure:
    """Return the change of a figure from a baseline, with the interval of its draws.

    A difference that is hardly there is drawn too large, so that quantiles of draws are off by as
    much. Reflected at the value they are off to the other side: the interval covers both, and
    `margin` to each side at least.
    """
    value = float(value)
    low, high = quantile_interval(draws, confidence)
    low, high = (
        min(low, 2 * value - high, value - margin),
        max(high, 2 * value - low, value + margin),
    )
    return Figure(
        "change",
        measure,
        value,
        low,
        high,
        n=n_rows,
        attribute=attribute,
        subject=subject,
        verdict=direction(low, high),
    )


def small_groups(rated: Sequence[GroupFigures], *, clustered: bool) -> str:
    """Name the groups of too few rows for a figure; "" if there are none.

    Rows in clusters count for the independent rows that they are worth.
    """
    small = []
    for one in rated:
        counted = one.counted()
        for g, name in enumerate(one.names):
            for what, sizes, rows in counted:
                if sizes[g] < MIN_ROWS:
                    less = f", worth {sizes[g]:.3g}" if sizes[g] < rows[g] else ""
                    small.append(f"{one.attribute} = {name} ({rows[g]:.0f} rows{what}{less})")
    if not small:
        return ""
    kind = "independent rows" if clustered else "rows"
    listed = ", ".join(small[:6]) + (f", and {len(small) - 6} more" if len(small) > 6 else "")
    return (
        f"Fewer than {MIN_ROWS} {kind}, too few for a rate or a mean to say anything: {listed}. "
        "They are left out where groups are compared, unless all are so few. Gather more rows of "
        "these groups, or merge groups."
    )
