"""Rates over all rows and by group, how groups differ by them, and how a baseline differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import Groups
from fairmi.audit.counts import (
    Rates,
    count_outcomes,
    draw_cluster_rates,
    draw_fair_rates,
    draw_rates,
    effective_sizes,
    rate_sizes,
    rates_of,
)
from fairmi.audit.intervals import (
    disparity_interval,
    max_disparity,
    quantile_interval,
    share_interval,
)
from fairmi.audit.measures import (
    NOT_MEASURED,
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


class GroupRates:
    """The rates of a model in each group, and how many independent rows each rests on.

    All are (n_groups, n_rates): `values`, NaN where a group has no row that one could count,
    `rows` that they divide by, `sizes`, as many independent rows as those are worth, and whether
    a group has rows enough to be `compared`: where fewer than two have, all that have any are.
    """

    def __init__(self, predictions: Predictions, groups: Groups | None = None) -> None:
        """Rate each group, or all rows as one group without a name."""
        true, shares, self.predictions = predictions.true, predictions.shares, predictions
        self.codes, self.names, self.attribute = np.zeros(len(true), dtype=np.int64), [""], ""
        if groups is not None:
            self.codes, self.names = groups.codes, group_names(groups)
            self.attribute = attribute_name(groups)
        counted = (self.codes, len(self.names), true, shares)
        self.cells = count_outcomes(*counted, counts=predictions.counts)
        self.table: Rates = rates_of(
            self.cells.outcomes, predictions.rated_classes, labelled=predictions.labelled
        )
        self.values = self.table.of(self.cells.counts)
        self.rows = self.cells.counts @ self.table.bottom
        self.sizes = rate_sizes(
            self.cells, self.table, self.codes, true, shares, predictions.clusters
        )
        enough = self.sizes >= MIN_ROWS
        self.compared = np.where(enough.sum(axis=0) > 1, enough, self.sizes > 0)

    @property
    def worth(self) -> np.ndarray:
        """Share of its rows that each rate's interval counts, (n_groups, n_rates); 1 for none."""
        ones = np.ones_like(self.sizes)
        return np.divide(self.sizes, self.rows, out=ones, where=self.rows > 0)

    def figures(self, section: str, confidence: float) -> list[Figure]:
        """Return each group's rates, with Wilson's intervals."""
        figures = []
        top = self.cells.counts @ self.table.top * self.worth
        for g, group in enumerate(self.names):
            for r, measure in enumerate(self.table.names):
                low, high = share_interval(top[g, r], self.sizes[g, r], confidence)
                figures.append(
                    Figure(
                        section,
                        measure,
                        value=float(self.values[g, r]),
                        low=low,
                        high=high,
                        n=round(self.rows[g, r]),
                        attribute=self.attribute,
                        group=group,
                        subject=class_name(self.predictions, self.table.classes[r]),
                    )
                )
        return figures

    def extremes(self, at: Sequence[int], *, ratio: bool = False) -> tuple[int, int, int]:
        """Return by which of the rates groups differ most, and in which groups most and least.

        With `ratio` they differ most where the smallest is the least part of the largest.
        """
        values = np.where(self.compared, self.values, np.nan)[:, at]
        if ratio:
            with np.errstate(divide="ignore"):
                values = np.log(values)
        apart = [max_disparity(values[:, [j]]) for j in range(len(at))]
        r = at[int(np.argmax(np.nan_to_num(apart, nan=-1)))]
        of_groups = np.where(self.compared[:, r], self.values[:, r], np.nan)
        if np.isnan(of_groups).all():
            return r, 0, 0
        return r, int(np.nanargmax(of_groups)), int(np.nanargmin(of_groups))


def disparity_figures(
    predictions: Predictions,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
    section: str = "disparity",
) -> list[Figure]:
    """Return the difference and the ratio between groups by each criterion.

    Groups of fewer than 30 independent rows have no part in it: what such a few show says nothing,
    and would be the largest difference of all more often than not. A rate has the same interval in
    every criterion: one that holds for all rates of the largest in which it takes part.
    """
    rates = GroupRates(predictions, groups)
    criteria = rates_of_criteria(labelled=predictions.labelled)
    fair: dict[bytes, np.ndarray] = {}
    figures = []
    for criterion, names in criteria.items():
        at = rates.table.where(*names)
        joint = max(
            len(rates.table.where(*others))
            for others in criteria.values()
            if set(names) & set(others)
        )
        used = rates.compared[:, at]
        point = np.where(used, rates.values[:, at], np.nan)
        sizes = np.where(used, rates.sizes[:, at], 0.0)
        # Rates that divide by the same rows are drawn once, whatever they count of them.
        bottom = rates.table.bottom[:, at]
        worth = rates.worth[:, at].min(axis=1)
        key = np.unique(bottom, axis=0, return_inverse=True)[1].tobytes() + worth.tobytes()
        if key not in fair:
            fair[key] = draw_fair_rates(rates.cells, rates.table, n_boot, rng, worth=worth, at=at)
        alike = np.where(used, fair[key][..., at], np.nan)
        n = round(rates.cells.counts[used.any(axis=1)].sum())
        for ratio in (False, True)[: 1 + bool(criterion_of(criterion).ratio)]:
            r, most, least = rates.extremes(at, ratio=ratio)
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
                    attribute=rates.attribute,
                    subject=class_name(predictions, rates.table.classes[r]),
                    verdict=verdict,
                    rate=rates.table.names[r],
                    most=rates.names[most],
                    least=rates.names[least],
                )
            )
    return figures


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


def change_figures(
    predictions: Predictions,
    baseline: Predictions,
    groups: Groups | None,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's rates and differences between groups, and the changes from them.

    Of all rows, where `groups` is None, the rates' changes. Both models are rated on the same
    draws of rows, so that what they have in common drops out.
    """
    ours, theirs = (GroupRates(model, groups) for model in (predictions, baseline))
    figures = theirs.figures("baseline" if groups is None else "baseline group", confidence)
    if groups is not None:
        draws_of: dict[str, Any] = {"confidence": confidence, "n_boot": n_boot, "rng": rng}
        figures += disparity_figures(baseline, groups, section="baseline", **draws_of)
    table, points, draws = _paired_draws(ours, theirs, n_boot, rng)
    changes: list[tuple[str, float, np.ndarray]] = []
    if groups is None:
        for r, name in enumerate(table.names):
            if table.classes[r] < 0 or (name == "selection_rate" and not predictions.labelled):
                change = draws[0][:, 0, r] - draws[1][:, 0, r]
                changes.append((name, float(points[0][0, r] - points[1][0, r]), change))
    else:
        compared = ours.compared & theirs.compared
        for criterion, names in rates_of_criteria(labelled=predictions.labelled).items():
            value, change = (
                max_disparity(mine) - max_disparity(other)
                for mine, other in (
                    [np.where(compared, rates, np.nan)[..., table.where(*names)] for rates in pair]
                    for pair in (points, draws)
                )
            )
            changes.append((f"{criterion}_difference", float(value), change))
    return figures + [
        change_figure(*change, confidence, baseline.n_rows, ours.attribute) for change in changes
    ]


def _paired_draws(
    ours: GroupRates, theirs: GroupRates, n_boot: int, rng: np.random.Generator
) -> tuple[Rates, list[np.ndarray], np.ndarray]:
    """Return the table of rates, and both models' rates as they are and on the same draws."""
    predictions = ours.predictions
    shares = (predictions.shares, theirs.predictions.shares)
    rows = (ours.codes, len(ours.names), predictions.true, *shares)
    cells = count_outcomes(*rows, counts=predictions.counts)
    tables = [
        rates_of(cells.outcomes, predictions.rated_classes, column, labelled=predictions.labelled)
        for column in (1, 2)
    ]
    points = [table.of(cells.counts) for table in tables]
    if predictions.clusters is None:
        return tables[0], points, draw_rates(cells, tables, n_boot, rng)
    draws = draw_cluster_rates(rows, predictions.clusters, cells, tables, n_boot, rng)
    return tables[0], points, draws


def change_figure(
    measure: str, value: float, draws: np.ndarray, confidence: float, n_rows: int, attribute: str
) -> Figure:
    """Return the change of a figure from a baseline, with the interval of its draws.

    A difference that is hardly there is drawn too large, so that quantiles of draws are off by as
    much. Reflected at the value they are off to the other side: the interval covers both.
    """
    low, high = quantile_interval(draws, confidence)
    low, high = min(low, 2 * value - high), max(high, 2 * value - low)
    return Figure(
        "change",
        measure,
        value,
        low,
        high,
        n=n_rows,
        attribute=attribute,
        verdict=direction(low, high),
    )


def small_groups(predictions: Predictions | Forecasts, attributes: Sequence[Groups]) -> str:
    """Name the groups of too few rows for a figure; "" if there are none.

    Rows in clusters count for the independent rows that they are worth.
    """
    small = []
    for groups in attributes:
        counted = _group_sizes(predictions, groups)
        for g, name in enumerate(group_names(groups)):
            for what, sizes, rows in counted:
                if sizes[g] < MIN_ROWS:
                    less = f", worth {sizes[g]:.3g}" if sizes[g] < rows[g] else ""
                    small.append(
                        f"{attribute_name(groups)} = {name} ({rows[g]:.0f} rows{what}{less})"
                    )
    if not small:
        return ""
    kind = "rows" if predictions.clusters is None else "independent rows"
    listed = ", ".join(small[:6]) + (f", and {len(small) - 6} more" if len(small) > 6 else "")
    return (
        f"Fewer than {MIN_ROWS} {kind}, too few for a rate or a mean to say anything: {listed}. "
        "They are left out where groups are compared, unless all are so few. Gather more rows of "
        "these groups, or merge groups."
    )


def _group_sizes(
    predictions: Predictions | Forecasts, groups: Groups
) -> list[tuple[str, np.ndarray, np.ndarray]]:
    """Return what rows figures divide by, how many they are worth in each group, and their count.

    All rows, and those of each label that is rated.
    """
    if isinstance(predictions, Forecasts):
        worth = effective_sizes(groups.codes, len(groups), predictions.clusters)
        return [("", worth, groups.counts)]
    rates = GroupRates(predictions, groups)
    counted = [("", rates.table.where("selection_rate")[0])]
    for r in rates.table.where("true_positive_rate"):
        name = class_name(predictions, rates.table.classes[r])
        counted.append((f" of label {name}" if name else " of the positive label", r))
    return [(what, rates.sizes[:, r], rates.rows[:, r]) for what, r in counted]
