"""Settings and rows of a fit -> a base, then trees that debias it for each λ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairmi._data.fit_input import FitInput
from fairmi.boosting.base import FEW_ROWS, Base, averaged, base_config
from fairmi.boosting.rounds import Report, TreePenalty, debias
from fairmi.boosting.trees import Binned, TreeConfig, Trees, bin_rows, trees_of
from fairmi.core.channel import Channel
from fairmi.core.membership import Membership, mean_one
from fairmi.core.task import Task
from fairmi.preprocessing.encoded_columns import encodings_of
from fairmi.preprocessing.encoded_rows import merge_rows

_N_FOLDS = 5
# Folds are held out in turn to choose the rounds of the base until that many rows were: each on
# 4,000 distinct rows, one on 20,000. On many rows the rounds are 200.
_HELD_OUT_ROWS, _MIN_ROWS_OF_NONE = 4_000, 100_000
_ROUNDS_WITHOUT_FOLDS = 200
_LEAF_SHARE = 0.01
# Rounds under the penalty; on few rows they are cheap, and the groups may need to move far.
_ROUNDS, _ROUNDS_OF_FEW_ROWS = 100, 300


@dataclass(frozen=True)
class BoostingConfig:
    """Settings of a training: of the base, and of the rounds that debias it.

    Of `n_folds` of the rows, `n_held_out` are held out in turn to choose the rounds of the base;
    where `out_of_fold`, these give the scores that the penalty starts from too.
    """

    base: TreeConfig
    n_folds: int
    n_held_out: int
    out_of_fold: bool
    rounds: TreeConfig
    n_levels: int
    seed: int


def boosting_config(
    parameters: Mapping[str, Any], *, n_rows: int, n_threads: int, seed: int
) -> BoostingConfig:
    """Return the settings that a classifier's parameters come to on `n_rows` distinct rows."""
    shared: dict[str, Any] = {
        "l2_regularization": float(parameters["l2_regularization"]),
        "max_features": float(parameters["max_features"]),
        "n_threads": n_threads,
    }
    base = base_config(n_rows, **shared)
    if n_rows >= _MIN_ROWS_OF_NONE:
        base = replace(base, max_iter=_ROUNDS_WITHOUT_FOLDS)
    in_leaf, max_iter = parameters["min_samples_leaf"], parameters["max_iter"]
    if in_leaf == "auto":
        in_leaf = max(base.min_samples_leaf, int(_LEAF_SHARE * n_rows))
    if max_iter == "auto":
        max_iter = _ROUNDS_OF_FEW_ROWS if n_rows < FEW_ROWS else _ROUNDS
    # What a base learned of y by heart hides what it tells of the groups of a class.
    out_of_fold = parameters["constraint"] != "demographic_parity"
    n_folds = 2 if out_of_fold and n_rows >= _MIN_ROWS_OF_NONE else _N_FOLDS
    n_held_out = n_folds
    if not out_of_fold:
        enough = math.ceil(n_folds * _HELD_OUT_ROWS / max(n_rows, 1))
        n_held_out = min(n_folds, enough) if n_rows < _MIN_ROWS_OF_NONE else 0
    return BoostingConfig(
        base=base,
        n_folds=n_folds,
        n_held_out=n_held_out,
        out_of_fold=out_of_fold,
        rounds=TreeConfig(
            learning_rate=float(parameters["learning_rate"]),
            max_iter=int(max_iter),
            max_leaf_nodes=int(parameters["max_leaf_nodes"]),
            min_samples_leaf=in_leaf,
            **shared,
        ),
        n_levels=int(parameters["n_levels"]),
        seed=seed,
    )


@dataclass(frozen=True)
class TreeRows:
    """The n distinct rows of a fit, as trees read them.

    Attributes
    ----------
    binned : Binned
    encodings : list of ndarray of int
        The columns of `binned` that each base reads; penalised rounds read the first.
    y : ndarray of shape (n,)
        Codes of the classes, or numbers.
    task : Task
    weights : ndarray of shape (n,)
        Weights in the task loss, of mean 1.
    attributes : tuple of Membership
        Sensitive attributes, each with a penalty of its own.
    penalty_weights : ndarray of shape (n,)
    base_scores : ndarray of shape (n, K) or None
        Scores of a given base.
    """

    binned: Binned
    encodings: list[np.ndarray]
    y: np.ndarray
    task: Task
    weights: np.ndarray
    members: tuple[Membership, ...]
    penalty_weights: np.ndarray
    base_scores: np.ndarray | None


def tree_rows(
    given: FitInput,
    task: Task,
    x: np.ndarray,
    columns: Mapping[str, Any],
    base_scores: np.ndarray | None,
    max_bins: int,
    seed: int,
) -> TreeRows:
    """Return the distinct rows of a fit, in an order that only their content sets.

    Parameters
    ----------
    given : FitInput
        N rows.
    task : Task
    x : ndarray of shape (N, p), float64
    columns : dict
        What `learn_columns` returns beside x.
    base_scores : ndarray of shape (N, K) or None
    max_bins : int
    seed : int
    """
    rng = np.random.default_rng(seed)
    encodings, n_categories = encodings_of(columns)
    binned = bin_rows(x, n_categories, given.task_weights, max_bins, rng)
    told_apart = [given.codes, *(part.columns for part in given.members)]
    if base_scores is not None:
        told_apart.append(base_scores)
    both = np.column_stack([given.task_weights, given.penalty_weights])
    kept, weights = merge_rows(binned.codes[:, encodings[0]], np.column_stack(told_apart), both)
    return TreeRows(
        binned=binned.take(kept),
        encodings=encodings,
        y=given.codes[kept],
        task=task,
        weights=mean_one(weights[:, 0]),
        members=tuple(part.take(kept) for part in given.members),
        penalty_weights=weights[:, 1],
        base_scores=None if base_scores is None else base_scores[kept],
    )


@dataclass(frozen=True)
class TrainedTrees:
    """The trees of one λ, those of the own base first, and their channel.

    `scores` and `base_scores` (n, K) are those of the rows of the fit before rounding; `n_rounds`
    are under the penalty, and `stopped` says why they are not all, if so.
    """

    trees: Trees
    channel: Channel
    scores: np.ndarray
    base_scores: np.ndarray
    n_rounds: int
    stopped: str | None


def train_trees(
    rows: TreeRows,
    lams: Sequence[float],
    penalties_at: Callable[[float, Channel], list[TreePenalty]],
    config: BoostingConfig,
    reports: Sequence[Report],
) -> Iterator[TrainedTrees]:
    """Yield the trees of each λ; the base is trained once, and is what λ = 0 gives, unrounded.

    Parameters
    ----------
    rows : TreeRows
    lams : sequence of float
    penalties_at : callable
        Makes the penalties of a λ whose Z passes a channel.
    config : BoostingConfig
    reports : sequence of callable
        What is told of each round, for each λ.
    """
    base = _base(rows, config)
    task, binned = rows.task, rows.binned.columns(rows.encodings[0])
    channel_of = task.channels(config.n_levels, rows.y, rows.weights)
    channel = channel_of(base.scores)
    objective = task.beside_base(base.scores, rows.y, rows.weights)
    for lam, report in zip(lams, reports, strict=True):
        if lam == 0:
            unrounded = channel.with_levels(None)
            yield TrainedTrees(base.trees, unrounded, base.scores, base.scores, 0, None)
            continue
        grown, scores, stopped = debias(
            binned,
            objective,
            penalties_at(lam, channel),
            channel_of,
            base.scores,
            config.rounds,
            np.random.default_rng([config.seed, 1]),
            report,
        )
        trees, last = base.trees.then(grown), channel_of(scores)
        yield TrainedTrees(trees, last, scores, base.scores, grown.n_rounds, stopped)


def _base(rows: TreeRows, config: BoostingConfig) -> Base:
    if rows.base_scores is not None:
        none = np.zeros(rows.base_scores.shape[1])
        return Base(trees_of([], none, rows.binned.n_categories), rows.base_scores)
    return averaged(
        rows.binned,
        rows.encodings,
        rows.y,
        rows.weights,
        rows.task,
        config.base,
        [config.seed, 0],
        n_folds=config.n_folds,
        n_held_out=config.n_held_out,
        out_of_fold=config.out_of_fold,
    )
