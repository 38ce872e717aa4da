"""A fitted model of any kind, asked for what it predicts; labels and numbers, checked."""

from __future__ import annotations

from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from fairmi._data.groups import sensitive_frame
from fairmi._data.values import plain_series
from fairmi._typing import Predictor, SensitiveLike, TableLike

MAX_NAME = 120
WITHOUT_MODEL = "predictions that were given"
LOSSES = ("squared_error", "poisson", "gamma")


class FittedModel:
    """A fitted model on some rows, called with what the signatures of its methods ask for.

    Some methods want sensitive features at prediction (fairlearn's ThresholdOptimizer), or a seed,
    since they decide at random (that one, and ExponentiatedGradient). What decides in the end may
    stand inside a search or a pipeline, which hides the signature.
    """

    def __init__(
        self,
        estimator: Any,
        argument: str,
        X: TableLike | None,
        sensitive_features: SensitiveLike,
        seed: int,
    ) -> None:
        if isinstance(estimator, type) or not hasattr(estimator, "predict"):
            raise ValueError(
                f"{argument} must be a fitted classifier or regressor with a predict method, got "
                f"{estimator!r}."
            )
        try:
            check_is_fitted(estimator)
        except TypeError:  # not of scikit-learn's kind: whether it is fitted shows in predict
            pass
        except NotFittedError as error:
            raise NotFittedError(f"{argument} is not fitted; call its fit first.") from error
        self.inner, self.inner_X = _unwrapped(estimator, X)
        self.estimator, self.argument, self.X = estimator, argument, X
        self.options = {"sensitive_features": sensitive_features, "random_state": seed}
        _check_groups_known(self.inner, sensitive_features)

    def _predict(self) -> Any:
        if _asked(self.inner.predict):
            return self._call(self.inner.predict, self.inner_X)
        return self._call(self.estimator.predict, self.X)

    def numbers(self) -> np.ndarray:
        """Return the predictions of a regressor, shape (n_rows,)."""
        return check_numbers(self._predict(), f"the prediction of {self.argument}")

    def labels(self) -> np.ndarray:
        """Return the predictions of a classifier, shape (n_rows,)."""
        if regresses(self.estimator):
            raise ValueError(
                f"{self.argument} is a regressor ({type(self.estimator).__name__}), and this "
                'audit is of a classifier; give task="auto" or "regression", or classes, as in '
                "audit(y=y, y_pred=model.predict(X) > 0.5, sensitive_features=...)."
            )
        predicted = np.asarray(self._predict())
        if predicted.ndim == 2 and predicted.shape[1] == 1:
            predicted = predicted[:, 0]
        if predicted.ndim != 1:
            raise ValueError(
                f"{self.argument} predicts an array of shape {predicted.shape}; the audit is of "
                "one label a row: give each column of it as y_pred."
            )
        if predicted.dtype.kind == "f" and (predicted != np.floor(predicted)).any():
            raise ValueError(
                f"{self.argument} predicts numbers that are no classes, such as "
                f"{predicted[0]:.3g}; cut them into classes and give these, as in "
                "audit(y=y, y_pred=model.predict(X) > 0.5, sensitive_features=...)."
            )
        return check_labels(predicted, f"the prediction of {self.argument}")

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

    def scores(self) -> tuple[np.ndarray | None, bool]:
        """Return scores of shape (n_rows, n_columns), and whether they are probabilities."""
        for method in ("predict_proba", "decision_function"):
            if hasattr(self.estimator, method):
                scores = np.asarray(getattr(self.estimator, method)(self.X), dtype=float)
                return scores.reshape(len(scores), -1), method == "predict_proba"
        return None, False

    def representation(self) -> np.ndarray | None:
        """Return what `transform` gives, of any kind of set_output; None where there is none."""
        transform = getattr(self.estimator, "transform", None)
        return None if transform is None else np.asarray(transform(self.X))

    def loss(self) -> str:
        """Return the loss that a regressor says it has, or that its name says; else squares."""
        last = self.estimator
        last = last.steps[-1][1] if isinstance(last, Pipeline) else last
        last = getattr(last, "best_estimator_", last)
        name = str(getattr(last, "loss", "")), type(last).__name__.lower()
        return next((loss for loss in LOSSES[1:] if loss in name[0] or loss in name[1]), LOSSES[0])

    def _call(self, method: Any, X: TableLike | None) -> Any:
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


def _check_groups_known(inner: Any, sensitive_features: SensitiveLike) -> None:
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


def regresses(estimator: Predictor) -> bool:
    """Whether a model says that it is a regressor."""
    try:
        return bool(is_regressor(estimator))
    except (AttributeError, TypeError):  # not of scikit-learn's kind
        return getattr(estimator, "_estimator_type", None) == "regressor"


def short_name(estimator: Any) -> str:
    """Name an estimator on a line: a pipeline by its steps, none with all its parts spelt out."""
    if hasattr(estimator, "steps"):
        return " > ".join(short_name(step) for _, step in estimator.steps)
    if not hasattr(estimator, "get_params") and hasattr(estimator, "__len__"):
        return WITHOUT_MODEL
    text = " ".join(repr(estimator).split())
    return (
        text
        if len(text) <= MAX_NAME and " object at 0x" not in text
        else f"{type(estimator).__name__}(...)"
    )


def check_numbers(values: object, argument: str) -> np.ndarray:
    """Return finite numbers as (n_rows,) float64, or raise ValueError where they are none."""
    array = _one_a_row(values, argument, "number")
    try:
        if array.dtype.kind not in "iuf":
            if any(isinstance(value, str | bool | np.bool_) for value in array):
                raise ValueError
            array = np.array([float(value) for value in array])
        numbers = array.astype(np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{argument} holds {array.tolist()[0]!r}, which is no number, and a "
            "regressor is audited; give the numbers that it predicts, or a classifier."
        ) from None
    n_missing = int((~np.isfinite(numbers)).sum())
    if n_missing:
        raise ValueError(
            f"{argument} has a missing or infinite value in {n_missing} of {len(numbers)} rows; "
            "drop these rows from all arguments."
        )
    return numbers


def check_labels(values: object, argument: str) -> np.ndarray:
    """Return labels as a 1-d array, or raise ValueError where one is missing or is no class."""
    labels = _one_a_row(values, argument, "label")
    n_missing = int(pd.isna(labels).sum())
    if n_missing:
        raise ValueError(
            f"{argument} has a missing value (NaN or None) in {n_missing} of {len(labels)} rows; "
            "drop these rows from all arguments, or give them a label of their own."
        )
    if labels.dtype == object:
        labels = np.array(labels.tolist())
    if labels.dtype.kind in "fc" and type_of_target(labels) == "continuous":
        fraction = labels[labels != np.floor(labels)][0]
        raise ValueError(
            f"{argument} has numbers that are no classes, such as {fraction:.3g}; cut them "
            f'into classes first, as in {argument} > 0.5, or give task="regression" if numbers '
            "are what is predicted."
        )
    return labels


def _one_a_row(values: object, argument: str, what: str) -> np.ndarray:
    """Return values as a 1-d array, or raise ValueError where they are not one a row."""
    array = np.asarray(plain_series(values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"{argument} must be one {what} a row, shape (n_rows,), got shape {array.shape}."
        )
    return array
