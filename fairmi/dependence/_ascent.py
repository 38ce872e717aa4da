"""Critics on samples: M critics of M samples of one size are trained, and read, at once."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.sensitive_batch import SensitiveBatch

if TYPE_CHECKING:
    from fairmi.dependence._observations import Observations

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
