"""Rows -> counts by group, label and prediction -> rates, what they rest on, and their draws."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from fairmi.audit import measures

ENTRIES_AT_ONCE = 4_000_000  # of a block of draws: 32 MB


@dataclass(frozen=True)
class Rates:
    """Which cells each rate divides by which: ``counts @ top / counts @ bottom``.

    `outcomes` are the cells, as of `count_outcomes`. `top` and `bottom` have shape
    (n_cells, n_rates); rate r is `names[r]`, of class `classes[r]` against the rest (-1: of all
    classes).
    """

    outcomes: np.ndarray
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
    codes: np.ndarray,
    n_groups: int,
    true: np.ndarray,
    *shares: np.ndarray,
    counts: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Count rows by group (`codes`) and by what happened to them: label (`true`) and prediction.

    Returns counts of shape (n_groups, n_cells), and what the cells are, (n_cells, 2 or 3): the
    label, the prediction and maybe that of a baseline, all codes of classes. Only cells that occur
    are kept. `shares`, (n_rows, n_classes) each, are the probabilities of the predictions, by
    which a row that gets its own at random counts in several cells; `counts`, (n_rows,), says how
    many rows each is, by default one.
    """
    n_classes = shares[0].shape[1]
    kinds = list(product(range(n_classes), repeat=len(shares)))
    cell = codes * n_classes + true
    columns = []
    for kind in kinds:
        weight = np.prod([s[:, k] for s, k in zip(shares, kind, strict=True)], axis=0)
        weight = weight if counts is None else weight * counts
        columns.append(np.bincount(cell, weight, minlength=n_groups * n_classes))
    cells = np.stack(columns, axis=-1).reshape(n_groups, -1)
    outcomes = np.array([(label, *kind) for label in range(n_classes) for kind in kinds])
    occur = cells.sum(axis=0) > 0
    return cells[:, occur], outcomes[occur]


def rates_of(
    outcomes: np.ndarray, classes: Sequence[int], prediction: int = 1, *, labelled: bool = True
) -> Rates:
    """Return the rates of the table of measures for each of `classes`.

    `prediction` is the column of outcomes to rate; without labels, rates that need one are out.
    """
    label, predicted = outcomes[:, 0], outcomes[:, prediction]
    chosen = [m for m in measures.RATES if labelled or not m.needs_label]
    pairs = [(m, -1) for m in chosen if not m.by_class]
    pairs += [(m, k) for k in classes for m in chosen if m.by_class]
    bottom = np.column_stack([m.bottom(label, predicted, k) for m, k in pairs])
    top = bottom & np.column_stack([m.top(label, predicted, k) for m, k in pairs])
    names, of_class = tuple(m.name for m, _ in pairs), tuple(k for _, k in pairs)
    return Rates(outcomes, names, of_class, top * 1.0, bottom * 1.0)


def effective_sizes(
    bin_of: np.ndarray,
    n_bins: int,
    clusters: np.ndarray | None,
    weight: np.ndarray | None = None,
) -> np.ndarray:
    """Return how many independent rows those of each bin are worth, shape (n_bins,).

    With m rows of each cluster in a bin it is (sum of m) ** 2 / sum of m ** 2: as if all rows
    of a cluster were alike. The variance of a share is then at most that of as many independent
    rows, whatever the rows of a cluster have in common: Kish's design effect at full correlation
    (L. Kish, Survey Sampling, 1965, section 5.4). A negative bin is none; of a row `weight` says
    how much counts, from 0 to 1.
    """
    inside = bin_of >= 0
    bin_of = bin_of[inside]
    weight = None if weight is None else weight[inside]
    rows = np.bincount(bin_of, weight, minlength=n_bins).astype(float)
    if clusters is None:
        return rows
    pairs, position = np.unique(clusters[inside] * n_bins + bin_of, return_inverse=True)
    together = np.bincount(position.reshape(-1), weight, minlength=len(pairs))
    squares = np.bincount(pairs % n_bins, together**2.0, n_bins)
    worth = np.divide(rows**2, squares, out=np.zeros(n_bins), where=squares > 0)
    return np.minimum(worth, rows)  # rows that count in part are worth no more than their sum


def rate_sizes(
    table: Rates,
    codes: np.ndarray,
    n_groups: int,
    true: np.ndarray,
    shares: np.ndarray,
    clusters: np.ndarray,
) -> np.ndarray:
    """Return how many independent rows each group's rates divide by, (n_groups, n_rates).

    They come from the cells of a rate's bottom, whether those are whole labels or not.
    """
    unlike, which = np.unique(table.bottom, axis=1, return_inverse=True)
    sizes = []
    for bottom in unlike.T:
        among = np.zeros((true.max() + 1, shares.shape[1]))
        among[table.outcomes[:, 0], table.outcomes[:, 1]] = bottom
        weight = (among[true] * shares).sum(axis=1)
        bin_of = np.where(weight > 0, codes, -1)
        sizes.append(effective_sizes(bin_of, n_groups, clusters, weight))
    return np.column_stack(sizes)[:, which.reshape(-1)]


def draw_rates(
    counts: np.ndarray, tables: list[Rates], n_draws: int, rng: np.random.Generator
) -> np.ndarray:
    """Resample the rows `n_draws` times and return the rates by group.

    A multinomial draw of the counts is a bootstrap sample of the rows as far as rates can tell, at
    a cost that doesn't depend on their number. One row more for each group, spread evenly over its
    cells, lets a cell turn up that by chance has no row. All `tables` are rated on the same draws:
    (n_tables, n_draws, n_groups, n_rates).
    """
    n_rows = round(counts.sum())
    share = (counts + 1 / counts.shape[1]).ravel() / (n_rows + len(counts))
    block = max(1, ENTRIES_AT_ONCE // share.size)
    rates = []
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        drawn = rng.multinomial(n_rows, share, size=size).reshape(size, *counts.shape) * 1.0
        rates.append([table.of(drawn) for table in tables])
    return np.concatenate(rates, axis=1)


def draw_cluster_rates(
    rows: tuple[Any, ...],
    clusters: np.ndarray,
    tables: list[Rates],
    n_draws: int,
    rng: np.random.Generator,
) -> np.ndarray:
    """Resample whole clusters `n_draws` times and return the rates by group, as `draw_rates`.

    `rows` are the arguments of `count_outcomes` that the cells of `tables` were counted from.
    """
    codes, n_groups, true, *shares = rows
    n_clusters = int(clusters.max()) + 1
    by_cluster = []
    for label, *kind in tables[0].outcomes.tolist():
        weight = np.prod([s[:, k] for s, k in zip(shares, kind, strict=True)], axis=0)
        weight = np.where(true == label, weight, 0.0)
        by_cluster.append(csr_array((weight, (codes, clusters)), (n_groups, n_clusters)))
    rates = []
    for times in resampled(n_clusters, n_draws, rng):
        drawn = np.stack([(counts @ times).T for counts in by_cluster], axis=-1)
        rates.append([table.of(drawn) for table in tables])
    return np.concatenate(rates, axis=1)


def resampled(n_units: int, n_draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield how often each unit is drawn in bootstrap samples, (n_units, some of the draws)."""
    block = max(1, ENTRIES_AT_ONCE // n_units)
    for start in range(0, n_draws, block):
        size = min(block, n_draws - start)
        yield rng.multinomial(n_units, np.full(n_units, 1 / n_units), size=size).T


def draw_fair_counts(
    counts: np.ndarray,
    strata: np.ndarray,
    n_draws: int,
    rng: np.random.Generator,
    worth: np.ndarray | float = 1.0,
) -> np.ndarray:
    """Draw counts by group, (n_draws, n_groups, n_cells), were all groups treated alike.

    The rows of each stratum of cells (those of a label, say) are kept in each group; into which of
    these cells they fall is drawn from the distribution of all groups. Disparities of rates that
    divide by strata are then what chance alone makes of a fair model. `worth`, (n_groups,), is the
    share of its rows that each group counts: 1, but for clusters.
    """
    drawn = np.zeros((n_draws, *counts.shape))
    for stratum in range(strata.max() + 1):
        cell = np.flatnonzero(strata == stratum)
        pooled = counts[:, cell].sum(axis=0)
        for group, size in enumerate(counts[:, cell].sum(axis=1) * worth):
            n = max(round(size), int(size > 0))
            drawn[:, group, cell] = rng.multinomial(n, pooled / pooled.sum(), size=n_draws)
    return drawn
