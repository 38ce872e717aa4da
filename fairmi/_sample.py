"""The encoded rows of a fit, before they become tensors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_array

from fairmi._rows import merge_rows
from fairmi._sensitive import SensitiveRows


@dataclass(frozen=True)
class Sample:
    """Encoded features (n, P), codes of classes (n,), sensitive features, weights (n,)."""

    x: np.ndarray | csr_array
    codes: np.ndarray
    sensitive: SensitiveRows
    weights: np.ndarray

    def take(self, index: np.ndarray) -> Sample:
        """Return the rows of `index`."""
        return Sample(
            self.x[index], self.codes[index], self.sensitive.take(index), self.weights[index]
        )

    def merged(self) -> Sample:
        """Return each distinct row once, with the summed weight, in an order set by content."""
        rest = np.column_stack([self.codes, self.sensitive.columns])
        kept, weights = merge_rows(self.x, rest, self.weights)
        rows = self.take(kept)
        return Sample(rows.x, rows.codes, rows.sensitive, weights)
