"""Rows -> counts by group, label and prediction -> resampled rates: the bootstrap without rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.sparse import csr_array

RATES = ("accuracy", "selection_rate", "true_positive_rate", "false_positive_rate")
ENTRIES_AT_ONCE = 4_000_000  # of a block of draws: 32 MB


@dataclass(frozen=True)
class OutcomeCounts:
    """Rows counted by group and by what happened to them.

    `counts` has shape (n_groups, n_cells). Cell j holds the rows of label `outcomes[j, 0]` that
    got the prediction `outcomes[j, 1]`; a further column of `outcomes`, shape (n_cells, 2 or 3),
    is the prediction of a baseline. All are codes of classes; only cells that occur are kept. A
    row that gets its prediction at random counts in several cells, by its probabilities.
    """

    counts: np.ndarray
    outcomes: np.ndarray


@dataclass(frozen=True)
class Rates:
    """Which cells each rate divides by which: ``counts @ top / counts @ bottom``.

    `top` and `bottom` have shape (n_cells, n_rates); rate r is `names[r]`, of class `classes[r]`
    against the rest (-1: of all classes).
    """

    names: tuple[str, ...]
    classes: tuple[int, ...]
    top: np.ndarray
    bottom: np.ndarray

    def of(self, counts: np.ndarray) -> np.ndarray:
        """Return the rates of `counts`, shape (..., n_cells) -> (..., n_rates); NaN for 0 / 0."""
        with np.errstate(invalid="ignore"):
            return (counts @ self.top) / (counts @ self.bottom)

    def where(self, *names: str) -> list[int]:
        """Return the positions of the rates of these names."""
        return [r for r, name in enumerate(self.names) if name in names]


def count_outcomes(
    codes: np.ndarray, n_groups: int, true: np.ndarray, *shares: np.ndarray
) -> OutcomeCounts:
    """Count rows by group (`codes`), label and prediction.

    Parameters
    ----------
    codes, true : ndarray of int of shape (n_rows,)
        Group and label of each row.
    n_groups : int
        Number of groups.
    *shares : ndarray of shape (n_rows, n_classes)
        Probability of each prediction, of the model and maybe of a baseline.
    """
    n_classes = shares[0].shape[1]
    kinds = list(product(range(n_classes), repeat=len(shares)))
    cell = codes * n_classes + true
    columns = []
    for kind in kinds:
        weight = np.prod([s[:, k] for s, k in zip(shares, kind, strict=True)], axis=0)
        columns.append(np.bincount(cell, weight, minlength=n_groups * n_classes))
    counts = np.stack(columns, axis=-1).reshape(n_groups, -1)
    outcomes = np.array([(label, *kind) for label in range(n_classes) for kind in kinds])
    occur = counts.sum(axis=0) > 0
    return OutcomeCounts(counts[:, occur], outcomes[occur])


def rates_of(outcomes: np.ndarray, classes: Sequence[int], prediction: int = 1) -> Rates:
    """Return `RATES` for each of `classes`; `prediction` is the column of outcomes to rate."""
    label, predicted = outcomes[:, 0], outcomes[:, prediction]
    everything = np.ones(len(outcomes), dtype=bool)
    rows = [("accuracy", -1, label == predicted, everything)]
    for k in classes:
        chosen, positive = predicted == k, label == k
        rows += [
            ("selection_rate", k, chosen, everything),
            ("true_positive_rate", k, chosen & positive, positive),
            ("false_positive_rate", k, chosen & ~positive, ~positive),
        ]
    names, of_class, top, bottom = zip(*rows, strict=True)
    return Rates(names, of_class, np.column_stack(top) * 1.0, np.column_stack(bottom) * 1.0)


def draw_rates(
    cells: OutcomeCounts, tables: list[Rates], n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Resample the rows `n_draws` times and return the rates by group.

    A multinomial draw of the counts is a bootstrap sample of the rows as far as rates can tell, at
    a cost that doesn't depend on their number. One row more for each group, spread evenly over its
    cells, lets a cell turn up that by chance has no row. All `tables` are rated on the same draws.

    Returns
    -------
    ndarray of shape (n_tables, n_draws, n_groups, n_rates)
    """
    shape = cells.counts.shape
    n_rows = round(cells.counts.sum())
    share = (cells.counts + 1 / shape[1]).ravel() / (n_rows + shape[0])
    block = max(1, ENTRIES_AT_ONCE // share.size)
    rates = []
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        drawn = rng.multinomial(n_rows, share, size=size).reshape(size, *shape).astype(float)
        rates.append([table.of(drawn) for table in tables])
    return np.concatenate(rates, axis=1)


def draw_cluster_rates(
    rows: tuple[Any, ...],
    clusters: np.ndarray,
    cells: OutcomeCounts,
    tables: list[Rates],
    n_draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Resample whole clusters `n_draws` times and return the rates by group, as `draw_rates`.

    `rows` are the arguments of `count_outcomes` that `cells` were counted from.
    """
    codes, n_groups, true, *shares = rows
    n_clusters, n_classes = int(clusters.max()) + 1, shares[0].shape[1]
    cell = (codes * n_classes + true, clusters)
    shape = (n_groups * n_classes, n_clusters)
    by_cluster = [
        (
            label,
            csr_array(
                (np.prod([s[:, k] for s, k in zip(shares, kind, strict=True)], axis=0), cell),
                shape,
            ),
        )
        for label, *kind in cells.outcomes.tolist()
    ]
    block = max(1, ENTRIES_AT_ONCE // n_clusters)
    rates = []
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        times = rng.multinomial(n_clusters, np.full(n_clusters, 1 / n_clusters), size=size).T
        drawn = np.empty((size, *cells.counts.shape))
        for j, (label, counts) in enumerate(by_cluster):
            drawn[..., j] = (counts @ times).reshape(n_groups, n_classes, size)[:, label].T
        rates.append([table.of(drawn) for table in tables])
    return np.concatenate(rates, axis=1)


def draw_fair_rates(
    cells: OutcomeCounts,
    table: Rates,
    n_draws: int,
    rng: np.random.Generator,
    *,
    given_label: bool,
    worth: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Rates by group, shape (n_draws, n_groups, n_rates), were all groups treated alike.

    The groups keep their sizes and, with `given_label`, their labels; outcomes are drawn from the
    distribution of all rows. Their disparities are what chance alone makes of a fair model.
    `worth`, (n_groups,), is the share of its rows that each group counts: 1, but for clusters.
    """
    label = cells.outcomes[:, 0] if given_label else np.zeros(len(cells.outcomes), dtype=int)
    drawn = np.zeros((n_draws, *cells.counts.shape))
    for value in np.unique(label):
        at = np.flatnonzero(label == value)
        pooled = cells.counts[:, at].sum(axis=0)
        for group, size in enumerate(cells.counts[:, at].sum(axis=1) * worth):
            least = 1 if size > 0 else 0
            n = max(round(size), least)
            drawn[:, group, at] = rng.multinomial(n, pooled / pooled.sum(), size=n_draws)
    return table.of(drawn)
