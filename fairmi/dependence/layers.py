"""Layers that carry a leading model axis: M networks of one shape in one batched product.

Shapes: x is (B, P) where all models see the same rows, or (M, B, P); all else is (M, B, ...), or
(A, B, ...) in hidden layers that models have in common.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn

# Of z and of c, whose products are the score of a pair.
_N_FEATURES = 32


class StackedLinear(nn.Module):
    """M affine maps of one shape, x W + b, each with weights of its own.

    Shape: (B, n_in) in, which all maps read, or (M, B, n_in); (M, B, n_out) out.
    """

    def __init__(self, n_models: int, n_in: int, n_out: int, generator: Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(max(n_in, 1))
        self.weight = nn.Parameter(_uniform((n_models, n_in, n_out), bound, generator))
        self.bias = nn.Parameter(_uniform((n_models, 1, n_out), bound, generator))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, n_in) or (A, B, n_in) to (M, B, n_out); model m reads the x of m modulo A."""
        n_models, n_in, n_out = self.weight.shape
        if x.dim() == 2:
            return torch.baddbmm(self.bias, x.expand(n_models, *x.shape), self.weight)
        if len(x) == n_models:
            return torch.baddbmm(self.bias, x, self.weight)
        # Models that share an x are one product.
        weight = self.weight.view(-1, len(x), n_in, n_out).permute(1, 2, 0, 3).flatten(2)
        out = torch.bmm(x, weight).unflatten(2, (-1, n_out)).permute(2, 0, 1, 3).flatten(0, 1)
        return out + self.bias


class StackedMLP(nn.Module):
    """M multilayer perceptrons, with dropout (when training) after each hidden layer.

    Shape: (B, sizes[0]) in, or (M, B, sizes[0]); (M, B, sizes[-1]) out.
    """

    def __init__(
        self,
        n_models: int,
        sizes: Sequence[int],
        generator: Generator,
        *,
        dropout: float = 0.0,
        negative_slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            StackedLinear(n_models, n_in, n_out, generator) for n_in, n_out in pairwise(sizes)
        )
        self.dropout_factors = _dropout_factors(dropout, generator.device) if dropout else None
        self.negative_slope = negative_slope
        self.generator = generator

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, sizes[0]) or (A, B, sizes[0]) to (M, B, sizes[-1])."""
        *hidden, last = self.layers
        for layer in hidden:
            x = nn.functional.leaky_relu(layer(x), self.negative_slope)
            if self.training and self.dropout_factors is not None:
                x = x * self._mask(self.dropout_factors, x.shape[1:])
        return last(x)

    def _mask(self, factors: Tensor, shape: torch.Size) -> Tensor:
        # One mask for all models: none is luckier than those beside it. A byte is drawn for each
        # unit, eight at a time: to draw a float takes as long as a layer.
        n = shape.numel()
        words = torch.empty(-(-n // 8), dtype=torch.int64, device=factors.device)
        words.random_(-(2**63), None, generator=self.generator)
        return factors.index_select(0, words.view(torch.uint8)[:n].int()).view(shape)


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
    """M critics T(z, c) = f(z) . g(c) + a(z) + b(c).

    A score of a pair is a product of features of z and of features of c, so that the scores of all
    pairs of a batch cost one matrix product (a separable critic: van den Oord et al., arXiv
    1807.03748; compared with others in Poole et al., arXiv 1905.06922).
    """

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


def _dropout_factors(share: float, device: torch.device) -> Tensor:
    """Return what each value of a byte does to a unit: 0 for a `share` of them, to 1/256.

    The others make up for it, so that the mean is 1.
    """
    dropped = min(round(share * 256), 255)
    factors = torch.full((256,), 256 / (256 - dropped), device=device)
    factors[:dropped] = 0
    return factors


def repeated(values: Tensor, times: int) -> Tensor:
    """Return a copy of values (S, ...) of S models, all S, then all S again, and so on."""
    return values.repeat(times, *(1 for _ in values.shape[1:]))


def _uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    values = torch.rand(shape, generator=generator, device=generator.device)
    return (values * 2 - 1) * bound
