"""MINE: the Donsker-Varadhan bound, its critic's gradient corrected by a moving average.

The gradient of log E exp T on a batch divides by the batch's own mean of exp T, which biases it.
MINE divides by a moving average over batches instead.

Source: Belghazi et al., *MINE: Mutual Information Neural Estimation*, arXiv 1801.04062, 3.2.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._pair_means import joint_mean, log_means
from fairmi.dependence._pair_scores import score
from fairmi.dependence.donsker_varadhan import value_of_scores
from fairmi.dependence.sensitive_batch import SensitiveBatch

# Weight of a batch in the moving average, once as many batches have been seen.
_RATE = 0.01


class MINE(CriticBound):
    """I(Z; C) by the Donsker-Varadhan bound with MINE's corrected gradient of the critic.

    The critic keeps the moving average, in logarithms and for each stratum, as `log_average`.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import MINE
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> MINE().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return a loss (M,) whose gradient is the corrected one; without gradients, -`value`.

        Its number is -E T + mean of exp T over the moving average + log of the average - 1, which
        is at least -`value`.
        """
        scores = score(critic, z, sensitive, generator)
        if not torch.is_grad_enabled():
            return -value_of_scores(scores)
        log_mean, shares = log_means(scores)
        log_average = _moved(critic, log_mean.detach(), shares > 0)
        tangent = torch.exp(log_mean - log_average) + log_average - 1
        return (shares * tangent).sum(1) - joint_mean(scores)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        return value_of_scores(score(critic, z, sensitive, generator))

    def _smooth_critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        critic = super()._smooth_critic(n_models, n_components, sensitive, generator)
        start = torch.zeros(n_models, sensitive.n_strata, device=generator.device)
        critic.register_buffer("log_average", start)
        critic.register_buffer("n_averaged", start.clone())
        return critic


def _moved(critic: nn.Module, log_mean: Tensor, present: Tensor) -> Tensor:
    """Take a batch's log means (M, S) into the average, where the stratum is present."""
    average, count = critic.log_average, critic.n_averaged
    assert isinstance(average, Tensor)
    assert isinstance(count, Tensor)
    count += present
    rate = (1 / count.clamp_min(1)).clamp_min(_RATE)
    # The first batch replaces the start, whose weight is then 0.
    moved = torch.logaddexp(torch.log1p(-rate) + average, torch.log(rate) + log_mean)
    average.copy_(torch.where(present, moved, average))
    return average.clone()
