"""The encoded rows of a fit, before they become tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from fairmi._rows import merge_rows
from fairmi._sensitive import SensitiveRows


@dataclass(frozen=True)
class Sample:
    """Encoded features (n, P), codes of classes (n,), sensitive features, weights (n,).

    `weights` are those of the task loss; `penalty_weights`, where not None, of the penalty.
    """

    x: np.ndarray | csr_array
    codes: np.ndarray
    sensitive: SensitiveRows
    weights: np.ndarray
    penalty_weights: np.ndarray | None = None

    @property
    def both_weights(self) -> np.ndarray:
        """Weights in the task loss and in the penalty, (n, 2)."""
        own = self.penalty_weights
        return np.column_stack([self.weights, self.weights if own is None else own])

    def take(self, index: np.ndarray) -> Sample:
        """Return the rows of `index`."""
        own = None if self.penalty_weights is None else self.penalty_weights[index]
        sensitive = self.sensitive.take(index)
        return Sample(self.x[index], self.codes[index], sensitive, self.weights[index], own)

    def merged(self) -> Sample:
        """Return each distinct row once, with the summed weights, in an order set by content."""
        rest = np.column_stack([self.codes, self.sensitive.columns])
        kept, weights = merge_rows(self.x, rest, self.both_weights)
        rows = self.take(kept)
        return Sample(rows.x, rows.codes, rows.sensitive, weights[:, 0], weights[:, 1])
