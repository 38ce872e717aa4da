"""The only import of scikit-learn's private helpers: what moves between its versions ends here."""

from __future__ import annotations

import sys
from types import FrameType

from sklearn.utils import _safe_indexing as safe_indexing
from sklearn.utils._param_validation import (
    HasMethods,
    Interval,
    validate_params,
)
from sklearn.utils._param_validation import StrOptions as _StrOptions
from sklearn.utils.validation import _check_sample_weight as check_sample_weight

__all__ = [
    "HasMethods",
    "Interval",
    "StrOptions",
    "check_sample_weight",
    "in_search",
    "safe_indexing",
    "validate_params",
]


class StrOptions(_StrOptions):
    """One of some strings, which a message lists in alphabetical order."""

    def __str__(self) -> str:
        return f"a str among {{{', '.join(map(repr, sorted(self.options)))}}}"


def in_search() -> bool:
    """Whether scikit-learn's searches or cross-validation called, however far up."""
    frame: FrameType | None = sys._getframe()
    while frame is not None:
        if frame.f_globals.get("__name__") == "sklearn.model_selection._validation":
            return True
        frame = frame.f_back
    return False
