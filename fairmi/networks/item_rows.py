"""Rows of any shape, read a batch at a time for training."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from fairmi._data.fit_input import FitInput
from fairmi.networks.own_encoder import tensor_of
from fairmi.preprocessing.encoded_rows import EncodedRows

# Values of the rows by which a fit is diagnosed, all at once, and the least number of rows.
_DIAGNOSED_VALUES, _MIN_ROWS = 2**24, 200


class ItemRows:
    """All rows of a fit where they lie; a batch alone becomes a tensor on the device."""

    def __init__(self, source: Any, device: torch.device) -> None:
        self.source, self.device = source, device

    @property
    def max_rows(self) -> int:
        """Rows that may be tensors at once."""
        values = max(math.prod(self.source.shape[1:]), 1)
        return max(_DIAGNOSED_VALUES // values, _MIN_ROWS)

    def rows(self, index: Tensor) -> Tensor:
        """Return the rows of `index` (B,), (B, ...)."""
        return tensor_of(self.source[index.cpu().numpy()]).to(self.device)


def item_rows(given: FitInput, device: torch.device) -> EncodedRows:
    """Return the rows of a fit as they are: equal ones stay apart, and keep their order."""
    return EncodedRows(
        x=ItemRows(given.features, device),
        codes=given.codes,
        sensitive=given.sensitive,
        task_weights=given.task_weights,
        penalty_weights=given.penalty_weights,
        layout=None,
    )


def first_rows(rows: EncodedRows, n: int) -> Tensor:
    """Return at most `n` rows as an encoder reads them."""
    n = min(n, len(rows.codes))
    if isinstance(rows.x, ItemRows):
        return rows.x.rows(torch.arange(n))
    part = rows.x[:n]
    table = part.toarray() if rows.layout is None else rows.layout.expand(part)
    return torch.as_tensor(table, dtype=torch.float32)
