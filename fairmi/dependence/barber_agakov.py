"""The bound of Barber and Agakov: how well a network predicts C from Z, by cross-entropy.

    I(Z; C) >= H(C) + E over P(Z,C) [log q(c | z)]  =  E over P(Z,C) [log q(c | z) / p(c)]

As a penalty it is the adversary that predicts C, trained by cross-entropy.

Source: Barber and Agakov, *The IM Algorithm: A Variational Approach to Information
Maximization*, NIPS 2003, https://papers.nips.cc/paper/2410.
"""

from __future__ import annotations

from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._conditional_density import log_ratios
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import mean


class BarberAgakov(CriticBound):
    """I(Z; C) by the bound of Barber and Agakov; within strata, given the stratum.

    Over continuous C, q is a normal whose mean and spread depend on z, and p(c) is taken as a
    normal. The estimate is a bound where C is normal, as its ranks make each column in `fit`; it
    is no information where C has both kinds of columns.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import BarberAgakov
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> BarberAgakov().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    models_c = True

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        ratios = log_ratios(critic, z, sensitive, generator)
        return mean(ratios, sensitive.weights)
