"""The Donsker-Varadhan bound of counted cells, with its gradient in closed form.

A critic that sees few distinct Z is trained on their counts, not on rows. Steps are so small that
their cost is the number of operations, so value and gradient come out of one pass.
Source of the bound: Donsker and Varadhan, doi 10.1002/cpa.3160360204.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def counted_bound(scores: Tensor, counts: Tensor, log_prior: Tensor) -> Tensor:
    """Return the bound in nats for each model, of rows that are given as counts of cells.

    Parameters
    ----------
    scores : Tensor of shape (M, L, S, G)
        The critic's scores of each level of Z and stratum, an output for each group.
    counts : Tensor of shape (M, L, S, G) or (1, L, S, G)
        Summed weights of the rows of each cell; they carry no gradient.
    log_prior : Tensor of shape (S, G)
        Log share of each group within each stratum.

    Returns
    -------
    Tensor of shape (M,)
    """
    value: Tensor = _CountedBound.apply(scores, counts, log_prior)
    return value


def exact_bound(
    scores: Tensor, groups: Tensor, log_prior: Tensor, strata: Tensor, weights: Tensor
) -> Tensor:
    """Return the bound in nats for each model, of rows: each is a level by itself.

    Parameters
    ----------
    scores : Tensor of shape (M, B, G)
        The critic's T(z, c), an output for each group.
    groups : Tensor of shape (B,), int64
        The group of each row.
    log_prior : Tensor of shape (S, G)
        Log share of each group within each stratum.
    strata : Tensor of shape (B,), int64
        The stratum of each row; the bound is the mean over strata of the bound within each.
    weights : Tensor of shape (M, B) or (1, B)
        Weights of the rows, in the joint and in the marginal.

    Returns
    -------
    Tensor of shape (M,)
    """
    n_strata, n_groups = log_prior.shape
    counts = weights.new_zeros((*weights.shape, log_prior.numel()))
    cells = (strata * n_groups + groups)[None, :, None].expand(len(weights), -1, 1)
    counts.scatter_(2, cells, weights[..., None])
    of_strata = scores[:, :, None].expand(-1, -1, n_strata, -1)
    return counted_bound(of_strata, counts.view(*weights.shape, *log_prior.shape), log_prior)


class _CountedBound(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, scores: Tensor, counts: Tensor, log_prior: Tensor) -> Tensor:
        tiny = torch.finfo(scores.dtype).tiny
        of_level = counts.sum(3, keepdim=True)
        of_stratum = of_level.sum(1, keepdim=True)
        total = of_stratum.sum(2, keepdim=True).clamp_min(tiny)
        # log of p(level | stratum) p(group | stratum) exp(T), whose sum is the marginal mean.
        logs = scores + log_prior + torch.log(of_level.clamp_min(tiny))
        top = logs.amax((1, 3), keepdim=True)
        parts = torch.exp(logs - top)
        mean = parts.sum((1, 3), keepdim=True)
        log_mean = top + torch.log(mean) - torch.log(of_stratum.clamp_min(tiny))
        ctx.save_for_backward((counts - of_stratum * (parts / mean)) / total)
        joint = (counts * scores).sum((1, 2, 3), keepdim=True)
        value = (joint - (of_stratum * log_mean).sum(2, keepdim=True)) / total
        return value.flatten()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].view(-1, 1, 1, 1), None, None
