"""One round: a tree for each score, grown on the gradient of the loss in the scores."""

from __future__ import annotations

import numpy as np

from fairmi._sklearn_compat import TreeGrower, TreePredictor, add_leaves
from fairmi.boosting.binning import Binned
from fairmi.boosting.config import TreeConfig

_BITS = 24  # of the integers that float32 holds exactly


class Grower:
    """Grows trees on the rows of a fit; `rng` draws the columns that a split may choose among."""

    def __init__(self, rows: Binned, config: TreeConfig, rng: np.random.Generator) -> None:
        self.rows, self.config = rows, config
        self._fixed = {
            "n_bins": rows.max_bins + 1,
            "n_bins_non_missing": rows.n_bins,
            "has_missing_values": rows.has_missing,
            "is_categorical": (rows.n_categories > 0).astype(np.uint8),
            "max_leaf_nodes": config.max_leaf_nodes,
            "min_samples_leaf": config.min_samples_leaf,
            "l2_regularization": config.l2_regularization,
            "feature_fraction_per_split": config.max_features,
            "rng": rng,
            "n_threads": config.n_threads,
        }

    def round(
        self, gradient: np.ndarray, hessian: np.ndarray, scores: np.ndarray, rate: float
    ) -> list[TreePredictor]:
        """Grow a tree for each column of `scores` (n, K), add it to them, and return all.

        `gradient` and `hessian` are of that shape; `rate` is the factor of a tree's values.
        """
        return [
            self._tree(exact(gradient[:, k]), exact(hessian[:, k]), scores[:, k], rate)
            for k in range(scores.shape[1])
        ]

    def _tree(
        self, gradient: np.ndarray, hessian: np.ndarray, scores: np.ndarray, rate: float
    ) -> TreePredictor:
        grower = TreeGrower(
            X_binned=self.rows.codes,
            gradients=gradient,
            hessians=hessian,
            shrinkage=rate,
            **self._fixed,
        )
        grower.grow()
        add_leaves(scores, grower, self.config.n_threads)
        return grower.make_predictor(binning_thresholds=self.rows.ends)


def exact(values: np.ndarray) -> np.ndarray:
    """Return values in float32, rounded to multiples of one power of two.

    Sums of up to 2**29 of them are exact in float64, so that neither the order of rows nor the
    number of threads changes a tree.
    """
    largest = float(np.abs(values).max(initial=0.0))
    if largest == 0 or not np.isfinite(largest):
        return values.astype(np.float32)
    step = np.ldexp(1.0, int(np.frexp(largest)[1]) - _BITS)
    return (np.rint(values / step) * step).astype(np.float32)
