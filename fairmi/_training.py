"""Step and epoch of the default schedule."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fairmi._loop import Settings, timed_epoch
from fairmi._networks import Networks
from fairmi._schedule import Progress, StreamProgress
from fairmi._types import Batch, EpochRecord, TrainingData
from fairmi.dependence.term import Law, Term

_ROWS_AT_ONCE = 65_536  # of a pass over validation rows


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
        record = timed_epoch(self, number, None)
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
        share, rows_back = progress.table, progress.table_rows
        value = self._sum(term.value(z, law, rows, share, rows_back) for term, law, rows in parts)
        loss = task + self.lams * progress.penalty * value
        self.model_optimizer.zero_grad()
        # Adam does not see the scale; the hidden layers that models share would serve the largest
        # λ first.
        (loss / (1 + self.lams)).sum().backward()
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
