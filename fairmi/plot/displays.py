"""Rates by group, the course of a training, what is left of the group, and who carries the gap."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, RandomState, SensitiveLike, TableLike
from fairmi.audit.comparisons import GroupRates
from fairmi.audit.measures import Figure
from fairmi.audit.model import FittedModel
from fairmi.audit.pictures import GREY, axes_or_new, look, panels_of, tidy
from fairmi.audit.predictions import predictions_of
from fairmi.inspection import GapImportance
from fairmi.metrics._rows import comparable_groups
from fairmi.metrics.information import mutual_information_report

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Of the records of a training.
NOT_DRAWN = ("epoch", "time", "seconds", "step", "lr", "learning_rate", "lam", "n_")
SCORES = ("score", "accuracy", "auc")


def require(estimator: BaseEstimator, attribute: str) -> Any:
    """Return what `fit` has left in that attribute; NotFittedError if it isn't there."""
    if not hasattr(estimator, attribute):
        raise NotFittedError(
            f"{type(estimator).__name__} has no {attribute}; fit it first, if its fit leaves one."
        )
    return getattr(estimator, attribute)


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
        model = FittedModel(estimator, "estimator", X, sensitive_features, seed=0)
        return cls.from_predictions(
            y,
            model.labels(),
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
        predictions = predictions_of(None, y_true, y_pred, pos_label=pos_label)
        groups = comparable_groups(sensitive_features, len(predictions.true))
        rates = GroupRates(predictions, groups)
        return cls(rates.figures("group", confidence)).plot(ax=ax)

    def plot(self, ax: Any = None) -> GroupMetricsDisplay:
        """Draw on `ax`, or on new axes; with more than two classes, each has its own columns."""
        ax = axes_or_new(ax)
        panels = panels_of("group", self.figures)
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


class TrainingDisplay:
    """What the records of a training say, epoch by epoch.

    Parameters
    ----------
    history : sequence of mapping
        One record an epoch, of names and numbers, as `history_` of a fitted estimator has them.
        Records may lack some names.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where losses and penalties were drawn.
    score_ax_ : matplotlib Axes or None
        Where scores (accuracy, AUC), which have another scale, were drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from fairmi.plot import TrainingDisplay
    >>> history = [{"epoch": k, "task_loss": 1 / k, "penalty": 0.1 / k} for k in (1, 2, 3)]
    >>> display = TrainingDisplay(history).plot()
    """

    def __init__(self, history: Sequence[Mapping[str, Any]]) -> None:
        self.history = tuple(history)

    @classmethod
    def from_estimator(
        cls, estimator: BaseEstimator, *, ax: Axes | None = None
    ) -> TrainingDisplay:
        """Draw the `history_` of a fitted estimator.

        Raises
        ------
        NotFittedError
            If the estimator has no `history_`.
        """
        return cls(require(estimator, "history_")).plot(ax=ax)

    def curves(self) -> dict[str, np.ndarray]:
        """Return the numbers by name, an entry for each epoch; NaN where a record lacks it."""
        names = dict.fromkeys(
            name
            for record in self.history
            for name, value in record.items()
            if isinstance(value, Real) and not name.startswith(NOT_DRAWN)
        )
        return {
            name: np.array([record.get(name, np.nan) for record in self.history], dtype=float)
            for name in names
        }

    def plot(self, ax: Any = None) -> TrainingDisplay:
        """Draw on `ax`, or on new axes.

        Raises
        ------
        ValueError
            If the history holds no numbers.
        """
        curves = self.curves()
        if not curves:
            raise ValueError("history has no records with numbers; fit for one epoch at least.")
        ax = axes_or_new(ax)
        epochs = [record.get("epoch", k + 1) for k, record in enumerate(self.history)]
        scores = [name for name in curves if any(word in name for word in SCORES)]
        self.score_ax_ = ax.twinx() if scores and len(scores) < len(curves) else None
        for i, (name, values) in enumerate(curves.items()):
            on = self.score_ax_ if name in scores and self.score_ax_ is not None else ax
            every = max(1, len(epochs) // 10)
            label = name.replace("_", " ") + (" (right)" if on is not ax else "")
            on.plot(epochs, values, label=label, markevery=every, **look(i))
        ax.set(xlabel="epoch", ylabel="score" if len(scores) == len(curves) else "loss, nats")
        tidy(ax)
        handles, labels = ax.get_legend_handles_labels()
        if self.score_ax_ is not None:
            self.score_ax_.set_ylabel("score")
            self.score_ax_.spines["top"].set_visible(False)
            more = self.score_ax_.get_legend_handles_labels()
            handles, labels = handles + more[0], labels + more[1]
        ax.xaxis.get_major_locator().set_params(integer=True)
        above = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": 3}
        ax.legend(handles, labels, frameon=False, **above)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class LeakageDisplay:
    """Mutual information by λ: the trained critic's claim, and a fresh probe's finding.

    Parameters
    ----------
    lam : array-like of shape (n_models,)
        The weights of the penalty.
    claimed : array-like of shape (n_models,)
        What each model's own critic reported, in nats; NaN where it reported nothing.
    found : array-like of shape (n_models,)
        What fresh probes found, in nats.
    interval : array-like of shape (n_models, 2), default=None
        Ends of the intervals of `found`.
    by_chance : float, default=None
        The most that is likely to be found where there is nothing.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from fairmi.plot import LeakageDisplay
    >>> display = LeakageDisplay([0, 1, 4], [0.05, 0.01, 0.001], [0.2, 0.19, 0.18]).plot()
    """

    def __init__(
        self,
        lam: Sequence[float],
        claimed: ArrayLike,
        found: ArrayLike,
        *,
        interval: ArrayLike | None = None,
        by_chance: float | None = None,
    ) -> None:
        order = np.argsort(np.asarray(lam, dtype=float))
        self.lam, self.claimed, self.found = (
            np.asarray(values, dtype=float)[order] for values in (lam, claimed, found)
        )
        self.interval = None if interval is None else np.asarray(interval, dtype=float)[order]
        self.by_chance = by_chance

    @classmethod
    def from_estimator(
        cls,
        estimators: Any,
        X: TableLike,
        *,
        sensitive_features: SensitiveLike,
        claim: str = "penalty",
        random_state: RandomState = None,
        ax: Axes | None = None,
    ) -> LeakageDisplay:
        """Probe the representations of fitted estimators, on rows they were not trained on.

        Parameters
        ----------
        estimators : estimator or sequence of estimators
            Fitted, with a parameter `lam`, a `transform` and a `history_`.
        X : {array-like, sparse matrix, DataFrame} of shape (n_rows, n_features)
            The rows.
        sensitive_features : array-like of shape (n_rows,)
            Their groups, or the values of a continuous feature.
        claim : str, default="penalty"
            Name of the critic's figure in the records of `history_`; the last one is taken.
        random_state : int, RandomState instance or None, default=None
            Seed of the probes.
        ax : matplotlib Axes, default=None
            Where to draw; new axes if None.

        Raises
        ------
        ValueError
            Where an estimator has a λ for each feature, or two have the same.
        """
        models = estimators if isinstance(estimators, Sequence) else [estimators]
        histories = [require(model, "history_") for model in models]
        for model in models:
            if isinstance(model.lam, Mapping):
                raise ValueError(
                    f"An estimator has lam={model.lam!r}, a λ for each feature, which has no "
                    "place on one axis of λ: give `LeakageDisplay.from_predictions` the "
                    "representations, by numbers of your own."
                )
        weights = [float(model.lam) for model in models]
        if len(set(weights)) < len(weights):
            raise ValueError(
                f"estimators have λ of {weights}, of which some are equal and have one place on "
                "the axis; give one estimator for each λ."
            )
        return cls.from_predictions(
            {lam: model.transform(X) for lam, model in zip(weights, models, strict=True)},
            {lam: h[-1].get(claim, np.nan) for lam, h in zip(weights, histories, strict=True)},
            sensitive_features=sensitive_features,
            random_state=random_state,
            ax=ax,
        )

    @classmethod
    def from_predictions(
        cls,
        representations: Mapping[float, Any],
        claimed: Mapping[float, float],
        *,
        sensitive_features: SensitiveLike,
        random_state: RandomState = None,
        ax: Axes | None = None,
    ) -> LeakageDisplay:
        """Probe representations (or scores, or predictions) given by λ, as are the claims."""
        reports = {
            lam: mutual_information_report(
                Z, sensitive_features, n_permutations=0, random_state=random_state
            )
            for lam, Z in representations.items()
        }
        return cls(
            list(reports),
            [claimed.get(lam, np.nan) for lam in reports],
            [report.score for report in reports.values()],
            interval=[report.interval for report in reports.values()],
            by_chance=max(report.null_bound for report in reports.values()),
        ).plot(ax=ax)

    def plot(self, ax: Any = None) -> LeakageDisplay:
        """Draw on `ax`, or on new axes; the models stand at equal distances."""
        ax = axes_or_new(ax)
        place = np.arange(len(self.lam))
        ends = None
        if self.interval is not None:
            ends = np.abs(self.interval.T - self.found)
        ax.errorbar(
            place, self.found, yerr=ends, capsize=3, label="a fresh probe finds", **look(0)
        )
        ax.plot(place, self.claimed, label="the trained critic claims", **look(1))
        if self.by_chance is not None:
            ax.axhspan(0, self.by_chance, color=GREY, alpha=0.25, lw=0, label="by chance")
        ax.set_xticks(place, [f"{lam:g}" for lam in self.lam])
        ax.set(xlabel="λ, weight of the penalty", ylabel="mutual information, nats")
        ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
        tidy(ax)
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


class GapImportanceDisplay:
    """How much of a figure goes where columns are permuted, with intervals.

    Parameters
    ----------
    importances : GapImportance, or dict of str to GapImportance
        What :func:`fairmi.inspection.gap_importance` returned; several models, such as one before
        and one after debiasing, by name. All with the same sets of columns.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.inspection import GapImportance
    >>> from fairmi.plot import GapImportanceDisplay
    >>> before = GapImportance(
    ...     ("age", "hours"), {"selection_rate": 0.2}, np.array([[0.01], [0.12]]),
    ...     np.array([[0.01], [0.02]]), 0.95,
    ... )
    >>> display = GapImportanceDisplay(before).plot("selection_rate")
    """

    def __init__(self, importances: GapImportance | Mapping[str, GapImportance]) -> None:
        if isinstance(importances, GapImportance):
            importances = {"": importances}
        self.importances = dict(importances)
        sets = {importance.columns for importance in self.importances.values()}
        if len(sets) != 1:
            raise ValueError(
                f"The importances have {len(sets)} different sets of columns; measure all models "
                "with the same columns=."
            )

    def plot(
        self, measure: str = "selection_rate", *, max_columns: int = 12, ax: Any = None
    ) -> GapImportanceDisplay:
        """Draw one measure, the sets of columns that matter most to any model on top.

        Raises
        ------
        ValueError
            If a model has no such measure.
        """
        for name, importance in self.importances.items():
            if measure not in importance.measures:
                raise ValueError(
                    f"measure={measure!r} is not among those of {name or 'the model'}: "
                    f"{list(importance.measures)}."
                )
        ax = axes_or_new(ax)
        columns = next(iter(self.importances.values())).columns
        at = [list(i.measures).index(measure) for i in self.importances.values()]
        pairs = list(zip(self.importances.items(), at, strict=True))
        largest = np.max([i.importance[:, m] for (_, i), m in pairs], axis=0)
        shown = np.argsort(-largest, kind="stable")[:max_columns]
        for k, ((name, i), m) in enumerate(pairs):
            shift = 0.5 * ((k + 0.5) / len(pairs) - 0.5)
            margin = norm.isf((1 - i.confidence) / 2) * i.standard_error[shown, m]
            label = f"{name}: {i.measures[measure]:.3f}".removeprefix(": ")
            place = np.arange(len(shown)) + shift
            style = look(k, line=False)
            ax.errorbar(
                i.importance[shown, m], place, xerr=margin, capsize=3, label=label, **style
            )
        ax.set_yticks(range(len(shown)), [columns[c] for c in shown])
        ax.invert_yaxis()
        title = measure.replace("_", " ")
        gap = "" if measure in ("probe_auc", "accuracy", "minus_squared_error") else "gap in "
        ax.set_xlabel(f"{gap}{title}\nthat goes where the columns are permuted")
        ax.axvline(0, color=GREY, lw=1)
        tidy(ax)
        ax.legend(title=f"{gap}{title}", frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
