"""The channel between encoder and head, which bounds the capacity of Z."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn


class Channel(nn.Module):
    """What bounds the capacity of Z: each unit takes one of `n_levels` values.

    In training a unit is moved by uniform noise of `width` grid steps before it is rounded, and
    the gradient passes straight through the rounding; at inference it is rounded alone, which is
    deterministic row by row. With `n_levels=None` the channel is open: Z is what the encoder
    gives, through ReLU, as in the published procedure.

    Shape: (M, B, D) in and out.

    Uniform dither before rounding in training: Ballé et al., *End-to-end Optimized Image
    Compression*, arXiv 1611.01704. Straight-through gradient: Bengio et al., arXiv 1308.3432.
    Rounding of bounded units: Mentzer et al., *Finite Scalar Quantization*, arXiv 2309.15505.

    Examples
    --------
    >>> import torch
    >>> from fairmi.networks.channel import Channel
    >>> channel = Channel(5, torch.Generator())
    >>> channel(torch.tensor([[[-0.9], [0.2], [0.3]]]))
    tensor([[[-1.0000],
             [ 0.0000],
             [ 0.5000]]])
    """

    def __init__(self, n_levels: int | None, generator: Generator) -> None:
        super().__init__()
        self.n_levels = n_levels
        self.generator = generator

    def bound(self, h: Tensor) -> Tensor:
        """Squash the encoder's output to [-1, 1], ends of the grid of levels."""
        return h.relu() if self.n_levels is None else torch.tanh(h)

    def forward(self, bounded: Tensor, width: float = 0.0) -> Tensor:
        """Send bounded units through the channel; `width` is the noise in grid steps."""
        if self.n_levels is None:
            return bounded
        half = (self.n_levels - 1) / 2
        position = (bounded.detach() + 1) * half
        if width:
            # One noise for all models, as in dropout.
            noise = torch.rand(
                position.shape[1:], generator=self.generator, device=position.device
            )
            position = position + width * (noise - 0.5)
        rounded = position.round_().clamp_(0, self.n_levels - 1) / half - 1
        return bounded + (rounded - bounded).detach()

    @property
    def steps_per_unit(self) -> float:
        """Grid steps in a length of 1."""
        return ((self.n_levels or 0) - 1) / 2

    def position(self, bounded: Tensor) -> Tensor:
        """Return where units lie on the grid, 0 being its lowest level."""
        return (bounded + 1) * self.steps_per_unit

    def level(self, z: Tensor) -> Tensor:
        """Return the number of the level that each unit of a Z of this channel has, int64."""
        # Positions of a model that diverged count as 0, so that they are those of a level.
        top = (self.n_levels or 0) - 1
        return self.position(z.detach()).nan_to_num(0.0).round_().clamp_(0, top).long()

    def level_probabilities(self, bounded: Tensor, width: float) -> tuple[Tensor, Tensor]:
        """Return which levels noise of `width` lets each unit take.

        Returns
        -------
        low : Tensor of shape (M, B, D), int64
            The lower of the two levels nearest to the unit.
        above : Tensor of shape (M, B, D)
            The chance of the higher level.
        """
        position = self.position(bounded.detach())
        low = position.nan_to_num(0.0).floor_().clamp_(0, (self.n_levels or 0) - 2)
        distance = position.sub_(low)
        above = distance.sub_(0.5).div_(width).add_(0.5).clamp_(0, 1) if width else distance > 0.5
        return low.long(), above.to(low.dtype)
