"""A fitted model's encoding and weights -> Z, in parts of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairmi._data.array_rows import blocks_of
from fairmi.networks.numpy_networks import NumpyNetworks
from fairmi.preprocessing import TableEncoder

# Of a wide table fewer rows: 32 MB of the widest layer.
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 16_384, 2**22
_ITEMS_AT_ONCE = 256

Features = Callable[[Any], np.ndarray]
"""What maps rows (B, ...) to the features (B, H) of an encoder of the user's."""


def represent(
    networks: NumpyNetworks, encoder: TableEncoder, table: Any, features: Features | None = None
) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of a checked table."""
    x = encoder.positions(table)
    size = min(_ROWS_AT_ONCE, max(_VALUES_AT_ONCE // networks.widest, 1))
    parts = []
    for start in range(0, x.shape[0], size):
        part = encoder.expand(x[start : start + size])
        part = part.toarray() if hasattr(part, "toarray") else part
        parts.append(networks.representation(part if features is None else features(part)))
    return np.concatenate(parts)


def represent_items(networks: NumpyNetworks, rows: Any, features: Features | None) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of rows of any shape, some of them at a time."""
    assert features is not None
    blocks = blocks_of(rows, _ITEMS_AT_ONCE)
    return np.concatenate([networks.representation(features(block)) for block in blocks])
