"""A fitted classifier -> its predictions, whatever its methods ask for."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairmi.audit.figures.checks import check_labels, check_same_labels
from fairmi.audit.figures.models import FittedModel, check_classifier
from fairmi.audit.figures.predictions import Predictions, rated_codes
from fairmi.metrics._class_codes import label_codes


def ask(
    estimator: Any,
    X: Any,
    y: Any,
    *,
    sensitive_features: Any = None,
    pos_label: Any = None,
    seed: int = 0,
) -> Predictions:
    """Gather what a fitted classifier says of X.

    Raises
    ------
    ValueError
        If y isn't one label for each row of X, holds one class only, or the estimator does not
        predict labels like those of y.
    """
    check_classifier(estimator, "estimator")
    true = check_labels(y, "y")
    model = FittedModel(estimator, X, sensitive_features, seed)
    predicted = model.predict("estimator")
    if predicted.shape != true.shape:
        raise ValueError(
            f"y has {len(true)} labels, but the estimator predicts an array of shape "
            f"{predicted.shape} for X; give one label for each row of X."
        )
    classes = getattr(estimator, "classes_", predicted)
    check_same_labels(true, predicted, classes, "the estimator")
    true, predicted, classes = label_codes(estimator, true, predicted)
    rated = rated_codes(classes, pos_label)
    shares = model.shares(predicted, classes)
    scores, probabilities = _scores(estimator, X)
    if scores is None and (shares.max(axis=1) < 1).any():
        scores = shares[:, 1:]
    if scores is not None and scores.shape[1] not in (1, len(classes)):
        scores = None
    representation = None
    if hasattr(estimator, "transform"):
        representation = np.asarray(estimator.transform(X))  # of any kind that set_output asks
    return Predictions(
        classes, rated, true, predicted, shares, scores, representation, probabilities
    )


def ask_baseline(
    baseline: Any,
    X: Any,
    predictions: Predictions,
    *,
    sensitive_features: Any = None,
    seed: int = 0,
) -> Predictions:
    """Return the predictions of `baseline`, a classifier or an array of them, for the same rows.

    Raises
    ------
    ValueError
        If it predicts a class that is not among those of `predictions`.
    """
    model = None
    if hasattr(baseline, "predict") or not hasattr(baseline, "__len__"):
        check_classifier(baseline, "baseline")
        model = FittedModel(baseline, X, sensitive_features, seed)
        predicted = model.predict("baseline")
    else:
        predicted = check_labels(baseline, "baseline")
    known, true = predictions.classes, predictions.true
    if predicted.shape != true.shape or not np.isin(predicted, known).all():
        unknown = np.setdiff1d(predicted, known)[:5].tolist()
        raise ValueError(
            f"baseline must predict, for each of {len(true)} rows, one of {known.tolist()}; it "
            f"predicts {unknown} too, shape {predicted.shape}."
        )
    order = np.argsort(known)
    codes = order[np.searchsorted(known, predicted, sorter=order)]
    shares = model.shares(codes, known) if model else np.eye(len(known))[codes]
    return Predictions(known, predictions.rated_classes, true, codes, shares)


def _scores(estimator: Any, X: Any) -> tuple[np.ndarray | None, bool]:
    """Scores of shape (n_rows, n_columns), and whether they are probabilities."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(estimator, method):
            scores = np.asarray(getattr(estimator, method)(X), dtype=float)
            return scores.reshape(len(scores), -1), method == "predict_proba"
    return None, False
