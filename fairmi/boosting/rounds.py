"""The penalised rounds: trees on the gradient of task loss + λ I(Z; C), from the base's scores."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from tqdm.auto import tqdm

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


Report = Callable[[int, float, float], bool]
"""Told of each round, before its trees grow: its number, task loss and penalty in nats."""


def debias(
    rows: Binned,
    objective: Objective,
    penalties: Sequence[TreePenalty],
    channel_of: Callable[[np.ndarray], Channel],
    base_scores: np.ndarray,
    config: TreeConfig,
    rng: np.random.Generator,
    report: Report | None = None,
) -> tuple[Trees, np.ndarray, str | None]:
    """Return trees that added to a base's scores make Z tell less of what the penalties see.

    With them come the scores (n, K) of the rows, and why there are fewer trees than asked for:
    "callback", "interrupted" or "diverged"; None where there are not.

    Parameters
    ----------
    rows : Binned
        n rows.
    objective : Objective
        The task loss.
    penalties : sequence of TreePenalty
    channel_of : callable
        Scores (n, K) -> the channel that they pass.
    base_scores : ndarray of shape (n, K)
    config : TreeConfig
    rng : Generator
    report : callable or None
        Where it returns True, no tree is grown any more.
    """
    scores = np.array(base_scores, dtype=np.float64, order="F")
    grower = Grower(rows, config, rng)
    grown: list[TreePredictor] = []
    stopped = None
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
            if report is not None and report(t + 1, task_loss, value):
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
    return trees, scores, stopped


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


class RoundReporter:
    """Called with each round; a context that closes its bar, and shows none unless asked."""

    def __init__(
        self,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]],
        *,
        show: bool,
        n_rounds: int,
        lam: float | Mapping[str, float],
    ) -> None:
        self.callbacks = callbacks
        self.history: list[dict[str, float]] = []
        self.bar = tqdm(total=n_rounds, unit="round", desc=f"λ = {lam}", disable=not show)
        self.before: float | None = None

    def __enter__(self) -> Self:
        """Start."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the bar."""
        self.bar.close()

    def __call__(self, number: int, task_loss: float, penalty: float) -> bool:
        """Show a round and tell the callbacks; stop where one of them returns True."""
        now = time.perf_counter()
        record = {
            "epoch": number,
            "task_loss": task_loss,
            "penalty": penalty,
            "seconds": 0.0 if self.before is None else now - self.before,
        }
        self.before = now
        self.history.append(record)
        if not self.bar.disable:
            self.bar.set_postfix(task=f"{task_loss:.4f}", MI=f"{penalty:.4f}")
        self.bar.update()
        answers = [callback(dict(record)) for callback in self.callbacks]
        return any(answers)
