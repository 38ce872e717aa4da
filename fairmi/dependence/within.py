"""Weighted means within strata, and C as columns: what penalties without an exact marginal share.

Weights w are (M, B) or (1, B); `member` (B, S) is 1 where a row is of a stratum.
"""

from __future__ import annotations

import torch
from torch import Tensor


def row_shares(weights: Tensor, member: Tensor) -> Tensor:
    """Return each row's share of its stratum's weight, (M or 1, B); 0 where there is none."""
    totals = (weights @ member) @ member.T
    return weights / totals.clamp_min(_tiny(weights))


def stratum_shares(weights: Tensor, member: Tensor) -> Tensor:
    """Return each stratum's share of all weight, (M or 1, S)."""
    return (weights @ member) / weights.sum(1, keepdim=True).clamp_min(_tiny(weights))


def centred(columns: Tensor, shares: Tensor, member: Tensor) -> Tensor:
    """Return columns (M, B, K) less their mean within each row's stratum."""
    means = torch.einsum("mbk,mb,bs->msk", columns, shares.expand(columns.shape[:2]), member)
    return columns - member @ means


def _tiny(values: Tensor) -> float:
    return float(torch.finfo(values.dtype).tiny)
