"""Plain boosting with a threshold for each of two groups, chosen on rows it did not learn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier

from common.data import Part

_GRID = np.linspace(0.05, 0.95, 91)
_N_FOLDS = 5
# As the base of trees, with as many rounds as it had before held-out rows chose them.
_BOOSTING = HistGradientBoostingClassifier(
    learning_rate=0.06,
    max_iter=200,
    max_leaf_nodes=16,
    early_stopping=False,
    categorical_features="from_dtype",
)


def predictions(
    train: Part, test: Part, constraint: str, bounds: Sequence[float], seed: int
) -> Iterator[np.ndarray]:
    """Yield the predictions of the test rows, 0 or 1, within each bound on the training rows.

    The thresholds are the most accurate pair on out-of-fold probabilities of the training rows.

    Raises
    ------
    ValueError
        If the sensitive attribute has not two values.
    """
    groups = np.unique(train.c)
    if len(groups) != 2:
        raise ValueError(f"thresholds are for two groups, but there are {len(groups)}.")
    c, c_test = (np.searchsorted(groups, part.c) for part in (train, test))
    model = clone(_BOOSTING).set_params(random_state=seed)
    fold = np.random.default_rng(seed).permutation(len(train.y)) % _N_FOLDS
    p = np.empty(len(train.y))
    for k in range(_N_FOLDS):
        kept, other = train.take(fold != k), train.take(fold == k)
        p[fold == k] = clone(model).fit(kept.x, kept.y).predict_proba(other.x)[:, 1]
    p_test = model.fit(train.x, train.y).predict_proba(test.x)[:, 1]
    for cuts in best_pairs(p, train.y, c, constraint, bounds):
        yield (p_test > cuts[c_test]).astype(int)


def best_pairs(
    p: np.ndarray, y: np.ndarray, c: np.ndarray, constraint: str, bounds: Sequence[float]
) -> Iterator[np.ndarray]:
    """Yield the pair of thresholds, (2,), of the highest accuracy within each bound.

    Parameters
    ----------
    p : ndarray of shape (n,)
        Probabilities of class 1.
    y, c : ndarray of shape (n,), int
        Labels and groups, 0 or 1.
    constraint : {"demographic_parity", "equalized_odds"}
    bounds : sequence of float
        Where none is within a bound, the least unfair pair is taken.
    """
    within = [np.ones(len(y), bool)] if constraint == "demographic_parity" else [y == 0, y == 1]
    above = p > _GRID[:, None]
    hits = np.stack([(above[:, c == g] == y[c == g]).sum(1) for g in (0, 1)])
    rates = np.stack([[above[:, (c == g) & rows].mean(1) for g in (0, 1)] for rows in within])
    unfair = np.abs(rates[:, 0, :, None] - rates[:, 1, None, :]).max(0)
    total = hits[0][:, None] + hits[1][None, :]
    for bound in bounds:
        best = np.where(unfair <= max(bound, unfair.min()), total, -1).argmax()
        yield _GRID[list(np.unravel_index(best, total.shape))]
