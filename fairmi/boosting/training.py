"""Rows -> a base, then trees that debias it for each λ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fairmi._data.collapse import FittedRows
from fairmi._data.rarity import log_odds
from fairmi.boosting.base import Base, boost, cross_fit
from fairmi.boosting.channel import ScoreChannel, channel_of
from fairmi.boosting.config import BoostingConfig
from fairmi.boosting.rounds import Round, TreePenalty, debias
from fairmi.boosting.rows import TreeRows
from fairmi.boosting.trees import Trees, trees_of


@dataclass(frozen=True)
class TrainedTrees:
    """The trees of one λ, those of the own base first, and their channel.

    `fitted` has the rows of the fit with their scores; `n_rounds` are under the penalty, and
    `stopped` says why they are not all, if so.
    """

    trees: Trees
    channel: ScoreChannel
    fitted: FittedRows
    n_rounds: int
    stopped: str | None


def train_trees(
    rows: TreeRows,
    lams: Sequence[float],
    penalties_at: Callable[[float, ScoreChannel], list[TreePenalty]],
    config: BoostingConfig,
    reports: Sequence[Callable[[Round], bool]],
) -> Iterator[TrainedTrees]:
    """Yield the trees of each λ; the base is trained once.

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
    odds = log_odds(rows.y, rows.weights) if rows.n_classes == 2 else 0.0
    channel = channel_of(config.n_levels, odds)
    for lam, report in zip(lams, reports, strict=True):
        found = debias(
            rows.binned,
            rows.y,
            rows.weights,
            penalties_at(lam, channel),
            channel,
            base.scores,
            config.rounds,
            np.random.default_rng([config.seed, 1]),
            report,
        )
        trees = base.trees.then(found.trees)
        scores = channel.unsquash(channel.round(channel.squash(found.scores)))
        fitted = FittedRows(scores, rows.y, rows.weights)
        n_rounds = found.trees.n_rounds
        yield TrainedTrees(trees, channel, fitted, n_rounds, found.stopped)


def _base(rows: TreeRows, config: BoostingConfig) -> Base:
    rng = np.random.default_rng([config.seed, 0])
    if rows.base_scores is not None:
        none = np.zeros(rows.base_scores.shape[1])
        return Base(trees_of([], none, rows.binned.n_categories), rows.base_scores)
    given = (rows.binned, rows.y, rows.weights, rows.n_classes, config.base, rng)
    rarest = int(np.bincount(rows.y, minlength=rows.n_classes).min())
    n_folds = min(config.n_folds, rarest)
    if config.n_held_out == 0 or n_folds < 2:
        return boost(*given)
    return cross_fit(
        *given,
        n_folds=n_folds,
        n_held_out=min(config.n_held_out, n_folds),
        out_of_fold=config.out_of_fold,
    )
