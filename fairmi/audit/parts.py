"""What parity over all rows can hide: disparities within parts of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fairmi._data.groups import Groups, lower_quantiles, sensitive_frame
from fairmi._data.tables import sensitive_columns_of
from fairmi._data.values import is_frame
from fairmi.audit.comparisons import MIN_ROWS, attribute_name, class_name, group_names
from fairmi.audit.counts import effective_sizes
from fairmi.audit.intervals import share_intervals, square_and_add
from fairmi.audit.measures import FOUND, MOMENTS, NOTHING, Figure, Moment
from fairmi.audit.predictions import Answers, Forecasts, Predictions
from fairmi.audit.quantities import GroupMoments

BINS = 4  # quantile bins of a numeric column
MAX_VALUES = 10  # distinct numbers up to which a column is taken value by value
MAX_STRATA = 50  # of a column: its most common values
MAX_COLUMNS = 100  # of X, beyond which none is taken unless named
OF_TARGET = ("label", "y")
SECTION = "conditional"  # of the figures between groups; those of a group add a word


@dataclass(frozen=True)
class Condition:
    """A column that splits the rows; `codes` (n_rows,) are positions in `names`, -1 for none.

    `counts` (n_rows,) says how many rows each is, where that is not what the predictions have.
    """

    names: tuple[str, ...]
    codes: np.ndarray
    counts: np.ndarray | None = None


def label_conditions(predictions: Predictions | Forecasts) -> list[Condition]:
    """Return the split by label, where there are more than two classes that count, or bins of y.

    Of one class, rates given the label are the true and the false positive rate, which have their
    intervals already.
    """
    if isinstance(predictions, Forecasts):
        if not predictions.labelled:
            return []
        y, codes = predictions.true, predictions.strata
        names: list[str] = []
        for k in range(int(codes.max()) + 1):
            low, high = y[codes == k].min(), y[codes == k].max()
            names.append(f"y = {low:.4g}" if low == high else f"y {low:.4g} to {high:.4g}")
        return [Condition(tuple(names), codes)]
    if not predictions.labelled or len(predictions.rated_classes) == 1:
        return []
    labels = tuple(f"label = {label}" for label in predictions.classes)
    return [Condition(labels, predictions.true)]


def conditions_of(X: Any, conditions: Any, n_rows: int) -> tuple[list[Condition], list[str]]:
    """Return the splits that a user asked for, as in `audit`, and notes on what was left out."""
    # Rows of more than one dimension, such as images, have no columns.
    has_columns = X is not None and len(getattr(X, "shape", (0, 0))) <= 2
    if conditions is None or (isinstance(conditions, str) and not has_columns):
        return [], []
    if isinstance(conditions, str) and conditions == "auto":
        width = np.shape(X)[1] if np.ndim(X) == 2 or hasattr(X, "shape") else 0
        if width > MAX_COLUMNS or hasattr(X, "toarray"):
            note = (
                f"X has {width} columns: disparities within parts of the rows were measured by "
                "label alone. Name columns in conditions to have more."
            )
            return [], [note]
        frame = _frame(X)
    elif isinstance(conditions, str) or (
        isinstance(conditions, list | tuple)
        and all(isinstance(c, str | int | np.integer) for c in conditions)
    ):
        names = [conditions] if isinstance(conditions, str) else list(conditions)
        if X is None:
            raise ValueError(f"conditions={names} are columns of X, but X is None; give X too.")
        part = sensitive_columns_of(X, names, argument="conditions")
        frame = _frame(part, list(part.columns))
    else:
        frame = _frame(conditions)
    if len(frame) != n_rows:
        raise ValueError(
            f"conditions has {len(frame)} rows, but y has {n_rows}; give one row for each label."
        )
    return [split_by(name, frame.iloc[:, j]) for j, name in enumerate(frame)], []


def _frame(table: Any, names: list[Any] | None = None) -> pd.DataFrame:
    """Return the columns by name, or as "column 3" where they have none."""
    frame = sensitive_frame(table, argument="conditions")
    if names is None and isinstance(table, pd.Series):
        names = [table.name if table.name is not None else 0]
    if names is None:
        names = list(table.columns if is_frame(table) else range(frame.shape[1]))
    frame.columns = [_name(name) for name in names]
    return frame


def _name(name: Any) -> str:
    plain = isinstance(name, str) and name not in OF_TARGET
    return name if plain else f"column {name}"


def split_by(name: str, column: pd.Series, counts: np.ndarray | None = None) -> Condition:
    """Split by value, or a numeric column of many values by bins; NaN is "missing".

    `counts` (n_rows,) says how many rows each is.
    """
    column = column.infer_objects() if column.dtype == object else column
    numeric = pd.api.types.is_any_real_numeric_dtype(column)
    if numeric and column.nunique() > MAX_VALUES:
        return _binned(name, column.to_numpy(dtype=float, na_value=np.nan), counts)
    codes, distinct = pd.factorize(column)  # each value is spelt out once, not in every row
    spelt = np.array([*map(str, distinct.astype(object)), "missing"], dtype=object)
    values, place = np.unique(spelt[codes], return_inverse=True)
    sizes = np.bincount(place.reshape(-1), counts)
    common = np.sort(np.argsort(-sizes, kind="stable")[:MAX_STRATA])
    position = np.full(len(values), -1, dtype=np.int64)
    position[common] = np.arange(len(common))
    names = tuple(f"{name} = {value}" for value in values[common])
    return Condition(names, position[place.reshape(-1)], counts)


def _binned(name: str, values: np.ndarray, counts: np.ndarray | None) -> Condition:
    """Split into quarters; a value that a quarter of the rows have is a part of its own."""
    codes = np.full(len(values), -1, dtype=np.int64)
    names: list[str] = []
    rest = np.isfinite(values)
    common, place = np.unique(values[rest], return_inverse=True)
    sizes = np.bincount(place.reshape(-1), None if counts is None else counts[rest])
    for value in common[sizes * BINS >= sizes.sum()]:
        codes[values == value] = len(names)
        names.append(f"{name} = {value:g}")
        rest &= values != value
    if rest.any():
        of_rest = None if counts is None else counts[rest]
        edges = np.unique(lower_quantiles(values[rest], np.linspace(0, 1, BINS + 1), of_rest))
        codes[rest] = len(names) + np.searchsorted(edges[1:-1], values[rest], side="left")
        names += [f"{name} {low:g} to {high:g}" for low, high in pairwise(edges)]
    if not np.isfinite(values).all():
        codes[~np.isfinite(values)] = len(names)
        names.append(f"{name} missing")
    return Condition(tuple(names), codes, counts)


def conditional_figures(
    answers: Predictions | Forecasts,
    groups: Groups,
    conditions: Sequence[Condition],
    confidence: float,
) -> list[Figure]:
    """Return how far groups are apart within each part of the rows, worst first, then their rates.

    By selection rates; of numbers by means, KS and Wasserstein-1. Only groups of 30 rows or more
    in a part (of rows in clusters: worth that) are compared. The intervals of each hold for all
    parts, classes and pairs of groups at once, each at the confidence that Bonferroni's inequality
    asks for (the sources stand at `audit`). Worst is what has the largest lower end, then the
    largest value.
    """
    parts = compared_parts(groups, conditions, answers)
    n_pairs = sum(len(part.groups) * (len(part.groups) - 1) // 2 for part in parts)
    if isinstance(answers, Forecasts):
        of_parts = [_of_numbers(answers, part, n_pairs, confidence) for part in parts]
    else:
        of_parts = [
            _of_rates(answers, k, part, n_pairs * len(answers.rated_classes), confidence)
            for part in parts
            for k in answers.rated_classes
        ]
    of_parts.sort(key=lambda figures: (-figures[0].low, -figures[0].value))
    figures = [figure for of_part in of_parts for figure in of_part]
    return sorted(figures, key=lambda figure: figure.section != SECTION)


class Part(NamedTuple):
    """Rows of the groups that have enough in a part, and these groups.

    `counts` (n_rows,) says how many rows each is, None for one; `worth` (n_groups,) how many
    independent rows each group is worth.
    """

    name: str
    rows: np.ndarray
    groups: Groups
    counts: np.ndarray | None
    worth: np.ndarray


def compared_parts(
    groups: Groups, conditions: Sequence[Condition], answers: Answers
) -> list[Part]:
    """Return the parts of the rows in which two groups or more have rows enough."""
    parts: list[Part] = []
    for condition in conditions:
        counts = answers.counts if condition.counts is None else condition.counts
        for s, name in enumerate(condition.names):
            rows = np.flatnonzero(condition.codes == s)
            owners = None if answers.clusters is None else answers.clusters[rows]
            weight = None if counts is None else counts[rows]
            worth = effective_sizes(groups.codes[rows], len(groups), owners, weight)
            enough = np.flatnonzero(worth >= MIN_ROWS)
            n_rows = len(rows) if weight is None else weight.sum()
            if n_rows < answers.n_rows and len(enough) > 1:
                rows = rows[np.isin(groups.codes[rows], enough)]
                codes = np.searchsorted(enough, groups.codes[rows])
                within = Groups(codes, tuple(groups.labels[g] for g in enough), groups.names)
                weight = None if counts is None else counts[rows]
                parts.append(Part(name, rows, within, weight, worth[enough]))
    return parts


def _of_rates(
    predictions: Predictions, k: int, part: Part, n_compared: int, confidence: float
) -> list[Figure]:
    """Return the disparity in a part, then each group's selection rate and base rate there.

    Intervals are Newcombe's of Wilson's limits.
    """
    codes, names = part.groups.codes, group_names(part.groups)
    where: dict[str, Any] = {
        "attribute": attribute_name(part.groups),
        "subject": class_name(predictions, k),
        "part": part.name,
    }
    times = 1 if part.counts is None else part.counts
    rows = np.bincount(codes, part.counts)
    share = np.bincount(codes, times * predictions.shares[part.rows, k]) / rows
    base = np.bincount(codes, times * (predictions.true[part.rows] == k)) / rows

    def limits(share: np.ndarray, confidence: float) -> tuple[np.ndarray, np.ndarray]:
        return share_intervals(share * part.worth, part.worth, (1 - confidence) / 2)

    joint = limits(share, 1 - (1 - confidence) / n_compared)
    low, high = square_and_add(share * part.worth / part.worth, *joint)
    apart = (np.ptp(share), low.max(), high.max())
    figures = [_disparity("demographic_parity", apart, share, names, int(rows.sum()), where)]
    rates = {"selection_rate": share} | ({"base_rate": base} if predictions.labelled else {})
    for measure, share in rates.items():
        low, high = limits(share, confidence)
        for g, group in enumerate(names):
            ends = (float(share[g]), float(low[g]), float(high[g]))
            figures.append(
                Figure(f"{SECTION} group", measure, *ends, n=int(rows[g]), group=group, **where)
            )
    return figures


def _of_numbers(forecasts: Forecasts, part: Part, n_pairs: int, confidence: float) -> list[Figure]:
    """Return the distances of the groups in a part, then each group's mean prediction and y."""
    mean_y = Moment("mean_y", "", lambda y, predicted: y, is_positive=False)
    of = [MOMENTS[0]] + [mean_y] * forecasts.labelled
    moments = GroupMoments(forecasts.rows(part.rows), part.groups, of)
    low, high = (limit[:, 0] for limit in moments.limits((1 - confidence) / n_pairs / 2))
    means = moments.values[:, 0]
    lower, upper = square_and_add(means, low, high)
    ks, area = moments.apart.distances
    band = moments.apart.band(confidence, n_pairs)
    area_low, area_high = moments.apart.distance_above(band)
    ends = {
        "mean_prediction": (np.ptp(means), lower.max(), upper.max()),
        "ks": (ks.max(), (ks - band).max(), min((ks + band).max(), 1.0)),
        "wasserstein": (area.max(), area_low.max(), area_high.max()),
    }
    where = {"attribute": moments.attribute, "part": part.name}
    figures = [
        _disparity(name, of_name, means, moments.names, len(part.rows), where)
        for name, of_name in ends.items()
    ]
    return figures + moments.figures(f"{SECTION} group", confidence, part.name)


def _disparity(
    name: str,
    ends: tuple[float, float, float],
    of_groups: np.ndarray,
    names: Sequence[str],
    n_rows: int,
    where: dict[str, Any],
) -> Figure:
    value, low, high = map(float, ends)
    return Figure(
        SECTION,
        f"{name}_difference",
        value,
        max(low, 0.0),
        high,
        n=n_rows,
        verdict=FOUND if low > 0 else NOTHING,
        rate="selection_rate" if name == "demographic_parity" else "mean_prediction",
        most=names[int(of_groups.argmax())],
        least=names[int(of_groups.argmin())],
        **where,
    )
