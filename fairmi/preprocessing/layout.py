"""Bin positions of a table -> the columns that networks read.

A table is kept as its bin positions, one float32 a column, and is spread out into ramps, steps and
indicators when it is read: a fit needs little more memory than its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from fairmi.preprocessing.encoded_columns import CategoricalColumn, Column, NumericColumn

# Larger than any position over its least distance from the knot after it.
_STEEP = np.float32(1e9)
_ROWS_AT_ONCE = 4096  # of a pass that stays in the cache


@dataclass(frozen=True)
class Layout:
    """What each encoded column is made of: ramps first, then steps, indicators, what is missing.

    An encoded column is clip((positions[source] - offset) * slope + base, 0, 1) for ramps and
    steps, and whether positions[source] is `offset`, or missing, for the others; less its mean.
    """

    source: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    base: np.ndarray
    n_ramped: int
    n_indicators: int
    mean: np.ndarray

    @property
    def width(self) -> int:
        """Encoded columns P."""
        return len(self.source)

    def names(self, columns: Sequence[Column]) -> list[str]:
        """Return a name of each encoded column, (P,): a ramp's says where it rises."""
        names = []
        for k, (j, offset) in enumerate(zip(self.source, self.offset.astype(int), strict=True)):
            column = columns[j]
            if k >= self.n_ramped + self.n_indicators or offset < 0:
                names.append(f"{column.name} is missing")
            elif isinstance(column, CategoricalColumn):
                value = column.categories[offset]
                is_rest = column.rest and offset == len(column.categories) - 1
                shown = "others" if is_rest else value if isinstance(value, str) else repr(value)
                names.append(f"{column.name}={shown}")
            elif k < self.n_ramped and self.slope[k] == 1:
                low, high = column.knots[offset : offset + 2].tolist()
                names.append(f"{column.name}: {low:g} to {high:g}")
            else:
                names.append(f"{column.name}>={column.knots[offset]:g}")
        seen: dict[str, int] = {}
        for k, name in enumerate(names):  # numbers alike in six digits
            seen[name] = seen.get(name, 0) + 1
            names[k] = name if seen[name] == 1 else f"{name} ({seen[name]})"
        return names

    def expand(self, positions: np.ndarray) -> np.ndarray:
        """Return the encoded rows, (n, P) float32, of positions (n, n_columns) float32."""
        encoded = np.empty((len(positions), self.width), dtype=np.float32)
        for start in range(0, len(positions), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            encoded[part] = self._columns(positions[part]).T
        return encoded

    def _columns(self, positions: np.ndarray) -> np.ndarray:
        columns = np.take(positions.T, self.source, axis=0)
        columns -= self.offset[:, None]
        ramped, indicators, missing = np.split(
            columns, [self.n_ramped, self.n_ramped + self.n_indicators]
        )
        ramped *= self.slope[:, None]
        ramped += self.base[:, None]
        np.clip(ramped, 0, 1, out=ramped)
        indicators[:] = indicators == 0
        missing[:] = np.isnan(missing)
        columns -= self.mean[:, None]
        return np.nan_to_num(columns, copy=False)


def layout_of(
    columns: Sequence[Column], positions: Sequence[np.ndarray], weights: np.ndarray
) -> Layout:
    """Return the layout of columns, and the mean of each over rows of `weights` (n,)."""
    parts: list[list[tuple[int, float, float, float, float]]] = [[], [], [], []]
    for j, (column, at) in enumerate(zip(columns, positions, strict=True)):
        made = _numeric(column, at, weights) if isinstance(column, NumericColumn) else None
        if made is None and isinstance(column, CategoricalColumn):
            made = _categorical(column, at, weights)
        for part, rows in zip(parts, made or (), strict=True):
            part += [(j, *row) for row in rows]
    ramps, steps, indicators, missing = parts
    table = np.array(ramps + steps + indicators + missing).reshape(-1, 5)
    n_ramped = len(ramps) + len(steps)
    single = table.astype(np.float32)
    return Layout(
        source=table[:, 0].astype(np.int64),
        offset=single[:, 1],
        slope=single[:n_ramped, 2],
        base=single[:n_ramped, 3],
        n_ramped=n_ramped,
        n_indicators=len(indicators),
        # In float32, so that the order in which rows are summed leaves no trace.
        mean=single[:, 4],
    )


Rows = list[tuple[float, float, float, float]]


def _numeric(
    column: NumericColumn, positions: np.ndarray, weights: np.ndarray
) -> tuple[Rows, Rows, Rows, Rows]:
    """Offset, slope, base and mean of ramps, steps, indicators and what is missing."""
    n = column.n_intervals
    gaps = np.isnan(positions)
    at, mass = positions[~gaps].astype(np.float64), weights[~gaps]
    k = np.minimum(at.astype(np.int64), max(n - 1, 0))
    total = max(mass.sum(), np.finfo(float).tiny)
    inside = np.bincount(k, mass, minlength=n + 1)[: n + 1]
    beyond = np.append(np.cumsum(inside[::-1])[::-1][1:], 0.0)
    partly = np.bincount(k, mass * (at - k), minlength=n + 1)
    ramps: Rows = [(j, 1.0, 0.0, (partly[j] + beyond[j]) / total) for j in range(n)]
    steps: Rows = [(j, float(_STEEP), 1.0, (inside[j] + beyond[j]) / total) for j in range(1, n)]
    share = weights[gaps].sum() / max(weights.sum(), np.finfo(float).tiny)
    missing: Rows = [(0.0, 1.0, 0.0, share)] if column.has_missing else []
    return ramps, steps, [], missing


def _categorical(
    column: CategoricalColumn, positions: np.ndarray, weights: np.ndarray
) -> tuple[Rows, Rows, Rows, Rows]:
    n = len(column.categories)
    shares = np.bincount(positions.astype(np.int64) + 1, weights, minlength=n + 1)
    shares = shares / max(weights.sum(), np.finfo(float).tiny)
    levels = [*range(n), -1] if column.has_missing else [*range(n)]
    return [], [], [(k, 1.0, 0.0, shares[k + 1]) for k in levels], []
