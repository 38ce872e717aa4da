"""The loop over epochs: what is recorded, told and kept, and what ends it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType
from typing import Protocol, Self

import torch
from torch import Tensor
from tqdm.auto import tqdm

from fairmi.dependence.layers import repeated
from fairmi.networks.model import Networks


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


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    For each model, `stopped` says why it ended before its last epoch, if it did, and `kept` is the
    record of the epoch whose state the networks have, None where it is the start.
    """

    history: tuple[EpochRecord, ...]
    stopped: tuple[str | None, ...]
    kept: tuple[EpochRecord | None, ...]


class Trainable(Protocol):
    """The state of one training, that trains its networks for an epoch at a time."""

    networks: Networks

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        ...


def run_epochs(
    training: Trainable,
    n_epochs: int,
    on_epoch: Callable[[EpochRecord], bool],
    asked: slice = slice(None),
    score: Callable[[], float] | None = None,
) -> Outcome:
    """Train the networks in place and return the history.

    A model whose loss becomes non-finite ends in its last good state; those that share its hidden
    layers soon do too. So do all where the user interrupts. `on_epoch` ends the training by
    returning True. Models that are not `asked` for are not waited for. With `score`, which rates
    the networks as they are after an epoch, they end in the state of its largest number.
    """
    networks = training.networks
    history: list[EpochRecord] = []
    keeper = _Keeper(networks, score)
    stopped = None
    networks.train()
    try:
        for number in range(1, n_epochs + 1):
            record = timed_epoch(training, number)
            keeper.see(record)
            if not any(keeper.alive[asked]):
                break
            history.append(record)
            if on_epoch(record):
                stopped = "callback"
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    networks.separate(keeper.state)
    networks.eval()
    reasons = tuple(stopped if alive else "diverged" for alive in keeper.alive)
    return Outcome(tuple(history), reasons, tuple(keeper.kept))


class _Keeper:
    """The last good state of each model, or that of the best score."""

    def __init__(self, networks: Networks, score: Callable[[], float] | None) -> None:
        self.networks, self.score, self.best = networks, score, -math.inf
        self.state = networks.states()
        self.kept: list[EpochRecord | None] = [None] * networks.n_models
        self.alive = [True] * networks.n_models

    def see(self, record: EpochRecord) -> None:
        """Keep the state after an epoch of the models whose numbers are finite."""
        finite = finite_models(self.networks)
        for k in range(len(self.alive)):
            self.alive[k] &= finite[k] and record.is_finite(k)
        if self.score is not None and any(self.alive):
            score = self.score()
            if not score > self.best:
                return
            self.best = score
        self.kept = [record if a else k for a, k in zip(self.alive, self.kept, strict=True)]
        chosen = torch.tensor(self.alive).nonzero()[:, 0]
        for name, value in self.networks.state_dict().items():
            # Of what models have in common, model m has the part of m modulo their number.
            self.state[name][chosen] = value[chosen % len(value)]
        if any(self.alive):
            self.networks.keep_shared()


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


class Reporter:
    """Called after each epoch; a context that closes its bar, and shows none unless asked.

    It tells the means over `models`.
    """

    def __init__(
        self,
        callbacks: Sequence[Callable[[dict[str, float]], bool | None]],
        *,
        show: bool,
        n_epochs: int,
        n_rows: int,
        models: slice,
    ) -> None:
        self.callbacks, self.models = callbacks, models
        self.n_rows = n_rows
        self.bar = tqdm(total=n_epochs, unit="epoch", desc="fairmi", disable=not show)

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

    def __call__(self, record: EpochRecord) -> bool:
        """Show an epoch and tell the callbacks; stop where one of them returns True."""
        if not self.bar.disable:
            self.bar.set_postfix(
                task=f"{fmean(record.task_loss[self.models]):.4f}",
                MI=f"{fmean(record.penalty[self.models]):.4f}",
                rows_per_s=f"{self.n_rows / max(record.seconds, 1e-9):,.0f}",
            )
        self.bar.update()
        told = epoch_dict(record, self.models)
        answers = [callback(dict(told)) for callback in self.callbacks]
        return any(answers)


def epoch_dict(record: EpochRecord, models: slice) -> dict[str, float]:
    """Return an epoch's record by names, the mean over models."""
    return {
        "epoch": record.epoch,
        "task_loss": fmean(record.task_loss[models]),
        "penalty": fmean(record.penalty[models]),
        "seconds": record.seconds,
    }
