"""What a fit warns of, in words: (name of the category in fairmi.exceptions, message)."""

from __future__ import annotations

from typing import Any

import numpy as np

Told = list[tuple[str, str]]

_REASONS = {
    "diverged": "a loss became non-finite; lower learning_rate, or check X for extreme values",
    "interrupted": "the fit was interrupted",
}


def told_of_stop(stopped: str | None, n_epochs: int) -> Told:
    """Say that a training ended before its time, and what state was kept."""
    if stopped not in _REASONS:
        return []
    message = (
        f"Training stopped after {n_epochs} whole epochs, whose state was kept: "
        f"{_REASONS[stopped]}."
    )
    return [("ConvergenceWarning", message)]


def told_of_one_class(predicted: np.ndarray, n_classes: int, lam: Any) -> Told:
    """Say that every training row is given the same class, if so."""
    if n_classes < 2 or not (predicted == predicted[0]).all():
        return []
    message = (
        "The fit collapsed: every training row is predicted to be of one class. "
        f"If this is not what you want, lower lam={lam!r}, or raise max_iter."
    )
    return [("CollapseWarning", message)]
