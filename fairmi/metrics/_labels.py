"""Labels and predictions of any kind -> codes: positions among an estimator's classes."""

from __future__ import annotations

from typing import Any

import numpy as np


def label_codes(
    estimator: Any, y_true: np.ndarray, y_pred: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return codes of `y_true` and `y_pred`, both of shape (n_rows,), and the classes.

    The classes are ``estimator.classes_``, with what else occurs merged in by value; without that
    attribute, all that occurs.
    """
    answers = y_true if y_pred is None else y_pred
    seen = np.union1d(y_true, answers)
    known = np.asarray(getattr(estimator, "classes_", seen))
    classes = known if np.isin(seen, known).all() else np.union1d(known, seen)
    order = np.argsort(classes)
    true, predicted = (
        order[np.searchsorted(classes, labels, sorter=order)] for labels in (y_true, answers)
    )
    return true, predicted, classes
