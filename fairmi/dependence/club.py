"""CLUB: an upper bound on I(Z; C), exact in its marginal term.

    I(Z; C) <= E over P(Z,C) [log p(c | z)]  -  E over P(Z)P(C) [log p(c | z)]

It is an upper bound at the true p(c | z), where it is I(Z; C) plus the divergence of P(Z)P(C)
from P(Z,C): far above the information where that is large. A network q(c | z), trained by
likelihood, is put in the place of p. Where that gives less than 0, which no information is, the
value is 0: an encoder else gains by making q predict the wrong c, without end.

Source: Cheng et al., *CLUB: A Contrastive Log-ratio Upper Bound of Mutual Information*, arXiv
2006.12013.
"""

from __future__ import annotations

from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._conditional_density import log_ratios, marginal_log_ratios
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import mean


class CLUB(CriticBound):
    """An upper bound on I(Z; C), by a learned q(c | z); within strata, given the stratum.

    Over continuous C, q is a normal whose mean and spread depend on z.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import CLUB
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> CLUB().fit(Z, C, random_state=0).estimate(Z, C) > 0.368
    True
    """

    models_c = True

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the mean of -log q(c | z), (M,), up to a constant."""
        return -mean(log_ratios(critic, z, sensitive, generator), sensitive.weights)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        joint = log_ratios(critic, z, sensitive, generator)
        marginal = marginal_log_ratios(critic, z, sensitive, generator)
        return mean(joint - marginal, sensitive.weights).clamp_min(0)
