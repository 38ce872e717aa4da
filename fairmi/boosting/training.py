"""Settings and rows of a fit -> a base, then trees that debias it for each λ."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from fairmi._data.fit_input import FitInput
from fairmi._sklearn_compat import TreePredictor
from fairmi.boosting.base import FEW_ROWS, TreeRows, base_config
from fairmi.boosting.trees import Binned, Grower, TreeConfig, Trees, bin_rows, trees_of
from fairmi.core.channel import Channel
from fairmi.core.information import SMOOTHING, information
from fairmi.core.membership import Comparison, mean_one
from fairmi.core.task import Objective, Task
from fairmi.preprocessing.encoded_columns import encodings_of
from fairmi.preprocessing.table_encoder import merge_rows

if TYPE_CHECKING:  # it loads torch, which a table doesn't need
    from fairmi.boosting.critic import TrainedCritic

_N_FOLDS = 5
# Folds are held out in turn to choose the rounds of the base until that many rows were: each on
# 4,000 distinct rows, one on 20,000. On many rows the rounds are 200.
_HELD_OUT_ROWS, _MIN_ROWS_OF_NONE = 4_000, 100_000
_ROUNDS_WITHOUT_FOLDS = 200
_LEAF_SHARE = 0.01
# Rounds under the penalty; on few rows they are cheap, and the groups may need to move far.
_ROUNDS, _ROUNDS_OF_FEW_ROWS = 100, 300
# Second derivative of the penalty in a score, as a share of λ: its own has no fixed sign. It grows
# where a round raised the loss, and falls back slowly.
_CURVATURE = (0.02, 2.0)
_GROWTH, _DECAY = 3.0, 0.9
# The step falls to a share of the first by half a cosine; λ rises over a share of the rounds.
_LAST_RATE, _RISE = 0.15, 0.2


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


class GroupTable:
    """The penalty over groups: the sum over units of I(unit; C | stratum).

    The optimal critic of each unit's levels, over all rows, takes the place of one that is
    trained.
    """

    def __init__(
        self, compared: Comparison, channel: Channel, lam: float, smoothing: float = SMOOTHING
    ) -> None:
        self.compared, self.channel = compared, channel
        self.lam, self.smoothing = lam, smoothing

    @property
    def weights(self) -> np.ndarray:
        """Weights of the rows, (n,), of mean 1."""
        return self.compared.row_weights

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at Z (n, K) in nats, and n times its derivative in Z, (n, K)."""
        n_levels = self.channel.n_levels
        assert n_levels is not None
        position = self.channel.position(z)
        parts = [
            information(position[:, k], self.compared, n_levels, self.smoothing)
            for k in range(z.shape[1])
        ]
        slopes = np.stack([slope for _, slope in parts], axis=1)
        return sum(value for value, _ in parts), slopes * self.channel.steps_per_unit


def is_table(penalty: Any) -> bool:
    """Whether a penalty is the default, which over groups is read off a table."""
    return isinstance(penalty, str) and penalty == "donsker_varadhan"


def penalties_of(
    compared: Sequence[Comparison],
    lams: Sequence[float],
    penalty: Any,
    channel: Channel,
    seed: int,
) -> list[GroupTable | TrainedCritic]:
    """Return a penalty for each sensitive attribute; of λ = 0, only one that needs no critic.

    `compared` has the rows of each, and `lams` its λ. The default `penalty` is read off a table
    where there are groups.
    """
    penalties: list[GroupTable | TrainedCritic] = []
    for rows, lam in zip(compared, lams, strict=True):
        if rows.members.n_groups and is_table(penalty):
            penalties.append(GroupTable(rows, channel.refined(), lam))
        elif lam:
            # These load torch, which a table doesn't need.
            from fairmi.boosting.critic import TrainedCritic
            from fairmi.dependence import penalty_of
            from fairmi.dependence.sensitive_batch import sensitive_batch

            batch = sensitive_batch(rows)
            penalties.append(TrainedCritic(penalty_of(penalty), batch, channel, lam, seed))
    return penalties


Record = dict[str, float]
"""A round before its trees grow: number, task loss and penalty in nats, seconds since the last."""


def debias(
    rows: Binned,
    objective: Objective,
    penalties: Sequence[GroupTable | TrainedCritic],
    channel_of: Callable[[np.ndarray], Channel],
    base_scores: np.ndarray,
    config: TreeConfig,
    rng: np.random.Generator,
    report: Callable[[Record], bool] | None = None,
) -> tuple[Trees, np.ndarray, list[Record], str | None]:
    """Return trees that added to a base's scores make Z tell less of what the penalties see.

    With them come the scores (n, K) of the rows, a record of each round, and why there are fewer
    trees than asked for: "callback", "interrupted" or "diverged"; None where there are not.
    `channel_of` maps scores (n, K) to the channel that they pass. Where `report` returns True, no
    tree is grown any more.
    """
    scores = np.array(base_scores, dtype=np.float64, order="F")
    grower = Grower(rows, config, rng)
    grown: list[TreePredictor] = []
    history: list[Record] = []
    stopped, before = None, time.perf_counter()
    curvature = _Curvature()
    try:
        for t in range(config.max_iter):
            progress = t / max(config.max_iter - 1, 1)
            share = min(progress / _RISE, 1.0)
            channel = channel_of(scores)
            z = channel.squash(scores)
            gradient, hessian = objective.derivatives(scores)
            task_loss = objective.loss(scores)
            value = weighted = 0.0
            for penalty in penalties:
                part, slope = penalty.gradient(z)
                gradient += (penalty.lam * share) * channel.pull_back(z, slope)
                value += part
                weighted += penalty.lam * part
            if not np.isfinite(weighted) or not np.isfinite(gradient).all():
                stopped = "diverged"
                break
            now = time.perf_counter()
            record = {"epoch": t + 1, "task_loss": task_loss, "penalty": value}
            history.append(record | {"seconds": now - before if history else 0.0})
            before = now
            if report is not None and report(history[-1]):
                stopped = "callback"
                break
            curved = curvature.after(task_loss, weighted, share) * (1 - z**2)
            # Trees grow in units of Z's slope, 1 for log odds: a split needs some curvature, which
            # that of a score in dollars would not have.
            unit = channel.scale / 2
            gradient, hessian = gradient * unit, hessian * unit**2
            for penalty in penalties:
                hessian += (penalty.lam * share) * penalty.weights[:, None] * curved
            falls = _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2
            rate = config.learning_rate * falls * unit
            after = scores.copy(order="F")
            trees_of_round = grower.round(gradient, hessian, after, rate)
            grown, scores = grown + trees_of_round, after  # none of a round that is interrupted
    except KeyboardInterrupt:
        stopped = "interrupted"
    trees = trees_of(grown, np.zeros(scores.shape[1]), rows.n_categories)
    return trees, scores, history, stopped


class _Curvature:
    """The damping of steps: more where the last round raised what it was to lower."""

    def __init__(self) -> None:
        self.value = _CURVATURE[0]
        self.before: tuple[float, float, float] | None = None

    def after(self, task_loss: float, penalty: float, share: float) -> float:
        """Return the curvature of the next round; `penalty` is weighted by λ, not by `share`."""
        if self.before is not None:
            loss, weighted, at_share = self.before
            raised = task_loss + at_share * penalty > loss + at_share * weighted
            factor = _GROWTH if raised else _DECAY
            self.value = float(np.clip(self.value * factor, *_CURVATURE))
        self.before = (task_loss, penalty, share)
        return self.value
