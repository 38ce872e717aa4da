"""Errors and warnings of fairmi; each message states the fix."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapseWarning",
    "ColumnWarning",
    "ConvergenceWarning",
    "InfeasibleBoundWarning",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
    "StoppedFitError",
]


class SensitiveFeaturesError(ValueError):
    """The sensitive features are missing, malformed, or carry a single value."""


class StoppedFitError(RuntimeError):
    """A fit diverged before its first whole epoch, so that there is no model."""


class CollapseWarning(ConvergenceWarning):
    """A fit ended in a trivial solution: one class predicted, or a penalty that did nothing."""


class ColumnWarning(UserWarning):
    """A column is read in a way that its user may not have meant."""


class InfeasibleBoundWarning(UserWarning):
    """No candidate of a search is within the bound on unfairness that was asked for."""


class SmallGroupWarning(UserWarning):
    """A group has too few rows for its figures to say anything."""


Note = tuple[type[Warning], str]
"""Something to warn of: category and message."""


def warn_of(notes: Iterable[Note], *, stacklevel: int) -> None:
    """Warn of each note; a stacklevel of 1 is the caller's own line, as in `warnings.warn`."""
    for category, message in notes:
        warnings.warn(message, category, stacklevel=stacklevel + 1)


def warn_again(recorded: Iterable[tuple[str, str]], *, stacklevel: int) -> None:
    """Warn of what a fitted model keeps in `warnings_`, as (name of the category, message)."""
    warn_of([(globals()[name], message) for name, message in recorded], stacklevel=stacklevel + 1)
