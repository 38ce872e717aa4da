"""The penalised rounds: trees on the gradient of task loss + λ I(Z; C), from the base's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fairmi._sklearn_compat import TreePredictor
from fairmi.boosting import schedule
from fairmi.boosting.binning import Binned
from fairmi.boosting.channel import ScoreChannel
from fairmi.boosting.config import TreeConfig
from fairmi.boosting.growth import Grower
from fairmi.boosting.task import derivatives, log_loss
from fairmi.boosting.trees import Trees, trees_of

# Second derivative of the penalty in a score, as a share of λ: its own has no fixed sign. It grows
# where a round raised the loss, and falls back slowly.
_CURVATURE = (0.02, 2.0)
_GROWTH, _DECAY = 3.0, 0.9


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


@dataclass(frozen=True)
class Round:
    """What was measured of a round before its trees grew, in nats."""

    number: int
    task_loss: float
    penalty: float


@dataclass(frozen=True)
class DebiasedTrees:
    """Trees to add to a base, and the scores (n, K) of the rows with them.

    `stopped` says why there are fewer trees than asked for: "callback", "interrupted", "diverged",
    or None where there are not.
    """

    trees: Trees
    scores: np.ndarray
    stopped: str | None


def debias(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    penalties: Sequence[TreePenalty],
    channel: ScoreChannel,
    base_scores: np.ndarray,
    config: TreeConfig,
    rng: np.random.Generator,
    report: Callable[[Round], bool] | None = None,
) -> DebiasedTrees:
    """Return trees that added to a base's scores make Z tell less of what the penalties see.

    Parameters
    ----------
    rows : Binned
        n rows.
    y : ndarray of shape (n,), int
        Codes of the classes.
    weights : ndarray of shape (n,)
        Weights of the rows in the task loss, of mean 1.
    penalties : sequence of TreePenalty
    channel : ScoreChannel
    base_scores : ndarray of shape (n, K)
    config : TreeConfig
    rng : Generator
    report : callable or None
        Told of each round; where it returns True, no tree is grown any more.
    """
    scores = np.array(base_scores, dtype=np.float64, order="F")
    grower = Grower(rows, config, rng)
    grown: list[TreePredictor] = []
    stopped = None
    curvature = _Curvature()
    try:
        for t in range(config.max_iter):
            progress = t / max(config.max_iter - 1, 1)
            share = schedule.share(progress)
            z = channel.squash(scores)
            gradient, hessian = derivatives(scores, y, weights)
            task_loss = log_loss(scores, y, weights)
            value = weighted = 0.0
            for penalty in penalties:
                part, slope = penalty.gradient(z)
                gradient += (penalty.lam * share) * channel.pull_back(z, slope)
                value += part
                weighted += penalty.lam * part
            if not np.isfinite(weighted) or not np.isfinite(gradient).all():
                stopped = "diverged"
                break
            if report is not None and report(Round(t + 1, task_loss, value)):
                stopped = "callback"
                break
            curved = curvature.after(task_loss, weighted, share) * (1 - z**2)
            for penalty in penalties:
                hessian += (penalty.lam * share) * penalty.weights[:, None] * curved
            rate = config.learning_rate * schedule.rate(progress)
            grown += grower.round(gradient, hessian, scores, rate)
    except KeyboardInterrupt:
        stopped = "interrupted"
    whole = len(grown) - len(grown) % scores.shape[1]
    trees = trees_of(grown[:whole], np.zeros(scores.shape[1]), rows.n_categories)
    return DebiasedTrees(trees, scores, stopped)


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
