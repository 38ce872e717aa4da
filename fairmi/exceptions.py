"""Errors and warnings of fairmi; each message states the fix."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from types import FrameType

from sklearn.exceptions import ConvergenceWarning

__all__ = [
    "CollapseWarning",
    "ColumnWarning",
    "ConvergenceWarning",
    "InfeasibleBoundWarning",
    "SensitiveFeaturesError",
    "SmallGroupWarning",
    "StoppedFitError",
    "keeping_warnings",
    "warn_again",
    "warn_user",
]


_OURS = ("fairmi", "contextlib")
_kept: ContextVar[list[tuple[str, str]] | None] = ContextVar("kept", default=None)


class SensitiveFeaturesError(ValueError):
    """The sensitive features are missing, malformed, or carry a single value."""


class StoppedFitError(RuntimeError):
    """A fit diverged inside a search, which must not score what is left of it."""


class CollapseWarning(ConvergenceWarning):
    """A fit ended in a trivial solution: one class predicted, or a penalty that did nothing."""


class ColumnWarning(UserWarning):
    """A column is read in a way that its user may not have meant."""


class InfeasibleBoundWarning(UserWarning):
    """No candidate of a search is within the bound on unfairness that was asked for."""


class SmallGroupWarning(UserWarning):
    """A group has too few rows for its figures to say anything."""


def warn_again(found: Iterable[tuple[str, str]]) -> None:
    """Give the warnings that a fitted model keeps, as (name of the category, message).

    Those of columns were given before training began.
    """
    for category, message in found:
        if category != "ColumnWarning":
            warn_user(message, category)


@contextmanager
def keeping_warnings() -> Iterator[list[tuple[str, str]]]:
    """Fill a list with what is warned of meanwhile, as (name of the category, message)."""
    kept: list[tuple[str, str]] = []
    token = _kept.set(kept)
    try:
        yield kept
    finally:
        _kept.reset(token)


def warn_user(message: str, category: str) -> None:
    """Warn at the line of the user that called the package; `category` is a name of this file."""
    kept = _kept.get()
    if kept is not None:
        kept.append((category, message))
    frame: FrameType | None = sys._getframe(1)
    level = 2
    # A decorator that is a context runs in contextlib.
    while frame is not None and frame.f_globals.get("__name__", "").split(".")[0] in _OURS:
        frame, level = frame.f_back, level + 1
    warnings.warn(message, globals()[category], stacklevel=level)
