"""Critics of smooth networks: of Z alone, with an output for each group, and of all pairs (z, c).

A score of a pair is a product of features of z and of features of c, so that the scores of all
pairs of a batch cost one matrix product (a separable critic: van den Oord et al., arXiv
1807.03748; compared with others in Poole et al., arXiv 1905.06922).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

from fairmi.dependence.layers import StackedLinear

_N_FEATURES = 32


class SmoothMLP(nn.Module):
    """M multilayer perceptrons with smooth units, plus a linear map from input to output."""

    def __init__(self, n_models: int, sizes: Sequence[int], generator: Generator) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            StackedLinear(n_models, n_in, n_out, generator) for n_in, n_out in pairwise(sizes)
        )
        self.linear = StackedLinear(n_models, sizes[0], sizes[-1], generator)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, sizes[0]) or (M, B, sizes[0]) to (M, B, sizes[-1])."""
        *hidden, last = self.layers
        h = x
        for layer in hidden:
            h = nn.functional.silu(layer(h))
        out: Tensor = last(h) + self.linear(x)
        return out


class PairCritic(nn.Module):
    """M critics T(z, c) = f(z) . g(c) + a(z) + b(c)."""

    def __init__(
        self,
        n_models: int,
        n_z: int,
        n_c: int,
        hidden_layer_sizes: Sequence[int],
        generator: Generator,
    ) -> None:
        super().__init__()
        sizes = (*hidden_layer_sizes, _N_FEATURES + 1)
        self.of_z = SmoothMLP(n_models, (n_z, *sizes), generator)
        self.of_c = SmoothMLP(n_models, (n_c, *sizes), generator)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Return the scores of all pairs of a row of z (M, B, n_z) and one of c, (M, B, B)."""
        f, g = self.of_z(z), self.of_c(c)
        ones = torch.ones_like(f[..., :1])
        f = torch.cat([f[..., :-1] / math.sqrt(_N_FEATURES), f[..., -1:], ones], dim=2)
        return f @ torch.cat([g[..., :-1], ones, g[..., -1:]], dim=2).mT
