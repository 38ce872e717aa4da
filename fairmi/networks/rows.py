"""Encoded rows -> tensors that training reads, a batch at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from fairmi._data.sensitive import AttributeRows
from fairmi.dependence.sensitive_batch import SensitiveBatch
from fairmi.networks.reducer import Reducer, active_reducer
from fairmi.preprocessing.encoded_rows import EncodedRows
from fairmi.preprocessing.layout import Layout

_TINY = 1e-12
# Encoded values (256 MB) up to which a table is spread out once, not a batch at a time.
_MAX_SPREAD = 2**26


class RowReader(Protocol):
    """What gives rows as a tensor, a batch at a time."""

    def rows(self, index: Tensor) -> Tensor:
        """Return the rows of `index` (B,), (B, ...)."""
        ...


class SpreadTable:
    """A table kept as its bin positions on a device, spread out a batch at a time by a layout."""

    def __init__(self, positions: Tensor, layout: Layout) -> None:
        self.positions, self.layout = positions, layout
        device = positions.device
        self.source = torch.as_tensor(layout.source, device=device)
        self.offset, self.slope, self.base, self.mean = (
            torch.as_tensor(values, device=device)[:, None]
            for values in (layout.offset, layout.slope, layout.base, layout.mean)
        )

    def rows(self, index: Tensor) -> Tensor:
        """Return encoded rows (B, P)."""
        positions = self.positions.index_select(0, index).t()
        columns = positions.index_select(0, self.source).sub_(self.offset)
        n, stop = self.layout.n_ramped, self.layout.n_ramped + self.layout.n_indicators
        columns[:n].mul_(self.slope).add_(self.base).clamp_(0, 1)
        columns[n:stop] = columns[n:stop] == 0
        columns[stop:] = columns[stop:].isnan()
        return columns.sub_(self.mean).nan_to_num_(0.0).t()


@dataclass(frozen=True)
class Batch:
    """B rows as a training step reads them.

    `x` (B, P); `y` (B,) codes of classes; `task_weights` (1, B); `sensitive` has one record for
    each attribute that is penalised by itself; `offsets` (B, K), if any, are added to the scores.
    """

    x: Tensor
    y: Tensor
    task_weights: Tensor
    sensitive: tuple[SensitiveBatch, ...]
    offsets: Tensor | None = None


@dataclass(frozen=True)
class TrainingRows:
    """All N rows that a training reads, in tensors once.

    A sparse `x` stays sparse, a large one stays bin positions, and rows of any shape stay where
    they are; all give dense batches. A row whose weight is 0 does not count in that term.
    """

    x: Tensor | csr_array | RowReader
    y: Tensor
    task_weights: Tensor
    sensitive: tuple[SensitiveBatch, ...]
    offsets: Tensor | None = None

    @property
    def n_rows(self) -> int:
        """Rows N."""
        return int(self.y.shape[0])

    def inputs(self, index: Tensor) -> Tensor:
        """Return x of the rows of `index`, (B, P)."""
        if isinstance(self.x, Tensor):
            return self.x.index_select(0, index)
        if isinstance(self.x, csr_array):
            return torch.as_tensor(self.x[index.cpu().numpy()].toarray(), device=self.y.device)
        return self.x.rows(index)

    def batch(self, index: Tensor) -> Batch:
        """Return the rows of `index` (B,)."""
        return Batch(
            x=self.inputs(index),
            y=self.y.index_select(0, index),
            task_weights=self.task_weights.index_select(1, index),
            sensitive=tuple(attribute.take(index) for attribute in self.sensitive),
            offsets=None if self.offsets is None else self.offsets.index_select(0, index),
        )

    def first(self, n_rows: int) -> Batch:
        """Return the first rows, at most `n_rows`."""
        return self.batch(torch.arange(min(self.n_rows, n_rows), device=self.y.device))


def training_rows(
    rows: EncodedRows,
    n_groups: tuple[int, ...],
    *,
    constraint: str,
    group_weight: str | None,
    n_classes: int,
    device: torch.device,
    offsets: np.ndarray | None = None,
    earlier_counts: np.ndarray | None = None,
    totals: np.ndarray | None = None,
) -> tuple[TrainingRows, np.ndarray]:
    """Return the rows as tensors on the device, and the summed weights of their groups.

    Parameters
    ----------
    rows : EncodedRows
    n_groups : tuple of int
        Groups of each sensitive attribute, 0 for one of values.
    constraint, group_weight
        As in `MIDebiasedClassifier`.
    n_classes : int
    device : torch.device
    offsets : ndarray of shape (N, K)
        Added to the scores in the task loss.
    earlier_counts : ndarray of shape (S, sum of G)
        Summed weights of a stream's rows before these, attribute by attribute.
    totals : ndarray of shape (3,)
        Rows of a stream so far and their summed weights in task and penalty, by which weights are
        scaled; those of these rows alone where it is no stream.

    Returns
    -------
    rows : TrainingRows
    counts : ndarray of shape (S, sum of G)
        `earlier_counts` and those of these rows.

    Raises
    ------
    ValueError
        If groups are to be balanced and there are none.
    """
    _check_group_weight(group_weight, n_groups)
    reducer = active_reducer()
    y, penalty_weights = rows.codes, rows.penalty_weights
    strata, n_strata = np.zeros_like(y), 1
    n_rows, *sums = reducer.total(rows.totals) if totals is None else totals
    scale = n_rows / np.maximum(sums, _TINY)
    if constraint == "equalized_odds":
        strata, n_strata = y, n_classes
    elif constraint == "equal_opportunity":
        penalty_weights = penalty_weights * (y != 0)
    reader = _SensitiveReader(
        strata, n_strata, penalty_weights * scale[1], group_weight, device, reducer
    )
    ends = np.cumsum(n_groups)
    counts = np.zeros((n_strata, ends[-1])) if earlier_counts is None else earlier_counts.copy()
    parts = zip(rows.sensitive.attributes, np.split(counts, ends[:-1], axis=1), strict=True)
    training = TrainingRows(
        x=_inputs(rows, device),
        y=_tensor(y, device, torch.int64),
        task_weights=_tensor(rows.task_weights * scale[0], device, torch.float32)[None],
        sensitive=tuple(reader.read(attribute, seen) for attribute, seen in parts),
        offsets=None if offsets is None else _tensor(offsets, device, torch.float32),
    )
    return training, counts


@dataclass(frozen=True)
class _SensitiveReader:
    """What the sensitive attributes of the rows have in common."""

    strata: np.ndarray
    n_strata: int
    weights: np.ndarray
    group_weight: str | None
    device: torch.device
    reducer: Reducer

    def read(self, attribute: AttributeRows, counts: np.ndarray) -> SensitiveBatch:
        """Return an attribute's record; its groups are added to `counts` (S, G), in place."""
        weights = self.weights * attribute.known
        if attribute.values is not None:
            values = _tensor(attribute.values, self.device, torch.float32)
            return self._record(weights, None, values, None)
        assert attribute.groups is not None
        seen = np.zeros_like(counts)
        np.add.at(seen, (self.strata, attribute.groups), weights)
        counts += self.reducer.total(seen)
        shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), _TINY)
        if self.group_weight == "balanced":
            # Every group of every stratum has the same weight.
            present = shares > 0
            factors = counts.sum() / present.sum() / np.maximum(counts, _TINY)
            weights = weights * factors[self.strata, attribute.groups]
            shares = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
        log_prior = _tensor(np.log(np.maximum(shares, _TINY)), self.device, torch.float32)
        groups = _tensor(attribute.groups, self.device, torch.int64)
        return self._record(weights, groups, None, log_prior)

    def _record(
        self,
        weights: np.ndarray,
        groups: Tensor | None,
        values: Tensor | None,
        log_prior: Tensor | None,
    ) -> SensitiveBatch:
        return SensitiveBatch(
            groups=groups,
            values=values,
            strata=_tensor(self.strata, self.device, torch.int64),
            n_strata=self.n_strata,
            log_prior=log_prior,
            weights=_tensor(weights, self.device, torch.float32)[None],
        )


def _check_group_weight(group_weight: str | None, n_groups: tuple[int, ...]) -> None:
    if group_weight is not None and not any(n_groups):
        raise ValueError(
            f'group_weight="{group_weight}" needs groups, but the sensitive features are '
            "continuous, or are penalised together with a continuous one; set it to None, or give "
            "lam as a dict, a λ for each."
        )


def _inputs(rows: EncodedRows, device: torch.device) -> Any:
    if rows.layout is None:
        return rows.x
    if len(rows.x) * rows.layout.width > _MAX_SPREAD:
        return SpreadTable(_tensor(rows.x, device, torch.float32), rows.layout)
    return _tensor(rows.layout.expand(rows.x), device, torch.float32)


def _tensor(values: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)
