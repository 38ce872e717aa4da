"""Rows of any shape, read a batch at a time: for training, and for inference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from fairmi._data.array_rows import blocks_of
from fairmi._data.fit_input import FitInput
from fairmi.networks.model import Networks
from fairmi.preprocessing.encoded_rows import EncodedRows

# Values of the rows by which a fit is diagnosed, all at once, and the fewest of these.
_DIAGNOSED_VALUES, _FEWEST_ROWS = 2**24, 200
_ROWS_AT_ONCE = 256


class ItemRows:
    """All rows of a fit where they lie; a batch alone becomes a tensor on the device."""

    def __init__(self, source: Any, device: torch.device) -> None:
        self.source, self.device = source, device

    @property
    def most_rows(self) -> int:
        """Rows that may be tensors at once."""
        values = max(math.prod(self.source.shape[1:]), 1)
        return max(_DIAGNOSED_VALUES // values, _FEWEST_ROWS)

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


def represent_items(networks: Networks, X: Any) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of rows, some of them at a time."""
    with torch.no_grad():
        blocks = blocks_of(X, _ROWS_AT_ONCE)
        parts = [networks.representation(tensor_of(block)).numpy() for block in blocks]
    return np.concatenate(parts)


def tensor_of(rows: Any) -> Tensor:
    """Return rows as a tensor: bytes and floats of 32 bits, or integers of 64."""
    values = np.asarray(rows)
    if values.dtype != np.uint8:
        values = values.astype(np.float32 if values.dtype.kind in "bf" else np.int64, copy=False)
    # A copy of what can't be written to, as a file that memory is mapped to: torch would warn.
    writable = values.flags.writeable and all(step > 0 for step in values.strides)
    return torch.from_numpy(values if writable else values.copy())
