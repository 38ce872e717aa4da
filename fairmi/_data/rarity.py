"""How rare one of two classes is: what is usual on balanced data is wrong beyond some odds."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

# Log odds up to which a class is not rare, 12 rows in 100; and from which on it is wholly so, 2.
_USUAL, _RARE = 2.0, 4.0


def log_odds(codes: np.ndarray, weights: np.ndarray) -> float:
    """Return the log odds of code 1 among rows (n,), 0 where not both codes have weight."""
    share = float(np.average(codes == 1, weights=weights)) if weights.any() else 0.0
    return float(np.log(share) - np.log1p(-share)) if 0 < share < 1 else 0.0


def rarity(odds: float) -> float:
    """Return 0 for classes that are both usual, rising to 1 for one that is very rare."""
    return min(max((abs(odds) - _USUAL) / (_RARE - _USUAL), 0.0), 1.0)


def beyond_usual(odds: float) -> float:
    """Return by how much log odds are beyond the usual ones, with their sign."""
    return float(np.sign(odds) * max(abs(odds) - _USUAL, 0.0))


def telling_share(odds: float) -> float:
    """Return the share of rows that tell as much as rows of usual classes: few if one is rare."""
    return float(min(expit(-abs(odds)) / expit(-_USUAL), 1.0))
