"""The f-GAN bound on I(Z; C) of Nguyen, Wainwright and Jordan.

    I(Z; C) >= E over P(Z,C) [T]  -  E over P(Z)P(C) [exp T]  +  1

It is linear in both expectations, so that a batch estimates it without bias, but it lies below
the Donsker-Varadhan bound of the same critic. T here is theirs less 1, so that the best critic is
that of all other bounds, the log density ratio.

Source: Nguyen, Wainwright and Jordan, doi 10.1109/TIT.2010.2068870; as a loss for networks,
Nowozin et al., *f-GAN*, arXiv 1606.00709.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._pair_means import difference
from fairmi.dependence._pair_scores import score
from fairmi.dependence.sensitive_batch import SensitiveBatch

# From here on exp is replaced by its tangent. The bound still holds, since all it needs of a
# function is to be at least the identity where DV has the identity; and nothing overflows.
_STEEPEST = 10.0


class NWJ(CriticBound):
    """I(Z; C) by the bound of Nguyen, Wainwright and Jordan; within strata, given the stratum.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import NWJ
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> NWJ().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        return difference(score(critic, z, sensitive, generator), _exp_less_one)


def _exp_less_one(x: Tensor) -> Tensor:
    beyond = (x - _STEEPEST).clamp_min(0)
    return torch.expm1(x.clamp_max(_STEEPEST)) + math.exp(_STEEPEST) * beyond
