"""The Hirschfeld-Gebelein-Rényi maximal correlation of Z and C, by two networks.

    HGR(Z, C) = max over f, g of the correlation of f(Z) and g(C)

It is 0 only where Z and C are independent, and the absolute correlation of Gaussians.

Source: Grari et al., *Learning Unbiased Representations via Rényi Minimization*,
arXiv 2009.03183. Deviations: f and g see the stratum and are standardised within it, which gives
the mean over strata of the maximal correlation within each; the encoder minimises its square,
whose pull fades as the correlation does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.layers import StackedMLP
from fairmi.dependence.penalty import Penalty
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.dependence.within import (
    centred,
    row_shares,
    stratum_shares,
)


class HGR(Penalty):
    """The square of the maximal correlation of Z and C, between 0 and 1.

    Parameters
    ----------
    hidden_layer_sizes : sequence of int, default=(64, 64)
        Hidden units of both networks.

    Examples
    --------
    >>> from fairmi.dependence import PENALTIES
    >>> PENALTIES["hgr"](hidden_layer_sizes=(16,))
    HGR(hidden_layer_sizes=(16,))
    """

    is_information = False

    def __init__(self, hidden_layer_sizes: Sequence[int] = (64, 64)) -> None:
        self.hidden_layer_sizes = hidden_layer_sizes

    def critic(
        self, n_models: int, n_components: int, sensitive: SensitiveBatch, generator: Generator
    ) -> nn.Module:
        """Return M untrained pairs of networks, f of Z and g of C."""
        n_strata = sensitive.n_strata if sensitive.n_strata > 1 else 0
        n_inputs = (n_components + n_strata, sensitive.n_columns + n_strata)
        return nn.ModuleList(
            StackedMLP(n_models, (n_in, *self.hidden_layer_sizes, 1), generator)
            for n_in in n_inputs
        )

    def critic_loss(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the correlation negated, (M,)."""
        return -self._correlation(critic, z, sensitive)

    def value(
        self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch, generator: Generator
    ) -> Tensor:
        """Return the squared correlation for each model, (M,), at Z (M, B, D) of a batch."""
        return self._correlation(critic, z, sensitive).square()

    def _correlation(self, critic: nn.Module, z: Tensor, sensitive: SensitiveBatch) -> Tensor:
        assert isinstance(critic, nn.ModuleList)
        columns = sensitive.columns(z.dtype).expand(z.shape[0], -1, -1)
        f, g = (
            network(sensitive.with_stratum(rows))
            for network, rows in zip(critic, (z, columns), strict=True)
        )
        member = sensitive.membership(z.dtype)
        return correlation(f, g, sensitive.weights.to(z.dtype), member)


def correlation(f: Tensor, g: Tensor, weights: Tensor, member: Tensor) -> Tensor:
    """Return the mean over strata of the correlation of f and g (M, B, 1), (M,)."""
    shares = row_shares(weights, member)
    of_rows = shares.expand(f.shape[:2])
    f, g = (centred(part, shares, member)[..., 0] for part in (f, g))
    products = torch.stack([f * g, f * f, g * g])
    both, of_f, of_g = torch.einsum("pmb,mb,bs->pms", products, of_rows, member)
    ratios = both / torch.sqrt(of_f * of_g + torch.finfo(f.dtype).eps)
    return (ratios * stratum_shares(weights, member)).sum(1)
