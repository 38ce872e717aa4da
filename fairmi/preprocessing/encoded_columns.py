"""One column of a table -> its bin position: where each value lies among knots or categories."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from sklearn.tree import DecisionTreeClassifier

_MIN_ROWS_IN_BIN = 20


@dataclass(frozen=True)
class NumericColumn:
    """Knots of a piecewise-linear encoding; two knots alone make a linear one."""

    name: str
    knots: np.ndarray
    has_missing: bool

    @property
    def n_intervals(self) -> int:
        """Intervals between knots."""
        return len(self.knots) - 1

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return where values lie, (n,) float32: k + 0.25 is a quarter into interval k.

        Beyond the knots it is that of the nearest one; a missing value is NaN.
        """
        if not self.n_intervals:
            return np.where(np.isnan(values), np.nan, 0).astype(np.float32)
        k = np.searchsorted(self.knots, values, side="right") - 1
        k = np.clip(k, 0, self.n_intervals - 1)
        low, high = self.knots[k], self.knots[k + 1]
        positions = (k + np.clip((values - low) / (high - low), 0, 1)).astype(np.float32)
        # What lies before a knot must stay before it when it is rounded.
        before = np.nextafter((k + 1).astype(np.float32), np.float32(0))
        return np.where(values < high, np.minimum(positions, before), positions)


@dataclass(frozen=True)
class CategoricalColumn:
    """Categories of a one-hot encoding; a category that fit never saw counts as missing."""

    name: str
    categories: np.ndarray
    has_missing: bool

    def positions(self, values: np.ndarray) -> np.ndarray:
        """Return the number of each value's category, (n,) float32, -1 where it is missing."""
        index = pd.Index(self.categories, dtype=object)
        return index.get_indexer(pd.Index(values, dtype=object)).astype(np.float32)


Column = NumericColumn | CategoricalColumn


def column_to_plain(column: Column) -> dict[str, Any]:
    """Return what a column holds, to save it."""
    kind = "numeric" if isinstance(column, NumericColumn) else "categorical"
    return {"kind": kind, **vars(column)}


def column_from_plain(plain: dict[str, Any]) -> Column:
    """Return a column that was saved."""
    made = NumericColumn if plain["kind"] == "numeric" else CategoricalColumn
    return made(**{key: value for key, value in plain.items() if key != "kind"})


def as_at_fit(plan: Column, name: str, values: np.ndarray) -> np.ndarray:
    """Return a column's values in the type that it had at fit, where they are all missing.

    Raises
    ------
    ValueError
        If it was numeric and is text or categorical now, or the other way round.
    """
    categorical = isinstance(plan, CategoricalColumn)
    if pd.isna(values).all():
        # Nothing to see: one row without the value has no telling type.
        return np.full(
            len(values), None if categorical else np.nan, object if categorical else float
        )
    if (values.dtype == object) != categorical:
        kinds = ("numeric", "text or categorical")
        seen, now = kinds if values.dtype == object else kinds[::-1]
        raise ValueError(
            f"Column {name!r} of X was {seen} at fit and is {now} now; "
            "give it the type that it had."
        )
    return values


def numeric_column(
    name: str, values: np.ndarray, y: np.ndarray, weights: np.ndarray, n_bins: int
) -> NumericColumn:
    """Learn the knots of a column: its ends, and where a small tree splits it to predict y."""
    present = ~np.isnan(values) & (weights > 0)
    has_missing = bool((np.isnan(values) & (weights > 0)).any())
    x = values[present]
    if not x.size:
        return NumericColumn(name, np.zeros(1), has_missing)
    ends = np.unique([x.min(), x.max()])
    if n_bins < 4 or len(ends) < 2:
        return NumericColumn(name, ends, has_missing)
    share = _MIN_ROWS_IN_BIN / weights[present].sum()
    tree = DecisionTreeClassifier(
        max_leaf_nodes=n_bins, min_weight_fraction_leaf=min(max(share, 1e-3), 0.1), random_state=0
    )
    nodes = tree.fit(x[:, None], y[present], sample_weight=weights[present]).tree_
    knots = np.unique(np.concatenate([ends, nodes.threshold[nodes.feature >= 0]]))
    return NumericColumn(name, knots, has_missing)


def categorical_column(name: str, values: np.ndarray) -> CategoricalColumn:
    """Learn the categories of a column."""
    missing = pd.isna(values)
    categories = pd.unique(values[~missing])
    order: Callable[[Any], str] = str
    ordered = np.empty(len(categories), dtype=object)
    ordered[:] = sorted(categories, key=order)
    return CategoricalColumn(name, ordered, bool(missing.any()))
