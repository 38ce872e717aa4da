"""How the step falls and the penalty rises over the penalised rounds."""

from __future__ import annotations

import math

_LAST_RATE = 0.15
_RISE = 0.2


def rate(progress: float) -> float:
    """Return r(t), which falls from 1 to 0.15 by half a cosine; `progress` goes from 0 to 1."""
    return _LAST_RATE + (1 - _LAST_RATE) * (1 + math.cos(math.pi * progress)) / 2


def share(progress: float) -> float:
    """Return q(t), which rises from 0 to 1 over the first fifth of the rounds."""
    return min(progress / _RISE, 1.0)
