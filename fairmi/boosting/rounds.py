"""The penalised rounds: trees on the gradient of task loss + λ I(Z; C), from the base's scores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from fairmi._compat import TreePredictor
from fairmi.boosting import schedule
from fairmi.boosting.binning import Binned
from fairmi.boosting.channel import Channel
from fairmi.boosting.config import TreeConfig
from fairmi.boosting.growth import Grower
from fairmi.boosting.levels import SMOOTHING, Attribute, information
from fairmi.boosting.task import derivatives, log_loss
from fairmi.boosting.trees import Trees, trees_of

_CURVATURE = 0.05  # of the penalty, as a share of λ: its own second derivative has no fixed sign


@dataclass(frozen=True)
class Round:
    """What one round measured before its trees: both in nats."""

    number: int
    task_loss: float
    penalty: float


def debias(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    attributes: Sequence[Attribute],
    channel: Channel,
    base_scores: np.ndarray,
    config: TreeConfig,
    rng: np.random.Generator,
    report: Callable[[Round], bool] | None = None,
) -> Trees:
    """Return the trees that added to `base_scores` (n, K) make Z tell less of the attributes."""
    scores = np.asfortranarray(base_scores, dtype=np.float64).copy(order="F")
    grower = Grower(rows, config, rng)
    grown: list[TreePredictor] = []
    for t in range(config.max_iter):
        progress = t / max(config.max_iter - 1, 1)
        share = schedule.share(progress)
        gradient, hessian = derivatives(scores, y, weights)
        z = channel.squash(scores)
        value = 0.0
        for attribute in attributes:
            lam = attribute.lam * share
            part, slope = penalty_gradient(z, attribute, channel)
            gradient += lam * slope
            hessian += (_CURVATURE * lam) * attribute.weights[:, None] * (1 - z**2)
            value += part
        if report is not None and report(Round(t + 1, log_loss(scores, y, weights), value)):
            break
        rate = config.learning_rate * schedule.rate(progress)
        grown += grower.round(gradient, hessian, scores, rate)
    start = np.zeros(scores.shape[1])
    return trees_of(grown, start, rows.n_categories)


def penalty_gradient(
    z: np.ndarray, attribute: Attribute, channel: Channel, smoothing: float = SMOOTHING
) -> tuple[float, np.ndarray]:
    """Return the summed information of the units of Z, and n times its gradient in the scores."""
    place = channel.place(z)
    units = range(z.shape[1])
    parts = [information(place[:, k], attribute, channel.n_levels, smoothing) for k in units]
    slope = np.stack([slope for _, slope in parts], axis=1) * ((channel.n_levels - 1) / 2)
    return sum(value for value, _ in parts), channel.pull_back(z, slope)
