"""The base, from whose scores the penalised rounds start: plain boosting, or a user's model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
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
from fairmi._threads import threads_for
from fairmi._typing import TableLike
from fairmi.boosting.trees import Binned, Grower, TreeConfig, Trees, bin_rows, trees_of
from fairmi.core.membership import Membership
from fairmi.core.task import Classes, Task, fold_order

# Small steps, as many as held-out rows ask for; few rows want few leaves.
FEW_ROWS = 10_000
_RATE, _MAX_ROUNDS, _IN_LEAF, _LEAVES = 0.06, 400, 20, (8, 16)
_PATIENCE = 20
_N_FOLDS = 5
_MIN_PROBABILITY = 1e-6


# Rows from which on networks learn as much from y, and values of a table above which boosting
# takes longer than they do.
_MANY_ROWS, _MANY_VALUES = 20_000, 1_000_000
_MAX_BINS = 255


@dataclass(frozen=True)
class TreeRows:
    """The n rows of a fit, as trees read them.

    `y` (n,) are codes of the classes, or numbers, and `weights` (n,) those in the task loss.
    `encodings` has the columns of `binned` that each base reads; penalised rounds read the first.
    `members` are the sensitive attributes, each with a penalty of its own, and `base_scores` (n,
    K) the scores of a given base.
    """

    binned: Binned
    y: np.ndarray
    task: Task
    weights: np.ndarray
    encodings: Sequence[np.ndarray] = ()
    members: tuple[Membership, ...] = ()
    penalty_weights: np.ndarray = field(default_factory=lambda: np.zeros(0))
    base_scores: np.ndarray | None = None

    def reading(self, columns: np.ndarray) -> TreeRows:
        """Return the same rows of some columns."""
        return replace(self, binned=self.binned.columns(columns))


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
    rows: TreeRows, config: TreeConfig, rng: np.random.Generator
) -> tuple[Trees, np.ndarray]:
    """Return trees of `config.max_iter` rounds on the task loss, and the scores (n, K) of rows."""
    boosting = _Boosting(rows, config, rng)
    grown = [tree for _ in range(config.max_iter) for tree in boosting.round()]
    return trees_of(grown, boosting.start, rows.binned.n_categories), boosting.scores


def cross_fit(
    rows: TreeRows, config: TreeConfig, rng: np.random.Generator
) -> tuple[Trees, np.ndarray]:
    """Return trees of as many rounds as are best on held-out rows, and the scores (n, K) of rows.

    A fold is held out from boosting on the others. The rounds end where 20 of them brought no
    lower loss on the held-out rows; there are as many as were best, on all rows, and at most
    `config.max_iter`.
    """
    n_rounds, held_out = held_out_rounds(rows, config, rng)
    trees, scores = boost(rows, replace(config, max_iter=n_rounds), rng)
    return trees, held_out if config.out_of_fold else scores


def held_out_rounds(
    rows: TreeRows, config: TreeConfig, rng: np.random.Generator
) -> tuple[int, np.ndarray]:
    """Return how many rounds are best on held-out rows, and the scores (n, K) of these rows then.

    As in `cross_fit`.
    """
    order, target = fold_order(rows.y, rng), rows.task.target(rows.y)
    folds = [
        _Fold(rows, config, rng, np.sort(order[k :: config.n_folds]))
        for k in range(config.n_held_out)
    ]
    seen = np.concatenate([fold.held_out for fold in folds])
    scores = np.empty((len(rows.y), len(folds[0].start)))
    best, best_loss, n_rounds = scores, np.inf, 0
    for t in range(config.max_iter + 1):
        for fold in folds:
            scores[fold.held_out] = fold.scores_held_out
        loss = rows.task.loss(scores[seen], target[seen], rows.weights[seen])
        if loss < best_loss:
            best, best_loss, n_rounds = scores.copy(), loss, t
        elif t >= n_rounds + _PATIENCE:
            break
        for fold in folds:
            fold.round()
    return n_rounds, best


def averaged(rows: TreeRows, config: TreeConfig, seed: Sequence[int]) -> tuple[Trees, np.ndarray]:
    """Return the mean of a base for each encoding of the categories, and scores (n, K) of rows.

    Trees err differently where categories are sets, an order or another order, so that their mean
    has a lower loss than each. The rounds are those of the first, unless all are cross-fitted.
    Where no fold is held out, or y has too few rows of a class for two folds, there are
    `config.max_iter` rounds.
    """
    n_folds = min(config.n_folds, rows.task.most_folds(rows.y))
    chooses = config.n_held_out > 0 and n_folds > 1
    config = replace(config, n_folds=n_folds, n_held_out=min(config.n_held_out, n_folds))
    parts, scores = [], []
    for read in rows.encodings:
        fit = cross_fit if chooses else boost
        trees, of_rows = fit(rows.reading(read), config, np.random.default_rng(seed))
        if chooses and not config.out_of_fold:
            config, chooses = replace(config, max_iter=trees.n_rounds), False
        parts.append(trees.part_of(read, rows.binned.n_categories, len(rows.encodings)))
        scores.append(of_rows)
    return reduce(Trees.then, parts), np.mean(scores, axis=0)


class _Boosting:
    """Rounds of plain boosting, one at a time."""

    def __init__(self, rows: TreeRows, config: TreeConfig, rng: np.random.Generator) -> None:
        self.task, self.target = rows.task, rows.task.target(rows.y)
        self.weights, self.rate = rows.weights, config.learning_rate
        self.grower = Grower(rows.binned, config, rng)
        self.start = rows.task.start(rows.y, rows.weights)
        self.scores = np.asfortranarray(np.tile(self.start, (len(rows.y), 1)))

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
        rows: TreeRows,
        config: TreeConfig,
        rng: np.random.Generator,
        held_out: np.ndarray,
    ) -> None:
        seen = np.setdiff1d(np.arange(len(rows.y)), held_out)
        binned, y, weights = rows.binned.take(seen), rows.y[seen], rows.weights[seen]
        super().__init__(TreeRows(binned, y, rows.task, weights), config, rng)
        self.held_out = held_out
        self.codes = np.ascontiguousarray(rows.binned.codes[held_out])
        self.scores_held_out = np.tile(self.start, (len(held_out), 1))

    def round(self) -> list[TreePredictor]:
        """Grow the next trees, and score the held-out rows with them."""
        trees = super().round()
        for k, tree in enumerate(trees):
            n_threads = self.grower.config.n_threads
            missing = self.grower.rows.max_bins
            self.scores_held_out[:, k] += tree.predict_binned(self.codes, missing, n_threads)
        return trees


def boosted_targets(
    x: np.ndarray,
    n_categories: np.ndarray,
    y: np.ndarray,
    n_classes: int,
    weights: np.ndarray,
    seed: int,
) -> np.ndarray | None:
    """Return probabilities of the scored classes, (n, K), by boosting that did not see the row.

    Networks on a table learn from them in place of y. In expectation they are y, without its
    noise: the log loss is linear in them. The distinct rows x (n, p) are numbers, or codes of the
    `n_categories` (p,) of a column, missing as NaN; y (n,) are codes of classes. None where y is
    as good: on many rows, and where boosting has no lower loss on rows that it did not see than
    the shares of the classes. Source: Hinton, Vinyals, Dean, *Distilling the Knowledge in a Neural
    Network*, arXiv 1503.02531; out of fold here, as a model's view of rows that it has learned is
    nearly y.
    """
    task, weights = Classes(n_classes), weights / weights.mean()
    n_folds = min(_N_FOLDS, task.most_folds(y))
    if len(y) >= _MANY_ROWS or x.size > _MANY_VALUES or n_folds < 2:
        return None
    rng = np.random.default_rng([seed, 2])
    binned = bin_rows(x, n_categories, weights, _MAX_BINS, rng)
    # Large steps on fewer folds are over sooner, and teach worse: docs/experiments/networks.md.
    folds = {"n_threads": threads_for(len(y)), "n_folds": n_folds, "n_held_out": n_folds}
    config = replace(base_config(len(y), **folds), max_leaf_nodes=_LEAVES[0])
    n_rounds, scores = held_out_rounds(TreeRows(binned, y, task, weights), config, rng)
    return task.mean(scores) if n_rounds else None


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

    A frozen base is taken as it is. Any other is fitted to X, y (labels or numbers), and the
    scores are those of five copies, each of which did not see the rows that it scores. `seed`
    takes the place of each `random_state` of the base that is None; `scores_of` maps a fitted base
    and rows to scores; `name` is what errors call it.
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
