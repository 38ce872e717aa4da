"""A penalty in training: its critic, the critic's optimiser, and the table of levels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor, nn

from fairmi._networks import Channel, StackedMLP, repeated
from fairmi._types import Batch, TrainingData
from fairmi.dependence._given import given
from fairmi.dependence.level_critic import LevelCritic
from fairmi.dependence.level_table import LevelTable

_CRITIC_DECAY = 1e-3
_N_SHUFFLES = 9


@dataclass(frozen=True)
class Law:
    """Where the units of a batch lie and which levels they may take: see Channel."""

    bounded: Tensor
    low: Tensor
    counts: Tensor


class Term:
    """One sensitive attribute's part of the loss, for M models; `penalty` as in `Penalty`."""

    def __init__(
        self,
        penalty: Any,
        data: TrainingData,
        channel: Channel,
        generator: Generator,
        *,
        n_models: int,
        n_repeats: int,
        n_components: int,
    ) -> None:
        self.penalty, self.data = penalty, data
        self.channel, self.generator = channel, generator
        self.critic = _critics(penalty, n_models, n_repeats, n_components, data, generator)
        self.n_models = n_models
        self.trained = [p for p in self.critic.parameters() if p.requires_grad]
        self.table, self.levels = None, None
        n_levels = channel.n_levels
        # Not inherited: a subclass may have another value.
        reads_levels = vars(type(penalty)).get("reads_levels", False)
        if reads_levels and data.log_prior is not None and n_levels is not None:
            self.table = LevelTable(n_models, n_components, n_levels, data)
            if n_components == 1 and type(self.critic) is StackedMLP:
                self.levels = LevelCritic(self.critic, n_levels, data)
        weights = self.trained if self.levels is None else [self.levels.weights]
        self.optimizer = None
        if weights:
            self.optimizer = torch.optim.AdamW(weights, weight_decay=_CRITIC_DECAY, fused=True)

    def go_on(self, data: TrainingData) -> None:
        """Take the next rows of a stream in place of those before."""
        self.data = data
        if self.table is not None and data.log_prior is not None:
            self.table.prior = data.log_prior.exp()
        if self.levels is not None and data.log_prior is not None:
            self.levels.log_prior = data.log_prior

    def law(self, bounded: Tensor, batch: Batch, width: float) -> Law | None:
        """Return the levels that noise of `width` lets a batch take, where the penalty reads them.

        `bounded` (M, B, D) are the units before the channel.
        """
        if self.table is None:
            return None
        low, above = self.channel.law(bounded, width)
        return Law(bounded, low, self.table.count(low, above, batch))

    def train_critic(
        self,
        bounded: Tensor,
        law: Law | None,
        batch: Batch,
        *,
        n_steps: int,
        rate: float,
        width: float,
    ) -> None:
        """Take `n_steps` of the critic on a batch, each with fresh noise of `width`."""
        if self.optimizer is None:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.levels is not None and law is not None:
            self.levels.train(self.optimizer, law.counts[:, 0], n_steps)
            return
        for _ in range(n_steps):
            loss = self._critic_loss(bounded, batch, width)
            self.optimizer.zero_grad()
            loss.sum().backward()
            self.optimizer.step()

    def value(
        self, z: Tensor, law: Law | None, batch: Batch, table_share: float, table_rows: float
    ) -> Tensor:
        """Return what the encoder minimises, (M,), at Z (M, B, D); count the batch's levels.

        The table has `table_share` of the value, and looks back on `table_rows` rows.
        """
        if self.levels is not None:
            value = given(z, *self.levels.value(self.channel.level(z)[..., 0], batch))
        else:
            value = self._value_alone(z, batch)
        if self.table is None or law is None:
            return value
        if table_share:
            place = self.channel.place(law.bounded.detach())
            of_table, slope = self.table.value(law.low, place, batch)
            of_table = given(z, of_table, slope * self.channel.steps_per_unit)
            value = value.lerp(of_table, table_share)
        self.table.update(law.counts, z.shape[1], table_rows)
        return value

    def evaluate(self, z: Tensor, batch: Batch, data: TrainingData) -> Tensor:
        """Return the penalty of other rows, (M,), at Z as at inference."""
        value = self._value_in_parts(z, batch, data)
        if self.table is not None and self.table.n_batches:
            # Counts of training rows, read on rows that they do not hold.
            low, _ = self.channel.law(z, 0.0)
            of_table, _ = self.table.value(low, self.channel.place(z), batch)
            value = torch.maximum(value, of_table)
        return value

    def sees(self, z: Tensor, batch: Batch, model: int) -> bool:
        """Whether the penalty of a model is larger at Z (M, B, D) than at shuffled rows of it."""
        with torch.no_grad():
            value = self.evaluate(z, batch, self.data)[model]
            for _ in range(_N_SHUFFLES):
                order = torch.randperm(z.shape[1], generator=self.generator, device=z.device)
                if self.evaluate(z[:, order], batch, self.data)[model] >= value:
                    return False
        return True

    def _critic_loss(self, bounded: Tensor, batch: Batch, width: float) -> Tensor:
        z = self.channel(bounded, width)
        return self._checked(
            self.penalty.critic_loss(self.critic, z, batch, self.data, self.generator),
            "critic_loss",
        )

    def _value_alone(self, z: Tensor, batch: Batch) -> Tensor:
        for parameter in self.trained:
            parameter.requires_grad_(False)
        value = self._value(z, batch, self.data)
        for parameter in self.trained:
            parameter.requires_grad_(True)
        return value

    def _value_in_parts(self, z: Tensor, batch: Batch, data: TrainingData) -> Tensor:
        most = getattr(self.penalty, "most_rows", None)
        n_rows = z.shape[1]
        if most is None or n_rows <= most:
            return self._value(z, batch, data)
        order = torch.randperm(n_rows, generator=self.generator, device=z.device)
        parts = [(z[:, index], batch.take(index)) for index in order.split(most)]
        weights = torch.stack([rows.penalty_weights.sum(1) for _, rows in parts])
        values = torch.stack([self._value(part, rows, data) for part, rows in parts])
        tiny = torch.finfo(values.dtype).tiny
        return (values * weights).sum(0) / weights.sum(0).clamp_min(tiny)

    def _value(self, z: Tensor, batch: Batch, data: TrainingData) -> Tensor:
        value = self.penalty.value(self.critic, z, batch, data, self.generator)
        return self._checked(value, "value")

    def _checked(self, value: Tensor, method: str) -> Tensor:
        if value.shape != (self.n_models,):
            raise ValueError(
                f"penalty={type(self.penalty).__name__}: {method} must return one number for each "
                f"model, shape ({self.n_models},), but gave {tuple(value.shape)}."
            )
        return value


def _critics(
    penalty: Any,
    n_models: int,
    n_repeats: int,
    n_components: int,
    data: TrainingData,
    generator: Generator,
) -> nn.Module:
    """Return critics whose starts, and the generator after them, are those of M / `n_repeats`."""
    few: nn.Module = penalty.critic(n_models // n_repeats, n_components, data, generator)
    if n_repeats == 1:
        return few
    after = generator.get_state()
    critics: nn.Module = penalty.critic(n_models, n_components, data, generator)
    generator.set_state(after)
    with torch.no_grad():
        for parameter, start in zip(critics.parameters(), few.parameters(), strict=True):
            same = parameter.shape == start.shape
            parameter.copy_(start if same else repeated(start, n_repeats))
    return critics
