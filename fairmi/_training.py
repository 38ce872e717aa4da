"""Step and epoch of the default schedule, and the loop over epochs of any schedule."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from fairmi._networks import Networks
from fairmi._types import Batch, EpochRecord, TrainingData
from fairmi.dependence.term import Law, Term


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


_ROWS_AT_ONCE = 65_536  # of a pass over validation rows
# The share of a fit from which on the penalty is in full force.
_SETTLED = 0.8


def train(run: Run, control: Control) -> Outcome:
    """Train the networks of `run` in place and return the history.

    A model whose loss becomes non-finite gets back its last good state, or the best one where
    there are validation rows, while those beside it go on. So do all where the user interrupts.
    """
    networks, n_epochs = run.networks, run.settings.n_epochs
    history: list[EpochRecord] = []
    keeper = _Keeper(networks, run.settings.lams)
    stopped = None
    networks.train()
    try:
        for number in range(1, n_epochs + 1):
            record = _epoch(run, number, control.validation)
            keeper.see(record, choosy=control.validation is not None, share=number / n_epochs)
            if not any(keeper.alive):
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
    networks.load_state_dict(keeper.state)
    networks.eval()
    reasons = tuple(stopped if alive else "diverged" for alive in keeper.alive)
    return Outcome(tuple(history), reasons, tuple(keeper.kept))


class _Keeper:
    """The state that each model will end in: its last, or its best on validation rows."""

    def __init__(self, networks: Networks, lams: tuple[float, ...]) -> None:
        self.networks, self.lams = networks, lams
        self.state = copy.deepcopy(networks.state_dict())
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
            self.waited = 0 if any(better) else self.waited + 1
        self.kept = [record if b else k for b, k in zip(better, self.kept, strict=True)]
        chosen = torch.tensor(better)
        for name, value in self.networks.state_dict().items():
            self.state[name][chosen] = value[chosen]


def is_finite(record: EpochRecord, model: int = 0) -> bool:
    """Whether the losses of a model's epoch are numbers."""
    return math.isfinite(record.task_loss[model]) and math.isfinite(record.penalty[model])


def finite_models(networks: Networks) -> list[bool]:
    """Whether all weights of each model are numbers: the last step can break them unseen."""
    parts = [values.flatten(1).isfinite().all(1) for values in networks.parameters()]
    return torch.stack(parts).all(0).tolist()


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


def _validation_score(record: EpochRecord, model: int, lam: float) -> float:
    return record.val_task_loss[model] + lam * max(record.val_penalty[model], 0.0)


def minibatches(n_rows: int, batch_size: int, generator: Generator) -> Iterator[Tensor]:
    """Yield the rows of an epoch in random order, in batches whose sizes differ by one at most."""
    order = torch.randperm(n_rows, generator=generator, device=generator.device)
    yield from torch.tensor_split(order, n_batches(n_rows, batch_size))


def n_batches(n_rows: int, batch_size: int) -> int:
    """Return the number of minibatches of an epoch."""
    return max(1, round(n_rows / batch_size))


class DefaultRun:
    """The state of one training by the default schedule: critics, optimisers, steps taken."""

    def __init__(
        self,
        networks: Networks,
        data: TrainingData,
        settings: Settings,
        penalty: Any,
        generator: Generator,
    ) -> None:
        self.networks, self.data, self.settings = networks, data, settings
        self.generator = generator
        n_models = len(settings.lams)
        self.lams = torch.tensor(settings.lams, device=data.y.device)
        self.terms = [
            Term(
                penalty,
                attribute,
                networks.channel,
                generator,
                n_models=n_models,
                n_repeats=settings.n_repeats,
                n_components=networks.n_components,
            )
            for attribute in data.attributes
        ]
        self.model_optimizer = _adamw(networks, settings.learning_rate, settings.weight_decay)
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
        for term, attribute in zip(self.terms, data.attributes, strict=True):
            term.go_on(attribute)
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
            parts = zip(self.terms, batch.attributes, data.attributes, strict=True)
            value = self._sum(term.evaluate(z, rows, of) for term, rows, of in parts)
            return torch.stack([task_loss(self.networks.head(z), batch), value])

    def step(self, batch: Batch) -> Tensor:
        """Train the critics, then encoder and head on a batch; return losses (2, M)."""
        progress = self._progress()
        self.step_count += 1
        bounded = self.networks.bounded(batch.x)
        laws = self._train_critics(bounded, batch, progress)
        z = self.networks.channel(bounded, progress.noise_width)
        task = task_loss(self.networks.head(z), batch)
        parts = zip(self.terms, laws, batch.attributes, strict=True)
        value = self._sum(term.value(z, law, rows, progress.table) for term, law, rows in parts)
        loss = task + self.lams * progress.penalty * value
        self.model_optimizer.zero_grad()
        loss.sum().backward()
        _set_learning_rate(
            self.model_optimizer, self.settings.learning_rate * progress.learning_rate
        )
        self.model_optimizer.step()
        return torch.stack([task.detach(), value.detach()])

    def claims(self, rows: Batch, kept: EpochRecord, model: int) -> tuple[float | None, ...]:
        """As in Run."""
        claims: list[float | None] = []
        for term, batch, factor in zip(
            self.terms, rows.attributes, self.settings.factors, strict=True
        ):
            if not factor * self.settings.lams[model]:
                claims.append(None)
            elif len(self.terms) == 1 and getattr(term.penalty, "is_information", False):
                claims.append(kept.penalty[model])
            else:
                with torch.no_grad():
                    z = self.networks.represent(rows.x)
                claims.append(math.inf if term.sees(z, batch, model) else 0.0)
        return tuple(claims)

    def _progress(self) -> Progress | StreamProgress:
        if self.n_steps is None:
            return StreamProgress(self.step_count)
        return Progress(self.step_count / self.n_steps)

    def _sum(self, values: Iterable[Tensor]) -> Tensor:
        parts = [f * value for f, value in zip(self.settings.factors, values, strict=True)]
        return torch.stack(parts).sum(0)

    def _train_critics(
        self, bounded: Tensor, batch: Batch, progress: Progress | StreamProgress
    ) -> list[Law | None]:
        laws = []
        for term, rows in zip(self.terms, batch.attributes, strict=True):
            law = term.law(bounded, rows, progress.noise_width)
            term.train_critic(
                bounded.detach(),
                law,
                rows,
                n_steps=self.settings.n_critic_steps,
                rate=self.settings.critic_learning_rate * max(progress.learning_rate, 0.1),
                width=progress.noise_width,
            )
            laws.append(law)
        return laws


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


def _adamw(networks: Networks, rate: float, decay: float) -> torch.optim.AdamW:
    # Where all weights decay, those behind the first layer make Z use fewer of its levels.
    decayed = networks.encoder.layers[0].weight
    rest = [p for p in networks.parameters() if p is not decayed]
    groups = [{"params": [decayed], "weight_decay": decay}, {"params": rest, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, fused=True)


def _set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate
