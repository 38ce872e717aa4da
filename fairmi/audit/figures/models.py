"""A fitted classifier of any kind, called as its methods ask to be."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from fairmi._data.groups import sensitive_frame
from fairmi.audit.figures.checks import check_labels


class FittedModel:
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
        _check_groups_known(inner, sensitive_features)

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
        if predicted.dtype.kind == "f" and (predicted != np.floor(predicted)).any():
            raise ValueError(
                f"{argument} predicts numbers that are no classes, such as {predicted[0]:.3g}; "
                "cut them into classes and give these, as in "
                "audit(y=y, y_pred=model.predict(X) > 0.5, sensitive_features=...)."
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


def _check_groups_known(inner: Any, sensitive_features: Any) -> None:
    """Raise ValueError where ThresholdOptimizer has no thresholds for a group.

    It would never select such a group, and not say so. Of several features it joins the values.
    """
    rules = getattr(getattr(inner, "interpolated_thresholder_", None), "interpolation_dict", None)
    if rules is None:
        return
    frame = sensitive_frame(sensitive_features)
    groups = frame.iloc[:, 0]
    if frame.shape[1] > 1:
        groups = frame.astype(str).agg(",".join, axis=1)
    unknown = [group for group in groups.unique().tolist() if group not in rules]
    if unknown:
        raise ValueError(
            f"{type(inner).__name__} decides by group and has no rule for {unknown[:3]}; it knows "
            f"{list(rules)[:5]}. Give the sensitive_features that it was fitted with; to audit by "
            "others, give its predictions as y_pred."
        )


def _asked(method: Any) -> list[str]:
    """Return which of these two a method's signature names."""
    try:
        names = signature(method).parameters
    except (TypeError, ValueError):
        return []
    return [name for name in ("sensitive_features", "random_state") if name in names]


def check_classifier(estimator: Any, argument: str) -> None:
    """Raise ValueError or NotFittedError where `estimator` is no fitted classifier."""
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
