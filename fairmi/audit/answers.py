"""What an estimator says of a sample: predictions, scores and representation, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from fairmi.metrics._labels import label_codes


@dataclass(frozen=True)
class Answers:
    """Labels and predictions as codes of `classes`, and what else the estimator gives away.

    `scores` has a column for each class, or one for a decision function of two classes; `scores`
    and `representation` are None where the estimator has none. `probabilities` says whether the
    scores are probabilities.
    """

    classes: np.ndarray
    true: np.ndarray
    predicted: np.ndarray
    scores: np.ndarray | None
    representation: Any
    probabilities: bool

    @property
    def rated_classes(self) -> list[int]:
        """Codes of the classes whose rates matter: the positive one of two, else all."""
        return [1] if len(self.classes) == 2 else list(range(len(self.classes)))

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


def ask(estimator: Any, X: Any, y: Any) -> Answers:
    """Gather what a fitted classifier says of X.

    Raises
    ------
    ValueError
        If y isn't one label for each row of X, holds one class only, or the estimator does not
        predict labels like those of y.
    """
    _check_classifier(estimator, "estimator")
    true = np.asarray(y)
    if true.ndim == 2 and true.shape[1] == 1:
        true = true[:, 0]
    if true.ndim != 1:
        raise ValueError(f"y must be one label a row, shape (n_rows,), got shape {true.shape}.")
    predicted = np.asarray(estimator.predict(X))
    if predicted.shape != true.shape:
        raise ValueError(
            f"y has {len(true)} labels, but the estimator predicts an array of shape "
            f"{predicted.shape} for X; give one label for each row of X."
        )
    _check_same_labels(estimator, true, predicted)
    true, predicted, classes = label_codes(estimator, true, predicted)
    if len(classes) < 2:
        raise ValueError(f"y and the predictions hold the single class {classes[0]!r}.")
    scores, probabilities = _scores(estimator, X)
    if scores is not None and scores.shape[1] not in (1, len(classes)):
        scores = None
    transforms = hasattr(estimator, "transform")
    representation = estimator.transform(X) if transforms else None
    return Answers(classes, true, predicted, scores, representation, probabilities)


def ask_baseline(baseline: Any, X: Any, answers: Answers) -> np.ndarray:
    """Return the predictions of `baseline` as codes of the same classes.

    Raises
    ------
    ValueError
        If it predicts a class that neither y nor the estimator knows.
    """
    _check_classifier(baseline, "baseline")
    predicted = np.asarray(baseline.predict(X))
    known = np.isin(predicted, answers.classes)
    if predicted.shape != answers.true.shape or not known.all():
        raise ValueError(
            f"baseline must predict, for each row of X, one of {answers.classes.tolist()}; it "
            f"predicts {np.unique(predicted[~known]).tolist()} too, shape {predicted.shape}."
        )
    order = np.argsort(answers.classes)
    return order[np.searchsorted(answers.classes, predicted, sorter=order)]


def _check_classifier(estimator: Any, argument: str) -> None:
    if not hasattr(estimator, "predict"):
        raise ValueError(
            f"{argument} must be a fitted classifier with a predict method, got {estimator!r}."
        )
    try:
        check_is_fitted(estimator)
    except TypeError:  # not of scikit-learn's kind: whether it is fitted shows in predict
        return
    except NotFittedError as error:
        raise NotFittedError(f"{argument} is not fitted; call its fit first.") from error


def _check_same_labels(estimator: Any, true: np.ndarray, predicted: np.ndarray) -> None:
    if not np.isin(true, getattr(estimator, "classes_", predicted)).any():
        raise ValueError(
            f"y has labels such as {true[0]!r}, but the estimator predicts labels such as "
            f"{predicted[0]!r}; give y in the form that the estimator was fitted on."
        )


def _scores(estimator: Any, X: Any) -> tuple[np.ndarray | None, bool]:
    """Scores of shape (n_rows, n_columns), and whether they are probabilities."""
    for method in ("predict_proba", "decision_function"):
        if hasattr(estimator, method):
            scores = np.asarray(getattr(estimator, method)(X), dtype=float)
            return scores.reshape(len(scores), -1), method == "predict_proba"
    return None, False
