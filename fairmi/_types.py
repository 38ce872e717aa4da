"""Array shapes by name, and the frozen records that pass between the stages of training.

M models train at once; B rows of a batch; N rows; P encoded columns; D units of Z; L levels of a
unit; G groups; Q continuous sensitive columns; K classes; S strata (values of y within which the
penalty compares groups; one stratum where it compares them over all rows).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from scipy.sparse import csr_array
from torch import Tensor

from fairmi._layout import Places


@dataclass(frozen=True)
class Batch:
    """Rows as a training step reads them.

    `x` (B, P), `y` (B,) codes of classes, `groups` (B,) codes of groups or None, `values` (B, Q)
    continuous sensitive columns or None, `strata` (B,), weights (M, B) or (1, B). `others` are the
    same rows with another sensitive attribute in place of this one.
    """

    x: Tensor
    y: Tensor
    groups: Tensor | None
    values: Tensor | None
    strata: Tensor
    task_weights: Tensor
    penalty_weights: Tensor
    others: tuple[Batch, ...] = ()

    def take(self, index: Tensor) -> Batch:
        """Return the rows of `index`, without `others`."""
        return _taken(self, self.x[index], index)

    @property
    def attributes(self) -> tuple[Batch, ...]:
        """The rows once for each sensitive attribute."""
        return (self, *self.others)


@dataclass(frozen=True)
class TrainingData:
    """All that training reads, in tensors once.

    A sparse `x` stays sparse, and a large one stays places; both give dense rows. Shapes are those
    of `Batch` with N in place of B. A row whose weight is 0 does not count in that term.
    `log_prior` (S, G) is the log share of each group within each stratum, and None where the
    sensitive columns are continuous. `others` are as in `Batch`.
    """

    x: Tensor | Places | csr_array
    y: Tensor
    groups: Tensor | None
    values: Tensor | None
    log_prior: Tensor | None
    strata: Tensor
    n_strata: int
    task_weights: Tensor
    penalty_weights: Tensor
    others: tuple[TrainingData, ...] = ()

    @property
    def attributes(self) -> tuple[TrainingData, ...]:
        """The rows once for each sensitive attribute."""
        return (self, *self.others)

    @property
    def n_rows(self) -> int:
        """Rows N."""
        return int(self.y.shape[0])

    def rows(self, index: Tensor) -> Batch:
        """Return the rows of `index` (B,)."""
        if isinstance(self.x, Tensor):
            x = self.x.index_select(0, index)
        elif isinstance(self.x, Places):
            x = self.x.rows(index)
        else:
            x = torch.as_tensor(self.x[index.cpu().numpy()].toarray(), device=self.y.device)
        batch = _taken(self, x, index)
        return replace(batch, others=tuple(other._in(batch, index) for other in self.others))

    def _in(self, batch: Batch, index: Tensor) -> Batch:
        return replace(
            batch,
            groups=None if self.groups is None else self.groups.index_select(0, index),
            values=None if self.values is None else self.values.index_select(0, index),
            penalty_weights=self.penalty_weights.index_select(1, index),
        )


def _taken(rows: Batch | TrainingData, x: Tensor, index: Tensor) -> Batch:
    return Batch(
        x=x,
        y=rows.y.index_select(0, index),
        groups=None if rows.groups is None else rows.groups.index_select(0, index),
        values=None if rows.values is None else rows.values.index_select(0, index),
        strata=rows.strata.index_select(0, index),
        task_weights=rows.task_weights.index_select(1, index),
        penalty_weights=rows.penalty_weights.index_select(1, index),
    )


@dataclass(frozen=True)
class EpochRecord:
    """What one epoch measured, a value for each model; losses and penalty in nats.

    `val_task_loss` and `val_penalty` are those of the validation rows, empty where there are none.
    """

    epoch: int
    task_loss: tuple[float, ...]
    penalty: tuple[float, ...]
    val_task_loss: tuple[float, ...]
    val_penalty: tuple[float, ...]
    seconds: float
