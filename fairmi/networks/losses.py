"""What networks minimise: the loss of y, or without y of X told back or found, and a penalty."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.core.task import NetworkTask, Nothing, Quantity, Scaled
from fairmi.dependence.counts import LevelCritic, LevelTable, with_gradient
from fairmi.dependence.layers import StackedMLP, repeated
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks.model import Channel, Networks, Trunk, as_input
from fairmi.networks.reducer import Reducer
from fairmi.networks.rows import TrainingRows

# Of a column that the second view of a row has from another one; and of the similarity of views.
_CORRUPTED, _TEMPERATURE = 0.3, 0.2
# As in the log loss of a share that is 0.
_LEAST_ENTROPY = 1e-2
# Weight decay of a critic; and shuffled rows that it must tell from those of a model.
_CRITIC_DECAY, _N_SHUFFLES = 1e-3, 9


def task_loss(scores: Tensor, batch: TrainingRows, task: NetworkTask | None = None) -> Tensor:
    """Return the weighted mean loss for each model, (M,), of scores (M, B, K).

    That is the cross-entropy in nats, against classes or their probabilities, where one score is
    that of the second class of two; of a quantity the share of the loss of the best constant.
    """
    if batch.offsets is not None:
        scores = scores + batch.offsets
    if isinstance(task, Scaled):
        losses = quantity_losses(task.quantity, scores[..., 0], batch.y)
    elif scores.shape[2] == 1:
        of_second = batch.y.to(scores.dtype) if batch.targets is None else batch.targets[:, 0]
        target = of_second.expand(scores.shape[:2])
        losses = nn.functional.binary_cross_entropy_with_logits(
            scores[..., 0], target, reduction="none"
        )
    else:
        by_class = scores.transpose(1, 2)
        target = batch.y.expand(scores.shape[:2])
        if batch.targets is not None:
            target = batch.targets.t().expand_as(by_class)
        losses = nn.functional.cross_entropy(by_class, target, reduction="none")
    mean = weighted_mean(losses, batch.task_weights)
    return (mean + task.optimal) / task.of_constant if isinstance(task, Scaled) else mean


def weighted_mean(losses: Tensor, weights: Tensor) -> Tensor:
    """Return the mean of losses (M, B) for each model, (M,), by weights (1, B)."""
    total = weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
    return (losses * weights).sum(1) / total


def quantity_losses(quantity: Quantity, scores: Tensor, y: Tensor) -> Tensor:
    """Return the losses (M, B) of scores (M, B): those of `Quantity.loss`, row by row."""
    name, power = quantity.name, quantity.power
    if name == "tweedie":
        name = {1.0: "poisson", 2.0: "gamma"}.get(power, name)
    if name == "squared_error":
        return (y - scores) ** 2 / 2
    if name in ("absolute_error", "quantile"):
        tau, error = quantity.quantile, y - scores
        return (
            error.abs()
            if name == "absolute_error"
            else torch.maximum(tau * error, (tau - 1) * error)
        )
    if name == "poisson":
        return scores.exp() - y * scores
    if name == "gamma":
        return scores + y * (-scores).exp()
    return ((2 - power) * scores).exp() / (2 - power) - y * ((1 - power) * scores).exp() / (
        1 - power
    )


class Objective:
    """The losses of `Nothing`, row by row, on a device."""

    def __init__(self, task: Nothing, device: torch.device, generator: Generator) -> None:
        self.task, self.generator = task, generator

        def tensor(values: object) -> Tensor:
            made = torch.as_tensor(values, device=device)
            return made.float() if made.is_floating_point() else made

        self.centre, self.scale = tensor(task.centre), tensor(task.scale)
        self.numbers = None if task.numbers is None else tensor(task.numbers)
        self.mean, self.source = tensor(task.mean), tensor(task.source)
        self.categories = [tensor(columns) for columns in task.categories]
        self.gaps = tensor(task.gaps)
        self.n_columns = len(task.centre) + len(task.categories) + len(task.gaps)

    def losses(self, networks: Networks, z: Tensor, batch: TrainingRows, width: float) -> Tensor:
        """Return the loss of each row, (M, B), of Z (M, B, D) that came of `batch`.

        `width` is that of the channel's noise.
        """
        if self.task.objective == "reconstruction":
            conditions = conditions_of(batch.sensitive, len(batch.y))
            scores = networks.head(torch.cat([z, conditions.expand(len(z), -1, -1)], dim=2))
            return self.of_columns(scores, batch.dense)
        other = networks.channel(networks.bounded(self.other_view(batch.dense)), width)
        return self.of_views(networks.head(z), networks.head(other), batch)

    def of_columns(self, scores: Tensor, x: Tensor) -> Tensor:
        """Return how far scores (M, B, K) are from the rows x (B, ...), (M, B)."""
        if self.numbers is None:
            values = (as_input(x).flatten(1) - self.centre) / self.scale
            return (scores - values).square().mean(2)
        of_numbers, rest = scores.tensor_split([len(self.centre)], dim=2)
        total = (of_numbers - x @ self.numbers).square().sum(2)
        for columns in self.categories:
            of_category, rest = rest.tensor_split([len(columns)], dim=2)
            shares = self.mean[columns]
            losses = -((x[:, columns] + shares) * of_category.log_softmax(2)).sum(2)
            entropy = -(shares * shares.clamp_min(1e-12).log()).sum()
            total = total + losses / entropy.clamp_min(_LEAST_ENTROPY)
        if len(self.gaps):
            shares = self.mean[self.gaps]
            losses = nn.functional.binary_cross_entropy_with_logits(
                rest, (x[:, self.gaps] + shares).expand_as(rest), reduction="none"
            )
            entropies = nn.functional.binary_cross_entropy(shares, shares, reduction="none")
            total = total + (losses / entropies.clamp_min(_LEAST_ENTROPY)).sum(2)
        return total / max(self.n_columns, 1)

    def other_view(self, x: Tensor) -> Tensor:
        """Return a second view of rows x (B, ...).

        A table has some columns of other rows (SCARF: Bahri et al., arXiv 2106.15147). Rows of any
        shape stay as they are: the user's module makes the view.
        """
        if not len(self.source):
            return x
        n_columns = int(self.source.max()) + 1
        draw = torch.rand(len(x), n_columns, generator=self.generator, device=x.device)
        order = torch.randperm(len(x), generator=self.generator, device=x.device)
        return torch.where((draw < _CORRUPTED)[:, self.source], x[order], x)

    def of_views(self, first: Tensor, second: Tensor, batch: TrainingRows) -> Tensor:
        """Return how hard it is to find each row's other view among rows of the same C, (M, B).

        Source: Ma et al., *Conditional Contrastive Learning*, arXiv 2106.02866; of a quantity, and
        of groups known by probability, rows count by how near their C is, as in Tsai et al., arXiv
        2202.05458. A share of the loss of views that all look alike.
        """
        first, second = (nn.functional.normalize(view, dim=2) for view in (first, second))
        alike = alikeness(batch.sensitive, len(batch.y))
        alike.fill_diagonal_(1)
        scores = first @ second.mT / _TEMPERATURE + alike.log()
        own = scores.diagonal(dim1=1, dim2=2)
        of_guess = alike.sum(1).log()
        losses = (scores.logsumexp(2) - own) / of_guess.clamp_min(1e-6)
        return torch.where(of_guess > 0, losses, 0)


def check_views(trunk: Trunk, sample: Tensor) -> None:
    """Raise ValueError where a module of the user's gives rows (B, ...) one view alone."""
    with trunk.held_still(), torch.no_grad():
        trunk.module.train()
        first, second = trunk(sample), trunk(sample)
        trunk.module.eval()
    if torch.equal(first, second):
        raise ValueError(
            'objective="contrastive" compares two views of a row, and encoder gives the same '
            "features twice in training; let it draw augmentations under self.training, or put "
            "nn.Dropout in it."
        )


def conditions_of(sensitive: tuple[SensitiveBatch, ...], n_rows: int) -> Tensor:
    """Return what a decoder is given of C, (B, n_conditions): 0 is no group more than another.

    Groups are by how much a row is in each, less an equal share; quantities as they are. A row
    whose C is not known has 0.
    """
    parts = []
    for of in sensitive:
        columns = _columns(of, n_rows)
        if of.groups is not None:
            columns = columns - columns.sum(1, keepdim=True) / of.n_columns
        parts.append(columns)
    return torch.cat(parts, dim=1)


def alikeness(sensitive: tuple[SensitiveBatch, ...], n_rows: int) -> Tensor:
    """Return how alike the C of each two rows is, (B, B), from 0 to 1."""
    alike = torch.ones(n_rows, n_rows, device=sensitive[0].weights.device)
    for of in sensitive:
        columns = _columns(of, n_rows)
        if of.groups is None:
            alike = alike * torch.exp(-torch.cdist(columns, columns).square() / 2)
        else:
            alike = alike * (columns @ columns.mT).clamp(0, 1)
    return alike


def _columns(of: SensitiveBatch, n_rows: int) -> Tensor:
    """Return how much each row is in each group, or its values; 0 where they are not known."""
    weights = of.weights[0]
    rows = torch.arange(n_rows, device=weights.device) if of.rows is None else of.rows
    total = torch.zeros(n_rows, device=weights.device).index_add_(0, rows, weights)
    shares = weights / total.clamp_min(torch.finfo(total.dtype).tiny)[rows]
    none = torch.zeros(n_rows, of.n_columns, device=weights.device)
    return none.index_add_(0, rows, of.columns(torch.float32) * shares[:, None])


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
