"""Settings and rows of a fit -> a base, then trees that debias it for each λ."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from fairmi._data.fit_input import FitInput
from fairmi.boosting.base import FEW_ROWS, TreeRows, averaged, base_config
from fairmi.boosting.rounds import Record, TreePenalty, debias
from fairmi.boosting.trees import TreeConfig, Trees, bin_rows, trees_of
from fairmi.core.channel import Channel
from fairmi.core.membership import mean_one
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


def boosting_config(
    parameters: Mapping[str, Any], *, n_rows: int, n_threads: int
) -> tuple[TreeConfig, TreeConfig]:
    """Return the settings of base and penalised rounds on `n_rows` distinct rows.

    `parameters` are those of an estimator of trees, by name.
    """
    shared: dict[str, Any] = {
        "l2_regularization": float(parameters["l2_regularization"]),
        "max_features": float(parameters["max_features"]),
        "n_threads": n_threads,
    }
    # What a base learned of y by heart hides what it tells of the groups of a class.
    out_of_fold = parameters["constraint"] != "demographic_parity"
    n_folds = 2 if out_of_fold and n_rows >= _MIN_ROWS_OF_NONE else _N_FOLDS
    n_held_out = n_folds
    if not out_of_fold:
        enough = math.ceil(n_folds * _HELD_OUT_ROWS / max(n_rows, 1))
        n_held_out = min(n_folds, enough) if n_rows < _MIN_ROWS_OF_NONE else 0
    folds = {"n_folds": n_folds, "n_held_out": n_held_out, "out_of_fold": out_of_fold}
    base = base_config(n_rows, **shared, **folds)
    if n_rows >= _MIN_ROWS_OF_NONE:
        base = replace(base, max_iter=_ROUNDS_WITHOUT_FOLDS)
    in_leaf, max_iter = parameters["min_samples_leaf"], parameters["max_iter"]
    if in_leaf == "auto":
        in_leaf = max(base.min_samples_leaf, int(_LEAF_SHARE * n_rows))
    if max_iter == "auto":
        max_iter = _ROUNDS_OF_FEW_ROWS if n_rows < FEW_ROWS else _ROUNDS
    rounds = TreeConfig(
        learning_rate=float(parameters["learning_rate"]),
        max_iter=int(max_iter),
        max_leaf_nodes=int(parameters["max_leaf_nodes"]),
        min_samples_leaf=in_leaf,
        **shared,
    )
    return base, rounds


def tree_rows(
    inputs: FitInput,
    task: Task,
    x: np.ndarray,
    columns: Mapping[str, Any],
    base_scores: np.ndarray | None,
    max_bins: int,
    seed: int,
) -> TreeRows:
    """Return the distinct rows of a fit, in an order that only their content sets.

    `x` (N, p) and `columns` are as `learn_columns` returns them, `base_scores` (N, K) those of a
    given base.
    """
    rng = np.random.default_rng(seed)
    encodings, n_categories = encodings_of(columns)
    binned = bin_rows(x, n_categories, inputs.task_weights, max_bins, rng)
    contents = [inputs.codes, *(part.columns for part in inputs.members)]
    if base_scores is not None:
        contents.append(base_scores)
    both = np.column_stack([inputs.task_weights, inputs.penalty_weights])
    distinct, weights = merge_rows(binned.codes[:, encodings[0]], np.column_stack(contents), both)
    return TreeRows(
        binned=binned.take(distinct),
        y=inputs.codes[distinct],
        task=task,
        weights=mean_one(weights[:, 0]),
        encodings=encodings,
        members=tuple(part.take(distinct) for part in inputs.members),
        penalty_weights=weights[:, 1],
        base_scores=None if base_scores is None else base_scores[distinct],
    )


@dataclass(frozen=True)
class TrainedTrees:
    """The trees of one λ, those of the own base first, and their channel.

    `scores` and `base_scores` (n, K) are those of the rows of the fit before rounding; `history`
    has the rounds under the penalty, `n_rounds` of which have trees, and `stopped` says why they
    are not all, if so.
    """

    trees: Trees
    channel: Channel
    scores: np.ndarray
    base_scores: np.ndarray
    history: list[Record]
    n_rounds: int
    stopped: str | None


def train_trees(
    rows: TreeRows,
    lams: Sequence[float],
    penalties_at: Callable[[float, Channel], list[TreePenalty]],
    config: tuple[TreeConfig, TreeConfig],
    *,
    n_levels: int,
    seed: int,
    reports: Sequence[Callable[[Record], bool]],
) -> Iterator[TrainedTrees]:
    """Yield the trees of each λ; the base is trained once, and is what λ = 0 gives, unrounded.

    `penalties_at` makes the penalties of a λ whose Z passes a channel; `config` has the settings
    of the base, and of the rounds under the penalty; `reports` are told of each round, for each λ.
    """
    base_trees, base_scores = _base(rows, config[0], seed)
    channel_of = rows.task.channels(n_levels, rows.y, rows.weights)
    channel = channel_of(base_scores)
    objective = rows.task.beside_base(base_scores, rows.y, rows.weights)
    for lam, report in zip(lams, reports, strict=True):
        if lam == 0:
            open_channel = channel.with_levels(None)
            yield TrainedTrees(base_trees, open_channel, base_scores, base_scores, [], 0, None)
            continue
        grown, scores, history, stopped = debias(
            rows.binned.columns(rows.encodings[0]),
            objective,
            penalties_at(lam, channel),
            channel_of,
            base_scores,
            config[1],
            np.random.default_rng([seed, 1]),
            report,
        )
        trees, last = base_trees.then(grown), channel_of(scores)
        yield TrainedTrees(trees, last, scores, base_scores, history, grown.n_rounds, stopped)


def _base(rows: TreeRows, config: TreeConfig, seed: int) -> tuple[Trees, np.ndarray]:
    """Return the trees of a base, none where it is given, and its scores of the rows."""
    if rows.base_scores is None:
        return averaged(rows, config, [seed, 0])
    none = np.zeros(rows.base_scores.shape[1])
    return trees_of([], none, rows.binned.n_categories), rows.base_scores
