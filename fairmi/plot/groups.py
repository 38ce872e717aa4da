"""Rates by group, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fairmi._data.tables import check_indexes
from fairmi.audit.figures.models import FittedModel
from fairmi.audit.figures.outcomes import RATES
from fairmi.audit.figures.predictions import given_predictions
from fairmi.audit.figures.rates import group_figures
from fairmi.audit.records import Figure
from fairmi.audit.render.words import name_of
from fairmi.metrics._comparable import comparable_groups
from fairmi.plot._style import axes_or_new, look, tidy


class GroupMetricsDisplay:
    """Accuracy, selection rate, true and false positive rate of each group.

    Parameters
    ----------
    figures : sequence of Figure
        Rates by group of one sensitive feature, as an audit has them in its section "group".

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from sklearn.datasets import make_classification
    >>> from sklearn.linear_model import LogisticRegression
    >>> from fairmi.plot import GroupMetricsDisplay
    >>> X, y = make_classification(random_state=0)
    >>> model = LogisticRegression().fit(X, y)
    >>> display = GroupMetricsDisplay.from_estimator(model, X, y, sensitive_features=X[:, 0] > 0)
    """

    def __init__(self, figures: Sequence[Figure]) -> None:
        self.figures = tuple(figures)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        sensitive_features: Any,
        pos_label: Any = None,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> GroupMetricsDisplay:
        """Draw the rates of a fitted classifier on X and y, those of `pos_label` if it is given.

        A `predict` that asks for sensitive features gets them.
        """
        model = FittedModel(estimator, X, sensitive_features, seed=0)
        return cls.from_predictions(
            y,
            model.predict("estimator"),
            sensitive_features=sensitive_features,
            pos_label=pos_label,
            confidence=confidence,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        *,
        sensitive_features: Any,
        pos_label: Any = None,
        confidence: float = 0.95,
        ax: Any = None,
    ) -> GroupMetricsDisplay:
        """Draw the rates of predictions; several sensitive features make intersections."""
        check_indexes(y_true=y_true, y_pred=y_pred, sensitive_features=sensitive_features)
        predictions = given_predictions(y_true, y_pred, pos_label=pos_label)
        groups = comparable_groups(sensitive_features, len(predictions.true))
        return cls(group_figures(predictions, groups, confidence)).plot(ax=ax)

    def plot(self, ax: Any = None) -> GroupMetricsDisplay:
        """Draw on `ax`, or on new axes; with more than two classes, each has its own columns."""
        ax = axes_or_new(ax)
        measures = [(f.measure, f.subject) for f in self.figures]
        columns = sorted(dict.fromkeys(measures), key=lambda m: (m[1], RATES.index(m[0])))
        groups = list(dict.fromkeys(f.group for f in self.figures))
        by_place = {(f.group, f.measure, f.subject): f for f in self.figures}
        for i, group in enumerate(groups):
            shift = 0.6 * ((i + 0.5) / len(groups) - 0.5)
            row = [by_place[(group, *column)] for column in columns]
            value = np.array([f.value for f in row])
            ends = np.array([[f.value - f.low, f.high - f.value] for f in row]).T
            place = np.arange(len(columns)) + shift
            shown = ~np.isnan(value)
            ax.errorbar(
                place[shown],
                value[shown],
                yerr=np.clip(ends[:, shown], 0, None),
                capsize=3,
                label=group,
                **look(i, line=False),
            )
        names = [name_of(m) + (f"\n{subject}" if subject else "") for m, subject in columns]
        ax.set_xticks(range(len(columns)), names, rotation=0 if len(columns) <= 4 else 90)
        ax.set(xlim=(-0.5, len(columns) - 0.5), ylim=(0, 1), ylabel="share of rows")
        tidy(ax)
        ax.legend(title=self.figures[0].attribute, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
