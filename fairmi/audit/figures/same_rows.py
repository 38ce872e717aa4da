"""Rows that an audit should not get: many of one person, and those that the model learned from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from fairmi._data.fingerprint import FINGERPRINT, row_hashes, share_seen
from fairmi._data.groups import Groups
from fairmi._data.tables import is_frame
from fairmi.metrics._clusters import repeated_values

HALF = 0.5


def repeated_note(X: Any, clusters: np.ndarray | None, groups: Groups) -> str:
    """Say that many rows of X equal another and share its group; "" if not, or with clusters."""
    if X is None or clusters is not None:
        return ""
    table = _table(X)
    hashes = row_hashes(table, np.zeros(len(groups.codes)))
    value = np.unique(hashes, return_inverse=True)[1].reshape(-1)
    return repeated_values(value, groups.codes, one_column=table.shape[1] == 1)


def training_note(estimator: Any, X: Any, y: Any, *, baseline: bool = False) -> str:
    """Say that a model was trained on more than half of these rows; "" if not, or unknown."""
    model, X = _innermost(estimator, X)
    known = getattr(model, FINGERPRINT, None)
    if known is None or X is None:
        return ""
    labels = np.asarray(y)
    share = share_seen(row_hashes(_table(X), labels.reshape(-1)), np.asarray(known))
    if share <= HALF:
        return ""
    name, void = "model", "no figure here holds for others, and no certificate holds"
    if baseline:
        name, void = "baseline", "no change from it holds for others"
    return (
        f"About {100 * share:.0f} % of these rows took part in the training of the {name}, so "
        f"that {void}. Give rows that neither the {name} nor the choice of it has seen."
    )


def _innermost(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return the model in searches and pipelines that was fitted, and X as it sees it."""
    for _ in range(10):
        if hasattr(estimator, FINGERPRINT):
            break
        if hasattr(estimator, "steps"):
            last = estimator.steps[-1][1]
            if _is_known(last):
                X = estimator[:-1].transform(X) if len(estimator.steps) > 1 else X
            estimator = last
        elif _fitted_inside(estimator) is not None:
            estimator = _fitted_inside(estimator)
        else:
            break
    return estimator, X


def _is_known(estimator: Any) -> bool:
    """Whether a model in which others may lie has a fingerprint."""
    while estimator is not None and not hasattr(estimator, FINGERPRINT):
        steps = getattr(estimator, "steps", None)
        estimator = steps[-1][1] if steps else _fitted_inside(estimator)
    return estimator is not None


def _fitted_inside(estimator: Any) -> Any:
    for name in ("best_estimator_", "model_", "estimator_"):
        inside = getattr(estimator, name, None)
        if inside is not None and inside is not estimator:
            return inside
    return None


def _table(X: Any) -> Any:
    """Return X as a frame, a sparse array, or an array of two dimensions."""
    if is_frame(X) or issparse(X):
        return X
    array = np.asarray(X)
    array = array.reshape(len(array), -1)
    return array if array.dtype.kind in "biuf" else pd.DataFrame(array)
