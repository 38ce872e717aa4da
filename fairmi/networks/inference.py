"""A fitted model's encoding and weights -> Z, in parts of bounded memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fairmi.networks.numpy_networks import NumpyNetworks
from fairmi.preprocessing import TableEncoder

# Of a wide table fewer rows: 32 MB of the widest layer.
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 16_384, 2**22


def represent(
    networks: NumpyNetworks,
    encoder: TableEncoder,
    table: Any,
    features: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of a checked table.

    `features` is what the networks read of encoded rows (B, P), where that is not the rows.
    """
    x = encoder.positions(table)
    size = min(_ROWS_AT_ONCE, max(_VALUES_AT_ONCE // networks.widest, 1))
    parts = []
    for start in range(0, x.shape[0], size):
        part = encoder.expand(x[start : start + size])
        part = part.toarray() if hasattr(part, "toarray") else part
        parts.append(networks.representation(part if features is None else features(part)))
    return np.concatenate(parts)
