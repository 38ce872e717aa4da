"""The authors' procedure for MI backpropagation, kept as the reference to compare with.

Every minibatch: an Adam step of encoder and head on the task loss; an Adam step of the encoder,
with its own optimiser and a rate multiplied by λ, on the MI estimate, the MI gradient of each
parameter tensor rescaled to norm min(task gradient, MI gradient); then K critic steps on fresh
random minibatches. K critic steps also open every epoch. P(Z)P(C) is sampled by permuting C
inside the minibatch, and the critic sees C one-hot.

Source: Ragonesi et al., *Learning Unbiased Representations via Mutual Information
Backpropagation*, arXiv 2003.06430; adaptive clipping: Belghazi et al., arXiv 1801.04062.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi._loop import Settings
from fairmi._networks import Networks, StackedMLP
from fairmi._training import minibatches, represented, task_loss
from fairmi._types import Batch, EpochRecord, TrainingData
from fairmi.dependence._scores import shuffle_within, with_stratum
from fairmi.dependence.donsker_varadhan import sampled_bound
from fairmi.dependence.within import n_sensitive_columns, sensitive_columns

N_COMPONENTS = 64
CRITIC_LAYER_SIZES = (64, 64, 64)


class PaperRun:
    """The state of one training by the authors' procedure; one model, epoch by epoch."""

    def __init__(
        self, networks: Networks, data: TrainingData, settings: Settings, generator: Generator
    ) -> None:
        self.networks, self.data, self.settings = networks, data, settings
        self.generator = generator
        n_strata = data.n_strata if data.n_strata > 1 else 0
        n_in = N_COMPONENTS + n_strata + n_sensitive_columns(data)
        sizes = (n_in, *CRITIC_LAYER_SIZES, 1)
        self.critic = StackedMLP(1, sizes, generator, negative_slope=0.01)
        rate, lam = settings.learning_rate, settings.lams[0]
        self.task_optimizer = _adam(networks, rate)
        self.mi_optimizer = _adam(networks.encoder, rate * lam)
        self.critic_optimizer = _adam(self.critic, rate)

    def epoch(self) -> Tensor:
        """Train for an epoch; return the mean task loss and MI estimate, (2, M)."""
        self._train_critic()
        losses = []
        for index in minibatches(self.data.n_rows, self.settings.batch_size, self.generator):
            losses.append(self._step(index))
            self._train_critic()
        return torch.stack(losses).mean(0)

    def evaluate(self, data: TrainingData) -> Tensor:
        """Return task loss and MI estimate of other rows, (2, M)."""
        with torch.no_grad():
            batch, z = represented(self.networks, data)
            return torch.stack([task_loss(self.networks.head(z), batch), self._bound(z, batch)])

    def claims(self, rows: Batch, kept: EpochRecord, model: int) -> tuple[float | None, ...]:
        """As in Run."""
        return kept.penalty if self.settings.lams[0] else (None,)

    def _step(self, index: Tensor) -> Tensor:
        batch = self.data.rows(index)
        task = task_loss(self.networks.head(self.networks.represent(batch.x)), batch)
        self.task_optimizer.zero_grad()
        task.sum().backward()
        parameters = list(self.networks.encoder.parameters())
        task_norms = [p.grad.norm() for p in parameters if p.grad is not None]
        self.task_optimizer.step()
        value = self._bound(self.networks.represent(batch.x), batch)
        gradients = torch.autograd.grad(value.sum(), parameters)
        for parameter, gradient, task_norm in zip(parameters, gradients, task_norms, strict=True):
            norm = gradient.norm().clamp_min(torch.finfo(gradient.dtype).tiny)
            parameter.grad = gradient * (torch.minimum(task_norm, norm) / norm)
        self.mi_optimizer.step()
        return torch.stack([task.detach(), value.detach()])

    def _train_critic(self) -> None:
        for _ in range(self.settings.n_critic_steps):
            size = min(self.settings.batch_size, self.data.n_rows)
            index = torch.randint(
                self.data.n_rows, (size,), generator=self.generator, device=self.data.y.device
            )
            batch = self.data.rows(index)
            with torch.no_grad():
                z = self.networks.represent(batch.x)
            value = self._bound(z, batch)
            self.critic_optimizer.zero_grad()
            (-value.sum()).backward()
            self.critic_optimizer.step()

    def _bound(self, z: Tensor, batch: Batch) -> Tensor:
        z = with_stratum(z, batch.strata, self.data.n_strata)
        values = sensitive_columns(batch, self.data, z.dtype)[None]
        other = shuffle_within(batch.strata, self.generator)
        joint = self.critic(torch.cat([z, values], dim=2))[..., 0]
        marginal = self.critic(torch.cat([z, values[:, other]], dim=2))[..., 0]
        weights, strata = batch.penalty_weights, batch.strata
        return sampled_bound(joint, marginal, strata, self.data.n_strata, weights, other)


def _adam(module: nn.Module, rate: float) -> torch.optim.Adam:
    return torch.optim.Adam(module.parameters(), lr=rate, fused=True)
