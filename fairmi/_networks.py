"""Encoder, channel, head and critic; every layer carries a leading model axis.

Shapes: x is (B, P) where all models see the same rows, or (M, B, P); all else is (M, B, ...), or
(S, B, ...) in hidden layers that models have in common.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise

import torch
from torch import Generator, Tensor, nn


class StackedLinear(nn.Module):
    """M affine maps of one shape in one batched product."""

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
    """M multilayer perceptrons, with dropout (when training) after each hidden layer."""

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


def _dropout_factors(share: float, device: torch.device) -> Tensor:
    """Return what each value of a byte does to a unit: 0 for a `share` of them, to 1/256.

    The others make up for it, so that the mean is 1.
    """
    dropped = min(round(share * 256), 255)
    factors = torch.full((256,), 256 / (256 - dropped), device=device)
    factors[:dropped] = 0
    return factors


class Channel(nn.Module):
    """What bounds the capacity of Z: each unit takes one of `n_levels` values.

    In training a unit is moved by uniform noise of `width` grid steps before it is rounded, and
    the gradient passes straight through the rounding; at inference it is rounded alone, which is
    deterministic row by row. With `n_levels=None` the channel is open: Z is the encoder's output
    (the published procedure, kept as the reference).

    Uniform dither before rounding in training: Ballé et al., *End-to-end Optimized Image
    Compression*, arXiv 1611.01704. Straight-through gradient: Bengio et al., arXiv 1308.3432.
    Rounding of bounded units: Mentzer et al., *Finite Scalar Quantization*, arXiv 2309.15505.
    """

    def __init__(self, n_levels: int | None, generator: Generator) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.generator = generator

    def bound(self, h: Tensor) -> Tensor:
        """Squash the encoder's output to [-1, 1], ends of the grid of levels."""
        return h if self.n_levels is None else torch.tanh(h)

    def forward(self, bounded: Tensor, width: float = 0.0) -> Tensor:
        """Send bounded units through the channel; `width` is the noise in grid steps."""
        if self.n_levels is None:
            return bounded
        half = (self.n_levels - 1) / 2
        place = (bounded.detach() + 1) * half
        if width:
            # One noise for all models, as in dropout.
            noise = torch.rand(place.shape[1:], generator=self.generator, device=place.device)
            place = place + width * (noise - 0.5)
        rounded = place.round_().clamp_(0, self.n_levels - 1) / half - 1
        return bounded + (rounded - bounded).detach()

    @property
    def steps_per_unit(self) -> float:
        """Grid steps in a length of 1."""
        return ((self.n_levels or 0) - 1) / 2

    def place(self, bounded: Tensor) -> Tensor:
        """Return where units lie on the grid, 0 being its lowest level."""
        return (bounded + 1) * self.steps_per_unit

    def level(self, z: Tensor) -> Tensor:
        """Return the number of the level that each unit of a Z of this channel has, int64."""
        # Places of a model that diverged count as 0, so that they are those of a level.
        top = (self.n_levels or 0) - 1
        return self.place(z.detach()).nan_to_num(0.0).round_().clamp_(0, top).long()

    def law(self, bounded: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Return which levels noise of `width` lets each unit take.

        Returns
        -------
        low : Tensor of shape (M, B, D), int64
            The lower of the two levels nearest to the unit.
        above : Tensor of shape (M, B, D)
            The chance of the higher level.
        """
        place = self.place(bounded.detach())
        low = place.nan_to_num(0.0).floor_().clamp_(0, (self.n_levels or 0) - 2)
        distance = place.sub_(low)
        above = distance.sub_(0.5).div_(width).add_(0.5).clamp_(0, 1) if width else distance > 0.5
        return low.long(), above.to(low.dtype)


def repeated(values: Tensor, times: int) -> Tensor:
    """Return a copy of values (S, ...) of S models, all S, then all S again, and so on."""
    return values.repeat(times, *(1 for _ in values.shape[1:]))


class Networks(nn.Module):
    """Encoder, channel and head: what a fitted model is."""

    def __init__(
        self,
        *,
        n_models: int,
        n_inputs: int,
        hidden_layer_sizes: Sequence[int],
        n_components: int,
        n_levels: int | None,
        n_outputs: int,
        dropout: float,
        generator: Generator,
    ) -> None:
        super().__init__()
        self.n_components = n_components
        self.encoder = StackedMLP(
            n_models, (n_inputs, *hidden_layer_sizes, n_components), generator, dropout=dropout
        )
        self.channel = Channel(n_levels, generator)
        self.head = StackedMLP(n_models, (n_components, n_outputs), generator)
        if n_components == 1:
            self._start_head()

    @property
    def n_models(self) -> int:
        """Models M."""
        return int(next(self.head.parameters()).shape[0])

    def share(self, times: int) -> None:
        """Turn the S models into S x `times`, of which every S-th have hidden layers in common.

        All S come, then all S again, and so on. Each has its own last layer of the encoder, and
        its own head.
        """
        own = (self.encoder.layers[-1], self.head)
        for parameter in (p for module in own for p in module.parameters()):
            parameter.data = repeated(parameter.data, times)

    def states(self) -> dict[str, Tensor]:
        """Return a copy of the parameters, (M, ...), those in common once for each model."""
        parts = self.state_dict().items()
        return {name: repeated(value, self.n_models // len(value)) for name, value in parts}

    def separate(self, states: Mapping[str, Tensor]) -> None:
        """Give each model parameters of its own, (M, ...)."""
        for name, parameter in self.named_parameters():
            parameter.data = states[name]

    def _start_head(self) -> None:
        # A weight near 0 passes no gradient to the one unit, and a small table has no time to
        # leave such a start: 4 of 20 fits on German then predicted one class.
        with torch.no_grad():
            for name, parameter in self.head.named_parameters():
                start = parameter.sign() if name.endswith("weight") else torch.zeros(())
                parameter.copy_(start)

    def bounded(self, x: Tensor) -> Tensor:
        """Return the encoder's output before the channel, (M, B, D)."""
        return self.channel.bound(self.encoder(x))

    def represent(self, x: Tensor) -> Tensor:
        """Return Z as at inference, (M, B, D)."""
        return self.channel(self.bounded(x))


def _uniform(shape: tuple[int, ...], bound: float, generator: Generator) -> Tensor:
    values = torch.rand(shape, generator=generator, device=generator.device)
    return (values * 2 - 1) * bound
