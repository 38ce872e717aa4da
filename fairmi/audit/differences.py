"""Differences and ratios between groups, and how they differ from a baseline's."""

from __future__ import annotations

import numpy as np

from fairmi._data.groups import Groups
from fairmi.audit.answers import Answers
from fairmi.audit.counts import Cells, Rates, count_cells, draw_fair_rates, draw_rates, rates_of
from fairmi.audit.criteria import attribute_name, defined_rates
from fairmi.audit.gaps import (
    CRITERIA,
    GIVEN_LABEL,
    gap_interval,
    largest_gap,
    quantile_interval,
)
from fairmi.audit.records import Figure


def gap_figures(
    answers: Answers, groups: Groups, *, confidence: float, n_boot: int, rng: np.random.Generator
) -> list[Figure]:
    """Return the difference and the ratio between groups by each criterion."""
    cells = count_cells(groups.codes, len(groups), answers.true, answers.predicted)
    table = rates_of(cells.outcomes, answers.rated_classes)
    point = defined_rates(answers, answers.predicted, cells, table, groups.codes)
    draws = draw_rates(cells, [table], n_boot, rng)[0]
    fair = {
        given: draw_fair_rates(cells, table, n_boot, rng, given_label=given)
        for given in (False, True)
    }
    figures = []
    for criterion, names in CRITERIA.items():
        at = table.where(*names)
        alike = fair[criterion in GIVEN_LABEL]
        arrays = (point[:, at], draws[..., at], alike[..., at])
        make = [_difference] if criterion == "accuracy" else [_difference, _ratio]
        figures += [f(criterion, *arrays, confidence, groups) for f in make]
    return figures


def _difference(
    criterion: str,
    point: np.ndarray,
    draws: np.ndarray,
    alike: np.ndarray,
    confidence: float,
    groups: Groups,
) -> Figure:
    interval = gap_interval(draws, confidence)
    return Figure(
        "gap",
        f"{criterion}_difference",
        value=float(largest_gap(point)),
        low=interval.low,
        high=interval.high,
        by_chance=_at_most(largest_gap(alike), confidence),
        n=len(groups.codes),
        attribute=attribute_name(groups),
    )


def _ratio(
    criterion: str,
    point: np.ndarray,
    draws: np.ndarray,
    alike: np.ndarray,
    confidence: float,
    groups: Groups,
) -> Figure:
    """Return the smallest ratio: that of the largest difference of logarithms."""
    with np.errstate(divide="ignore"):
        point, draws, alike = np.log(point), np.log(draws), np.log(alike)
    interval = gap_interval(draws, confidence)
    return Figure(
        "gap",
        f"{criterion}_ratio",
        value=float(np.exp(-largest_gap(point))),
        low=float(np.exp(-interval.high)),
        high=float(np.exp(-interval.low)),
        by_chance=float(np.exp(-_at_most(largest_gap(alike), confidence))),
        n=len(groups.codes),
        attribute=attribute_name(groups),
    )


def _at_most(gaps: np.ndarray, confidence: float) -> float:
    """Return the quantile of gaps, infinite ones among them; NaN if all are undefined."""
    gaps = gaps[~np.isnan(gaps)]
    return float(np.quantile(gaps, confidence, method="higher")) if len(gaps) else np.nan


def change_figures(
    answers: Answers,
    baseline: np.ndarray,
    groups: Groups,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's differences between groups and the changes from them, paired.

    Both models are rated on the same draws of rows, so that what they have in common drops out.
    """
    pair = _Pair(answers, baseline, groups.codes, len(groups), n_boot, rng)
    figures = []
    for criterion, names in CRITERIA.items():
        at = pair.table.where(*names)
        ours, theirs = (float(largest_gap(values[..., at])) for values in pair.points)
        change = largest_gap(pair.draws[0][..., at]) - largest_gap(pair.draws[1][..., at])
        measure = f"{criterion}_difference"
        figures += _change(
            measure, ours, theirs, change, confidence, len(baseline), attribute_name(groups)
        )
    return figures


def overall_change_figures(
    answers: Answers,
    baseline: np.ndarray,
    *,
    confidence: float,
    n_boot: int,
    rng: np.random.Generator,
) -> list[Figure]:
    """Return the baseline's accuracy and the change from it, paired."""
    everyone = np.zeros(len(baseline), dtype=np.int64)
    pair = _Pair(answers, baseline, everyone, 1, n_boot, rng)
    (at,) = pair.table.where("accuracy")
    ours, theirs = (float(values[0, at]) for values in pair.points)
    change = pair.draws[0][:, 0, at] - pair.draws[1][:, 0, at]
    return _change("accuracy", ours, theirs, change, confidence, len(baseline), "")


class _Pair:
    """The rates of a model and of its baseline, as they are and on the same draws of rows."""

    def __init__(
        self,
        answers: Answers,
        baseline: np.ndarray,
        codes: np.ndarray,
        n_groups: int,
        n_boot: int,
        rng: np.random.Generator,
    ) -> None:
        both = (answers.predicted, baseline)
        cells: Cells = count_cells(codes, n_groups, answers.true, *both)
        tables = [rates_of(cells.outcomes, answers.rated_classes, column) for column in (1, 2)]
        self.table: Rates = tables[0]
        self.points = [defined_rates(answers, p, cells, tables[0], codes) for p in both]
        self.draws = draw_rates(cells, tables, n_boot, rng)


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
