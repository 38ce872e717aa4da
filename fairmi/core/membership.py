"""Who is in which group, which rows a constraint compares, and how they weigh.

Shapes by name: n rows; m memberships, each a row in a group; G groups; S strata; Q quantities.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True)
class Membership:
    """Which of G groups each of n rows is in, by how much; or the values of a quantity.

    Parameters
    ----------
    n_rows, n_groups : int
        `n_groups` is 0 where there are values.
    rows, groups : ndarray of shape (m,), int64
        Memberships, in ascending order of `rows`: one for a row whose group is known, none where
        it is not, and one for each group that it may be in where probabilities are given.
    shares : ndarray of shape (m,)
        How much of the row is in the group; those of a row sum to 1.
    known : ndarray of shape (n,), bool
        Rows that have a group, or values.
    values : ndarray of shape (n, Q) or None
        Quantities in place of groups, 0 where not known.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.core.membership import Membership
    >>> codes = Membership.of_codes(np.array([0, 1, 1]), 2)
    >>> codes.groups, codes.shares
    (array([0, 1, 1]), array([1., 1., 1.]))
    >>> maybe = Membership.of_probabilities(np.array([[0.8, 0.2], [0.0, 1.0]]))
    >>> maybe.rows, maybe.groups, maybe.shares
    (array([0, 0, 1]), array([0, 1, 1]), array([0.8, 0.2, 1. ]))
    """

    n_rows: int
    n_groups: int
    rows: np.ndarray
    groups: np.ndarray
    shares: np.ndarray
    known: np.ndarray
    values: np.ndarray | None = None

    @classmethod
    def of_codes(
        cls, codes: np.ndarray, n_groups: int, known: np.ndarray | None = None
    ) -> Membership:
        """Return rows that are each in one group, or in none where they are not `known` (n,)."""
        known = np.ones(len(codes), dtype=bool) if known is None else known
        rows = np.flatnonzero(known)
        groups = codes[rows].astype(np.int64)
        return cls(len(codes), n_groups, rows, groups, np.ones(len(rows)), known)

    @classmethod
    def of_probabilities(cls, shares: np.ndarray) -> Membership:
        """Return rows that are in each group with a probability, (n, G); a row of 0 is in none."""
        rows, groups = np.nonzero(shares)
        n_rows, n_groups = shares.shape
        known = shares.sum(axis=1) > 0
        return cls(n_rows, n_groups, rows, groups, shares[rows, groups], known)

    @classmethod
    def of_values(cls, values: np.ndarray, known: np.ndarray | None = None) -> Membership:
        """Return rows with values (n, Q), where they are `known` (n,)."""
        known = np.ones(len(values), dtype=bool) if known is None else known
        none = np.zeros(0, dtype=np.int64)
        return cls(len(values), 0, none, none, np.zeros(0), known, values)

    @property
    def codes(self) -> np.ndarray:
        """The group of each row, (n,) int64: the likeliest one, and 0 where it is not known."""
        codes = np.zeros(self.n_rows, dtype=np.int64)
        order = np.argsort(self.shares, kind="stable")
        codes[self.rows[order]] = self.groups[order]
        return codes

    @property
    def is_certain(self) -> bool:
        """Whether each row is in one group, or in none."""
        return bool((self.shares == 1).all())

    @property
    def columns(self) -> np.ndarray:
        """All that tells rows apart, (n, n_columns) float64."""
        if self.values is not None:
            return np.column_stack([self.values, self.known])
        if len(self.rows) == np.count_nonzero(self.known):
            return np.column_stack([self.codes, self.known]).astype(np.float64)
        dense = np.zeros((self.n_rows, self.n_groups))
        dense[self.rows, self.groups] = self.shares
        return dense

    def take(self, index: np.ndarray) -> Membership:
        """Return the rows of an index (k,) of positions."""
        if self.values is not None:
            return Membership.of_values(self.values[index], self.known[index])
        first = np.searchsorted(self.rows, index)
        sizes = np.searchsorted(self.rows, index, side="right") - first
        rows = np.repeat(np.arange(len(index)), sizes)
        at = np.arange(len(rows)) + np.repeat(first - np.cumsum(sizes) + sizes, sizes)
        return Membership(
            len(index), self.n_groups, rows, self.groups[at], self.shares[at], self.known[index]
        )


@dataclass(frozen=True)
class Comparison:
    """The rows of one sensitive attribute as a penalty or a measure compares them.

    Attributes
    ----------
    members : Membership
    strata : ndarray of shape (n,), int64
        Groups are compared within each.
    n_strata : int
    weights : ndarray of shape (m,)
        Weight of each membership.
    row_weights : ndarray of shape (n,)
        The same by row; 0 where it is not compared, or its group is not known.
    prior : ndarray of shape (S, G)
        Weight share of each group within each stratum; (S, 0) where there are values.
    """

    members: Membership
    strata: np.ndarray
    n_strata: int
    weights: np.ndarray
    row_weights: np.ndarray
    prior: np.ndarray

    @property
    def cells(self) -> np.ndarray:
        """Stratum * G + group of each membership, (m,) int64."""
        return self.strata[self.members.rows] * self.members.n_groups + self.members.groups

    def scaled(self) -> Comparison:
        """Return the same with weights of mean 1 over all n rows."""
        factor = _to_mean_one(self.row_weights)
        return replace(self, weights=self.weights * factor, row_weights=self.row_weights * factor)

    def counts(self, levels: np.ndarray, n_levels: int) -> np.ndarray:
        """Return the weight of each (level, stratum, group), (L, S, G), of levels (n,) int64."""
        at = levels[self.members.rows] * self.prior.size + self.cells
        counts = np.bincount(at, self.weights, n_levels * self.prior.size)
        return counts.reshape(n_levels, *self.prior.shape)


def strata_of(
    constraint: str, labels: np.ndarray, n_labels: int
) -> tuple[np.ndarray, int, np.ndarray]:
    """Return within what strata a constraint compares groups, how many they are, and which rows.

    "demographic_parity" compares over all rows; "equalized_odds" within each class;
    "equal_opportunity" among rows of the positive class, code 1 of two, alone; "conditional"
    within each bin of a quantity y. `labels` (n,) are codes of classes, or of bins of y.
    """
    everywhere = np.ones(len(labels), dtype=bool)
    if constraint in ("equalized_odds", "conditional"):
        return labels.astype(np.int64), n_labels, everywhere
    nowhere_apart = np.zeros(len(labels), dtype=np.int64)
    if constraint == "equal_opportunity":
        return nowhere_apart, 1, labels == 1
    return nowhere_apart, 1, everywhere


def compare(
    members: Membership,
    weights: np.ndarray,
    *,
    constraint: str,
    labels: np.ndarray,
    n_labels: int,
    group_weight: str | None,
    total: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Comparison:
    """Return the rows that a constraint compares, and how they weigh: the one rule for all.

    `weights` (n,) >= 0 are of the rows. A `group_weight` of "balanced" weighs rows so that all
    groups of all strata that have rows weigh alike, at the same sum of weights; None leaves them
    as they are. "auto" balances where there are several strata: a difference between groups of a
    small class counts as much as one of a large class, and rows do not. `total` maps the summed
    weights (S, G) of these rows to those of all rows, where these are a part of a stream or of
    what several processes hold.
    """
    strata, n_strata, compared = strata_of(constraint, labels, n_labels)
    row_weights = weights * compared * members.known
    if members.values is not None:
        none = np.zeros((n_strata, 0))
        return Comparison(members, strata, n_strata, np.zeros(0), row_weights, none)
    shape = (n_strata, members.n_groups)
    cells = strata[members.rows] * members.n_groups + members.groups
    of_members = row_weights[members.rows] * members.shares
    sums = np.bincount(cells, of_members, n_strata * members.n_groups).reshape(shape)
    if total is not None:
        sums = total(sums)
    if group_weight == "balanced" or (group_weight == "auto" and n_strata > 1):
        present = sums > 0
        factors = sums.sum() / max(present.sum(), 1) / np.where(present, sums, 1)
        of_members = of_members * factors.ravel()[cells]
        row_weights = np.bincount(members.rows, of_members, len(weights))
        sums = present.astype(np.float64)
    of_stratum = sums.sum(1, keepdims=True)
    prior = sums / np.where(of_stratum > 0, of_stratum, 1)
    return Comparison(members, strata, n_strata, of_members, row_weights, prior)


def quantile_bins(values: np.ndarray, weights: np.ndarray, n_bins: int) -> tuple[np.ndarray, int]:
    """Return the bin of each value (n,), about as much weight in each, and how many there are.

    Equal values share a bin, so that few values make fewer bins than `n_bins`.
    """
    ends = quantile_ends(values, weights, n_bins)
    return np.searchsorted(ends, values), len(ends) + 1


def quantile_ends(values: np.ndarray, weights: np.ndarray, n_bins: int) -> np.ndarray:
    """Return the largest value of each bin but the last, as `quantile_bins` has them."""
    order = np.argsort(values, kind="stable")
    ranks = np.cumsum(weights[order]) / weights.sum()
    ends = values[order][np.searchsorted(ranks, np.arange(1, n_bins) / n_bins)]
    return np.unique(ends[ends < values.max()])


def check_group_weight(group_weight: str | None, n_groups: Sequence[int]) -> None:
    """Raise ValueError where groups are to be balanced, and no attribute has groups.

    `n_groups` has those of each sensitive attribute, 0 for one of values.
    """
    if group_weight == "balanced" and not any(n_groups):
        raise ValueError(
            f'group_weight="{group_weight}" needs groups, but the sensitive features are '
            "continuous, or are penalised together with a continuous one; set it to None, or give "
            "lam as a dict, a λ for each."
        )


def mean_one(weights: np.ndarray) -> np.ndarray:
    """Return weights scaled to mean 1; all 0 where they are so."""
    return weights * _to_mean_one(weights)


def _to_mean_one(weights: np.ndarray) -> float:
    total = float(weights.sum())
    return len(weights) / total if total > 0 else 1.0
