"""What networks on a table learn from in place of y: boosting's view of rows it did not see."""

from __future__ import annotations

import numpy as np

from fairmi._threads import threads_for
from fairmi.boosting.base import held_out_rounds
from fairmi.boosting.trees import TreeConfig, bin_rows
from fairmi.core.task import Classes

# Rows from which on networks learn as much from y, and values of a table above which boosting
# takes longer than they do.
_MANY_ROWS, _MANY_VALUES = 20_000, 1_000_000
# Large steps on fewer folds are over sooner, and teach worse: docs/experiments/networks.md.
_RATE, _MAX_ITER, _LEAVES, _IN_LEAF, _MAX_BINS = 0.06, 400, 8, 20, 255
_N_FOLDS = 5


def boosted_targets(
    x: np.ndarray,
    n_categories: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    seed: int,
) -> np.ndarray | None:
    """Return probabilities of the scored classes, (n, K), by boosting that did not see the row.

    In expectation they are y, without its noise: the log loss is linear in them.
    Source: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural Network*, arXiv
    1503.02531; out of fold here, as a model's view of rows that it has learned is nearly y.

    Parameters
    ----------
    x : ndarray of shape (n, p)
        Distinct rows: numbers, or codes of the `n_categories` (p,) of a column, missing as NaN.
    n_categories : ndarray of shape (p,)
    y : ndarray of shape (n,)
        Codes of classes.
    n_classes : int
    weights : ndarray of shape (n,)
    seed : int

    Returns
    -------
    ndarray or None
        None where y is as good: on many rows, and where boosting has no lower loss on rows that
        it did not see than the shares of the classes.
    """
    task, weights = Classes(n_classes), weights / weights.mean()
    n_folds = min(_N_FOLDS, task.most_folds(y))
    if len(y) >= _MANY_ROWS or x.size > _MANY_VALUES or n_folds < 2:
        return None
    rng = np.random.default_rng([seed, 2])
    config = TreeConfig(
        learning_rate=_RATE,
        max_iter=_MAX_ITER,
        max_leaf_nodes=_LEAVES,
        min_samples_leaf=min(_IN_LEAF, max(len(y) // 20, 1)),
        l2_regularization=0.0,
        max_features=1.0,
        n_threads=threads_for(len(y)),
    )
    rows = bin_rows(x, n_categories, weights, _MAX_BINS, rng)
    n_rounds, scores = held_out_rounds(
        rows, y, weights, task, config, rng, n_folds=n_folds, n_held_out=n_folds
    )
    return task.mean(scores) if n_rounds else None
