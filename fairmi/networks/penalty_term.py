"""A penalty in training: its critic, the critic's optimiser, and the table of levels."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.counts import LevelCritic, LevelTable, with_gradient
from fairmi.dependence.layers import StackedMLP, repeated
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks.model import Channel
from fairmi.networks.reducer import Reducer

_CRITIC_DECAY = 1e-3
_N_SHUFFLES = 9


class PenaltyTerm:
    """One sensitive attribute's part of the loss, for M models; `penalty` as in `Penalty`."""

    def __init__(
        self,
        penalty: Penalty,
        sensitive: SensitiveBatch,
        channel: Channel,
        generator: Generator,
        *,
        n_models: int,
        n_repeats: int,
        n_components: int,
        reducer: Reducer,
        by_level: bool = False,
    ) -> None:
        self.penalty, self.reducer = penalty, reducer
        self.channel, self.generator = channel, generator
        n_levels = channel.n_levels
        reads_levels = getattr(penalty, "reads_levels", False) and n_levels is not None
        self.by_level = by_level and reads_levels
        n_seen = n_components * (1 + (n_levels or 0) * self.by_level)
        self.critic = _critics(penalty, n_models, n_repeats, n_seen, sensitive, generator)
        self.n_models = n_models
        self.trained = [p for p in self.critic.parameters() if p.requires_grad]
        self.table, self.level_critic = None, None
        if reads_levels and n_levels and sensitive.log_prior is not None and not by_level:
            self.table = LevelTable(n_models, n_components, n_levels, sensitive)
            if n_components == 1 and type(self.critic) is StackedMLP:
                self.level_critic = LevelCritic(self.critic, n_levels, sensitive)
        weights = self.trained if self.level_critic is None else [self.level_critic.weights]
        self.optimizer = None
        if weights:
            self.optimizer = torch.optim.AdamW(weights, weight_decay=_CRITIC_DECAY, fused=True)

    def observe(self, bounded: Tensor, sensitive: SensitiveBatch, width: float) -> None:
        """Take the units (M, B, D) of a batch before the channel, whose noise has a `width`."""
        self.n_rows, self.width = bounded.shape[1], width
        self.bounded, self.sensitive = sensitive.of_members(bounded.detach()), sensitive
        if self.table is not None:
            self.low, above = self.channel.level_probabilities(self.bounded, width)
            self.counts = self.reducer.total(self.table.count(self.low, above, sensitive))

    def train_critic(self, n_steps: int, rate: float) -> None:
        """Take `n_steps` of the critic on the batch, each with fresh noise."""
        if self.optimizer is None:
            return
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if self.level_critic is not None:
            self.level_critic.train(self.optimizer, self.counts[:, 0], n_steps)
            return
        for _ in range(n_steps):
            z = self._seen(self.channel(self.bounded, self.width))
            loss = self.penalty.critic_loss(self.critic, z, self.sensitive, self.generator)
            self.optimizer.zero_grad()
            self._checked(loss, "critic_loss").sum().backward()
            self.reducer.average_gradients(self.trained)
            self.optimizer.step()

    def value(self, z: Tensor, table_share: float, table_rows: float) -> Tensor:
        """Return what the encoder minimises, (M,), at the batch's Z (M, B, D); count its levels.

        The table has `table_share` of the value, and looks back on `table_rows` rows.
        """
        sensitive = self.sensitive
        z = sensitive.of_members(z)
        if self.level_critic is not None:
            value = with_gradient(
                z, *self.level_critic.value(self.channel.level(z)[..., 0], sensitive)
            )
        else:
            for parameter in self.trained:
                parameter.requires_grad_(False)
            value = self._value(self._seen(z), sensitive)
            for parameter in self.trained:
                parameter.requires_grad_(True)
        if self.table is None:
            return value
        if table_share:
            position = self.channel.position(self.bounded)
            of_table, slope = self.table.value(self.low, position, sensitive)
            of_table = with_gradient(z, of_table, slope * self.channel.steps_per_unit)
            value = value.lerp(of_table, table_share)
        self.table.update(self.counts, self.n_rows * self.reducer.n_shards, table_rows)
        return value

    def _seen(self, z: Tensor) -> Tensor:
        """Return Z (M, B, D) as a critic reads it: beside it which level each unit has.

        So that what any one level tells is a weight of the critic's own, as it is a cell of a
        table. The derivative in Z is half the way from the level below to that above.
        """
        if not self.by_level:
            return z
        at = nn.functional.one_hot(self.channel.level(z), self.channel.n_levels or 0).to(z.dtype)
        above, below = at.roll(1, -1), at.roll(-1, -1)
        above[..., 0], above[..., -1] = 0, above[..., -1] + at[..., -1]
        below[..., -1], below[..., 0] = 0, below[..., 0] + at[..., 0]
        moved = (z - z.detach())[..., None] * self.channel.steps_per_unit
        return torch.cat([z, (at + moved * (above - below) / 2).flatten(2)], dim=2)

    def sees(self, z: Tensor, sensitive: SensitiveBatch, model: int) -> bool:
        """Whether the penalty of a model is larger at Z (M, B, D) than at shuffled rows of it.

        Z is that of inference, and the rows any.
        """
        with torch.no_grad():
            value = self._at_inference(z, sensitive)[model]
            for _ in range(_N_SHUFFLES):
                order = torch.randperm(z.shape[1], generator=self.generator, device=z.device)
                if self._at_inference(z[:, order], sensitive)[model] >= value:
                    return False
        return True

    def _at_inference(self, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        value = self._value_in_parts(self._seen(z), sensitive)
        if self.table is not None and self.table.n_batches:
            # Counts of training rows, read on rows that they do not hold.
            z = sensitive.of_members(z)
            low, _ = self.channel.level_probabilities(z, 0.0)
            of_table, _ = self.table.value(low, self.channel.position(z), sensitive)
            value = torch.maximum(value, of_table)
        return value

    def _value_in_parts(self, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        most = getattr(self.penalty, "max_rows", None)
        n_rows = z.shape[1]
        if most is None or n_rows <= most:
            return self._value(sensitive.of_members(z), sensitive)
        order = torch.randperm(n_rows, generator=self.generator, device=z.device)
        parts = [(z[:, index], sensitive.take(index)) for index in order.split(most)]
        weights = torch.stack([rows.weights.sum(1) for _, rows in parts])
        values = torch.stack([self._value(rows.of_members(part), rows) for part, rows in parts])
        tiny = torch.finfo(values.dtype).tiny
        return (values * weights).sum(0) / weights.sum(0).clamp_min(tiny)

    def _value(self, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        value = self.penalty.value(self.critic, z, sensitive, self.generator)
        return self._checked(value, "value")

    def _checked(self, value: Tensor, method: str) -> Tensor:
        if value.shape != (self.n_models,):
            raise ValueError(
                f"penalty={type(self.penalty).__name__}: {method} must return one number for each "
                f"model, shape ({self.n_models},), but gave {tuple(value.shape)}."
            )
        return value


def _critics(
    penalty: Penalty,
    n_models: int,
    n_repeats: int,
    n_components: int,
    sensitive: SensitiveBatch,
    generator: Generator,
) -> nn.Module:
    """Return critics whose starts, and the generator after them, are those of M / `n_repeats`."""
    few: nn.Module = penalty.critic(n_models // n_repeats, n_components, sensitive, generator)
    if n_repeats == 1:
        return few
    after = generator.get_state()
    critics: nn.Module = penalty.critic(n_models, n_components, sensitive, generator)
    generator.set_state(after)
    with torch.no_grad():
        for parameter, start in zip(critics.parameters(), few.parameters(), strict=True):
            same = parameter.shape == start.shape
            parameter.copy_(start if same else repeated(start, n_repeats))
    return critics
