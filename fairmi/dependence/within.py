"""Weighted means within strata, and C as columns: what penalties without an exact marginal share.

Weights w are (M, B) or (1, B); `member` (B, S) is 1 where a row is of a stratum.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from fairmi._types import Batch, TrainingData


def membership(batch: Batch, data: TrainingData, dtype: torch.dtype) -> Tensor:
    """Return an indicator of each row's stratum, (B, S)."""
    return nn.functional.one_hot(batch.strata, data.n_strata).to(dtype)


def sensitive_columns(batch: Batch, data: TrainingData, dtype: torch.dtype) -> Tensor:
    """Return C as columns, (B, Q): an indicator for each group, or the values."""
    if batch.groups is None or data.log_prior is None:
        assert batch.values is not None
        return batch.values.to(dtype)
    return nn.functional.one_hot(batch.groups, data.log_prior.shape[1]).to(dtype)


def n_sensitive_columns(data: TrainingData) -> int:
    """Return Q of `sensitive_columns`."""
    if data.log_prior is not None:
        return int(data.log_prior.shape[1])
    assert data.values is not None
    return int(data.values.shape[1])


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
