"""What is audited: labels, predictions, scores and representation of a sample, gathered once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from fairmi.audit.figures.checks import check_labels, check_same_labels, check_scores
from fairmi.metrics._class_codes import label_codes, positive_code


@dataclass(frozen=True)
class Predictions:
    """Labels and predictions as codes of `classes`, and what else a classifier gives away.

    Attributes
    ----------
    classes : ndarray of shape (n_classes,)
        The labels that the codes stand for.
    rated_classes : tuple of int
        Codes of the classes whose rates matter: the positive one, or all of more than two.
    true, predicted : ndarray of int of shape (n_rows,)
        Codes of labels and predictions.
    shares : ndarray of shape (n_rows, n_classes)
        Probability of each prediction: 0 or 1, unless the classifier decides at random.
    scores : ndarray of shape (n_rows, n_columns) or None
        A column for each class, or one where two classes have one number.
    representation : array-like or None
        What the classifier's `transform` gives.
    probabilities : bool
        Whether the scores are probabilities of the classes.
    clusters : ndarray of int of shape (n_rows,) or None
        Code of the cluster, such as a person, that each row is of; None where each stands alone.
    """

    classes: np.ndarray
    rated_classes: tuple[int, ...]
    true: np.ndarray
    predicted: np.ndarray
    shares: np.ndarray
    scores: np.ndarray | None = None
    representation: Any = None
    probabilities: bool = False
    clusters: np.ndarray | None = None

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


def given_predictions(
    y: Any, y_pred: Any, *, y_score: Any = None, pos_label: Any = None
) -> Predictions:
    """Return predictions that were made elsewhere as a record.

    Raises
    ------
    ValueError
        If labels, predictions and scores don't fit together, or `pos_label` is not a class.
    """
    true, predicted = check_labels(y, "y"), check_labels(y_pred, "y_pred")
    if len(predicted) != len(true):
        raise ValueError(
            f"y has {len(true)} labels, but y_pred has {len(predicted)}; give one prediction for "
            "each label."
        )
    check_same_labels(true, predicted, np.unique(predicted), "y_pred")
    true, predicted, classes = label_codes(None, true, predicted)
    scores, probabilities = check_scores(y_score, len(true), len(classes))
    return Predictions(
        classes,
        rated_codes(classes, pos_label),
        true,
        predicted,
        np.eye(len(classes))[predicted],
        scores,
        probabilities=probabilities,
    )


def rated_codes(classes: np.ndarray, pos_label: Any) -> tuple[int, ...]:
    """Return the codes of the classes whose rates matter.

    Raises
    ------
    ValueError
        If there is one class alone, or `pos_label` is none of them.
    """
    if len(classes) < 2:
        only = classes.tolist()[0]
        raise ValueError(
            f"y and the predictions hold the single class {only!r}; rates need rows of two "
            "classes or more."
        )
    if pos_label is not None:
        return (positive_code(classes, pos_label),)
    return (1,) if len(classes) == 2 else tuple(range(len(classes)))
