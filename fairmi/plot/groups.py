"""Rates by group, with intervals."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, SensitiveLike, TableLike
from fairmi.audit.comparisons import GroupRates, attribute_name, group_names
from fairmi.audit.measures import Figure
from fairmi.audit.pictures import rate_panels
from fairmi.audit.predictions import FittedModel, predictions_of
from fairmi.metrics._rows import comparable_groups
from fairmi.plot._style import axes_or_new, look, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
        estimator: BaseEstimator,
        X: TableLike,
        y: ColumnLike,
        *,
        sensitive_features: SensitiveLike,
        pos_label: Hashable | None = None,
        confidence: float = 0.95,
        ax: Axes | None = None,
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
        y_true: ColumnLike,
        y_pred: ColumnLike,
        *,
        sensitive_features: SensitiveLike,
        pos_label: Hashable | None = None,
        confidence: float = 0.95,
        ax: Axes | None = None,
    ) -> GroupMetricsDisplay:
        """Draw the rates of predictions; several sensitive features make intersections."""
        check_indexes(y_true=y_true, y_pred=y_pred, sensitive_features=sensitive_features)
        predictions = predictions_of(None, None, y_true, y_pred, pos_label=pos_label)
        groups = comparable_groups(sensitive_features, len(predictions.true))
        rates = GroupRates(predictions, groups.codes, group_names(groups))
        return cls(rates.figures("group", attribute_name(groups), confidence)).plot(ax=ax)

    def plot(self, ax: Any = None) -> GroupMetricsDisplay:
        """Draw on `ax`, or on new axes; with more than two classes, each has its own columns."""
        ax = axes_or_new(ax)
        panels = rate_panels(self.figures)
        groups = list(dict.fromkeys(f.group for f in self.figures))
        for i, group in enumerate(groups):
            row = [dot.figure for dots in panels.values() for dot in dots if dot.label == group]
            value, low, high = np.array([(f.value, f.low, f.high) for f in row]).T
            shown = ~np.isnan(value)
            ax.errorbar(
                (np.arange(len(row)) + 0.6 * ((i + 0.5) / len(groups) - 0.5))[shown],
                value[shown],
                yerr=np.clip([value - low, high - value], 0, None)[:, shown],
                capsize=3,
                label=group,
                **look(i, line=False),
            )
        names = [title.replace(" of ", "\n") for title in panels]
        ax.set_xticks(range(len(names)), names, rotation=0 if len(names) <= 4 else 90)
        ax.set(xlim=(-0.5, len(names) - 0.5), ylim=(0, 1), ylabel="share of rows")
        tidy(ax)
        ax.legend(title=self.figures[0].attribute, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
