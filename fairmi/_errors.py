"""Exceptions and warnings of fairmi: small, and each message states the remedy."""

from __future__ import annotations

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapseWarning",
    "ConvergenceWarning",
    "InfeasibleBoundWarning",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
]


class SensitiveFeaturesError(ValueError):
    """The sensitive features are missing, malformed, or carry a single value."""


class CollapseWarning(ConvergenceWarning):
    """A fit ended in a trivial solution: one class predicted, or a penalty that did nothing."""


class InfeasibleBoundWarning(UserWarning):
    """No candidate of a search is within the bound on unfairness that was asked for."""


class SmallGroupWarning(UserWarning):
    """A group has too few rows for its figures to say anything."""
