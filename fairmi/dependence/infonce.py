"""InfoNCE: how well a critic tells a row's own c from those of other rows.

    I(Z; C) >= E over P(Z,C) [ T(z, c)  -  log E over P(C) [exp T(z, C)] ]

Over discrete C the mean over P(C) is exact, and the bound is the same as that of Barber and
Agakov with q(c | z) proportional to p(c) exp T. Over continuous C it is the mean over a batch of
B rows, the row's own among them, and the bound can't exceed log B.

Source: van den Oord, Li and Vinyals, *Representation Learning with Contrastive Predictive
Coding*, arXiv 1807.03748; its bias and variance: Poole et al., arXiv 1905.06922.
"""

from __future__ import annotations

from torch import Generator, Tensor, nn

from fairmi.dependence._bound import CriticBound
from fairmi.dependence._pair_scores import score
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import mean


class InfoNCE(CriticBound):
    """I(Z; C) by the InfoNCE bound; within strata, given the stratum.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Units of the critic's hidden layers.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.dependence import InfoNCE
    >>> rng = np.random.default_rng(0)
    >>> C = rng.integers(2, size=2000)
    >>> Z = np.where(rng.random(2000) < 0.9, C, 1 - C)  # 0.368 nats
    >>> InfoNCE().fit(Z, C, random_state=0).estimate(Z, C) > 0.33
    True
    """

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the bound in nats for each model, (M,), at Z (M, B, D) of a batch."""
        scores = score(critic, z, sensitive, generator, own=True)
        return mean(scores.joint - scores.log_row_means(), scores.weights)
