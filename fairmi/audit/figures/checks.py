"""Labels, predictions and scores as a user gives them -> checked arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from sklearn.utils.multiclass import type_of_target

from fairmi._data.labels import plain_series


def check_labels(values: Any, argument: str) -> np.ndarray:
    """Return labels as a 1-d array.

    Raises
    ------
    ValueError
        If they are not one label a row, one is missing, or they are no classes.
    """
    if values is None:
        raise ValueError(f"{argument} is None; give the label of each row.")
    labels = np.asarray(plain_series(values))
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"{argument} must be one label a row, shape (n_rows,), got shape {labels.shape}."
        )
    n_missing = int(pd.isna(labels).sum())
    if n_missing:
        raise ValueError(
            f"{argument} has a missing value (NaN or None) in {n_missing} of {len(labels)} rows; "
            "drop these rows from all arguments, or give them a label of their own."
        )
    if labels.dtype == object:
        labels = np.array(labels.tolist())
    if labels.dtype.kind in "fc" and type_of_target(labels) == "continuous":
        odd = labels[labels != np.floor(labels)][0]
        raise ValueError(
            f"{argument} has numbers that are no classes, such as {odd:.3g}; cut them into "
            f"classes first, as in {argument} > 0.5."
        )
    return labels


def check_same_labels(
    true: np.ndarray, predicted: np.ndarray, classes: np.ndarray, name: str
) -> None:
    """Raise ValueError where y has none of the classes of what `name` says has predicted."""
    if not np.isin(true, classes).any():
        raise ValueError(
            f"y has labels such as {true.tolist()[0]!r}, but {name} has labels such as "
            f"{predicted.tolist()[0]!r}; give y in the form of the predictions."
        )


def check_scores(y_score: Any, n_rows: int, n_classes: int) -> tuple[np.ndarray | None, bool]:
    """Return scores as (n_rows, n_columns), and whether they are probabilities of the classes.

    One number a row from 0 to 1 is the probability of the second of two classes, and gets a
    column for the first.

    Raises
    ------
    ValueError
        If their shape does not fit, or one is missing or infinite.
    """
    if y_score is None:
        return None, False
    try:
        scores = np.asarray(y_score, dtype=float)
    except (TypeError, ValueError) as error:
        raise ValueError(f"y_score must hold numbers ({error}).") from error
    scores = scores[:, None] if scores.ndim == 1 else scores
    widths = {n_classes, 1} if n_classes == 2 else {n_classes}
    if scores.ndim != 2 or len(scores) != n_rows or scores.shape[1] not in widths:
        raise ValueError(
            f"y_score has shape {np.shape(y_score)}; for {n_rows} rows and {n_classes} classes "
            f"give ({n_rows}, {n_classes})" + (f" or ({n_rows},)." if n_classes == 2 else ".")
        )
    if not np.isfinite(scores).all():
        odd = int((~np.isfinite(scores)).any(axis=1).sum())
        raise ValueError(f"y_score has a missing or infinite value in {odd} rows; drop these.")
    probabilities = bool((scores >= 0).all() and (scores <= 1).all())
    if scores.shape[1] == 1:
        return (np.hstack([1 - scores, scores]) if probabilities else scores), probabilities
    return scores, probabilities and bool(np.allclose(scores.sum(axis=1), 1, atol=1e-3))
