"""Rows that belong together, such as the visits of one person: codes, folds, permutations."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.labels import plain_series
from fairmi.metrics._representation import Representation


def cluster_codes(clusters: Any, n_rows: int) -> np.ndarray | None:
    """Return the code of each row's cluster, shape (n_rows,); None where none are given.

    Raises
    ------
    ValueError
        If a row has no cluster, the length differs, or all rows are one cluster.
    """
    if clusters is None:
        return None
    values = np.asarray(plain_series(clusters), dtype=object)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.shape != (n_rows,):
        raise ValueError(
            f"clusters has shape {values.shape}; give one label for each of the {n_rows} rows."
        )
    codes, labels = pd.factorize(values, use_na_sentinel=True)
    missing = int((codes < 0).sum())
    if missing:
        raise ValueError(
            f"clusters has a missing value in {missing} rows; give a row that belongs to no other "
            "a label of its own."
        )
    if len(labels) < 2:
        raise ValueError("clusters puts all rows in one cluster; at least two are needed.")
    return codes.astype(np.int64)


def one_row_each(codes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a random row of each cluster, in the order of rows."""
    order = rng.permutation(len(codes))
    return np.sort(order[np.unique(codes[order], return_index=True)[1]])


def cluster_sums(values: np.ndarray, codes: np.ndarray | None) -> np.ndarray:
    """Return the sum of each cluster's values, shape (n_clusters,); without codes, the values."""
    return values if codes is None else np.bincount(codes, values)


def exchange(codes: np.ndarray | None, target: np.ndarray) -> Callable[[Any], np.ndarray]:
    """Return a function that draws a random order of rows, by which the target is permuted.

    With clusters, whole clusters exchange their targets, (n_rows, n_outputs): any two where the
    target is the same in all rows of each cluster, else those of equal size, row by row. All
    orders are equally likely where clusters are independent draws and tell nothing of the target.
    """
    if codes is None:
        return lambda rng: rng.permutation(len(target))
    codes = np.unique(codes, return_inverse=True)[1].reshape(-1)
    by_cluster = np.argsort(codes, kind="stable")
    size = np.bincount(codes)
    start = np.cumsum(size) - size
    place = np.empty(len(codes), dtype=np.int64)  # of a row within its cluster
    place[by_cluster] = np.arange(len(codes)) - np.repeat(start, size)
    first = by_cluster[start]
    constant = bool((target == target[first][codes]).all())
    kinds = [np.arange(len(size))] if constant else [np.flatnonzero(size == k) for k in set(size)]

    def order(rng: Any) -> np.ndarray:
        giver = np.empty(len(size), dtype=np.int64)
        for kind in kinds:
            giver[kind] = rng.permutation(kind)
        if constant:
            return first[giver][codes]
        return by_cluster[start[giver][codes] + place]

    return order


def warn_of_repeated_rows(Z: Representation, values: np.ndarray, *, stacklevel: int = 5) -> None:
    """Warn where rows that are equal look like one person's; `values` are of the attribute."""
    text = repeated_rows(Z, np.unique(values, return_inverse=True)[1].reshape(-1))
    if text:
        warnings.warn(text, UserWarning, stacklevel=stacklevel)


def repeated_rows(Z: Representation, codes: np.ndarray) -> str:
    """Describe rows that are equal to another and share its group code; "" where these are few."""
    return repeated_values(Z.codes, codes, one_column=len(Z.columns) == 1)


def repeated_values(value: np.ndarray, codes: np.ndarray, *, one_column: bool) -> str:
    """Describe rows of equal `value`, a code of each row's values, as `repeated_rows` does.

    They are many where a fifth of the rows (half, of one column), and 20, equal another row,
    nearly all of these share their group, more than chance would have, and yet a value has fewer
    than four rows on average. Or each value of each group has a multiple of k rows, as chance
    has it once in 10,000 times at most: all rows were given k times over.
    """
    n_rows = len(value)
    count = np.bincount(value)
    repeated = count[value] > 1
    cells = np.unique(value * (codes.max() + 1) + codes, return_counts=True)[1]
    times = int(np.gcd.reduce(cells))
    if len(cells) >= 4 and float(times) ** len(cells) >= 10_000:
        return _text(n_rows, n_rows)
    many = max(20, n_rows * (0.5 if one_column else 0.2))
    if len(count) < len(value) / 4 or repeated.sum() < many:
        return ""
    value, group = value[repeated], codes[repeated]
    _, by_group = np.unique(value * (codes.max() + 1) + group, return_counts=True)
    shared = by_group[by_group > 1].sum() / len(value)
    share = np.bincount(group) / len(group)
    if shared < max(0.98, 1 - (1 - share.max()) / 4):
        return ""
    return _text(int(repeated.sum()), n_rows)


def _text(n_repeated: int, n_rows: int) -> str:
    return (
        f"{n_repeated} of {n_rows} rows equal another row and share its sensitive "
        "feature. If they are of the same person, they are no independent rows: give clusters=, "
        "a label for each row."
    )
