"""A fitted classifier -> its predictions, whatever its methods ask for."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fairmi.audit.figures.labels import check_labels, check_same_labels
from fairmi.audit.figures.predictions import Predictions, rated_codes
from fairmi.metrics._labels import label_codes


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
    _check_classifier(estimator, "estimator")
    true = check_labels(y, "y")
    model = _Model(estimator, X, sensitive_features, seed)
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
    representation = estimator.transform(X) if hasattr(estimator, "transform") else None
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
        _check_classifier(baseline, "baseline")
        model = _Model(baseline, X, sensitive_features, seed)
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


class _Model:
    """A fitted classifier on some rows, called with what the signatures of its methods ask for.

    Some methods want sensitive features at prediction (fairlearn's ThresholdOptimizer), or a seed,
    since they decide at random (that one, and ExponentiatedGradient). What decides in the end may
    stand inside a search or a pipeline, which hides the signature.
    """

    def __init__(self, estimator: Any, X: Any, sensitive_features: Any, seed: int) -> None:
        inner, inner_X = _unwrapped(estimator, X)
        asks = _asked(inner.predict)
        self.estimator, self.X = (inner, inner_X) if asks else (estimator, X)
        self.inner, self.inner_X = inner, inner_X
        self.options = {"sensitive_features": sensitive_features, "random_state": seed}

    def predict(self, argument: str) -> np.ndarray:
        """Return the predictions, shape (n_rows,)."""
        predicted = np.asarray(self._call(self.estimator.predict, self.X))
        if predicted.ndim == 2 and predicted.shape[1] == 1:
            predicted = predicted[:, 0]
        if predicted.ndim != 1:
            raise ValueError(
                f"{argument} predicts an array of shape {predicted.shape}; the audit is of one "
                "label a row: give each column of it as y_pred."
            )
        return check_labels(predicted, f"the prediction of {argument}")

    def shares(self, codes: np.ndarray, classes: np.ndarray) -> np.ndarray:
        """Return the probability of each prediction: those of a random classifier where it tells.

        fairlearn's two have a private method for it, whose columns are of the labels 0 and 1.
        """
        method = getattr(self.inner, "_pmf_predict", None)
        if method is not None and classes.tolist() == [0, 1]:
            shares = np.asarray(self._call(method, self.inner_X), dtype=float)
            if shares.shape == (len(codes), 2):
                shares = np.clip(shares, 0, 1)
                return shares / shares.sum(axis=1, keepdims=True)
        return np.eye(len(classes))[codes]

    def _call(self, method: Any, X: Any) -> Any:
        return method(X, **{name: self.options[name] for name in _asked(method)})


def _unwrapped(estimator: Any, X: Any) -> tuple[Any, Any]:
    """Return what decides inside of searches and pipelines, and X as it gets it."""
    best = getattr(estimator, "best_estimator_", None)
    if best is not None:
        return _unwrapped(best, X)
    if isinstance(estimator, Pipeline):
        last = estimator.steps[-1][1]
        if hasattr(last, "_pmf_predict") or _asked(getattr(last, "predict", None)):
            return _unwrapped(last, estimator[:-1].transform(X) if len(estimator) > 1 else X)
    return estimator, X


def _asked(method: Any) -> list[str]:
    """Return which of these two a method's signature names."""
    try:
        names = signature(method).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in ("sensitive_features", "random_state") if name in names]


def _check_classifier(estimator: Any, argument: str) -> None:
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"{argument} must be a fitted classifier with a predict method, got {estimator!r}."
        )
    if _regresses(estimator):
        raise ValueError(
            f"{argument} is a regressor ({type(estimator).__name__}), and the audit is of "
            "classifiers; cut its predictions into classes and give these, as in "
            "audit(y=y, y_pred=model.predict(X) > 0.5, sensitive_features=...)."
        )
    try:
        check_is_fitted(estimator)
    except TypeError:  # not of scikit-learn's kind: whether it is fitted shows in predict
        return
    except NotFittedError as error:
        raise NotFittedError(f"{argument} is not fitted; call its fit first.") from error


def _regresses(estimator: Any) -> bool:
    try:
        return bool(is_regressor(estimator))
    except (AttributeError, TypeError):  # not of scikit-learn's kind
        return getattr(estimator, "_estimator_type", None) == "regressor"


def _scores(estimator: Any, X: Any) -> tuple[np.ndarray | None, bool]:
    """Scores of shape (n_rows, n_columns), and whether they are probabilities."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(estimator, method):
            scores = np.asarray(getattr(estimator, method)(X), dtype=float)
            return scores.reshape(len(scores), -1), method == "predict_proba"
    return None, False
