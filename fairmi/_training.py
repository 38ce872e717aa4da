"""Step and epoch of the default schedule, and the loop over epochs of any schedule."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Generator, Tensor, nn

from fairmi._networks import Networks
from fairmi._types import Batch, EpochRecord, TrainingData
from fairmi.dependence import DonskerVaradhan
from fairmi.dependence.level_table import LevelTable


@dataclass(frozen=True)
class Settings:
    """How to train; `lams` has a penalty weight for each model."""

    lams: tuple[float, ...]
    n_epochs: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    n_critic_steps: int
    critic_learning_rate: float


@dataclass(frozen=True)
class Progress:
    """What a step at the share `done` of a fit, from 0 to 1, uses of each setting."""

    done: float

    @property
    def learning_rate(self) -> float:
        """Share of the full learning rate: a short rise, then half a cosine to 0."""
        return min(1.0, self.done / 0.03 + 0.02) * 0.5 * (1 + math.cos(math.pi * self.done))

    @property
    def penalty(self) -> float:
        """Share of the full penalty weight: it rises while the critic learns to see."""
        return min(1.0, self.done / 0.2)

    @property
    def table(self) -> float:
        """Share of the penalty that is read from the table of levels, not from the critic."""
        return 0.7 * min(1.0, max(0.0, (self.done - 0.6) / 0.2))

    @property
    def noise_width(self) -> float:
        """Width of the channel's noise in grid steps: it narrows until Z is that of inference."""
        return min(1.0, max(0.0, (0.9 - self.done) / 0.6))


@dataclass(frozen=True)
class StreamProgress:
    """What the step number `step` of a stream without a known end uses of each setting."""

    step: int

    @property
    def learning_rate(self) -> float:
        """A short rise, then a fall with the square root of the steps."""
        return float(min(1.0, self.step / 50 + 0.02) / (1 + self.step / 200) ** 0.5)

    @property
    def penalty(self) -> float:
        """As in Progress."""
        return min(1.0, self.step / 200)

    @property
    def table(self) -> float:
        """As in Progress."""
        return 0.7 * min(1.0, max(0.0, (self.step - 300) / 200))

    @property
    def noise_width(self) -> float:
        """Narrowing for ever."""
        return 1 / (1 + self.step / 200)


@dataclass(frozen=True)
class Control:
    """What watches a training: validation rows, patience, and a call after each epoch.

    With validation rows the networks end in the state that was best on them by task loss plus λ
    times penalty, and `patience` epochs without a better one end the training. Epochs before the
    penalty is in full force do not count: their states are not yet debiased. `on_epoch` ends the
    training by returning True.
    """

    on_epoch: Callable[[EpochRecord], bool]
    validation: TrainingData | None = None
    patience: int | None = None


@dataclass(frozen=True)
class Outcome:
    """How a training ended: `stopped` says why if it ended before its last epoch.

    `kept` is the record of the epoch whose state the networks have, None where it is the start.
    """

    history: tuple[EpochRecord, ...]
    stopped: str | None
    kept: EpochRecord | None


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


_ROWS_AT_ONCE = 65_536  # of a pass over validation rows
# The share of a fit from which on the penalty is in full force.
_SETTLED = 0.8


def train(run: Run, control: Control) -> Outcome:
    """Train the networks of `run` in place and return the history.

    Where a loss becomes non-finite, or the user interrupts, the networks get back their last good
    state, or the best one where there are validation rows.
    """
    history: list[EpochRecord] = []
    networks = run.networks
    state, kept = copy.deepcopy(networks.state_dict()), None
    best, waited = math.inf, 0
    stopped = None
    networks.train()
    try:
        for number in range(1, run.settings.n_epochs + 1):
            record = _epoch(run, number, control.validation)
            if not (is_finite(record) and has_finite_weights(networks)):
                stopped = "diverged"
                break
            history.append(record)
            settled = number >= _SETTLED * run.settings.n_epochs
            if control.validation is None or not settled:
                state, kept = copy.deepcopy(networks.state_dict()), record
            elif (score := _validation_score(record, run.settings.lams)) < best:
                state, kept = copy.deepcopy(networks.state_dict()), record
                best, waited = score, 0
            else:
                waited += 1
            if control.on_epoch(record):
                stopped = "callback"
            elif control.patience is not None and waited >= control.patience:
                stopped = "no change"
            if stopped is not None:
                break
    except KeyboardInterrupt:
        stopped = "interrupted"
    networks.load_state_dict(state)
    networks.eval()
    return Outcome(tuple(history), stopped, kept)


def is_finite(record: EpochRecord) -> bool:
    """Whether the losses of an epoch are numbers."""
    return all(map(math.isfinite, record.task_loss + record.penalty))


def has_finite_weights(networks: Networks) -> bool:
    """Whether all weights are numbers: the last step of an epoch can break them unseen."""
    return all(bool(values.isfinite().all()) for values in networks.parameters())


def _epoch(run: Run, number: int, validation: TrainingData | None) -> EpochRecord:
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


def _validation_score(record: EpochRecord, lams: tuple[float, ...]) -> float:
    triples = zip(record.val_task_loss, lams, record.val_penalty, strict=False)
    return sum(task + lam * max(value, 0.0) for task, lam, value in triples)


def minibatches(n_rows: int, batch_size: int, generator: Generator) -> Iterator[Tensor]:
    """Yield the rows of an epoch in random order, in batches whose sizes differ by one at most."""
    order = torch.randperm(n_rows, generator=generator, device=generator.device)
    yield from torch.tensor_split(order, n_batches(n_rows, batch_size))


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of minibatches of an epoch."""
    return max(1, round(n_rows / batch_size))


class DefaultRun:
    """The state of one training by the default schedule: critic, optimisers, steps taken."""

    def __init__(
        self,
        networks: Networks,
        data: TrainingData,
        settings: Settings,
        penalty: DonskerVaradhan,
        generator: Generator,
    ) -> None:
        self.networks, self.data, self.settings = networks, data, settings
        self.penalty, self.generator = penalty, generator
        n_models = len(settings.lams)
        self.lams = torch.tensor(settings.lams, device=data.y.device)
        self.critic = penalty.critic(n_models, networks.n_components, data, generator)
        self.table = None
        n_levels = networks.channel.n_levels
        if n_levels is not None and data.log_prior is not None:
            self.table = LevelTable(n_models, networks.n_components, n_levels, data)
        self.model_optimizer = _adamw(networks, settings.learning_rate, settings.weight_decay)
        self.critic_optimizer = _adamw(self.critic, settings.critic_learning_rate, 1e-3)
        steps = settings.n_epochs * n_batches(data.n_rows, settings.batch_size)
        self.n_steps: int | None = steps
        self.step_count = 0

    def feed(
        self, data: TrainingData, settings: Settings, step_count: int, number: int
    ) -> EpochRecord:
        """Train once on the next rows of a stream, of which `step_count` steps were taken."""
        self.settings = settings
        self.lams = torch.tensor(settings.lams, device=data.y.device)
        self.data, self.n_steps, self.step_count = data, None, step_count
        if self.table is not None and data.log_prior is not None:
            self.table.prior = data.log_prior.exp()
        self.networks.train()
        record = _epoch(self, number, None)
        self.networks.eval()
        return record

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and penalty, (2, M)."""
        batches = minibatches(self.data.n_rows, self.settings.batch_size, self.generator)
        return torch.stack([self.step(self.data.rows(index)) for index in batches]).mean(0)

    def evaluate(self, data: TrainingData) -> Tensor:
        """Return task loss and penalty of other rows, through the channel of inference, (2, M)."""
        with torch.no_grad():
            batch, z = represented(self.networks, data)
            value = self.penalty.value(self.critic, z, batch, data, self.generator)
            if self.table is not None and self.table.n_batches:
                # Counts of training rows, read on rows that they do not hold.
                low, fraction, _ = self.networks.channel.law(z, 0.0)
                value = torch.maximum(value, self.table.value(low, fraction, batch))
            return torch.stack([task_loss(self.networks.head(z), batch), value])

    def step(self, batch: Batch) -> Tensor:
        """Train critic, then encoder and head on a batch; return losses (2, M)."""
        progress = self._progress()
        self.step_count += 1
        bounded = self.networks.bounded(batch.x)
        law = self._law(bounded, batch, progress.noise_width)
        self._train_critic(bounded.detach(), law, batch, progress)
        z = self.networks.channel(bounded, progress.noise_width)
        task = task_loss(self.networks.head(z), batch)
        value = self._penalty(z, law, batch, progress)
        loss = task + self.lams * progress.penalty * value
        self.model_optimizer.zero_grad()
        loss.sum().backward()
        _set_learning_rate(
            self.model_optimizer, self.settings.learning_rate * progress.learning_rate
        )
        self.model_optimizer.step()
        return torch.stack([task.detach(), value.detach()])

    def _progress(self) -> Progress | StreamProgress:
        if self.n_steps is None:
            return StreamProgress(self.step_count)
        return Progress(self.step_count / self.n_steps)

    def _law(self, bounded: Tensor, batch: Batch, width: float) -> _Law | None:
        if self.table is None:
            return None
        low, fraction, above = self.networks.channel.law(bounded, width)
        return _Law(low, fraction, self.table.count(low, above, batch))

    def _penalty(
        self, z: Tensor, law: _Law | None, batch: Batch, progress: Progress | StreamProgress
    ) -> Tensor:
        self.critic.requires_grad_(False)
        value = self.penalty.value(self.critic, z, batch, self.data, self.generator)
        self.critic.requires_grad_(True)
        if self.table is None or law is None:
            return value
        if progress.table:
            of_table = self.table.value(law.low, law.fraction, batch)
            value = value.lerp(of_table, progress.table)
        self.table.update(law.counts, z.shape[1])
        return value

    def _train_critic(
        self,
        bounded: Tensor,
        law: _Law | None,
        batch: Batch,
        progress: Progress | StreamProgress,
    ) -> None:
        rate = self.settings.critic_learning_rate * max(progress.learning_rate, 0.1)
        _set_learning_rate(self.critic_optimizer, rate)
        for _ in range(self.settings.n_critic_steps):
            if law is not None and bounded.shape[2] == 1:
                # All that the critic can see of one unit are its few levels.
                counts = law.counts[:, 0]
                value = self.penalty.value_of_counts(self.critic, counts, self.data)
            else:
                z = self.networks.channel(bounded, progress.noise_width)
                value = self.penalty.value(self.critic, z, batch, self.data, self.generator)
            self.critic_optimizer.zero_grad()
            (-value.sum()).backward()
            self.critic_optimizer.step()


@dataclass(frozen=True)
class _Law:
    """Which levels a batch may take: see Channel.law and LevelTable.count."""

    low: Tensor
    fraction: Tensor
    counts: Tensor


def represented(networks: Networks, data: TrainingData) -> tuple[Batch, Tensor]:
    """Return all rows, their x left out, and their Z through the channel of inference.

    A sparse x becomes dense some rows at a time.
    """
    index = torch.arange(data.n_rows, device=data.y.device)
    z = [networks.represent(data.rows(part).x) for part in index.split(_ROWS_AT_ONCE)]
    without = replace(data, x=data.y[:, None])
    return without.rows(index), torch.cat(z, dim=1)


def task_loss(scores: Tensor, batch: Batch) -> Tensor:
    """Return the weighted mean cross-entropy in nats for each model, (M,).

    One output per row is the score of the second class; else there is one for each class.
    """
    if scores.shape[2] == 1:
        target = batch.y.to(scores.dtype).expand(scores.shape[:2])
        losses = nn.functional.binary_cross_entropy_with_logits(
            scores[..., 0], target, reduction="none"
        )
    else:
        target = batch.y.expand(scores.shape[:2])
        losses = nn.functional.cross_entropy(scores.transpose(1, 2), target, reduction="none")
    weights = batch.task_weights
    total = weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
    return (losses * weights).sum(1) / total


def _adamw(module: nn.Module, rate: float, decay: float) -> torch.optim.AdamW:
    return torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=decay, fused=True)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
