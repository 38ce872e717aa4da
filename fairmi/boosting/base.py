"""The base: boosting without a penalty, from whose scores the penalised rounds start."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from fairmi._sklearn_compat import TreePredictor
from fairmi.boosting.binning import Binned
from fairmi.boosting.config import TreeConfig
from fairmi.boosting.growth import Grower
from fairmi.boosting.task import constant_scores, derivatives, log_loss
from fairmi.boosting.trees import Trees, trees_of

_PATIENCE = 20


@dataclass(frozen=True)
class Base:
    """Trees of a base, and the scores (n, K) that it gives to the rows of the fit.

    Of a cross-fitted base these scores are out of fold: trees that did not see a row score it.
    """

    trees: Trees
    scores: np.ndarray


def boost(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    config: TreeConfig,
    rng: np.random.Generator,
) -> Base:
    """Return `config.max_iter` rounds of boosting on the log loss, and the scores it ends with.

    Parameters
    ----------
    rows : Binned
        n rows.
    y : ndarray of shape (n,), int
        Codes of the classes.
    weights : ndarray of shape (n,)
    n_classes : int
    config : TreeConfig
    rng : Generator
    """
    boosting = _Boosting(rows, y, weights, n_classes, config, rng)
    grown = [tree for _ in range(config.max_iter) for tree in boosting.round()]
    return Base(trees_of(grown, boosting.start, rows.n_categories), boosting.scores)


def cross_fit(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    config: TreeConfig,
    rng: np.random.Generator,
    n_folds: int,
) -> Base:
    """Return a base of as many rounds as are best on held-out rows, with scores out of fold.

    Each fold is held out once, from boosting on the others. The rounds end where 20 of them
    brought no lower loss on the held-out rows; the base has as many as were best, on all rows.
    Parameters are those of `boost`; `config.max_iter` is the largest number of rounds.
    """
    start = constant_scores(y, weights, n_classes)
    scores = np.tile(start, (len(y), 1))
    folds = list(_folds(y, n_folds, rng))
    parts = []
    for held in folds:
        kept = np.setdiff1d(np.arange(len(y)), held)
        part = _Boosting(rows.take(kept), y[kept], weights[kept], n_classes, config, rng)
        parts.append((part, held, np.ascontiguousarray(rows.codes[held])))
        scores[held] = part.start
    best, best_loss, n_rounds = scores.copy(), log_loss(scores, y, weights), 0
    for t in range(1, config.max_iter + 1):
        for part, held, codes in parts:
            for k, tree in enumerate(part.round()):
                added = tree.predict_binned(codes, rows.max_bins, config.n_threads)
                scores[held, k] += added
        loss = log_loss(scores, y, weights)
        if loss < best_loss:
            best, best_loss, n_rounds = scores.copy(), loss, t
        elif t >= n_rounds + _PATIENCE:
            break
    of_all = boost(rows, y, weights, n_classes, replace(config, max_iter=n_rounds), rng)
    return Base(of_all.trees, best)


class _Boosting:
    """Rounds of plain boosting, one at a time."""

    def __init__(
        self,
        rows: Binned,
        y: np.ndarray,
        weights: np.ndarray,
        n_classes: int,
        config: TreeConfig,
        rng: np.random.Generator,
    ) -> None:
        self.y, self.weights, self.rate = y, weights, config.learning_rate
        self.grower = Grower(rows, config, rng)
        self.start = constant_scores(y, weights, n_classes)
        self.scores = np.asfortranarray(np.tile(self.start, (len(y), 1)))

    def round(self) -> list[TreePredictor]:
        """Grow the next trees, one for each score."""
        gradient, hessian = derivatives(self.scores, self.y, self.weights)
        return self.grower.round(gradient, hessian, self.scores, self.rate)


def _folds(y: np.ndarray, n_folds: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield rows of each fold, which has its share of every class."""
    order = rng.permutation(len(y))
    order = order[np.argsort(y[order], kind="stable")]
    for k in range(n_folds):
        yield np.sort(order[k::n_folds])
