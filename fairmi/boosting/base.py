"""The base: boosting without a penalty, from whose scores the penalised rounds start."""

from __future__ import annotations

import numpy as np

from fairmi._compat import TreePredictor
from fairmi.boosting.binning import Binned
from fairmi.boosting.config import TreeConfig
from fairmi.boosting.growth import Grower
from fairmi.boosting.task import constant_scores, derivatives
from fairmi.boosting.trees import Trees, trees_of


def boost(
    rows: Binned,
    y: np.ndarray,
    weights: np.ndarray,
    n_classes: int,
    config: TreeConfig,
    rng: np.random.Generator,
) -> tuple[Trees, np.ndarray]:
    """Return `config.max_iter` rounds of plain boosting and the scores of the rows, (n, K)."""
    start = constant_scores(y, weights, n_classes)
    scores = np.asfortranarray(np.tile(start, (len(y), 1)))
    grower = Grower(rows, config, rng)
    grown: list[TreePredictor] = []
    for _ in range(config.max_iter):
        gradient, hessian = derivatives(scores, y, weights)
        grown += grower.round(gradient, hessian, scores, config.learning_rate)
    return trees_of(grown, start, rows.n_categories), scores
