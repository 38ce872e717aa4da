"""SMILE: the Donsker-Varadhan bound with density ratios clipped in its marginal term.

    E over P(Z,C) [T]  -  log E over P(Z)P(C) [clip(exp T, exp -tau, exp tau)]

Clipping bounds the variance of the marginal term, which else grows as the exponential of the
information, for some bias: it is no bound in the strict sense. Since a critic could raise it
beyond all measure, the critic is trained by the Jensen-Shannon loss, whose best T is the log
density ratio too.

Source: Song and Ermon, *Understanding the Limitations of Variational Mutual Information
Estimators*, arXiv 1910.06222.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._pair_means import joint_mean, means
from fairmi.dependence._pair_scores import score
from fairmi.dependence.donsker_varadhan import value_of_scores
from fairmi.dependence.sensitive_batch import SensitiveBatch


class SMILE(CriticBound):
    """I(Z; C) by the smoothed estimator SMILE; within strata, given the stratum.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.
    clip : float, default=5.0
        The tau at which log density ratios are clipped.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import SMILE
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> SMILE().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    def __init__(self, hidden_layer_sizes: Sequence[int] = (64, 64), clip: float = 5.0) -> None:
        super().__init__(hidden_layer_sizes)
        self.clip = clip

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the Jensen-Shannon loss of telling pairs of the two distributions, (M,)."""
        scores = score(critic, z, sensitive, generator)
        of_marginal = scores.row_means(nn.functional.softplus(scores.marginal))
        marginal, shares = means(of_marginal, scores)
        joint = joint_mean(scores, nn.functional.softplus(-scores.joint))
        return joint + (shares * marginal).sum(1)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the estimate in nats for each model, (M,), at Z (M, B, D) of a batch."""
        scores = score(critic, z, sensitive, generator)
        return value_of_scores(
            replace(scores, marginal=scores.marginal.clamp(-self.clip, self.clip))
        )
