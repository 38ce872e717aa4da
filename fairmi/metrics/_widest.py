"""Pairs of groups, in the rows of each value of y -> the largest certified difference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

from fairmi.metrics._binomial import DifferenceLimit
from fairmi.metrics._sets import Reach, reach_of_all_sets, reach_of_thresholds

NOTHING_KNOWN = Reach(distance=float("nan"), rank=1.0)  # of a group without rows


@dataclass(frozen=True)
class GroupPair:
    """Two groups, at one value of y, and how far the sample tells them apart."""

    pair: tuple[int, int]
    given: Any
    limit: DifferenceLimit
    reach: Reach


def comparisons(
    codes: np.ndarray,
    group: np.ndarray,
    n_groups: int,
    *,
    given: Any,
    thresholds: bool,
    error: float,
) -> Iterator[GroupPair]:
    """Compare all pairs of groups by one column of codes of values, shape (n_rows,)."""
    n_values = int(codes.max(initial=0)) + 1
    flat = np.bincount(group * n_values + codes, minlength=n_groups * n_values)
    counts = flat.reshape(n_groups, n_values)
    sizes = counts.sum(axis=1)
    find = reach_of_thresholds if thresholds else reach_of_all_sets
    for a, b in combinations(range(n_groups), 2):
        limit = DifferenceLimit(int(sizes[a]), int(sizes[b]), error)
        known = sizes[a] and sizes[b]
        reach = find(counts[a], counts[b], limit) if known else NOTHING_KNOWN
        yield GroupPair((a, b), given, limit, reach)


def largest_limit(found: Sequence[GroupPair]) -> tuple[float, GroupPair]:
    """Return the largest exact limit and the comparison that has it.

    The limit of each is near its rank. So most need not be computed: it is enough that they
    can't exceed the largest so far.
    """
    widest, *others = sorted(found, key=_order, reverse=True)
    largest = widest.limit.upper(widest.reach.rank)
    for other in others:
        if largest < 1 and other.limit.exceeds(other.reach.rank, largest):
            limit = other.limit.upper(other.reach.rank)
            if limit > largest:
                largest, widest = limit, other
    return largest, widest


def _order(comparison: GroupPair) -> tuple[float, int, int]:
    """By rank, then by sizes, so that the order of groups doesn't matter."""
    sizes = comparison.limit.n_a, comparison.limit.n_b
    return round(comparison.reach.rank, 12), min(sizes), max(sizes)
