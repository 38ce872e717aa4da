"""Differences and ratios between groups, and how they differ from a baseline's."""

from __future__ import annotations

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.figures.effective import effective_rate_sizes, shrunk
from fairmi.audit.figures.intervals import (
    CRITERIA,
    GIVEN_LABEL,
    disparity_interval,
    max_disparity,
    quantile_interval,
)
from fairmi.audit.figures.outcomes import (
    OutcomeCounts,
    Rates,
    count_outcomes,
    draw_cluster_rates,
    draw_fair_rates,
    draw_rates,
    rates_of,
)
from fairmi.audit.figures.predictions import Predictions
from fairmi.audit.figures.rates import attribute_name
from fairmi.audit.records import Figure


def disparity_figures(
    predictions: Predictions,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the difference and the ratio between groups by each criterion."""
    cells = count_outcomes(groups.codes, len(groups), predictions.true, predictions.shares)
    table = rates_of(cells.outcomes, predictions.rated_classes)
    point = table.of(cells.counts)
    rows = (groups.codes, len(groups), predictions.true, predictions.clusters)
    sizes = effective_rate_sizes(cells.outcomes, table.bottom, *rows)
    worth = shrunk(cells.counts @ table.bottom, sizes).min(axis=1)
    fair = {
        given: draw_fair_rates(cells, table, n_boot, rng, given_label=given, worth=worth)
        for given in (False, True)
    }
    figures = []
    for criterion, names in CRITERIA.items():
        at = table.where(*names)
        alike = fair[criterion in GIVEN_LABEL]
        arrays = (point[:, at], sizes[:, at], alike[..., at])
        make = [_difference] if criterion == "accuracy" else [_difference, _ratio]
        figures += [f(criterion, *arrays, confidence, groups) for f in make]
    return figures


def _difference(
    criterion: str,
    point: np.ndarray,
    sizes: np.ndarray,
    alike: np.ndarray,
    confidence: float,
    groups: Groups,
) -> Figure:
    interval = disparity_interval(point, sizes, confidence)
    return Figure(
        "disparity",
        f"{criterion}_difference",
        value=float(max_disparity(point)),
        low=interval.low,
        high=interval.high,
        by_chance=_at_most(max_disparity(alike), confidence),
        n=len(groups.codes),
        attribute=attribute_name(groups),
    )


def _ratio(
    criterion: str,
    point: np.ndarray,
    sizes: np.ndarray,
    alike: np.ndarray,
    confidence: float,
    groups: Groups,
) -> Figure:
    """Return the smallest ratio: that of the largest difference of logarithms."""
    interval = disparity_interval(point, sizes, confidence, ratio=True)
    with np.errstate(divide="ignore"):
        point, alike = np.log(point), np.log(alike)
    return Figure(
        "disparity",
        f"{criterion}_ratio",
        value=float(np.exp(-max_disparity(point))),
        low=float(np.exp(-interval.high)),
        high=float(np.exp(-interval.low)),
        by_chance=float(np.exp(-_at_most(max_disparity(alike), confidence))),
        n=len(groups.codes),
        attribute=attribute_name(groups),
    )


def _at_most(disparities: np.ndarray, confidence: float) -> float:
    """Return the quantile of disparities, infinite ones too; NaN if all are undefined."""
    defined = disparities[~np.isnan(disparities)]
    return float(np.quantile(defined, confidence, method="higher")) if len(defined) else np.nan


def change_figures(
    predictions: Predictions,
    baseline: Predictions,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's differences between groups and the changes from them, paired.

    Both models are rated on the same draws of rows, so that what they have in common drops out.
    """
    pair = _Pair(predictions, baseline, groups.codes, len(groups), n_boot, rng)
    figures = []
    for criterion, names in CRITERIA.items():
        at = pair.table.where(*names)
        ours, theirs = (float(max_disparity(values[..., at])) for values in pair.points)
        change = max_disparity(pair.draws[0][..., at]) - max_disparity(pair.draws[1][..., at])
        measure = f"{criterion}_difference"
        figures += _change(
            measure, ours, theirs, change, confidence, len(baseline.true), attribute_name(groups)
        )
    return figures


def overall_change_figures(
    predictions: Predictions,
    baseline: Predictions,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's accuracy and the change from it, paired."""
    everyone = np.zeros(len(baseline.true), dtype=np.int64)
    pair = _Pair(predictions, baseline, everyone, 1, n_boot, rng)
    (at,) = pair.table.where("accuracy")
    ours, theirs = (float(values[0, at]) for values in pair.points)
    change = pair.draws[0][:, 0, at] - pair.draws[1][:, 0, at]
    return _change("accuracy", ours, theirs, change, confidence, len(baseline.true), "")


class _Pair:
    """The rates of a model and of its baseline, as they are and on the same draws of rows."""

    def __init__(
        self,
        predictions: Predictions,
        baseline: Predictions,
        codes: np.ndarray,
        n_groups: int,
        n_boot: int,
        rng: np.random.Generator,
    ) -> None:
        both = (predictions, baseline)
        shares = [p.shares for p in both]
        cells: OutcomeCounts = count_outcomes(codes, n_groups, predictions.true, *shares)
        tables = [rates_of(cells.outcomes, predictions.rated_classes, column) for column in (1, 2)]
        self.table: Rates = tables[0]
        self.points = [table.of(cells.counts) for table in tables]
        rows = (codes, n_groups, predictions.true, *shares)
        self.draws = (
            draw_rates(cells, tables, n_boot, rng)
            if predictions.clusters is None
            else draw_cluster_rates(rows, predictions.clusters, cells, tables, n_boot, rng)
        )


def _change(
    measure: str,
    ours: float,
    theirs: float,
    draws: np.ndarray,
    confidence: float,
    n_rows: int,
    attribute: str,
) -> list[Figure]:
    interval = quantile_interval(draws, confidence)
    return [
        Figure("baseline", measure, theirs, n=n_rows, attribute=attribute),
        Figure(
            "change",
            measure,
            ours - theirs,
            interval.low,
            interval.high,
            n=n_rows,
            attribute=attribute,
        ),
    ]
