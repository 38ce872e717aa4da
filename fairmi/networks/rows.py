"""Encoded rows, or rows of any shape -> tensors that training reads, a batch at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from fairmi._data.fit_input import FitInput
from fairmi._data.tables import ArrayRows
from fairmi.core.membership import check_group_weight, compare, strata_of
from fairmi.dependence.sensitive_batch import SensitiveBatch, sensitive_batch
from fairmi.networks.model import tensor_of
from fairmi.networks.reducer import active_reducer
from fairmi.preprocessing.table_encoder import Layout

# Rows by which a fit is diagnosed, all at once; values of rows of any shape, and the least rows.
_MAX_DIAGNOSED, _DIAGNOSED_VALUES, _MIN_ROWS = 5_000, 2**24, 200
# Encoded values (256 MB) up to which a table is spread out once, not a batch at a time.
_MAX_SPREAD = 2**26
_TINY = 1e-12


class ItemRows:
    """All rows of a fit where they lie; a batch alone becomes a tensor on the device."""

    def __init__(self, source: ArrayRows, device: torch.device) -> None:
        self.source, self.device = source, device

    @property
    def max_rows(self) -> int:
        """Rows that may be tensors at once."""
        values = max(math.prod(self.source.shape[1:]), 1)
        return max(_DIAGNOSED_VALUES // values, _MIN_ROWS)

    def rows(self, index: Tensor) -> Tensor:
        """Return the rows of `index` (B,), (B, ...)."""
        return tensor_of(self.source[index.cpu().numpy()]).to(self.device)


def item_rows(inputs: FitInput, device: torch.device) -> FitInput:
    """Return the rows of a fit as they are: equal ones stay apart, and keep their order."""
    return replace(inputs, features=ItemRows(inputs.features, device))


def first_rows(rows: FitInput, n: int) -> Tensor:
    """Return at most `n` rows as an encoder reads them."""
    n = min(n, len(rows.codes))
    if isinstance(rows.features, ItemRows):
        return rows.features.rows(torch.arange(n))
    part = rows.features[:n]
    table = part.toarray() if rows.layout is None else rows.layout.expand(part)
    return torch.as_tensor(table, dtype=torch.float32)


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
class TrainingRows:
    """All N rows that a training reads, in tensors once; or a batch of them, whose x is dense.

    A sparse `x` (N, P) stays sparse, a large one stays bin positions, and rows of any shape stay
    where they are; all give dense batches. `y` (N,) are codes of classes, or numbers. A row whose
    weight, in `task_weights` (1, N) or in `sensitive`, is 0 does not count in that term;
    `sensitive` has one record for each attribute that is penalised by itself. `offsets` (N, K), if
    any, are added to the scores, and `targets` (N, K), if any, are learned in place of y.
    `counts` (S, sum of G) has the summed weights of the groups of each attribute in turn, those
    of a stream's rows so far included; `totals` are as `training_rows` takes them.
    """

    x: Tensor | csr_array | ItemRows | SpreadTable
    y: Tensor
    task_weights: Tensor
    sensitive: tuple[SensitiveBatch, ...]
    offsets: Tensor | None = None
    targets: Tensor | None = None
    counts: np.ndarray | None = None
    totals: np.ndarray | None = None

    @property
    def n_rows(self) -> int:
        """Rows N."""
        return int(self.y.shape[0])

    @property
    def dense(self) -> Tensor:
        """X of a batch, (B, P)."""
        assert isinstance(self.x, Tensor)
        return self.x

    def inputs(self, index: Tensor) -> Tensor:
        """Return x of the rows of `index`, (B, P)."""
        if isinstance(self.x, Tensor):
            return self.x.index_select(0, index)
        if isinstance(self.x, csr_array):
            return torch.as_tensor(self.x[index.cpu().numpy()].toarray(), device=self.y.device)
        return self.x.rows(index)

    def batch(self, index: Tensor) -> TrainingRows:
        """Return the rows of `index` (B,)."""
        return TrainingRows(
            x=self.inputs(index),
            y=self.y.index_select(0, index),
            task_weights=self.task_weights.index_select(1, index),
            sensitive=tuple(attribute.take(index) for attribute in self.sensitive),
            offsets=None if self.offsets is None else self.offsets.index_select(0, index),
            targets=None if self.targets is None else self.targets.index_select(0, index),
        )

    def first(self) -> TrainingRows:
        """Return the first rows: those that a fit is diagnosed by."""
        n_rows = min(self.n_rows, getattr(self.x, "max_rows", _MAX_DIAGNOSED), _MAX_DIAGNOSED)
        return self.batch(torch.arange(n_rows, device=self.y.device))


def training_rows(
    rows: FitInput,
    n_groups: tuple[int, ...],
    *,
    y: np.ndarray,
    constraint: str,
    group_weight: str | None,
    labels: np.ndarray,
    n_labels: int,
    device: torch.device,
    offsets: np.ndarray | None = None,
    targets: np.ndarray | None = None,
    earlier_counts: np.ndarray | None = None,
    totals: np.ndarray,
) -> TrainingRows:
    """Return the rows as tensors on the device, and the summed weights of their groups.

    `y` (N,) are codes of classes, int64, or numbers; `n_groups` those of each sensitive attribute,
    0 for one of values; constraint, labels and weights of groups are as in
    `core.membership.compare`. `offsets` (N, K) are added to the scores in the task loss, and
    `targets` (N, K), probabilities of the scored classes, are learned in place of y.
    `earlier_counts` (S, sum of G) has the summed weights of a stream's rows before these,
    attribute by attribute. `totals` (3,) are the rows of a stream so far and their summed weights
    in task and penalty, by which weights are scaled; those of these rows, in all processes, where
    it is no stream.
    """
    check_group_weight(group_weight, n_groups)
    reducer = active_reducer()
    n_rows, *sums = totals
    scale = n_rows / np.maximum(sums, _TINY)
    _, n_strata, _ = strata_of(constraint, labels, n_labels)
    ends = np.cumsum(n_groups)
    counts = np.zeros((n_strata, ends[-1])) if earlier_counts is None else earlier_counts.copy()
    sensitive = []
    for members, part in zip(rows.members, np.split(counts, ends[:-1], axis=1), strict=True):

        def total(sums: np.ndarray, part: np.ndarray = part) -> np.ndarray:
            part += reducer.total(sums)
            return part

        compared = compare(
            members,
            rows.penalty_weights * scale[1],
            constraint=constraint,
            labels=labels,
            n_labels=n_labels,
            group_weight=group_weight,
            total=total,
        )
        sensitive.append(sensitive_batch(compared, device))
    x = rows.features
    if rows.layout is not None and len(x) * rows.layout.width > _MAX_SPREAD:
        x = SpreadTable(_tensor(x, device, torch.float32), rows.layout)
    elif rows.layout is not None:
        x = _tensor(rows.layout.expand(x), device, torch.float32)
    return TrainingRows(
        x=x,
        y=_tensor(y, device, torch.int64 if y.dtype.kind in "iu" else torch.float32),
        task_weights=_tensor(rows.task_weights * scale[0], device, torch.float32)[None],
        sensitive=tuple(sensitive),
        offsets=None if offsets is None else _tensor(offsets, device, torch.float32),
        targets=None if targets is None else _tensor(targets, device, torch.float32),
        counts=counts,
        totals=totals,
    )


def _tensor(values: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.as_tensor(np.ascontiguousarray(values), dtype=dtype, device=device)
