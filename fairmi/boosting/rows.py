"""The checked rows of a fit, in bins; equal rows are one row of the summed weight.

So a weight of 2 is exactly a repeated row, a weight of 0 exactly an absent one, and a fit does
not depend on the order in which rows came.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairmi._data.fit_input import FitInput
from fairmi._data.sensitive import AttributeRows
from fairmi.boosting.binning import Binned, bin_rows
from fairmi.boosting.levels import mean_one
from fairmi.preprocessing.encoded_rows import merge_rows


@dataclass(frozen=True)
class TreeRows:
    """The n distinct rows of a fit, as trees read them.

    Attributes
    ----------
    binned : Binned
    y : ndarray of shape (n,), int64
        Codes of the classes.
    n_classes : int
    weights : ndarray of shape (n,)
        Weights in the task loss, of mean 1.
    attributes : tuple of AttributeRows
        Sensitive attributes, each with a penalty of its own.
    penalty_weights : ndarray of shape (n,)
    base_scores : ndarray of shape (n, K) or None
        Scores of a given base.
    """

    binned: Binned
    y: np.ndarray
    n_classes: int
    weights: np.ndarray
    attributes: tuple[AttributeRows, ...]
    penalty_weights: np.ndarray
    base_scores: np.ndarray | None


def tree_rows(
    given: FitInput,
    x: np.ndarray,
    n_categories: np.ndarray,
    base_scores: np.ndarray | None,
    max_bins: int,
    seed: int,
) -> TreeRows:
    """Return the distinct rows of a fit, in an order that only their content sets.

    Parameters
    ----------
    given : FitInput
        N rows.
    x : ndarray of shape (N, p), float64
        Numbers, and codes of the categories of which each column has `n_categories` (p,).
    base_scores : ndarray of shape (N, K) or None
    max_bins : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    binned = bin_rows(x, n_categories, given.task_weights, max_bins, rng)
    told_apart = [given.codes, given.sensitive.columns]
    if base_scores is not None:
        told_apart.append(base_scores)
    both = np.column_stack([given.task_weights, given.penalty_weights])
    kept, weights = merge_rows(binned.codes, np.column_stack(told_apart), both)
    return TreeRows(
        binned=binned.take(kept),
        y=given.codes[kept],
        n_classes=len(given.classes),
        weights=mean_one(weights[:, 0]),
        attributes=given.sensitive.take(kept).attributes,
        penalty_weights=weights[:, 1],
        base_scores=None if base_scores is None else base_scores[kept],
    )
