"""Any measure of dependence as the penalty of trees: its gradient in Z by autograd."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairmi._threads import one_thread
from fairmi.core.channel import Channel
from fairmi.dependence.sensitive_batch import SensitiveBatch

_N_STEPS = 3  # of the critic, each round
_N_FIRST_STEPS = 200
_LEARNING_RATE, _DECAY = 3e-3, 1e-3
_MAX_BATCH = 4096  # rows of a step, and of a part of the gradient
_MAX_ROWS = 65_536  # of a round's gradient


class TrainedCritic:
    """A penalty whose critic takes a few steps before each round's gradient.

    Z is seen with noise as wide as a step of its grid, which is what rounding hides. The gradient
    is that of at most 65,536 rows, drawn anew each round.
    """

    def __init__(
        self, penalty: Any, sensitive: SensitiveBatch, channel: Channel, lam: float, seed: int
    ) -> None:
        self.penalty, self.sensitive, self.lam = penalty, sensitive, lam
        self.width = 1 / channel.steps_per_unit
        self.weights = sensitive.weights[0].numpy().astype(np.float64)
        self.counted = torch.as_tensor(np.flatnonzero(self.weights))
        self.generator = torch.Generator().manual_seed(seed)
        self.max_batch = min(getattr(penalty, "max_rows", None) or _MAX_BATCH, _MAX_BATCH)
        self.critic: Any = None
        self.optimizer: torch.optim.Optimizer | None = None

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at Z (n, K), and n times its derivative in Z, (n, K)."""
        seen = torch.as_tensor(z, dtype=torch.float32)
        with one_thread():
            if self.critic is None:
                self.critic = self.penalty.critic(1, z.shape[1], self.sensitive, self.generator)
                trained = [p for p in self.critic.parameters() if p.requires_grad]
                if trained:
                    self.optimizer = torch.optim.AdamW(
                        trained, lr=_LEARNING_RATE, weight_decay=_DECAY, fused=True
                    )
                self._train(seen, _N_FIRST_STEPS)
            self._train(seen, _N_STEPS)
            return self._read(seen)

    def _train(self, z: Tensor, n_steps: int) -> None:
        if self.optimizer is None:
            return
        for _ in range(n_steps):
            rows = self._draw(self.max_batch)
            loss = self.penalty.critic_loss(
                self.critic, self._noisy(z[rows])[None], self.sensitive.take(rows), self.generator
            )
            self.optimizer.zero_grad()
            loss.sum().backward()
            self.optimizer.step()

    def _read(self, z: Tensor) -> tuple[float, np.ndarray]:
        rows = self._draw(_MAX_ROWS)
        total = float(self.sensitive.weights[0, rows].sum())
        slope, value = np.zeros(z.shape), 0.0
        for part in rows.split(self.max_batch):
            weight = float(self.sensitive.weights[0, part].sum()) / total
            of_part = self._noisy(z[part])[None].requires_grad_(True)
            value_of_part = self.penalty.value(
                self.critic, of_part, self.sensitive.take(part), self.generator
            ).sum()
            (gradient,) = torch.autograd.grad(value_of_part, of_part)
            slope[part.numpy()] = gradient[0].numpy() * (weight * len(z))
            value += weight * float(value_of_part.detach())
        return value, slope

    def _draw(self, n_rows: int) -> Tensor:
        order = torch.randperm(len(self.counted), generator=self.generator)
        return self.counted[order[:n_rows]]

    def _noisy(self, z: Tensor) -> Tensor:
        return z + self.width * (torch.rand(z.shape, generator=self.generator) - 0.5)
