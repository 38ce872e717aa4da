"""Weighted means over the rows of each stratum, and what bounds make of them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from fairmi.dependence._pair_scores import ABSENT, Scores


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the weighted mean over rows, (M,), of values (M, B); 0 where all weights are 0."""
    total = weights.sum(1).clamp_min(torch.finfo(weights.dtype).tiny)
    return (values * weights).sum(1) / total


def means(values: Tensor, scores: Scores) -> tuple[Tensor, Tensor]:
    """Return means over P(Z)P(C) within strata and the share of each stratum's rows, (M, S) both.

    `values` (M, B) are the rows' own means over C. A stratum without a pair has the share 0.
    """
    member = _member(scores)
    of_pairs = (scores.pair_weights[..., None] * member).sum(1)
    tiny = torch.finfo(of_pairs.dtype).tiny
    sums = ((values * scores.pair_weights)[..., None] * member).sum(1)
    return sums / of_pairs.clamp_min(tiny), _shares(scores, member, of_pairs)


def log_means(scores: Scores) -> tuple[Tensor, Tensor]:
    """Return log E over P(Z)P(C) of exp T within strata, and shares as `means` does."""
    member = _member(scores)
    of_pairs = (scores.pair_weights[..., None] * member).sum(1)
    log_pairs = torch.log(scores.pair_weights).clamp_min(ABSENT)
    outside = torch.zeros((), dtype=log_pairs.dtype, device=log_pairs.device)
    outside = torch.where(member, outside, ABSENT)
    log_sums = torch.logsumexp((scores.log_row_means() + log_pairs)[..., None] + outside, dim=1)
    tiny = torch.finfo(of_pairs.dtype).tiny
    return log_sums - torch.log(of_pairs.clamp_min(tiny)), _shares(scores, member, of_pairs)


def joint_mean(scores: Scores, values: Tensor | None = None) -> Tensor:
    """Return the mean of T, or of values (M, B), over the rows of strata that have pairs, (M,)."""
    values = scores.joint if values is None else values
    member = _member(scores)
    of_pairs = (scores.pair_weights[..., None] * member).sum(1)
    index = scores.strata.expand(len(of_pairs), -1)
    seen = scores.weights * (of_pairs > 0).gather(1, index)
    total = scores.weights.sum(1).clamp_min(torch.finfo(seen.dtype).tiny)
    return (values * seen).sum(1) / total


def difference(scores: Scores, of_log_mean: Callable[[Tensor], Tensor]) -> Tensor:
    """Return the mean over strata, (M,), of E of T less a function of the log mean of exp T."""
    log_mean, shares = log_means(scores)
    return joint_mean(scores) - (shares * of_log_mean(log_mean)).sum(1)


def _member(scores: Scores) -> Tensor:
    return scores.strata[:, None] == torch.arange(scores.n_strata, device=scores.strata.device)


def _shares(scores: Scores, member: Tensor, of_pairs: Tensor) -> Tensor:
    of_rows = (scores.weights[..., None] * member).sum(1)
    total = scores.weights.sum(1, keepdim=True).clamp_min(torch.finfo(of_rows.dtype).tiny)
    return of_rows * (of_pairs > 0) / total
