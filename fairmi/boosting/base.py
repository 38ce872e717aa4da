"""The base, from whose scores the penalised rounds start: plain boosting, or a user's model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np
from sklearn import config_context, get_config
from sklearn.base import clone, is_classifier
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import KFold, StratifiedKFold
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import has_fit_parameter

from fairmi._sklearn_compat import TreePredictor, safe_indexing
from fairmi._typing import TableLike
from fairmi.boosting.trees import Binned, Grower, TreeConfig, Trees, trees_of
from fairmi.core.task import Task, fold_order

# Small steps, as many as held-out rows ask for; few rows want few leaves.
FEW_ROWS = 10_000
_RATE, _MAX_ROUNDS, _IN_LEAF, _LEAVES = 0.06, 400, 20, (8, 16)
_PATIENCE = 20
_N_FOLDS = 5
_MIN_PROBABILITY = 1e-6


@dataclass(frozen=True)
class Base:
    """Trees of a base, and the scores (n, K) that it gives to the rows of the fit."""

    trees: Trees
    scores: np.ndarray


def base_config(n_rows: int, **others: Any) -> TreeConfig:
    """Return the settings of a base on `n_rows` distinct rows; `others` are a user's."""
    return TreeConfig(
        learning_rate=_RATE,
        max_iter=_MAX_ROUNDS,
        max_leaf_nodes=_LEAVES[n_rows >= FEW_ROWS],
        min_samples_leaf=min(_IN_LEAF, max(n_rows // 20, 1)),
        **others,
    )


def boost(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    task: Task,
    config: TreeConfig,
    rng: np.random.Generator,
) -> Base:
    """Return `config.max_iter` rounds of boosting on the task loss, and the scores it ends with.

    Parameters
    ----------
    rows : Binned
        n rows.
    y : ndarray of shape (n,)
        Codes of the classes, or numbers.
    weights : ndarray of shape (n,)
    task : Task
    config : TreeConfig
    rng : Generator
    """
    boosting = _Boosting(rows, y, weights, task, config, rng)
    grown = [tree for _ in range(config.max_iter) for tree in boosting.round()]
    return Base(trees_of(grown, boosting.start, rows.n_categories), boosting.scores)


def cross_fit(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    task: Task,
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
    rows, y, weights, task, config, rng
        As in `boost`; `config.max_iter` is the largest number of rounds.
    n_folds : int
    n_held_out : int
        Folds that are held out, each in turn.
    out_of_fold : bool
        Whether the scores of a row are those of trees that did not see it; needs each fold to be
        held out.
    """
    n_rounds, scores = held_out_rounds(
        rows, y, weights, task, config, rng, n_folds=n_folds, n_held_out=n_held_out
    )
    base = boost(rows, y, weights, task, replace(config, max_iter=n_rounds), rng)
    return Base(base.trees, scores) if out_of_fold else base


def held_out_rounds(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    task: Task,
    config: TreeConfig,
    rng: np.random.Generator,
    *,
    n_folds: int,
    n_held_out: int,
) -> tuple[int, np.ndarray]:
    """Return how many rounds are best on held-out rows, and the scores (n, K) of these rows then.

    As in `cross_fit`.
    """
    order, target = fold_order(y, rng), task.target(y)
    folds = [
        _Fold(rows, y, weights, task, config, rng, held_out=np.sort(order[k::n_folds]))
        for k in range(n_held_out)
    ]
    seen = np.concatenate([fold.held_out for fold in folds])
    scores = np.empty((len(y), len(folds[0].start)))
    best, best_loss, n_rounds = scores, np.inf, 0
    for t in range(config.max_iter + 1):
        for fold in folds:
            scores[fold.held_out] = fold.scores_held_out
        loss = task.loss(scores[seen], target[seen], weights[seen])
        if loss < best_loss:
            best, best_loss, n_rounds = scores.copy(), loss, t
        elif t >= n_rounds + _PATIENCE:
            break
        for fold in folds:
            fold.round()
    return n_rounds, best


def averaged(
    rows: Binned,
    encodings: Sequence[np.ndarray],
    y: np.ndarray,
    weights: np.ndarray,
    task: Task,
    config: TreeConfig,
    seed: Sequence[int],
    *,
    n_folds: int,
    n_held_out: int,
    out_of_fold: bool,
) -> Base:
    """Return the mean of a base for each encoding of the categories.

    Trees err differently where categories are sets, an order or another order, so that their mean
    has a lower loss than each. The rounds are those of the first, unless all are cross-fitted.

    Parameters
    ----------
    rows : Binned
    encodings : sequence of ndarray of int
        The columns that each base reads.
    y, weights, task, config
        As in `boost`.
    seed : sequence of int
    n_folds, n_held_out, out_of_fold
        As in `cross_fit`. Where none is held out, or y has too few rows of a class for two folds,
        there are `config.max_iter` rounds.
    """
    n_folds = min(n_folds, task.most_folds(y))
    held_out = n_held_out > 0 and n_folds > 1
    bases: list[Base] = []
    for read in encodings:
        given = (rows.columns(read), y, weights, task, config, np.random.default_rng(seed))
        if not held_out or (bases and not out_of_fold):
            base = boost(*given)
        else:
            base = cross_fit(
                *given,
                n_folds=n_folds,
                n_held_out=min(n_held_out, n_folds),
                out_of_fold=out_of_fold,
            )
            if not out_of_fold:
                config = replace(config, max_iter=base.trees.n_rounds)
        trees = base.trees.part_of(read, rows.n_categories, len(encodings))
        bases.append(Base(trees, base.scores))
    trees = reduce(Trees.then, [base.trees for base in bases])
    return Base(trees, np.mean([base.scores for base in bases], axis=0))


class _Boosting:
    """Rounds of plain boosting, one at a time."""

    def __init__(
        self,
        rows: Binned,
        y: np.ndarray,
        weights: np.ndarray,
        task: Task,
        config: TreeConfig,
        rng: np.random.Generator,
    ) -> None:
        self.task, self.target = task, task.target(y)
        self.weights, self.rate = weights, config.learning_rate
        self.grower = Grower(rows, config, rng)
        self.start = task.start(y, weights)
        self.scores = np.asfortranarray(np.tile(self.start, (len(y), 1)))

    def round(self) -> list[TreePredictor]:
        """Grow the next trees, one for each score."""
        gradient, hessian = self.task.derivatives(self.scores, self.target, self.weights)
        best = self._best if self.task.refits_leaves else None
        return self.grower.round(gradient, hessian, self.scores, self.rate, best)

    def _best(self, rows: np.ndarray) -> float:
        """Return the constant that lowers the loss of some rows most when added to their score."""
        residuals = (self.target - self.scores)[rows, 0]
        return float(self.task.start(residuals, self.weights[rows])[0])


class _Fold(_Boosting):
    """Rounds on all rows but the held-out ones, whose scores follow."""

    def __init__(
        self,
        rows: Binned,
        y: np.ndarray,
        weights: np.ndarray,
        task: Task,
        config: TreeConfig,
        rng: np.random.Generator,
        *,
        held_out: np.ndarray,
    ) -> None:
        kept = np.setdiff1d(np.arange(len(y)), held_out)
        super().__init__(rows.take(kept), y[kept], weights[kept], task, config, rng)
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


def check_base(base: Any) -> None:
    """Raise ValueError where a base is no classifier that gives scores."""
    if base is None:
        return
    if not any(hasattr(base, name) for name in ("predict_proba", "decision_function")):
        raise ValueError(
            f"base={base!r} has neither predict_proba nor decision_function; give a classifier "
            "that has one of them, or None."
        )


def setting_of(base: Any) -> AbstractContextManager[None]:
    """Return the setting of scikit-learn under which a base is fitted and predicts.

    A user's set_config(transform_output=...) is for what they transform, not for the steps of a
    base inside. A frozen base was fitted under their setting, and goes on under it.
    """
    if isinstance(base, FrozenEstimator):
        return nullcontext()
    return config_context(transform_output="default")


def fitted_base(
    base: Any,
    X: Any,
    y: np.ndarray,
    weights: np.ndarray,
    seed: int,
    scores_of: Callable[[Any, Any], np.ndarray],
    name: str = "base",
) -> tuple[Any, np.ndarray]:
    """Return a base that is fitted, and its scores of the rows, (n, K).

    A frozen base is taken as it is. Any other is fitted to X, y, and the scores are those of five
    copies, each of which did not see the rows that it scores.

    Parameters
    ----------
    base : classifier or regressor
    X : DataFrame, ndarray or csr_array of n rows
    y : ndarray of shape (n,)
        Labels, or numbers.
    weights : ndarray of shape (n,)
    seed : int
        Takes the place of each `random_state` of the base that is None.
    scores_of : callable
        A fitted base and rows -> scores.
    name : str, default="base"
        The parameter that it is, for errors.

    Raises
    ------
    ValueError
        If a frozen base has other classes than y, or weights are given to one that takes none.
    """
    if isinstance(base, FrozenEstimator):
        if is_classifier(base) and not np.array_equal(base.classes_, np.unique(y)):
            raise ValueError(
                f"{name}={base!r} was fitted to the classes {list(base.classes_)}, but y has "
                f"{list(np.unique(y))}; give one of the same classes."
            )
        return base, scores_of(base, X)
    fitted = fitted_copy(base, name, X, y, weights, seed)
    splitter = KFold(min(_N_FOLDS, len(y)), shuffle=True, random_state=seed)
    if is_classifier(base):
        rarest = int(np.unique(y, return_counts=True)[1].min())
        if rarest < 2:
            return fitted, scores_of(fitted, X)
        splitter = StratifiedKFold(min(_N_FOLDS, rarest), shuffle=True, random_state=seed)
    parts = []
    for seen, other in splitter.split(y, y):
        part = fitted_copy(base, name, X, y, weights, seed, seen)
        parts.append((other, scores_of(part, safe_indexing(X, other))))
    scores = np.empty((len(y), parts[0][1].shape[1]))
    for other, of_part in parts:
        scores[other] = of_part
    return fitted, scores


def scores_of_base(base: Any, X: Any) -> np.ndarray:
    """Return log odds (n, 1) for two classes, else a score for each class, (n, K)."""
    if hasattr(base, "predict_proba"):
        logs = np.log(np.maximum(base.predict_proba(X), _MIN_PROBABILITY))
        return logs[:, 1:] - logs[:, :1] if logs.shape[1] == 2 else logs
    scores = np.asarray(base.decision_function(X), dtype=np.float64)
    return scores[:, None] if scores.ndim == 1 else scores


def fitted_copy(
    estimator: Any,
    argument: str,
    X: TableLike,
    y: np.ndarray,
    weights: np.ndarray,
    seed: int,
    rows: np.ndarray | None = None,
) -> Any:
    """Return a copy of a user's estimator fitted to some rows of X, or to all.

    `seed` takes the place of each `random_state` that is None; `argument` is what an error calls
    the estimator. Weights that are alike are not given to it.

    Raises
    ------
    ValueError
        If it takes no weights, and there are some.
    """
    fresh = clone(estimator)
    states = fresh.get_params(deep=True)
    unset = [k for k in states if k.split("__")[-1] == "random_state" and states[k] is None]
    fresh.set_params(**dict.fromkeys(unset, seed))
    if rows is not None and len(rows) < len(y):
        X, y, weights = safe_indexing(X, rows), y[rows], weights[rows]
    if (weights == weights[0]).all():
        return fresh.fit(X, y)
    if get_config()["enable_metadata_routing"]:
        return fresh.fit(X, y, sample_weight=weights)
    is_pipeline = isinstance(fresh, Pipeline)
    if not has_fit_parameter(fresh[-1] if is_pipeline else fresh, "sample_weight"):
        raise ValueError(
            f"{argument}={estimator!r} takes no sample_weight in fit; give it fitted, as "
            "sklearn.frozen.FrozenEstimator(...), or fit without sample_weight."
        )
    name = f"{fresh.steps[-1][0]}__sample_weight" if is_pipeline else "sample_weight"
    return fresh.fit(X, y, **{name: weights})
