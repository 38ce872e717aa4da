"""The loop over epochs: what is recorded and what state is left, and what ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor

from fairmi._progress import Progress
from fairmi.dependence.layers import repeated
from fairmi.networks.model import Networks
from fairmi.networks.reducer import active_reducer
from fairmi.networks.rows import TrainingRows


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch measured on training batches, a value for each model, in nats."""

    epoch: int
    task_loss: tuple[float, ...]
    penalty: tuple[float, ...]
    seconds: float

    def is_finite(self, model: int) -> bool:
        """Whether the losses of a model are numbers."""
        return math.isfinite(self.task_loss[model]) and math.isfinite(self.penalty[model])

    def mean(self, models: slice) -> dict[str, float]:
        """Return the record by names, the mean over models."""
        return {
            "epoch": self.epoch,
            "task_loss": fmean(self.task_loss[models]),
            "penalty": fmean(self.penalty[models]),
            "seconds": self.seconds,
        }


class Trainable(Protocol):
    """The state of one training, that trains its networks for an epoch at a time."""

    networks: Networks
    rows: TrainingRows

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        ...


class Course:
    """The epochs of a training, and the last good state of each model, or that of the best score.

    For each model `last` has the record of the epoch whose state this is, None where it is the
    start; `alive` says whether all its numbers were finite. `ended` says why the training ended
    before its last epoch, if it did.
    """

    def __init__(self, networks: Networks, score: Callable[[], float] | None) -> None:
        self.networks, self.score, self.best = networks, score, -math.inf
        self.state = networks.states()
        self.records: list[EpochRecord] = []
        self.last: list[EpochRecord | None] = [None] * networks.n_models
        self.alive = [True] * networks.n_models
        self.ended: str | None = None

    def see(self, record: EpochRecord) -> None:
        """Take over the state after an epoch of the models whose numbers are finite."""
        finite = finite_models(self.networks)
        for k in range(len(self.alive)):
            self.alive[k] &= finite[k] and record.is_finite(k)
        if self.score is not None and any(self.alive):
            score = self.score()
            if not score > self.best:
                return
            self.best = score
        self.last = [record if a else k for a, k in zip(self.alive, self.last, strict=True)]
        chosen = torch.tensor(self.alive).nonzero()[:, 0]
        for name, value in self.networks.state_dict().items():
            # Of what models have in common, model m has the part of m modulo their number.
            self.state[name][chosen] = value[chosen % len(value)]
        if any(self.alive):
            self.networks.keep_shared()

    def stopped(self, models: slice) -> str | None:
        """Return why some models ended before the last epoch, if they did."""
        return self.ended if all(self.alive[models]) else "diverged"

    def history(self, models: slice) -> list[dict[str, float]]:
        """Return the means over some models, up to where one of them diverged if one did."""
        members = range(*models.indices(len(self.alive)))
        return [r.mean(models) for r in self.records if all(map(r.is_finite, members))]


def run_epochs(
    training: Trainable,
    n_epochs: int,
    progress: Progress,
    asked: slice = slice(None),
    score: Callable[[], float] | None = None,
) -> Course:
    """Train the networks in place.

    A model whose loss becomes non-finite ends in its last good state; those that share its hidden
    layers soon do too. So do all where the user interrupts. `progress`, which sees the models that
    are `asked` for, ends the training by returning True. Others are not waited for. With `score`,
    which rates the networks as they are after an epoch, they end in the state of its largest
    number.
    """
    networks, n_rows = training.networks, training.rows.n_rows
    course = Course(networks, score)
    networks.train()
    try:
        for number in range(1, n_epochs + 1):
            record = timed_epoch(training, number)
            course.see(record)
            if not any(course.alive[asked]):
                break
            course.records.append(record)
            speed = f"{n_rows / max(record.seconds, 1e-9):,.0f}"
            if active_reducer().any(progress(record.mean(asked), rows_per_s=speed)):
                course.ended = "callback"
                break
    except KeyboardInterrupt:
        course.ended = "interrupted"
    networks.separate(course.state)
    networks.eval()
    return course


def finite_models(networks: Networks) -> list[bool]:
    """Whether all weights of each model are numbers: the last step can break them unseen."""
    if not networks.shared_is_finite():
        return [False] * networks.n_models
    sound = [values.flatten(1).isfinite().all(1) for values in networks.parameters()]
    parts = [repeated(part, networks.n_models // len(part)) for part in sound]
    return torch.stack(parts).all(0).tolist()


def timed_epoch(training: Trainable, number: int) -> EpochRecord:
    """Train for an epoch and record it."""
    start = time.perf_counter()
    task, value = training.epoch().tolist()
    return EpochRecord(number, tuple(task), tuple(value), time.perf_counter() - start)
