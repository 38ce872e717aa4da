"""The loop over epochs of any schedule: what is kept, and what ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from fairmi._networks import Networks, repeated
from fairmi._types import Batch, EpochRecord, TrainingData


@dataclass(frozen=True)
class Settings:
    """How to train; `lams` has a penalty weight for each model.

    The models are `n_repeats` times the same starting weights. `factors` has the share of λ that
    each sensitive attribute's penalty counts with.
    """

    lams: tuple[float, ...]
    n_repeats: int
    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_critic_steps: int
    critic_learning_rate: float
    factors: tuple[float, ...]


@dataclass(frozen=True)
class Control:
    """What watches a training: validation rows, patience, and a call after each epoch.

    With validation rows the networks end in the state that was best on them by task loss plus λ
    times penalty, and `patience` epochs without a better one end the training. Epochs before the
    penalty is in full force do not count: their states are not yet debiased. `on_epoch` ends the
    training by returning True. Models that are not `asked` for are not waited for.
    """

    on_epoch: Callable[[EpochRecord], bool]
    asked: slice
    validation: TrainingData | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    For each model, `stopped` says why it ended before its last epoch, if it did, and `kept` is the
    record of the epoch whose state the networks have, None where it is the start.
    """

    history: tuple[EpochRecord, ...]
    stopped: tuple[str | None, ...]
    kept: tuple[EpochRecord | None, ...]


class Run(Protocol):
    """The state of one training, that trains its networks for an epoch at a time."""

    networks: Networks
    settings: Settings

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        ...

    def evaluate(self, data: TrainingData) -> Tensor:
        """Return task loss and penalty of other rows, through the channel of inference, (2, M)."""
        ...

    def claims(self, rows: Batch, kept: EpochRecord, model: int) -> tuple[float | None, ...]:
        """Return what the penalty says is left of each sensitive attribute in Z of a model.

        In nats, as `kept` has it; of a penalty that is no information, infinity where it tells
        `rows` from shuffled ones, else 0. None where it is not penalised.
        """
        ...


# The share of a fit from which on the penalty is in full force.
_SETTLED = 0.8


def train(run: Run, control: Control) -> Outcome:
    """Train the networks of `run` in place and return the history.

    A model whose loss becomes non-finite gets back its last good state, or the best one where
    there are validation rows; those that share its hidden layers soon do too. So do all where the
    user interrupts.
    """
    networks, n_epochs = run.networks, run.settings.n_epochs
    history: list[EpochRecord] = []
    keeper = _Keeper(networks, run.settings.lams, control.asked)
    stopped = None
    networks.train()
    try:
        for number in range(1, n_epochs + 1):
            record = timed_epoch(run, number, control.validation)
            keeper.see(record, choosy=control.validation is not None, share=number / n_epochs)
            if not any(keeper.alive[control.asked]):
                break
            history.append(record)
            if control.on_epoch(record):
                stopped = "callback"
            elif control.patience is not None and keeper.waited >= control.patience:
                stopped = "no change"
            if stopped is not None:
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    networks.separate(keeper.state)
    networks.eval()
    reasons = tuple(stopped if alive else "diverged" for alive in keeper.alive)
    return Outcome(tuple(history), reasons, tuple(keeper.kept))


class _Keeper:
    """The state that each model will end in: its last, or its best on validation rows."""

    def __init__(self, networks: Networks, lams: tuple[float, ...], asked: slice) -> None:
        self.networks, self.lams, self.asked = networks, lams, asked
        self.state = networks.states()
        self.kept: list[EpochRecord | None] = [None] * len(lams)
        self.alive = [True] * len(lams)
        self.best = [math.inf] * len(lams)
        self.waited = 0

    def see(self, record: EpochRecord, *, choosy: bool, share: float) -> None:
        """Keep the state after an epoch, at a `share` of the fit, of the models it is good for.

        The choosy keep it only where it is their best on validation rows, once the penalty has
        settled.
        """
        sound = finite_models(self.networks)
        for k in range(len(self.lams)):
            self.alive[k] &= sound[k] and is_finite(record, k)
        better = list(self.alive)
        if choosy and share >= _SETTLED:
            scores = [_validation_score(record, k, lam) for k, lam in enumerate(self.lams)]
            better = [a and s < b for a, s, b in zip(self.alive, scores, self.best, strict=True)]
            self.best = [min(s, b) for s, b in zip(scores, self.best, strict=True)]
            self.waited = 0 if any(better[self.asked]) else self.waited + 1
        self.kept = [record if b else k for b, k in zip(better, self.kept, strict=True)]
        chosen = torch.tensor(better).nonzero()[:, 0]
        for name, value in self.networks.state_dict().items():
            # Of what models have in common, model m has the part of m modulo their number.
            self.state[name][chosen] = value[chosen % len(value)]


def is_finite(record: EpochRecord, model: int = 0) -> bool:
    """Whether the losses of a model's epoch are numbers."""
    return math.isfinite(record.task_loss[model]) and math.isfinite(record.penalty[model])


def finite_models(networks: Networks) -> list[bool]:
    """Whether all weights of each model are numbers: the last step can break them unseen."""
    sound = [values.flatten(1).isfinite().all(1) for values in networks.parameters()]
    parts = [repeated(part, networks.n_models // len(part)) for part in sound]
    return torch.stack(parts).all(0).tolist()


def timed_epoch(run: Run, number: int, validation: TrainingData | None) -> EpochRecord:
    """Train for an epoch, look at validation rows where there are any, and record both."""
    start = time.perf_counter()
    task, value = run.epoch().tolist()
    val_task: list[float] = []
    val_value: list[float] = []
    if validation is not None:
        run.networks.eval()
        val_task, val_value = run.evaluate(validation).tolist()
        run.networks.train()
    seconds = time.perf_counter() - start
    return EpochRecord(
        number, tuple(task), tuple(value), tuple(val_task), tuple(val_value), seconds
    )


def _validation_score(record: EpochRecord, model: int, lam: float) -> float:
    return record.val_task_loss[model] + lam * max(record.val_penalty[model], 0.0)
