"""What is audited: labels, predictions, scores and representation of a sample, gathered once."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field, fields, replace
from inspect import signature
from typing import Any, Self

import numpy as np
import pandas as pd
from sklearn.base import is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target
from sklearn.utils.validation import check_is_fitted

from fairmi._data.groups import sensitive_frame
from fairmi._data.values import plain_series
from fairmi._typing import ColumnLike, Predictor, SensitiveLike, TableLike
from fairmi.metrics.disparities import y_strata
from fairmi.metrics.scorers import label_codes, positive_code

LOSSES = ("squared_error", "poisson", "gamma")


@dataclass(frozen=True)
class Answers:
    """What a model says of some rows, or of cells of a table that was counted.

    Attributes
    ----------
    true, predicted : ndarray of shape (n_rows,)
        Labels and predictions; labels are 0 where they are not known.
    representation : array-like or None
        What the model's `transform` gives.
    clusters : ndarray of int of shape (n_rows,) or None
        Code of the cluster, such as a person, that each row is of; None where each stands alone.
    labelled : bool
        Whether labels are known.
    counts : ndarray of int of shape (n_rows,) or None
        How many rows of a table each of these is; None where each is one.
    """

    true: np.ndarray
    predicted: np.ndarray
    representation: Any = field(default=None, kw_only=True)
    clusters: np.ndarray | None = field(default=None, kw_only=True)
    labelled: bool = field(default=True, kw_only=True)
    counts: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return len(self.true) if self.counts is None else int(self.counts.sum())

    def rows(self, of: np.ndarray) -> Self:
        """Return labels, predictions and clusters of some of the rows, without what is probed."""
        parts: dict[str, Any] = dict.fromkeys(("representation", "scores"))
        for name in ("true", "predicted", "shares", "clusters", "counts"):
            values = getattr(self, name, None)
            parts[name] = None if values is None else values[of]
        if self.clusters is not None:
            parts["clusters"] = recoded(parts["clusters"])
        own = {one.name for one in fields(self)}
        return replace(self, **{name: part for name, part in parts.items() if name in own})


@dataclass(frozen=True)
class Predictions(Answers):
    """Labels and predictions as codes of `classes`, and what else a classifier gives away.

    Attributes
    ----------
    true, predicted
        Codes; other attributes are those of `Answers`.
    classes : ndarray of shape (n_classes,)
        The labels that the codes stand for.
    rated_classes : tuple of int
        Codes of the classes whose rates matter: the positive one, or all of more than two.
    shares : ndarray of shape (n_rows, n_classes)
        Probability of each prediction: 0 or 1, unless the classifier decides at random.
    scores : ndarray of shape (n_rows, n_columns) or None
        A column for each class, or one where two classes have one number. Of a counted table NaN
        but in the rows of its sample.
    probabilities : bool
        Whether the scores are probabilities of the classes.
    score_sums : ndarray of int of shape (n_rows, 3) or None
        Of a counted table: bin of the scores, their sum and that of their squares, as
        `fairmi.audit.calibration` counts them.
    """

    classes: np.ndarray
    rated_classes: tuple[int, ...]
    shares: np.ndarray
    scores: np.ndarray | None = None
    probabilities: bool = False
    score_sums: np.ndarray | None = None

    @property
    def strata(self) -> np.ndarray:
        """What a label tells of a row, (n_rows,) int: its class."""
        return self.true

    @property
    def random(self) -> bool:
        """Whether the classifier decides at random on some rows."""
        return bool((self.shares.max(axis=1) < 1).any())

    @property
    def positive_label(self) -> str | None:
        """The label that the rates are of, or None where they are of each."""
        one = len(self.rated_classes) == 1
        return str(self.classes[self.rated_classes[0]]) if one else None

    @property
    def subjects(self) -> dict[str, Any]:
        """What leaves the model and may tell of the sensitive features, by name.

        Of two columns of probabilities one tells all. Predictions are indicators of the classes,
        of which a linear probe finds all there is.
        """
        scores = self.scores
        if scores is not None and self.probabilities and len(self.classes) == 2:
            scores = scores[:, 1:]
        everything = {
            "representation": self.representation,
            "scores": scores,
            "predictions": np.eye(len(self.classes))[self.predicted],
        }
        return {name: values for name, values in everything.items() if values is not None}


@dataclass(frozen=True)
class Forecasts(Answers):
    """Predicted numbers, in units of y, and the loss, one of `LOSSES`, that they were fitted by.

    Other attributes are those of `Answers`.
    """

    loss: str

    @property
    def strata(self) -> np.ndarray:
        """What y tells of a row, (n_rows,) int: its quantile bin."""
        return y_strata(self.true)

    @property
    def subjects(self) -> dict[str, Any]:
        """What leaves the model and may tell of the sensitive features, by name."""
        everything = {"representation": self.representation, "predictions": self.predicted}
        return {name: values for name, values in everything.items() if values is not None}


def recoded(codes: np.ndarray) -> np.ndarray:
    """Return the codes of those that occur: 0, 1, ... in their order."""
    return np.unique(codes, return_inverse=True)[1].reshape(-1)


def predictions_of(
    model: FittedModel | None,
    y: ColumnLike | None,
    y_pred: ColumnLike | None = None,
    *,
    y_score: TableLike | None = None,
    pos_label: Hashable | None = None,
) -> Predictions:
    """Gather what a classifier says of its rows, or take predictions; y is None if not known.

    ValueError where labels, predictions and scores don't fit together, `pos_label` is not a
    class, or there is one class only.
    """
    estimator = None if model is None else model.estimator
    if estimator is not None:
        _refuse_regressor(estimator, "estimator")
    true = None if y is None else check_labels(y, "y")
    if model is None:
        predicted, who = check_labels(y_pred, "y_pred"), "y_pred"
        fix = f"y_pred has {len(predicted)}; give one prediction for each label."
    else:
        predicted, who = model.predict("estimator"), "the estimator"
        fix = (
            f"the estimator predicts an array of shape {predicted.shape} for X; give one label "
            "for each row of X."
        )
    true = predicted if true is None else true
    if predicted.shape != true.shape:
        raise ValueError(f"y has {len(true)} labels, but {fix}")
    if not np.isin(true, getattr(estimator, "classes_", predicted)).any():
        raise ValueError(
            f"y has labels such as {true.tolist()[0]!r}, but {who} has labels such as "
            f"{predicted.tolist()[0]!r}; give y in the form of the predictions."
        )
    true, predicted, classes = label_codes(estimator, true, predicted)
    rated = _rated_codes(classes, pos_label)
    if model is None:
        shares, representation = np.eye(len(classes))[predicted], None
        scores, probabilities = _check_scores(y_score, len(true), len(classes))
    else:
        shares, representation = model.shares(predicted, classes), model.representation()
        scores, probabilities = model.scores()
        if scores is None and (shares.max(axis=1) < 1).any():
            scores = shares[:, 1:]
        if scores is not None and scores.shape[1] not in (1, len(classes)):
            scores = None
    return Predictions(
        np.zeros_like(true) if y is None else true,
        predicted,
        classes,
        rated,
        shares,
        scores,
        probabilities,
        representation=representation,
        labelled=y is not None,
    )


def baseline_predictions(
    baseline: FittedModel | ColumnLike, predictions: Predictions
) -> Predictions:
    """Return the predictions of a baseline, a classifier or an array of them, for the same rows.

    ValueError where it predicts a class that is not among those of `predictions`.
    """
    if isinstance(baseline, FittedModel):
        _refuse_regressor(baseline.estimator, "baseline")
        predicted = baseline.predict("baseline")
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
    shares = np.eye(len(known))[codes]
    if isinstance(baseline, FittedModel):
        shares = baseline.shares(codes, known)
    return replace(
        predictions,
        predicted=codes,
        shares=shares,
        scores=None,
        representation=None,
        probabilities=False,
    )


def forecasts_of(
    model: FittedModel | None, y: ColumnLike | None, y_pred: ColumnLike | None, loss: str
) -> Forecasts:
    """Gather what a regressor says of its rows, or take its predictions; y is None if not known.

    ValueError where y and the predictions don't fit together, hold what is no finite number, or
    are not what the loss asks for.
    """
    if model is None:
        predicted, representation = check_numbers(y_pred, "y_pred"), None
    else:
        predicted, representation = model.numbers("estimator"), model.representation()
    true = np.zeros_like(predicted) if y is None else check_numbers(y, "y")
    if len(true) != len(predicted):
        raise ValueError(
            f"y has {len(true)} numbers, but there are {len(predicted)} predictions; give one y "
            "for each."
        )
    if loss == "auto":
        loss = LOSSES[0] if model is None else model.loss()
    least = {"gamma": np.nextafter(0, 1)}.get(loss, 0.0)
    if loss != "squared_error" and (
        predicted.min() <= 0 or (y is not None and true.min() < least)
    ):
        raise ValueError(
            f"loss={loss!r} is of a log link, but predictions are as small as "
            f"{predicted.min():g} and y as {true.min():g}: predictions must be above 0, and y "
            f'{"above" if loss == "gamma" else "at least"} 0. Give loss="squared_error".'
        )
    if predicted.min() == predicted.max() and (y is None or true.min() == true.max()):
        raise ValueError("y and the predictions are all equal; there is nothing to compare.")
    return Forecasts(true, predicted, loss, representation=representation, labelled=y is not None)


def baseline_forecasts(baseline: FittedModel | ColumnLike, forecasts: Forecasts) -> Forecasts:
    """Return the predictions of a baseline, a regressor or an array of them, for the same rows."""
    if isinstance(baseline, FittedModel):
        predicted = baseline.numbers("baseline")
    else:
        predicted = check_numbers(baseline, "baseline")
    if len(predicted) != len(forecasts.true):
        raise ValueError(
            f"baseline predicts {len(predicted)} numbers for {len(forecasts.true)} rows; give one "
            "for each."
        )
    if forecasts.loss != "squared_error" and predicted.min() <= 0:
        raise ValueError(
            f"baseline predicts {predicted.min():g}, and loss={forecasts.loss!r} needs numbers "
            'above 0; give loss="squared_error".'
        )
    return replace(forecasts, predicted=predicted, representation=None)


def is_regression(
    task: str, estimator: Predictor | None, y: ColumnLike | None, y_pred: ColumnLike | None
) -> bool:
    """Whether numbers are audited: as `task` says, or by the estimator, or y and predictions.

    Of predictions in place of an estimator, where they or y hold fractions and y is of more than
    two numbers: predictions of two classes that hold fractions are scores.
    """
    if task != "auto":
        return task == "regression"
    if estimator is not None:
        return _regresses(estimator)
    if y is None or y_pred is None:
        return False
    both = [np.asarray(plain_series(values)).reshape(-1) for values in (y, y_pred)]
    if any(values.dtype.kind not in "iuf" for values in both) or len(np.unique(both[0])) < 3:
        return False
    return any(bool((values != np.floor(values)).any()) for values in both)


def _one_a_row(values: Any, argument: str, what: str) -> np.ndarray:
    """Return values as a 1-d array, or raise ValueError where they are not one a row."""
    array = np.asarray(plain_series(values))
    if array.ndim == 2 and array.shape[1] == 1:
        array = array[:, 0]
    if array.ndim != 1 or not len(array):
        raise ValueError(
            f"{argument} must be one {what} a row, shape (n_rows,), got shape {array.shape}."
        )
    return array


def check_numbers(values: Any, argument: str) -> np.ndarray:
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


def check_labels(values: ColumnLike | None, argument: str) -> np.ndarray:
    """Return labels as a 1-d array, or raise ValueError where one is missing or is no class."""
    if values is None:
        raise ValueError(f"{argument} is None; give the label of each row.")
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


def _rated_codes(classes: np.ndarray, pos_label: Hashable | None) -> tuple[int, ...]:
    """Return the codes of the classes whose rates matter: the positive one, or each of several."""
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise ValueError(
            f"y and the predictions hold the single class {only!r}; rates need rows of two "
            "classes or more."
        )
    if pos_label is not None:
        return (positive_code(classes, pos_label),)
    return (1,) if len(classes) == 2 else tuple(range(len(classes)))


def _check_scores(y_score: Any, n_rows: int, n_classes: int) -> tuple[np.ndarray | None, bool]:
    """Return scores as (n_rows, n_columns), and whether they are probabilities of the classes.

    One number a row from 0 to 1 is the probability of the second of two classes, and gets a
    column for the first.
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
        n_missing = int((~np.isfinite(scores)).any(axis=1).sum())
        raise ValueError(
            f"y_score has a missing or infinite value in {n_missing} rows; drop these."
        )
    probabilities = bool((scores >= 0).all() and (scores <= 1).all())
    if scores.shape[1] == 1:
        return (np.hstack([1 - scores, scores]) if probabilities else scores), probabilities
    return scores, probabilities and bool(np.allclose(scores.sum(axis=1), 1, atol=1e-3))


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
        check_fitted(estimator, argument)
        self.inner, self.inner_X = _unwrapped(estimator, X)
        self.estimator, self.X = estimator, X
        self.options = {"sensitive_features": sensitive_features, "random_state": seed}
        _check_groups_known(self.inner, sensitive_features)

    def _predict(self) -> Any:
        if _asked(self.inner.predict):
            return self._call(self.inner.predict, self.inner_X)
        return self._call(self.estimator.predict, self.X)

    def numbers(self, argument: str) -> np.ndarray:
        """Return the predictions of a regressor, shape (n_rows,)."""
        return check_numbers(self._predict(), f"the prediction of {argument}")

    def predict(self, argument: str) -> np.ndarray:
        """Return the predictions of a classifier, shape (n_rows,)."""
        predicted = np.asarray(self._predict())
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


def _refuse_regressor(estimator: Predictor, argument: str) -> None:
    if _regresses(estimator):
        raise ValueError(
            f"{argument} is a regressor ({type(estimator).__name__}), and this audit is of a "
            'classifier; give task="auto" or "regression", or classes, as in '
            "audit(y=y, y_pred=model.predict(X) > 0.5, sensitive_features=...)."
        )


def check_fitted(estimator: Predictor, argument: str) -> None:
    """Raise ValueError or NotFittedError where `estimator` can't predict."""
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"{argument} must be a fitted classifier or regressor with a predict method, got "
            f"{estimator!r}."
        )
    try:
        check_is_fitted(estimator)
    except TypeError:  # not of scikit-learn's kind: whether it is fitted shows in predict
        return
    except NotFittedError as error:
        raise NotFittedError(f"{argument} is not fitted; call its fit first.") from error


def _regresses(estimator: Predictor) -> bool:
    try:
        return bool(is_regressor(estimator))
    except (AttributeError, TypeError):  # not of scikit-learn's kind
        return getattr(estimator, "_estimator_type", None) == "regressor"
