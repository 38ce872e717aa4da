"""What a fit came to, in warnings: stopped early, one class alone, a blind critic."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss
from threadpoolctl import threadpool_limits

from fairmi._errors import CollapseWarning, ConvergenceWarning
from fairmi._types import Batch

_REASONS = {
    "diverged": "a loss became non-finite; lower learning_rate, or check X for extreme values",
    "interrupted": "the fit was interrupted",
}
# A critic that claims less than a quarter of what a fresh probe finds, where that is not little.
_FOUND = 0.05
_CLAIMED_SHARE = 0.25
_MOST_ROWS = 5_000


def warn_of_stop(stopped: str | None, n_epochs: int) -> None:
    """Warn where a training ended before its time, and say what state was kept."""
    if stopped in _REASONS:
        warnings.warn(
            f"Training stopped after {n_epochs} whole epochs, whose state was kept: "
            f"{_REASONS[stopped]}.",
            ConvergenceWarning,
            stacklevel=4,
        )


def warn_of_one_class(predicted: np.ndarray, n_classes: int, lam: Any) -> None:
    """Warn where every training row is given the same class."""
    if n_classes > 1 and (predicted == predicted[0]).all():
        remedy = f"lower lam={lam!r}, or raise max_iter"
        warnings.warn(
            "The fit collapsed: every training row is predicted to be of one class. "
            f"If this is not what you want, {remedy}.",
            CollapseWarning,
            stacklevel=5,
        )


def warn_of_blind_critics(z: np.ndarray, rows: Batch, claims: Sequence[float | None]) -> None:
    """Warn, for each discrete sensitive attribute, where its critic is blind.

    Parameters
    ----------
    z : ndarray of shape (n_rows, n_components)
    rows : Batch
        The same rows.
    claims : sequence of float or None
        As returned by `Run.claims`.
    """
    for claimed, batch in zip(claims, rows.attributes, strict=True):
        if claimed is None or batch.groups is None:
            continue
        counted = (batch.penalty_weights[0] > 0).cpu().numpy()
        warn_of_blind_critic(z[counted], batch.groups.cpu().numpy()[counted], claimed)


def warn_of_blind_critic(z: np.ndarray, groups: np.ndarray, claimed: float) -> None:
    """Warn where a fresh probe finds in Z what the trained critic says is not there.

    Parameters
    ----------
    z : ndarray of shape (n_rows, n_components)
    groups : ndarray of shape (n_rows,), codes
    claimed : float
        The trained critic's last estimate, in nats.

    Warns
    -----
    CollapseWarning
    """
    if len(z) < 200:
        return
    rows = np.random.default_rng(0).permutation(len(z))[:_MOST_ROWS]
    fit, held_out = rows[::2], rows[1::2]
    present = np.isin(groups[held_out], groups[fit])
    held_out = held_out[present]
    probe = HistGradientBoostingClassifier(max_iter=30, early_stopping=False, random_state=0)
    with threadpool_limits(1):
        told = probe.fit(z[fit], groups[fit]).predict_proba(z[held_out])
    left = log_loss(groups[held_out], told, labels=probe.classes_)
    shares = np.bincount(groups[held_out]) / len(held_out)
    shares = shares[shares > 0]
    found = float(-(shares * np.log(shares)).sum() - left)
    if found > _FOUND and claimed < _CLAIMED_SHARE * found:
        warnings.warn(
            f"The penalty did little: the trained critic claims {max(claimed, 0):.3f} nats of the "
            f"sensitive feature are left in Z, but a fresh probe finds {found:.3f}. Use the "
            "default schedule, whose channel bounds what Z can hide, fewer n_levels, or more "
            "n_critic_steps.",
            CollapseWarning,
            stacklevel=6,
        )
