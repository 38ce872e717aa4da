"""Who the rows are: their group or quantity, their stratum by a label, their cluster."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import Any, Literal

import numpy as np
import pandas as pd

from fairmi._data.groups import (
    Groups,
    column_kinds,
    group_rows,
    quantities,
    sensitive_frame,
    sums_to_one,
)
from fairmi._data.probabilities import probable_groups
from fairmi._data.values import plain_series
from fairmi._typing import ColumnLike, Kinds, SensitiveLike
from fairmi.core.membership import Membership
from fairmi.exceptions import ColumnWarning, SensitiveFeaturesError, warn_of
from fairmi.metrics._representation import Representation

Draws = np.random.Generator | np.random.RandomState
Order = Callable[[Draws], np.ndarray]  # draws a random order of rows
Kind = Literal["categorical", "continuous", "probabilities"]
Attribute = tuple[Kind, np.ndarray, tuple[Any, ...]]


def is_continuous(target: np.ndarray) -> bool:
    """Whether a target of probes holds numbers, and not codes of groups from 0 on."""
    return target.dtype.kind == "f"


def probable_members(
    sensitive_features: SensitiveLike,
    kinds: Kinds,
    n_rows: int,
    *,
    table: str = "X",
) -> tuple[Membership, tuple[Any, ...]]:
    """Return how much each row is in each group, of columns of probabilities, and the groups."""
    frame = sensitive_frame(sensitive_features, n_rows=n_rows, table=table)
    shares, labels = probable_groups(frame, kinds, "sensitive_features")
    return Membership.of_probabilities(shares), labels


def _looks_probable(frame: pd.DataFrame) -> bool:
    """Whether columns of numbers sum to 1 in every row, and are no indicators."""
    numbers = frame.select_dtypes("number")
    return sums_to_one(numbers) and not bool(numbers.isin([0, 1]).all(axis=None))


def read_target(
    sensitive_features: SensitiveLike,
    n_rows: int,
    *,
    kind: str = "auto",
    argument: str = "sensitive_features",
) -> Attribute:
    """Return the kind of the attribute, what a probe predicts of it (n_rows,), and its groups.

    The target are floats, or codes of the groups; "auto" tells the kind by `column_kinds`.
    """
    frame = sensitive_frame(sensitive_features, argument=argument, n_rows=n_rows, table="Z")
    continuous = kind == "auto" and column_kinds(frame, argument=argument, notes=[]).any()
    if kind == "auto" and _looks_probable(frame):
        text = (
            f"{argument}: the columns of numbers sum to 1 in every row. If they are probabilities "
            'of groups, leakage_report reads them as such with kind="probabilities"; other '
            'figures need the group of each row. With kind="categorical" this is not asked.'
        )
        warn_of([(ColumnWarning, text)], stacklevel=4)
    if not continuous and kind != "continuous":
        groups = group_rows(frame, argument=argument)
        return "categorical", groups.codes, groups.labels
    if frame.shape[1] != 1:
        raise SensitiveFeaturesError(
            f"{argument} has {frame.shape[1]} columns, one of which is continuous; give this "
            'column alone, or kind="categorical" to make a group of each combination of values.'
        )
    values = quantities(frame, argument=argument)[:, 0]
    if n_rows and values.min() == values.max():
        raise SensitiveFeaturesError(
            f"{argument} has the single value {values.tolist()[0]!r}; at least two are needed."
        )
    return "continuous", values, ()


def comparable_groups(
    sensitive_features: SensitiveLike, n_rows: int, *, table: str = "X"
) -> Groups:
    """Return the groups of the rows of a table, of two rows each on average at the least."""
    frame = sensitive_frame(sensitive_features, n_rows=n_rows, table=table)
    if _looks_probable(frame):
        raise SensitiveFeaturesError(
            "sensitive_features: the columns of numbers sum to 1 in every row, as "
            "probabilities of groups do, and this counts rows of known groups. "
            'leakage_report(kind="probabilities"), make_fairness_scorer(sensitive_kinds='
            '"probabilities") and fairmi.audit.probable_disparities take probabilities; '
            "certify can't, as its theorem is of counts. If they are codes, give text: "
            ".astype(str)."
        )
    for j in np.flatnonzero(column_kinds(frame, notes=[])):
        column = frame.iloc[:, j]
        raise SensitiveFeaturesError(
            f"sensitive_features: {column.name!r} has {column.nunique()} distinct values in "
            f"{n_rows} rows, a quantity by the rule of fit; cut a continuous one into bins, "
            "as pandas.qcut does, or give codes of groups as text: .astype(str)."
        )
    groups = group_rows(frame)
    if 2 * len(groups) > n_rows > 4:
        raise SensitiveFeaturesError(
            f"sensitive_features has {len(groups)} distinct values in {n_rows} rows, too many "
            "groups to compare; cut a continuous one into bins first, as pandas.qcut does."
        )
    return groups


def strata_of(
    y: SensitiveLike | None, n_rows: int, *, argument: str = "y"
) -> list[tuple[Hashable, np.ndarray]]:
    """Return each value of y with its rows, in order of appearance; (None, all) without y."""
    if y is None:
        return [(None, np.arange(n_rows))]
    labels = np.asarray(plain_series(y), dtype=object).reshape(-1)
    codes, values = pd.factorize(labels, use_na_sentinel=True)
    if len(codes) != n_rows or (codes < 0).any():
        raise ValueError(
            f"{argument} has {len(codes)} rows, {int((codes < 0).sum())} of them missing; "
            f"give a label for each of the {n_rows} rows of Z."
        )
    return [(value, np.flatnonzero(codes == k)) for k, value in enumerate(values)]


def row_weights(sample_weight: ColumnLike | None, n_rows: int) -> np.ndarray | None:
    """Return the weight of each row as a float >= 0, (n_rows,); None where none are given."""
    if sample_weight is None:
        return None
    weight = np.asarray(plain_series(sample_weight))
    if weight.shape not in ((n_rows,), (n_rows, 1)):
        raise ValueError(
            f"sample_weight has shape {weight.shape}; give one weight for each of {n_rows} rows."
        )
    if weight.dtype.kind not in "biufO":
        raise ValueError(f"sample_weight has dtype {weight.dtype}; give real numbers >= 0.")
    weight = np.where(pd.isna(weight), np.nan, weight).reshape(-1).astype(np.float64)
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.any()):
        raise ValueError("sample_weight has a negative, missing or no positive value; fix these.")
    return weight


def cluster_codes(clusters: ColumnLike | None, n_rows: int) -> np.ndarray | None:
    """Return the code of each row's cluster, shape (n_rows,); None where none are given."""
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


def exchange(codes: np.ndarray | None, target: np.ndarray) -> Order:
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

    def order(rng: Draws) -> np.ndarray:
        giver = np.empty(len(size), dtype=np.int64)
        for kind in kinds:
            giver[kind] = rng.permutation(kind)
        if constant:
            return first[giver][codes]
        return by_cluster[start[giver][codes] + place]

    return order


def warn_of_repeated_rows(Z: Representation, values: np.ndarray, *, stacklevel: int = 5) -> None:
    """Warn where rows that are equal look like one person's; `values` are of the attribute."""
    codes = np.unique(values, return_inverse=True)[1].reshape(-1)
    text = repeated_values(Z.codes, codes, one_column=len(Z.columns) == 1)
    if text:
        warnings.warn(text, UserWarning, stacklevel=stacklevel)


def repeated_values(value: np.ndarray, codes: np.ndarray, *, one_column: bool) -> str:
    """Describe rows that equal another and share its group code; "" where these are few.

    `value` is a code of each row's values. They are many where a fifth of the rows (half, of one
    column), and 20, equal another row, nearly all of these share their group, more than chance
    would have, and yet a value has fewer than four rows on average. Or each value of each group
    has a multiple of k rows, as chance has it once in 1,000 times at most: all rows were given k
    times over.
    """
    n_rows = len(value)
    count = np.bincount(value)
    repeated = count[value] > 1
    cells = np.unique(value * (codes.max() + 1) + codes, return_counts=True)[1]
    times = int(np.gcd.reduce(cells))
    free = len(cells) - len(np.unique(codes))  # the sizes of groups may be chosen ones
    n_repeated = n_rows
    if (free - 1) * np.log(times) < np.log(999):
        n_repeated = int(repeated.sum())
        if len(count) < n_rows / 4 or n_repeated < max(20, n_rows * (0.5 if one_column else 0.2)):
            return ""
        value, group = value[repeated], codes[repeated]
        _, by_group = np.unique(value * (codes.max() + 1) + group, return_counts=True)
        shared = by_group[by_group > 1].sum() / n_repeated
        share = np.bincount(group) / n_repeated
        if shared < max(0.98, 1 - (1 - share.max()) / 4):
            return ""
    return (
        f"{n_repeated} of {n_rows} rows equal another row and share its sensitive "
        "feature. If they are of the same person, they are no independent rows: give clusters=, "
        "a label for each row."
    )
