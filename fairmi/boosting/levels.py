"""I(Z; C) over groups by a table of (level, stratum, group) weights, and its gradient in Z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fairmi.boosting.channel import ScoreChannel

SMOOTHING = 50.0


@dataclass(frozen=True)
class Attribute:
    """The groups of one sensitive attribute.

    Attributes
    ----------
    cells : ndarray of shape (n,), int64
        stratum * G + group of each row.
    weights : ndarray of shape (n,)
        Weights of the rows in the penalty, of mean 1 over all rows; 0 where the group is unknown.
    prior : ndarray of shape (S, G)
        Weight share of each group within each stratum.
    """

    cells: np.ndarray
    weights: np.ndarray
    prior: np.ndarray


class GroupTable:
    """The penalty over groups: the sum over units of I(unit; C | stratum).

    The optimal critic of each unit's levels, over all rows, takes the place of one that is
    trained.
    """

    def __init__(
        self, attribute: Attribute, channel: ScoreChannel, lam: float, smoothing: float = SMOOTHING
    ) -> None:
        self.attribute, self.channel = attribute, channel
        self.lam, self.smoothing = lam, smoothing

    @property
    def weights(self) -> np.ndarray:
        """Weights of the rows, (n,), of mean 1."""
        return self.attribute.weights

    def gradient(self, z: np.ndarray) -> tuple[float, np.ndarray]:
        """Return the value at Z (n, K) in nats, and n times its derivative in Z, (n, K)."""
        n_levels = self.channel.n_levels
        position = self.channel.position(z)
        parts = [
            information(position[:, k], self.attribute, n_levels, self.smoothing)
            for k in range(z.shape[1])
        ]
        slopes = np.stack([slope for _, slope in parts], axis=1)
        return sum(value for value, _ in parts), slopes * self.channel.steps_per_unit


def attribute_of(
    groups: np.ndarray,
    strata: np.ndarray,
    weights: np.ndarray,
    shape: tuple[int, int],
    *,
    balanced: bool,
) -> Attribute:
    """Return the attribute of codes `groups` and `strata` (n,), of which there are `shape`.

    `balanced` weighs rows so that all groups of all strata that have rows weigh alike.
    """
    cells = strata.astype(np.int64) * shape[1] + groups
    n_cells = shape[0] * shape[1]
    if balanced:
        of_cell = np.bincount(cells, weights=weights, minlength=n_cells)
        weights = weights / np.where(of_cell > 0, of_cell, 1)[cells]
    weights = mean_one(weights)
    of_cell = np.bincount(cells, weights=weights, minlength=n_cells).reshape(shape)
    of_stratum = of_cell.sum(1, keepdims=True)
    prior = of_cell / np.where(of_stratum > 0, of_stratum, 1)
    return Attribute(cells, weights, prior)


def mean_one(weights: np.ndarray) -> np.ndarray:
    """Return weights scaled to mean 1; all 0 where they are so."""
    total = weights.sum()
    return weights * (len(weights) / total) if total > 0 else weights


def information(
    position: np.ndarray, attribute: Attribute, n_levels: int, smoothing: float
) -> tuple[float, np.ndarray]:
    """Return I(unit; C | stratum) in nats and n times its derivative in each row's position, (n,).

    A row counts at the two levels nearest to it, by its distance from each. The optimal critic of
    such counts is T(level, c) = log p(c | level) - log p(c); it is held still (envelope theorem),
    and the marginal term of the bound has no gradient, since the sum over c of p(c) exp T is 1 at
    every level.

    Parameters
    ----------
    position : ndarray of shape (n,)
        Where each row lies among the levels, from 0 to `n_levels` - 1.
    attribute : Attribute
    n_levels : int
    smoothing : float
        Rows' worth of prior in each level of each stratum.
    """
    n_cells = attribute.prior.size
    low = np.minimum(position.astype(np.int64), n_levels - 2)
    above = position - low
    at_low = low * n_cells + attribute.cells
    upper = attribute.weights * above
    counts = np.bincount(at_low, attribute.weights - upper, n_levels * n_cells)
    counts[n_cells:] += np.bincount(at_low, upper, n_levels * n_cells)[:-n_cells]
    counts = counts.reshape(n_levels, *attribute.prior.shape)
    critic = optimal_critic(counts, attribute.prior, smoothing)
    slopes = np.diff(critic, axis=0).ravel()
    value = float((counts * critic).sum() / len(position))
    return value, attribute.weights * slopes[at_low]


def optimal_critic(counts: np.ndarray, prior: np.ndarray, smoothing: float) -> np.ndarray:
    """Return log p(c | level, stratum) - log p(c | stratum), (L, S, G), of smoothed counts."""
    of_level = counts.sum(-1, keepdims=True)
    shares = (counts + smoothing * prior) / (of_level + smoothing)
    known = np.broadcast_to(prior > 0, shares.shape)
    ratio = np.divide(shares, prior, out=np.ones_like(shares), where=known)
    return np.log(ratio)
