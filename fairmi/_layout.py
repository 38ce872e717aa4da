"""Where the columns of a table lie among knots and categories -> the columns that networks read.

A table is kept as its places, one float32 a column (see `_columns`), and is spread out into ramps,
steps and indicators when it is read: a fit needs little more memory than its input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from fairmi._columns import CategoricalColumn, Column, NumericColumn

# Larger than any place over the least distance of a place from the knot after it.
_STEEP = np.float32(1e9)
_ROWS_AT_ONCE = 4096  # of a pass that stays in the cache


@dataclass(frozen=True)
class Layout:
    """What each encoded column is made of: ramps first, then steps, indicators, what is missing.

    An encoded column is clip((places[source] - offset) * slope + base, 0, 1) for ramps and steps,
    and whether places[source] is `offset`, or missing, for the others; less its mean.
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

    def expand(self, places: np.ndarray) -> np.ndarray:
        """Return the encoded rows, (n, P) float32, of places (n, n_columns) float32."""
        encoded = np.empty((len(places), self.width), dtype=np.float32)
        for start in range(0, len(places), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            encoded[part] = self._columns(places[part]).T
        return encoded

    def _columns(self, places: np.ndarray) -> np.ndarray:
        columns = np.take(places.T, self.source, axis=0)
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


class Places:
    """A table kept as its places on a device, spread out a batch at a time as by `Layout`."""

    def __init__(self, places: Tensor, layout: Layout) -> None:
        self.places, self.layout = places, layout
        device = places.device
        self.source = torch.as_tensor(layout.source, device=device)
        self.offset, self.slope, self.base, self.mean = (
            torch.as_tensor(values, device=device)[:, None]
            for values in (layout.offset, layout.slope, layout.base, layout.mean)
        )

    def rows(self, index: Tensor) -> Tensor:
        """Return encoded rows (B, P)."""
        places = self.places.index_select(0, index).t()
        columns = places.index_select(0, self.source).sub_(self.offset)
        n, stop = self.layout.n_ramped, self.layout.n_ramped + self.layout.n_indicators
        columns[:n].mul_(self.slope).add_(self.base).clamp_(0, 1)
        columns[n:stop] = columns[n:stop] == 0
        columns[stop:] = columns[stop:].isnan()
        return columns.sub_(self.mean).nan_to_num_(0.0).t()


def layout_of(
    columns: Sequence[Column], places: Sequence[np.ndarray], weights: np.ndarray
) -> Layout:
    """Return the layout of columns, and the mean of each over rows of `weights` (n,)."""
    parts: list[list[tuple[int, float, float, float, float]]] = [[], [], [], []]
    for j, (column, at) in enumerate(zip(columns, places, strict=True)):
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
    column: NumericColumn, places: np.ndarray, weights: np.ndarray
) -> tuple[Rows, Rows, Rows, Rows]:
    """Offset, slope, base and mean of ramps, steps, indicators and what is missing."""
    n = column.n_intervals
    gaps = np.isnan(places)
    at, mass = places[~gaps].astype(np.float64), weights[~gaps]
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
    column: CategoricalColumn, places: np.ndarray, weights: np.ndarray
) -> tuple[Rows, Rows, Rows, Rows]:
    n = len(column.categories)
    shares = np.bincount(places.astype(np.int64) + 1, weights, minlength=n + 1)
    shares = shares / max(weights.sum(), np.finfo(float).tiny)
    levels = [*range(n), -1] if column.has_missing else [*range(n)]
    return [], [], [(k, 1.0, 0.0, shares[k + 1]) for k in levels], []
