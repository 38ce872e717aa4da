"""The authors' procedure for mutual-information backpropagation, kept to compare with.

Every minibatch: an Adam step of encoder and head on the task loss; an Adam step of the encoder,
by an optimiser of its own whose rate is multiplied by λ, on the MI estimate, the MI gradient of
each parameter tensor rescaled to norm min(‖g_task‖, ‖g_MI‖); then K critic steps with the encoder
held still, on the K batches that the epoch began with. Each epoch opens with a pass of critic
steps over all batches. P(Z)P(C) is sampled by permuting C inside the minibatch; the critic sees C
one-hot. Z are 64 ReLU units behind a linear head, the critic three layers of 64 with leaky ReLU of
slope 0.2.

Source: Ragonesi, Volpi, Cavazza, Murino, *Learning Unbiased Representations via Mutual Information
Backpropagation*, arXiv 2003.06430, and the code published with it (digits); the rescaled gradient:
Belghazi et al., *MINE*, arXiv 1801.04062. Deviations: the encoder is a multilayer perceptron on a
table's columns, or a module of the user's; the bound is taken within strata where there are
several.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from itertools import cycle, islice
from typing import Any

import torch
from torch import Tensor, nn

from fairmi.dependence.layers import StackedMLP
from fairmi.dependence.pairs import difference, repaired, shuffle_within
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks.config import n_batches
from fairmi.networks.losses import task_loss
from fairmi.networks.model import Networks, Trunk
from fairmi.networks.rows import TrainingRows
from fairmi.networks.trainer import minibatches

N_COMPONENTS = 64
CRITIC_LAYER_SIZES = (64, 64, 64)
CRITIC_SLOPE = 0.2


def backprop_architecture(
    n_inputs: int, n_outputs: int, hidden_layer_sizes: Sequence[int] = ()
) -> dict[str, Any]:
    """Return the arguments of Networks, but for the generator."""
    return {
        "n_models": 1,
        "n_inputs": n_inputs,
        "hidden_layer_sizes": tuple(hidden_layer_sizes),
        "n_components": N_COMPONENTS,
        "n_levels": None,
        "n_outputs": n_outputs,
        "dropout": 0.0,
    }


class Backprop:
    """The state of one training by the authors' procedure, epoch by epoch.

    `architecture` is of `backprop_architecture`; what is named as a parameter of
    `MIBackpropClassifier` is that.
    """

    def __init__(
        self,
        rows: TrainingRows,
        architecture: Mapping[str, Any],
        trunk: Trunk | None = None,
        *,
        lam: float,
        n_critic_steps: int,
        batch_size: int,
        learning_rate: float,
        seed: int,
    ) -> None:
        self.rows, self.trunk, self.n_critic_steps = rows, trunk, n_critic_steps
        self.n_batches = n_batches(rows.n_rows, batch_size)
        (self.sensitive,) = rows.sensitive
        self.generator = torch.Generator(rows.y.device).manual_seed(seed)
        self.networks = Networks(**architecture, generator=self.generator, trunk=trunk)
        n_strata = self.sensitive.n_strata if self.sensitive.n_strata > 1 else 0
        sizes = (N_COMPONENTS + n_strata + self.sensitive.n_columns, *CRITIC_LAYER_SIZES, 1)
        self.critic = StackedMLP(1, sizes, self.generator, negative_slope=CRITIC_SLOPE)
        self.encoder_weights = self.networks.encoder_weights()
        weights = [*self.encoder_weights, *self.networks.head.parameters()]
        self.task_optimizer = _adam(weights, learning_rate)
        self.mi_optimizer = _adam(self.encoder_weights, learning_rate * lam)
        self.critic_optimizer = _adam(self.critic.parameters(), learning_rate)

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and MI estimate, (2, 1)."""
        indexes = list(minibatches(self.rows.n_rows, self.n_batches, self.generator))
        self._train_critic(map(self.rows.batch, indexes), self.n_batches)
        # The batches that the epoch begins with serve the critic all along.
        opening = [self.rows.batch(index) for index in indexes[: self.n_critic_steps]]
        losses = []
        for index in indexes:
            losses.append(self._step(self.rows.batch(index)))
            self._train_critic(opening, self.n_critic_steps)
        return torch.stack(losses).mean(0)

    def _step(self, batch: TrainingRows) -> Tensor:
        task = task_loss(self.networks.head(self.networks.represent(batch.dense)), batch)
        self.task_optimizer.zero_grad()
        task.sum().backward()
        # A module of the user's may have parameters that no row reaches.
        reached = [p for p in self.encoder_weights if p.grad is not None]
        task_norms = [gradient.norm() for gradient in _gradients(reached)]
        self.task_optimizer.step()
        value = self._bound(self.networks.represent(batch.dense), batch.sensitive[0])
        self.mi_optimizer.zero_grad()
        # Not torch.autograd.grad: its gradients may lie otherwise in memory than their parameters,
        # and fused Adam pairs the two by place.
        value.sum().backward(inputs=reached)
        for gradient, task_norm in zip(_gradients(reached), task_norms, strict=True):
            norm = gradient.norm().clamp_min(torch.finfo(gradient.dtype).tiny)
            gradient.mul_(torch.minimum(task_norm, norm) / norm)
        self.mi_optimizer.step()
        return torch.stack([task.detach(), value.detach()])

    def _train_critic(self, batches: Iterable[TrainingRows], n_steps: int) -> None:
        """Take `n_steps` on the batches in turn, which the still encoder goes through once."""
        still = nullcontext() if self.trunk is None else self.trunk.held_still()
        with torch.no_grad(), still:
            parts = [(self.networks.represent(b.dense), b.sensitive[0]) for b in batches]
        for z, sensitive in islice(cycle(parts), n_steps):
            value = self._bound(z, sensitive)
            self.critic_optimizer.zero_grad()
            (-value.sum()).backward()
            self.critic_optimizer.step()

    def _bound(self, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        strata, n_strata = sensitive.strata, sensitive.n_strata
        z = sensitive.with_stratum(z)
        values = sensitive.columns(z.dtype)[None]
        other = shuffle_within(strata, self.generator)
        pairs = torch.cat([torch.cat([z, c], dim=2) for c in (values, values[:, other])], dim=1)
        joint, marginal = self.critic(pairs)[..., 0].chunk(2, dim=1)
        return difference(repaired(joint, marginal, strata, n_strata, sensitive.weights, other))


def _gradients(parameters: Iterable[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in parameters if p.grad is not None]


def _adam(weights: Iterable[nn.Parameter], rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(weights, lr=rate, fused=True)
