"""What a penalty sees beside Z: the sensitive features of a batch, and of all rows alike.

Shapes by name: M models train at once; B rows; D units of Z; L levels of a unit; G groups; Q
columns of values; S strata, which are the values of y within which the penalty compares groups, or
one stratum where it compares them over all rows.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from fairmi.core.membership import Comparison

_TINY = 1e-12  # a share of a group that has no rows


@dataclass(frozen=True)
class SensitiveBatch:
    """One sensitive attribute of B rows: codes of groups, or values.

    Where rows are in several groups by probability there are B memberships in place of rows, each
    of its share of the row's weight, and `rows` says whose they are.

    Parameters
    ----------
    groups : Tensor of shape (B,), int64, or None
        Codes of groups.
    values : Tensor of shape (B, Q) or None
        Values, where `groups` is None.
    strata : Tensor of shape (B,), int64
        The stratum of each row.
    n_strata : int
    log_prior : Tensor of shape (S, G) or None
        Log share of each group within each stratum, over all rows of the fit. None where there
        are values.
    weights : Tensor of shape (1, B) or (M, B)
        Weight of each row in the penalty; one of weight 0 does not count.
    rows : Tensor of shape (B,), int64, or None
        The row of each membership, in ascending order; None where each row is one.

    Examples
    --------
    >>> import torch
    >>> from fairmi.dependence import SensitiveBatch
    >>> groups = torch.tensor([0, 0, 1])
    >>> batch = SensitiveBatch.of_groups(groups)
    >>> batch.log_prior.exp().round(decimals=2)
    tensor([[0.6700, 0.3300]])
    >>> batch.columns(torch.float32)
    tensor([[1., 0.],
            [1., 0.],
            [0., 1.]])
    """

    groups: Tensor | None
    values: Tensor | None
    strata: Tensor
    n_strata: int
    log_prior: Tensor | None
    weights: Tensor
    rows: Tensor | None = None

    @classmethod
    def of_groups(cls, groups: Tensor, *, n_groups: int | None = None) -> SensitiveBatch:
        """Return rows of one stratum with codes (B,), each of weight 1."""
        n = int(groups.max()) + 1 if n_groups is None else n_groups
        shares = nn.functional.one_hot(groups, n).double().mean(-2, keepdim=True)
        log_prior = shares.clamp_min(1e-12).log().float()
        return cls(groups, None, *_one_stratum(groups.shape[-1], log_prior))

    @classmethod
    def of_values(cls, values: Tensor) -> SensitiveBatch:
        """Return rows of one stratum with values (B, Q), each of weight 1."""
        return cls(None, values, *_one_stratum(values.shape[-2], None))

    @property
    def n_columns(self) -> int:
        """Columns of `columns`: groups G, or Q."""
        if self.log_prior is not None:
            return int(self.log_prior.shape[-1])
        assert self.values is not None
        return int(self.values.shape[-1])

    def of_members(self, z: Tensor) -> Tensor:
        """Return Z (M, n_rows, D) of rows as that of their memberships, (M, B, D)."""
        return z if self.rows is None else z.index_select(1, self.rows)

    def take(self, index: Tensor) -> SensitiveBatch:
        """Return the rows of `index`."""
        rows = None
        if self.rows is not None:
            first = torch.searchsorted(self.rows, index)
            sizes = torch.searchsorted(self.rows, index, right=True) - first
            rows = torch.repeat_interleave(sizes)
            within = torch.arange(len(rows), device=index.device) - (sizes.cumsum(0) - sizes)[rows]
            index = first[rows] + within
        return replace(
            self,
            rows=rows,
            groups=None if self.groups is None else self.groups.index_select(0, index),
            values=None if self.values is None else self.values.index_select(0, index),
            strata=self.strata.index_select(0, index),
            weights=self.weights.index_select(1, index),
        )

    def columns(self, dtype: torch.dtype) -> Tensor:
        """Return an indicator for each group, or the values, (B, n_columns)."""
        if self.groups is None:
            assert self.values is not None
            return self.values.to(dtype)
        return nn.functional.one_hot(self.groups, self.n_columns).to(dtype)

    def with_stratum(self, z: Tensor) -> Tensor:
        """Return Z (M, B, D) with an indicator of each row's stratum, where there are several."""
        return with_strata(z, self.strata, self.n_strata)

    def within(self, dtype: torch.dtype) -> StratumWeights:
        """Return how the rows weigh within strata."""
        return StratumWeights(self.weights.to(dtype), self.strata, self.n_strata)


class StratumWeights:
    """How rows weigh within strata: `weights` (M, B) or (1, B), and `member` (B, S).

    `member` is 1 where a row is of a stratum. What has no weight has the share 0.
    """

    def __init__(self, weights: Tensor, strata: Tensor, n_strata: int) -> None:
        self.weights = weights
        self.member = nn.functional.one_hot(strata, n_strata).to(weights.dtype)

    @cached_property
    def totals(self) -> Tensor:
        """The summed weight of each stratum, (M or 1, S)."""
        return self.weights @ self.member

    @cached_property
    def of_rows(self) -> Tensor:
        """Each row's share of its stratum's weight, (M or 1, B)."""
        return self.weights / (self.totals @ self.member.T).clamp_min(tiny(self.weights))

    @cached_property
    def of_strata(self) -> Tensor:
        """Each stratum's share of all weight, (M or 1, S)."""
        return self.totals / self.weights.sum(1, keepdim=True).clamp_min(tiny(self.weights))

    def means(self, columns: Tensor) -> Tensor:
        """Return means of columns (M, B, K) within strata, (M, S, K)."""
        shares = self.of_rows.expand(columns.shape[:2])
        return torch.einsum("mbk,mb,bs->msk", columns, shares, self.member)

    def centred(self, columns: Tensor) -> Tensor:
        """Return columns (M, B, K) less their mean within each row's stratum."""
        return columns - self.member @ self.means(columns)


def tiny(values: Tensor) -> float:
    """Return the smallest normal number of a dtype, which keeps a quotient from 0 / 0."""
    return float(torch.finfo(values.dtype).tiny)


def sensitive_batch(compared: Comparison, device: torch.device | str = "cpu") -> SensitiveBatch:
    """Return the compared rows of one sensitive attribute as a penalty sees them."""
    members, strata, weights = compared.members, compared.strata, compared.row_weights
    groups = values = log_prior = of_rows = None
    if members.values is not None:
        values = _tensor(members.values, device, torch.float32)
    else:
        codes = members.codes
        if not members.is_certain:
            # A row of no known group is in the first one, by nothing, so that no batch is empty.
            unknown = np.flatnonzero(~members.known)
            none = np.zeros(len(unknown), dtype=np.int64)
            rows = np.concatenate([members.rows, unknown])
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
            codes = np.concatenate([members.groups, none])[order]
            weights = np.concatenate([compared.weights, none])[order]
            strata, of_rows = strata[rows], _tensor(rows, device, torch.int64)
        groups = _tensor(codes, device, torch.int64)
        log_prior = _tensor(np.log(np.maximum(compared.prior, _TINY)), device, torch.float32)
    return SensitiveBatch(
        groups=groups,
        values=values,
        strata=_tensor(strata, device, torch.int64),
        n_strata=compared.n_strata,
        log_prior=log_prior,
        weights=_tensor(weights, device, torch.float32)[None],
        rows=of_rows,
    )


def _tensor(values: np.ndarray, device: torch.device | str, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)


def _one_stratum(
    n_rows: int, log_prior: Tensor | None
) -> tuple[Tensor, int, Tensor | None, Tensor]:
    return torch.zeros(n_rows, dtype=torch.int64), 1, log_prior, torch.ones(1, n_rows)


def with_strata(z: Tensor, strata: Tensor, n_strata: int) -> Tensor:
    """Return Z (M, B, D) with an indicator of strata (B,) behind it, where there are several."""
    if n_strata == 1:
        return z
    onehot = nn.functional.one_hot(strata, n_strata).to(z.dtype)
    return torch.cat([z, onehot.expand(z.shape[0], -1, -1)], dim=2)
