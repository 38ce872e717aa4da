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
    predictions = y_true if y_pred is None else y_pred
    seen = np.union1d(y_true, predictions)
    known = np.asarray(getattr(estimator, "classes_", seen))
    classes = known if np.isin(seen, known).all() else np.union1d(known, seen)
    order = np.argsort(classes)
    true, predicted = (
        order[np.searchsorted(classes, labels, sorter=order)] for labels in (y_true, predictions)
    )
    return true, predicted, classes


def positive_code(classes: np.ndarray, pos_label: Any) -> int:
    """Return the code of the class that rates are of.

    Raises
    ------
    ValueError
        If `pos_label` is none of the classes.
    """
    for code, label in enumerate(classes.tolist()):
        if label == pos_label:
            return code
    raise ValueError(
        f"pos_label={pos_label!r} is not among the classes; give one of {classes.tolist()}."
    )
