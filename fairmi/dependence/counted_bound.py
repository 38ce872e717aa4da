"""The Donsker-Varadhan bound of counted cells, with its gradient in closed form.

Where few values of Z are told apart their counts stand for the rows. Steps are then so small that
their cost is the number of operations: no graph is kept, and what is the same in all is made once.
Source of the bound: Donsker and Varadhan, doi 10.1002/cpa.3160360204.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class Cells:
    """Rows given as counts of cells, (M, S, L, G), and their bound at a critic's scores of these.

    A model's L levels of Z, within S strata, each have a score for each of G groups. A stratum or
    level without rows counts nothing.
    """

    def __init__(self, counts: Tensor, log_prior: Tensor) -> None:
        tiny = torch.finfo(counts.dtype).tiny
        of_level = counts.sum(3, keepdim=True)
        self.counts = counts
        self.of_stratum = of_level.sum(2, keepdim=True)
        self.total = self.of_stratum.sum(1, keepdim=True).clamp_min(tiny)
        self.log_rows = torch.log(self.of_stratum.clamp_min(tiny))
        # log of the rows at a level times the prior share of a group.
        self.log_pairs = torch.log(of_level.clamp_min(tiny)) + log_prior[:, None]

    def value(self, scores: Tensor) -> tuple[Tensor, Tensor]:
        """Return the bound in nats, (M,), and log E over P(Z)P(C) [exp T], (M, S, 1, 1)."""
        logs = (scores + self.log_pairs).flatten(2)
        log_mean = torch.logsumexp(logs, 2)[..., None, None] - self.log_rows
        joint = (self.counts * scores).sum((1, 2, 3))
        value = joint - (self.of_stratum * log_mean).sum((1, 2, 3))
        return value / self.total.flatten(), log_mean

    def descent(self, scores: Tensor) -> Tensor:
        """Return the gradient of the negated bound in the scores, (M, S, L, G)."""
        pairs = torch.softmax((scores + self.log_pairs).flatten(2), 2).view(scores.shape)
        return (self.of_stratum * pairs - self.counts) / self.total


def counted_bound(scores: Tensor, counts: Tensor, log_prior: Tensor) -> Tensor:
    """Return the bound in nats for each model, of rows that are given as counts of cells.

    Parameters
    ----------
    scores : Tensor of shape (M, S, L, G)
        The critic's scores of each stratum and level of Z, an output for each group.
    counts : Tensor of shape (M, S, L, G) or (1, S, L, G)
        Summed weights of the rows of each cell; they carry no gradient.
    log_prior : Tensor of shape (S, G)
        Log share of each group within each stratum.

    Returns
    -------
    Tensor of shape (M,)
    """
    cells = Cells(counts, log_prior)
    fixed = scores.detach()
    return with_gradient(scores, cells.value(fixed)[0], -cells.descent(fixed))


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
    n_rows = len(groups)
    counts = weights.new_zeros((len(weights), n_strata * n_rows * n_groups))
    rows = torch.arange(n_rows, device=groups.device)
    cells = (strata * n_rows + rows) * n_groups + groups
    counts.scatter_(1, cells.expand(len(weights), -1), weights)
    of_strata = scores[:, None].expand(-1, n_strata, -1, -1)
    return counted_bound(of_strata, counts.view(-1, n_strata, n_rows, n_groups), log_prior)


def with_gradient(of: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
    """Return a value, (M,), whose `gradient` in `of`, (M, ...), is known."""
    result: Tensor = _KnownGradient.apply(of, value, gradient)
    return result


class _KnownGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, of: Tensor, value: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0].view(-1, *(1 for _ in gradient.shape[1:])), None, None
