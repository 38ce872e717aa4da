"""A value whose gradient is known: no graph is kept of what made it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def given(of: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Return a value, (M,), whose `gradient` in `of`, (M, ...), is known."""
    result: Tensor = _Given.apply(of, value, gradient)
    return result


class _Given(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].view(-1, *(1 for _ in gradient.shape[1:])), None, None
