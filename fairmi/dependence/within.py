"""Weighted means within strata: what all penalties share.

Weights w are (M, B) or (1, B); `member` (B, S) is 1 where a row is of a stratum.
"""

from __future__ import annotations

import torch
from torch import Tensor

# A log weight of what is not there: it need only be finite, and vanish beside all others.
ABSENT = -1e9


def mean(values: Tensor, weights: Tensor) -> Tensor:
    """Return the mean over all rows, (M,), of values (M, B); 0 where all weights are 0."""
    return (values * weights).sum(1) / weights.sum(1).clamp_min(tiny(weights))


def row_shares(weights: Tensor, member: Tensor) -> Tensor:
    """Return each row's share of its stratum's weight, (M or 1, B); 0 where there is none."""
    return weights / (stratum_weights(weights, member) @ member.T).clamp_min(tiny(weights))


def stratum_weights(weights: Tensor, member: Tensor) -> Tensor:
    """Return the summed weight of each stratum, (M or 1, S)."""
    return weights @ member


def stratum_shares(weights: Tensor, member: Tensor) -> Tensor:
    """Return each stratum's share of all weight, (M or 1, S)."""
    total = weights.sum(1, keepdim=True).clamp_min(tiny(weights))
    return stratum_weights(weights, member) / total


def stratum_means(columns: Tensor, shares: Tensor, member: Tensor) -> Tensor:
    """Return means of columns (M, B, K) within strata, (M, S, K), by `row_shares`."""
    shares = shares.expand(columns.shape[:2])
    return torch.einsum("mbk,mb,bs->msk", columns, shares, member)


def centred(columns: Tensor, shares: Tensor, member: Tensor) -> Tensor:
    """Return columns (M, B, K) less their mean within each row's stratum."""
    return columns - member @ stratum_means(columns, shares, member)


def log_mean_exp(logs: Tensor, weights: Tensor, member: Tensor) -> Tensor:
    """Return the log of the mean of exp(logs (M, B)) within strata, (M, S).

    A stratum without weight has a number far below all others.
    """
    log_weights = torch.log(weights).clamp_min(ABSENT)
    outside = torch.log(member).clamp_min(ABSENT)
    log_sums = torch.logsumexp((logs + log_weights)[..., None] + outside, dim=1)
    return log_sums - torch.log(stratum_weights(weights, member).clamp_min(tiny(weights)))


def tiny(values: Tensor) -> float:
    """Return the smallest normal number of a dtype, which keeps a quotient from 0 / 0."""
    return float(torch.finfo(values.dtype).tiny)
