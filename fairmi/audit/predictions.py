"""What is audited: labels, predictions, scores and representation of a sample, gathered once."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from fairmi._data.values import plain_series
from fairmi._typing import ColumnLike, Predictor, TableLike
from fairmi.audit.model import LOSSES, FittedModel, check_labels, check_numbers, regresses
from fairmi.metrics._rows import cluster_codes
from fairmi.metrics.disparities import y_strata
from fairmi.metrics.scorers import label_codes, positive_code


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
    sample : ndarray of int of shape (n_sampled,) or None
        Of a counted table the cells that stand for a random sample of its rows, as often as they
        were drawn.
    """

    true: np.ndarray
    predicted: np.ndarray
    representation: Any = field(default=None, kw_only=True)
    clusters: np.ndarray | None = field(default=None, kw_only=True)
    labelled: bool = field(default=True, kw_only=True)
    counts: np.ndarray | None = field(default=None, kw_only=True)
    sample: np.ndarray | None = field(default=None, kw_only=True)

    @property
    def n_rows(self) -> int:
        """Rows of the table."""
        return len(self.true) if self.counts is None else int(self.counts.sum())

    def rows(self, of: np.ndarray) -> Self:
        """Return what is said of some of the rows."""
        parts: dict[str, Any] = {}
        for name in ("true", "predicted", "representation", "shares", "scores", "clusters"):
            if getattr(self, name, None) is not None:
                parts[name] = getattr(self, name)[of]
        if self.clusters is not None:
            parts["clusters"] = recoded(parts["clusters"])
        return replace(self, counts=None if self.counts is None else self.counts[of], **parts)


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


def read_answers(
    ask: Callable[[Any, str], FittedModel],
    estimator: Predictor | None,
    rows: dict[str, Any],
    clusters: ColumnLike | None,
    pos_label: Hashable | None,
    task: str,
    loss: str,
) -> tuple[Predictions | Forecasts, Predictions | Forecasts | None]:
    """Return what a model, asked or by its predictions, and its baseline say of rows in memory.

    `rows` has y, y_pred, y_score and baseline, as `audit` takes them.
    """
    y, y_pred, y_score, baseline = (rows[k] for k in ("y", "y_pred", "y_score", "baseline"))
    if (estimator is None) == (y_pred is None):
        both = "both are given" if y_pred is not None else "neither is given"
        raise ValueError(
            f"{both}, estimator and y_pred; give one: a fitted classifier or regressor, or its "
            "predictions."
        )
    if estimator is not None and y_score is not None:
        raise ValueError(
            "y_score goes with y_pred, but an estimator is given, whose scores are asked of it; "
            "leave one of them out."
        )
    of_numbers = is_regression(task, estimator, y, y_pred)
    if of_numbers and (y_score is not None or pos_label is not None):
        raise ValueError("pos_label and y_score are of classes; a regressor has neither.")
    model = None if estimator is None else ask(estimator, "estimator")
    if baseline is not None and (hasattr(baseline, "predict") or not hasattr(baseline, "__len__")):
        baseline = ask(baseline, "baseline")
    if of_numbers:
        forecasts = forecasts_of(model, y, y_pred, loss)
        forecasts = replace(forecasts, clusters=cluster_codes(clusters, forecasts.n_rows))
        return forecasts, None if baseline is None else baseline_forecasts(baseline, forecasts)
    predictions = predictions_of(model, y, y_pred, y_score=y_score, pos_label=pos_label)
    predictions = replace(predictions, clusters=cluster_codes(clusters, predictions.n_rows))
    return predictions, None if baseline is None else baseline_predictions(baseline, predictions)


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
    if model is None:
        predicted, who = check_labels(y_pred, "y_pred"), "y_pred"
        fix = f"y_pred has {len(predicted)}; give one prediction for each label."
    else:
        predicted, who = model.labels(), "the estimator"
        fix = (
            f"the estimator predicts an array of shape {predicted.shape} for X; give one label "
            "for each row of X."
        )
    true = predicted if y is None else check_labels(y, "y")
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
        predicted = baseline.labels()
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
        predicted, representation = model.numbers(), model.representation()
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
        predicted = baseline.numbers()
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
        return regresses(estimator)
    if y is None or y_pred is None:
        return False
    both = [np.asarray(plain_series(values)).reshape(-1) for values in (y, y_pred)]
    if any(values.dtype.kind not in "iuf" for values in both) or len(np.unique(both[0])) < 3:
        return False
    return any(bool((values != np.floor(values)).any()) for values in both)


def missing_parts(predictions: Predictions | Forecasts) -> list[str]:
    """Say what the model has not, so that it could not be measured."""
    notes = []
    if predictions.representation is None:
        notes.append("The model has no transform: there is no representation to examine.")
    if isinstance(predictions, Forecasts):
        if not predictions.labelled:
            notes.append(
                "y is not known: errors, calibration, and what is told given y were not measured."
            )
        return notes
    if predictions.random:
        notes.append(
            "The model decides at random: its rates are those that its probabilities give on "
            "average, and one draw of its predictions is examined for leakage."
        )
    if not predictions.labelled:
        notes.append(
            "Labels are not known: accuracy, true and false positive rates and their differences, "
            "calibration, and what is told given the label were not measured."
        )
    elif not predictions.probabilities:
        notes.append("There are no probabilities of the classes: calibration was not measured.")
    return notes


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
