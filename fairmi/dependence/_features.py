"""Columns as a critic reads them: normal scores of their ranks, squares, and ramps."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtri

_N_RAMPS = 8
_END = 3.0
_KNOTS = np.concatenate([[-_END], ndtri(np.arange(1, _N_RAMPS) / _N_RAMPS), [_END]])


class NormalScores:
    """Columns made standard normal by their ranks, which leaves the information as it is."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.tables = [_table(column) for column in matrix.T]

    def transform(self, matrix: np.ndarray) -> np.ndarray:
        """Return the scores of rows; those between two rows of fit lie between their scores."""
        scores = np.empty(matrix.shape, dtype=np.float32)
        for j, table in enumerate(self.tables):
            scores[:, j] = np.interp(matrix[:, j], *table)
        return scores


def features(scores: np.ndarray) -> np.ndarray:
    """Return normal scores (n, D), their squares, and a ramp between each two knots, float32.

    Squares make the log density ratio of normals, and of what has a common scale, a linear one;
    ramps let a smooth network see edges.
    """
    squares = (scores**2 - 1) / 1.5
    ramps = np.clip((scores[..., None] - _KNOTS[:-1]) / np.diff(_KNOTS), 0, 1) - 0.5
    parts = [scores, squares, ramps.reshape(len(scores), scores.shape[1] * _N_RAMPS)]
    return np.hstack(parts).astype(np.float32)


def _table(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, counts = np.unique(column, return_counts=True)
    ranks = np.cumsum(counts) - counts / 2
    scores = ndtri(ranks / len(column))
    spread = np.sqrt(np.average(scores**2, weights=counts))
    return values, scores / (spread or 1.0)
