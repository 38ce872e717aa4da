"""Errors and warnings of fairmi; each message states the fix."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapseWarning",
    "ConvergenceWarning",
    "InfeasibleBoundWarning",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
    "StoppedFitError",
    "warn_again",
]


class SensitiveFeaturesError(ValueError):
    """The sensitive features are missing, malformed, or carry a single value."""


class StoppedFitError(RuntimeError):
    """A fit diverged inside a search, which must not score what is left of it."""


class CollapseWarning(ConvergenceWarning):
    """A fit ended in a trivial solution: one class predicted, or a penalty that did nothing."""


class InfeasibleBoundWarning(UserWarning):
    """No candidate of a search is within the bound on unfairness that was asked for."""


class SmallGroupWarning(UserWarning):
    """A group has too few rows for its figures to say anything."""


def warn_again(found: Iterable[tuple[str, str]], stacklevel: int = 1) -> None:
    """Give the warnings that a fitted model keeps, as (name of the category, message)."""
    for category, message in found:
        warnings.warn(message, globals()[category], stacklevel=stacklevel + 2)
