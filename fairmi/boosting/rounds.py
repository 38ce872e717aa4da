"""The penalised rounds: trees on the gradient of task loss + λ I(Z; C), from the base's scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from fairmi._sklearn_compat import TreePredictor
from fairmi.boosting.trees import Binned, Grower, TreeConfig, Trees, trees_of
from fairmi.core.channel import Channel
from fairmi.core.task import Objective

# Second derivative of the penalty in a score, as a share of λ: its own has no fixed sign. It grows
# where a round raised the loss, and falls back slowly.
_CURVATURE = (0.02, 2.0)
_GROWTH, _DECAY = 3.0, 0.9
# The step falls to a share of the first by half a cosine; λ rises over a share of the rounds.
_LAST_RATE, _RISE = 0.15, 0.2


class TreePenalty(Protocol):
    """One sensitive attribute's part of the loss; weights (n,) of the rows have mean 1."""

    lam: float

    @property
    def weights(self) -> np.ndarray:
        """Weights of the rows, (n,), of mean 1."""
        ...

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at Z (n, K), and n times its derivative in Z, (n, K)."""
        ...


Record = dict[str, float]
"""A round before its trees grow: number, task loss and penalty in nats, seconds since the last."""


def debias(
    rows: Binned,
    objective: Objective,
    penalties: Sequence[TreePenalty],
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
            share = share_at(progress)
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
            rate = config.learning_rate * rate_at(progress) * unit
            grown += grower.round(gradient, hessian, scores, rate)
    except KeyboardInterrupt:
        stopped = "interrupted"
    whole = len(grown) - len(grown) % scores.shape[1]
    trees = trees_of(grown[:whole], np.zeros(scores.shape[1]), rows.n_categories)
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


def rate_at(progress: float) -> float:
    """Return r(t), which falls from 1 to 0.15 by half a cosine; `progress` goes from 0 to 1."""
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2


def share_at(progress: float) -> float:
    """Return q(t), which rises from 0 to 1 over the first fifth of the rounds."""
    return min(progress / _RISE, 1.0)
