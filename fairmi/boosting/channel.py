"""Scores F -> the representation Z: squashed to [-1, 1], then rounded to few levels."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import softmax

from fairmi._data.rarity import beyond_usual, rarity

# Steps that a coarse grid is refined to for the table of the penalty, which shares a row between
# the two nearest levels where predictions round it: few wide steps would hide what rounding shows.
_TABLE_STEPS = 24


@dataclass(frozen=True)
class ScoreChannel:
    """Units of Z and their grid of `n_levels` values from -1 to 1.

    One score (two classes) has one unit, Z = tanh((F - centre) / scale), which at centre 0 and
    scale 2 is twice the probability less 1. K scores (K classes) have K units, twice each
    probability less 1.
    """

    n_levels: int
    centre: float = 0.0
    scale: float = 2.0

    @property
    def steps_per_unit(self) -> float:
        """Steps of the grid in a unit of Z."""
        return (self.n_levels - 1) / 2

    def refined(self) -> ScoreChannel:
        """Return the channel on whose grid the penalty counts: a coarse one's steps in parts."""
        steps = self.n_levels - 1
        return replace(self, n_levels=steps * max(_TABLE_STEPS // steps, 1) + 1)

    def squash(self, scores: np.ndarray) -> np.ndarray:
        """Return Z before rounding, (n, K), of scores (n, K)."""
        if scores.shape[1] == 1:
            return np.tanh((scores - self.centre) / self.scale)
        return 2 * softmax(scores, axis=1) - 1

    def position(self, z: np.ndarray) -> np.ndarray:
        """Return where Z lies among the levels, from 0 to `n_levels` - 1."""
        return (z + 1) * self.steps_per_unit

    def round(self, z: np.ndarray) -> np.ndarray:
        """Return the nearest values of the grid."""
        return np.rint(self.position(z)) / self.steps_per_unit - 1

    def pull_back(self, z: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the derivative in the scores of what has derivative `slope` (n, K) in Z."""
        if z.shape[1] == 1:
            return slope * (1 - z**2) / self.scale
        p = (z + 1) / 2
        return 2 * p * (slope - (slope * p).sum(1, keepdims=True))

    def unsquash(self, z: np.ndarray) -> np.ndarray:
        """Return scores (n, K) of Z on the grid, its ends taken a quarter of a step inwards."""
        inner = 1 - 0.25 / self.steps_per_unit
        z = np.clip(z, -inner, inner)
        if z.shape[1] == 1:
            return self.centre + self.scale * np.arctanh(z)
        return np.log1p(z)

    def predict(self, z: np.ndarray) -> np.ndarray:
        """Return the code of the class, (n,), that each row of Z on the grid stands for."""
        scores = self.unsquash(z)
        return (scores[:, 0] > 0).astype(int) if z.shape[1] == 1 else scores.argmax(axis=1)


def channel_of(n_levels: int, odds: float) -> ScoreChannel:
    """Return the channel for scores where the log odds of the second of two classes are `odds`.

    Its centre is even odds unless one class is rare. Then nearly all scores would share the lowest
    level, and rows that tell much would be tied: the rarer it is, the more the levels are centred
    at these odds, and spread from twice them to even odds.
    """
    rare, usual = rarity(odds), beyond_usual(odds)
    centre = usual + rare * (odds - usual)
    return ScoreChannel(n_levels, centre, 2.0 + rare * (max(abs(odds), 2.0) - 2.0))
