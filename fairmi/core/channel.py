"""The channel: scores F -> the representation Z, squashed to [-1, 1] and rounded to few levels."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.special import softmax

# Steps that a coarse grid is refined to for the table of the penalty, which shares a row between
# the two nearest levels where predictions round it: few wide steps would hide what rounding shows.
_TABLE_STEPS = 24


@dataclass(frozen=True)
class Channel:
    """Units of Z and their grid of `n_levels` values from -1 to 1.

    The fields are a plain `spec`, from which any backend can rebuild the channel: position =
    (Z + 1) * (n_levels - 1) / 2, and round to the nearest whole position.

    Parameters
    ----------
    n_levels : int or None
        Values that a unit can take, at least 2. None leaves the channel open: nothing is rounded.
    centre, scale : float, default=0.0, 2.0
        The unit of a score F is tanh((F - centre) / scale). At 0 and 2 that of log odds is twice
        the probability less 1.
    kind : {"tanh", "softmax"}, default="tanh"
        "softmax" has for K scores K units, twice the probability of each less 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.core.channel import Channel
    >>> channel = Channel(5)
    >>> z = channel.round(channel.squash(np.array([[-4.0], [0.3], [1.2]])))
    >>> z.ravel()
    array([-1. ,  0. ,  0.5])
    >>> channel.unsquash(z).ravel().round(2)
    array([-2.71,  0.  ,  1.1 ])
    """

    n_levels: int | None
    centre: float = 0.0
    scale: float = 2.0
    kind: str = "tanh"

    @classmethod
    def from_spec(cls, spec: dict[str, Any], n_scores: int = 1) -> Channel:
        """Return the channel of a spec; one saved by 0.2 has no kind, but `n_scores` tells it."""
        return cls(**{"kind": "tanh" if n_scores == 1 else "softmax", **spec})

    @property
    def spec(self) -> dict[str, Any]:
        """All fields by name: plain numbers and strings."""
        return asdict(self)

    @property
    def steps_per_unit(self) -> float:
        """Steps of the grid in a unit of Z."""
        assert self.n_levels is not None, "an open channel has no grid"
        return (self.n_levels - 1) / 2

    def refined(self) -> Channel:
        """Return the channel on whose grid the penalty counts: a coarse one's steps in parts."""
        assert self.n_levels is not None, "an open channel has no grid"
        steps = self.n_levels - 1
        return replace(self, n_levels=steps * max(_TABLE_STEPS // steps, 1) + 1)

    def with_levels(self, n_levels: int | None) -> Channel:
        """Return the same with another grid."""
        return replace(self, n_levels=n_levels)

    def squash(self, scores: np.ndarray) -> np.ndarray:
        """Return Z before rounding, (n, K), of scores (n, K)."""
        if self.kind == "tanh":
            return np.tanh((scores - self.centre) / self.scale)
        return 2 * softmax(scores, axis=1) - 1

    def position(self, z: np.ndarray) -> np.ndarray:
        """Return where Z lies among the levels, from 0 to `n_levels` - 1."""
        return (z + 1) * self.steps_per_unit

    def round(self, z: np.ndarray) -> np.ndarray:
        """Return the nearest values of the grid; Z itself where the channel is open."""
        if self.n_levels is None:
            return z
        return np.rint(self.position(z)) / self.steps_per_unit - 1

    def pull_back(self, z: np.ndarray, slope: np.ndarray) -> np.ndarray:
        """Return the derivative in the scores of what has derivative `slope` (n, K) in Z."""
        if self.kind == "tanh":
            return slope * (1 - z**2) / self.scale
        p = (z + 1) / 2
        return 2 * p * (slope - (slope * p).sum(1, keepdims=True))

    def unsquash(self, z: np.ndarray) -> np.ndarray:
        """Return scores (n, K) of Z on the grid, its ends taken a quarter of a step inwards."""
        inner = float(np.nextafter(1, 0))
        if self.n_levels is not None:
            inner = 1 - 0.25 / self.steps_per_unit
        z = np.clip(z, -inner, inner)
        if self.kind == "tanh":
            return self.centre + self.scale * np.arctanh(z)
        return np.log1p(z)
