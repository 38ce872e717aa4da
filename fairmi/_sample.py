"""The encoded rows of a fit, before they become tensors."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.sparse import csr_array
from sklearn.model_selection import train_test_split

from fairmi._layout import Layout
from fairmi._rows import merge_rows
from fairmi._sensitive import SensitiveRows


@dataclass(frozen=True)
class Sample:
    """Features, codes of classes (n,), sensitive features, weights (n,).

    `x` has the places of a table (n, n_columns), which `layout` spreads out; of a sparse table,
    whose layout is None, the encoded rows. `weights` are those of the task loss;
    `penalty_weights`, where not None, of the penalty.
    """

    x: np.ndarray | csr_array
    codes: np.ndarray
    sensitive: SensitiveRows
    weights: np.ndarray
    penalty_weights: np.ndarray | None
    layout: Layout | None

    @property
    def n_inputs(self) -> int:
        """Columns that networks read."""
        return self.x.shape[1] if self.layout is None else self.layout.width

    @property
    def both_weights(self) -> np.ndarray:
        """Weights in the task loss and in the penalty, (n, 2)."""
        own = self.penalty_weights
        return np.column_stack([self.weights, self.weights if own is None else own])

    def take(self, index: np.ndarray) -> Sample:
        """Return the rows of `index`."""
        own = None if self.penalty_weights is None else self.penalty_weights[index]
        return replace(
            self,
            x=self.x[index],
            codes=self.codes[index],
            sensitive=self.sensitive.take(index),
            weights=self.weights[index],
            penalty_weights=own,
        )

    def split(self, share: float, seed: int) -> tuple[Sample, Sample]:
        """Return the rows less a `share` that is drawn evenly by class, and that share.

        Raises
        ------
        ValueError
            If a class has too few rows.
        """
        try:
            taken, held_out = train_test_split(
                np.arange(len(self.codes)),
                test_size=share,
                stratify=self.codes,
                random_state=seed,
            )
        except ValueError as error:
            raise ValueError(
                f"early_stopping=True can't hold out validation_fraction={share!r} of X: {error} "
                "Give X_val and y_val, or no early_stopping."
            ) from error
        return self.take(np.sort(taken)), self.take(np.sort(held_out))

    def merged(self) -> Sample:
        """Return each distinct row once, with the summed weights, in an order set by content."""
        rest = np.column_stack([self.codes, self.sensitive.columns])
        kept, weights = merge_rows(self.x, rest, self.both_weights)
        rows = self.take(kept)
        return replace(rows, weights=weights[:, 0], penalty_weights=weights[:, 1])
