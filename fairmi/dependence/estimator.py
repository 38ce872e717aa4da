"""A bound on I(Z; C) alone, as an estimator: M critics of M samples are trained, and read."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import Generator, Tensor, nn

from fairmi._sklearn_compat import seed_of
from fairmi._threads import one_thread
from fairmi._typing import RandomState, SensitiveLike, TableLike
from fairmi.dependence.densities import conditional_critic
from fairmi.dependence.layers import PairCritic, SmoothMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch

if TYPE_CHECKING:
    from fairmi.dependence.observations import Observations

_LEARNING_RATE = 5e-3
_WEIGHT_DECAY = 1.0
_BATCH = 256
# Steps by rows, within limits.
_ROWS_PER_STEP = 8
_MIN_STEPS, _MAX_STEPS = 400, 4000
_HELD_OUT = 0.2
_CHECKS, _PATIENCE = 25, 10
# Rows of which all pairs are scored at once, in an estimate and to compare states of a critic.
_BLOCK, _HELD_BLOCK = 2048, 512


OfRows = Callable[[nn.Module, Tensor, SensitiveBatch, Generator], Tensor]


class Bound(Protocol):
    """What is read of a bound here; see `Penalty`."""

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return what a critic minimises, (M,)."""
        ...

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats, (M,)."""
        ...


@dataclass(frozen=True)
class Samples:
    """M samples of N rows: `z` (M, N, D), and C with a leading axis M."""

    z: Tensor
    sensitive: SensitiveBatch

    @classmethod
    def stack(cls, parts: list[Observations], n_groups: int) -> Self:
        """Return samples of one size together; `n_groups` is 0 where C has values."""
        z = torch.as_tensor(np.stack([part.z for part in parts]))
        if n_groups:
            codes = np.stack([part.groups for part in parts if part.groups is not None])
            return cls(z, SensitiveBatch.of_groups(torch.as_tensor(codes), n_groups=n_groups))
        values = np.stack([part.values for part in parts if part.values is not None])
        return cls(z, SensitiveBatch.of_values(torch.as_tensor(values)))

    @property
    def n_rows(self) -> int:
        """Rows N of each sample."""
        return int(self.z.shape[1])

    def rows(self, index: Tensor) -> tuple[Tensor, SensitiveBatch]:
        """Return Z and C of the rows of `index`, the same in each sample."""
        return self.z[:, index], self.sensitive.take(index)


def train(bound: Bound, critic: nn.Module, samples: Samples, generator: Generator) -> None:
    """Train critics in place; each ends in the state that was best on held-out rows."""
    order = torch.randperm(samples.n_rows, generator=generator)
    n_held = round(_HELD_OUT * samples.n_rows)
    held, used = order[:n_held], order[n_held:]
    n_steps = round(min(max(samples.n_rows / _ROWS_PER_STEP, _MIN_STEPS), _MAX_STEPS))
    optimizer = torch.optim.AdamW(critic.parameters(), weight_decay=_WEIGHT_DECAY, fused=True)
    best, of_loss = _Best(critic, samples.z.shape[0]), bound.critic_loss
    for step in range(n_steps):
        for group in optimizer.param_groups:
            group["lr"] = _LEARNING_RATE * _share_of_rate(step / n_steps)
        size = min(_BATCH, len(used))
        index = used[torch.randint(len(used), (size,), generator=generator)]
        z, sensitive = samples.rows(index)
        loss = bound.critic_loss(critic, z, sensitive, generator)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
        if (step + 1) % (n_steps // _CHECKS) == 0:
            best.see(_mean_over_blocks(of_loss, critic, samples, held, _HELD_BLOCK, generator))
            if best.waited >= _PATIENCE:
                break
    best.restore()


def read(bound: Bound, critic: nn.Module, samples: Samples) -> Tensor:
    """Return the bound on all rows, (M,): a mean over blocks, which bound the memory."""
    generator = torch.Generator().manual_seed(0)
    order = torch.randperm(samples.n_rows, generator=generator)
    return _mean_over_blocks(bound.value, critic, samples, order, _BLOCK, generator)


class _Best:
    """The state of each of M critics that had the least loss so far."""

    def __init__(self, critic: nn.Module, n_models: int) -> None:
        self.critic = critic
        self.loss = torch.full((n_models,), torch.inf)
        self.state = [p.detach().clone() for p in critic.parameters()]
        self.waited = 0

    def see(self, loss: Tensor) -> None:
        """Keep the present state of critics whose loss (M,) is less than any before."""
        better = loss < self.loss
        self.loss = torch.where(better, loss, self.loss)
        self.waited = 0 if better.any() else self.waited + 1
        for kept, parameter in zip(self.state, self.critic.parameters(), strict=True):
            kept[better] = parameter.detach()[better]

    def restore(self) -> None:
        """Give the critics the states kept."""
        with torch.no_grad():
            for kept, parameter in zip(self.state, self.critic.parameters(), strict=True):
                parameter.copy_(kept)


def _mean_over_blocks(
    of_rows: OfRows,
    critic: nn.Module,
    samples: Samples,
    order: Tensor,
    size: int,
    generator: Generator,
) -> Tensor:
    total = torch.zeros(samples.z.shape[0])
    with torch.no_grad():
        for index in torch.tensor_split(order, -(-len(order) // size)):
            z, sensitive = samples.rows(index)
            found = of_rows(critic, z, sensitive, generator)
            total += found * len(index) / len(order)
    return total


def _share_of_rate(done: float) -> float:
    """Return the share of the full learning rate: a short rise, then half a cosine to 0."""
    return min(1.0, done / 0.1 + 0.02) * 0.5 * (1 + math.cos(math.pi * done))


# Enough for a held-out part and something to learn from.
_MIN_ROWS = 20


class CriticBound(Penalty):
    """A bound on I(Z; C) by a trained critic: a penalty, and alone an estimator.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Attributes
    ----------
    critic_ : Module
        The trained critic, after `fit`.
    n_features_in_ : int
        Columns of Z.
    """

    # Whether the critic is a density of C, and not a score of pairs, that reads any features.
    models_c = False

    def __init__(self, hidden_layer_sizes: Sequence[int] = (64, 64)) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained critics for Z of `n_components` units."""
        return self._smooth_critic(n_models, n_components, sensitive, generator)

    def fit(self, Z: TableLike, C: SensitiveLike, *, random_state: RandomState = None) -> Self:
        """Train a critic on rows of Z and C.

        A fifth part of the rows is held out to choose the step at which the critic was best.

        Parameters
        ----------
        Z : array-like of shape (n_rows, n_columns) or (n_rows,)
            Numbers. Columns are made normal by their ranks, which leaves the information as it is.
        C : array-like of shape (n_rows,) or (n_rows, n_features)
            Groups of any labels (of several columns, intersections), or quantities; which of the
            two is decided as in `MIDebiasedClassifier`: numbers of more than 20 distinct values,
            or of few rows for each, are quantities. Where both kinds are there, groups become
            indicators.
        random_state : int, RandomState instance or None, default=None
            Seed of the critic's start, its batches and the held-out rows.

        Raises
        ------
        SensitiveFeaturesError
            If C has a missing or infinite value, another length than Z, or one value alone.
        ValueError
            If Z has a missing or infinite value, or has fewer than 20 rows.
        """
        from fairmi.dependence.observations import Reader

        # Here, since it loads what reads tables, which a penalty does without.

        reader = Reader(Z, C, plain_c=self.models_c)
        samples = Samples.stack([reader.read(Z, C)], reader.n_groups)
        if samples.n_rows < _MIN_ROWS:
            raise ValueError(
                f"Z has {samples.n_rows} rows; give at least {_MIN_ROWS} to train a critic on."
            )
        self.critic_ = self.trained_critic(samples, seed_of(random_state))
        self.n_features_in_ = len(reader.of_z.tables)
        self.reader_ = reader
        return self

    def estimate(self, Z: TableLike, C: SensitiveLike) -> float:
        """Return the bound in nats on rows of Z and C.

        On the rows of `fit` it is too high, by what the critic learned of them by heart; other
        rows give an honest figure.

        Parameters
        ----------
        Z, C
            As in `fit`, with the same columns, and groups that `fit` saw.

        Returns
        -------
        float
            It can be a little below 0 where Z tells nothing of C.

        Raises
        ------
        NotFittedError
            Before `fit`.
        SensitiveFeaturesError, ValueError
            As in `fit`.
        """
        check_is_fitted(self, "critic_")
        samples = Samples.stack([self.reader_.read(Z, C)], self.reader_.n_groups)
        return float(read(self, self.critic_, samples))

    def trained_critic(self, samples: Samples, seed: int) -> nn.Module:
        """Return critics of M samples, trained at once."""
        generator = torch.Generator().manual_seed(seed)
        n_models, _, n_components = samples.z.shape
        critic = self._smooth_critic(n_models, n_components, samples.sensitive, generator)
        with one_thread():
            train(self, critic, samples, generator)
        return critic

    def _smooth_critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        hidden = tuple(self.hidden_layer_sizes)
        if self.models_c:
            return conditional_critic(n_models, n_components, sensitive, hidden, generator)
        if sensitive.log_prior is not None:
            sizes = (n_components + n_strata, *hidden, sensitive.log_prior.shape[-1])
            return SmoothMLP(n_models, sizes, generator)
        assert sensitive.values is not None
        n_c = sensitive.values.shape[-1] + n_strata
        return PairCritic(n_models, n_components + n_strata, n_c, hidden, generator)
