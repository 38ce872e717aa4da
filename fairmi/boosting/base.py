"""The base: boosting without a penalty, from whose scores the penalised rounds start."""

from __future__ import annotations

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
    """Trees of a base, and the scores (n, K) that it gives to the rows of the fit."""

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
    *,
    n_folds: int,
    n_held_out: int,
    out_of_fold: bool,
) -> Base:
    """Return a base of as many rounds as are best on held-out rows.

    A fold is held out from boosting on the others. The rounds end where 20 of them brought no
    lower loss on the held-out rows; the base has as many as were best, on all rows.

    Parameters
    ----------
    rows, y, weights, n_classes, config, rng
        As in `boost`; `config.max_iter` is the largest number of rounds.
    n_folds : int
    n_held_out : int
        Folds that are held out, each in turn.
    out_of_fold : bool
        Whether the scores of a row are those of trees that did not see it; needs each fold to be
        held out.
    """
    order = np.argsort(y[shuffled := rng.permutation(len(y))], kind="stable")
    order = shuffled[order]  # so that each fold has its share of every class
    folds = [
        _Fold(rows, y, weights, n_classes, config, rng, held_out=np.sort(order[k::n_folds]))
        for k in range(n_held_out)
    ]
    seen = np.concatenate([fold.held_out for fold in folds])
    scores = np.empty((len(y), len(folds[0].start)))
    best, best_loss, n_rounds = scores, np.inf, 0
    for t in range(config.max_iter + 1):
        for fold in folds:
            scores[fold.held_out] = fold.scores_held_out
        loss = log_loss(scores[seen], y[seen], weights[seen])
        if loss < best_loss:
            best, best_loss, n_rounds = scores.copy(), loss, t
        elif t >= n_rounds + _PATIENCE:
            break
        for fold in folds:
            fold.round()
    base = boost(rows, y, weights, n_classes, replace(config, max_iter=n_rounds), rng)
    return Base(base.trees, best) if out_of_fold else base


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


class _Fold(_Boosting):
    """Rounds on all rows but the held-out ones, whose scores follow."""

    def __init__(
        self,
        rows: Binned,
        y: np.ndarray,
        weights: np.ndarray,
        n_classes: int,
        config: TreeConfig,
        rng: np.random.Generator,
        *,
        held_out: np.ndarray,
    ) -> None:
        kept = np.setdiff1d(np.arange(len(y)), held_out)
        super().__init__(rows.take(kept), y[kept], weights[kept], n_classes, config, rng)
        self.held_out = held_out
        self.codes = np.ascontiguousarray(rows.codes[held_out])
        self.scores_held_out = np.tile(self.start, (len(held_out), 1))

    def round(self) -> list[TreePredictor]:
        """Grow the next trees, and score the held-out rows with them."""
        trees = super().round()
        for k, tree in enumerate(trees):
            n_threads = self.grower.config.n_threads
            missing = self.grower.rows.max_bins
            self.scores_held_out[:, k] += tree.predict_binned(self.codes, missing, n_threads)
        return trees
