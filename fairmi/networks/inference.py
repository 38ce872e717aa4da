"""A fitted model's encoding and weights -> Z and scores, in parts of bounded memory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from fairmi.networks.model import Networks
from fairmi.preprocessing import TableEncoder

# Of a wide table fewer rows: 32 MB of encoded values.
_ROWS_AT_ONCE, _VALUES_AT_ONCE = 16_384, 2**22


def represent(networks: Networks, encoder: TableEncoder, table: Any) -> np.ndarray:
    """Return Z, (n_rows, n_columns) float64, of a checked table."""
    x = encoder.positions(table)
    size = min(_ROWS_AT_ONCE, max(_VALUES_AT_ONCE // max(networks.n_inputs, 1), 1))
    parts = []
    with torch.no_grad():
        for start in range(0, x.shape[0], size):
            part = encoder.expand(x[start : start + size])
            part = part.toarray() if hasattr(part, "toarray") else part
            parts.append(networks.representation(torch.as_tensor(part).double()).numpy())
    return np.concatenate(parts)


def scores_of(networks: Networks, z: np.ndarray) -> np.ndarray:
    """Return the head's scores, (n_rows, n_outputs) float64, of Z."""
    with torch.no_grad():
        return networks.scores_of(torch.as_tensor(z)).numpy()
