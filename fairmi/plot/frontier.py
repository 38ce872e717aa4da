"""Score against unfairness: what fairness costs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score

from fairmi.audit.render.palette import GREY, VERMILION
from fairmi.metrics.scorers import make_fairness_scorer
from fairmi.plot._style import axes_or_new, look, require, tidy


class FairnessFrontierDisplay:
    """Candidates by unfairness and score, and the line of those that no other beats in both.

    Parameters
    ----------
    unfairness, score : array-like of shape (n_candidates,)
        Less and more are better.
    unfairness_error, score_error : array-like of shape (n_candidates,), default=None
        Standard errors, drawn as bars.
    labels : sequence of str, default=None
        Names of the candidates, written beside those on the frontier.
    unfairness_name, score_name : str
        Names of the axes.
    chosen : int, default=None
        Index of the candidate to ring.

    Attributes
    ----------
    ax_ : matplotlib Axes
        Where it was drawn.
    figure_ : matplotlib Figure
        The figure of `ax_`.

    Examples
    --------
    >>> from fairmi.plot import FairnessFrontierDisplay
    >>> display = FairnessFrontierDisplay([0.2, 0.1, 0.02], [0.86, 0.85, 0.83])
    >>> display.frontier()
    array([2, 1, 0])
    """

    def __init__(
        self,
        unfairness: Any,
        score: Any,
        *,
        unfairness_error: Any = None,
        score_error: Any = None,
        labels: Any = None,
        unfairness_name: str = "demographic parity difference",
        score_name: str = "accuracy",
        chosen: int | None = None,
    ) -> None:
        self.unfairness = np.asarray(unfairness, dtype=float)
        self.score = np.asarray(score, dtype=float)
        self.unfairness_error = unfairness_error
        self.score_error = score_error
        self.labels = labels
        self.unfairness_name = unfairness_name
        self.score_name = score_name
        self.chosen = chosen

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        unfairness: str = "demographic_parity_difference",
        score: str = "accuracy",
        ax: Any = None,
    ) -> FairnessFrontierDisplay:
        """Draw the candidates of a fitted search, by their means over splits.

        Parameters
        ----------
        search : GridSearchCV or its like
            Fitted with several scorers, `unfairness` and `score` among them.
        unfairness, score : str
            Keys of its `scoring`. The sign of the unfairness does not matter.
        ax : matplotlib Axes, default=None
            Where to draw; new axes if None.
        """
        results = require(search, "cv_results_")
        means, errors = zip(
            *(_over_splits(results, key) for key in (unfairness, score)), strict=True
        )
        return cls(
            np.abs(means[0]),
            means[1],
            unfairness_error=errors[0],
            score_error=errors[1],
            labels=_names(results["params"]),
            unfairness_name=unfairness.replace("_", " "),
            score_name=score.replace("_", " "),
            chosen=getattr(search, "best_index_", None),
        ).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        predictions: Mapping[str, Any],
        *,
        sensitive_features: Any,
        unfairness: str = "demographic_parity_difference",
        ax: Any = None,
    ) -> FairnessFrontierDisplay:
        """Draw models by their predictions for the same rows, given by name; score is accuracy."""
        scorer = make_fairness_scorer(unfairness)
        gaps = [
            abs(scorer(_Said(said), None, y_true, sensitive_features=sensitive_features))
            for said in predictions.values()
        ]
        accuracy = [accuracy_score(y_true, said) for said in predictions.values()]
        name = unfairness.replace("_", " ")
        return cls(gaps, accuracy, labels=list(predictions), unfairness_name=name).plot(ax=ax)

    def frontier(self) -> np.ndarray:
        """Return the indices of candidates that no other beats in both, fairest first."""
        order = np.lexsort((-self.score, self.unfairness))
        order = order[np.isfinite(self.unfairness[order]) & np.isfinite(self.score[order])]
        best_before = np.maximum.accumulate(np.concatenate([[-np.inf], self.score[order][:-1]]))
        return order[self.score[order] > best_before]

    def plot(self, ax: Any = None) -> FairnessFrontierDisplay:
        """Draw on `ax`, or on new axes."""
        ax = axes_or_new(ax)
        front = self.frontier()
        ax.errorbar(
            self.unfairness,
            self.score,
            xerr=self.unfairness_error,
            yerr=self.score_error,
            **{**look(0, line=False), "color": GREY},
            elinewidth=0.8,
            label="candidates",
        )
        ax.plot(self.unfairness[front], self.score[front], **look(0), zorder=3, label="frontier")
        if self.chosen is not None:
            at = self.unfairness[self.chosen], self.score[self.chosen]
            ring = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.8}
            ax.plot(*at, "o", color=VERMILION, label="chosen", zorder=4, **ring)
        if self.labels is not None:
            self._name(ax, front)
        ax.set(xlabel=f"{self.unfairness_name} (less is fairer)", ylabel=self.score_name)
        tidy(ax)
        ax.legend(frameon=False, loc="lower right")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name(self, ax: Any, front: np.ndarray) -> None:
        """Write names beside the candidates, leaving out one that would cover the last."""
        ax.autoscale_view()  # else the limits are those of empty axes until the first draw
        points = ax.transAxes.inverted().transform(
            ax.transData.transform(np.column_stack([self.unfairness[front], self.score[front]]))
        )
        last = np.array([-np.inf, -np.inf])
        for i, point in zip(front, points, strict=True):
            if (np.abs(point - last) > [0.1, 0.05]).any():
                last = point
                ax.annotate(
                    str(self.labels[i]),
                    (self.unfairness[i], self.score[i]),
                    xytext=(6, -12),
                    textcoords="offset points",
                    fontsize="small",
                )


class _Said:
    """Predictions in the shape of an estimator, for a scorer."""

    def __init__(self, predictions: Any) -> None:
        self._predictions = np.asarray(predictions)

    def predict(self, X: Any) -> np.ndarray:
        return self._predictions


def _over_splits(results: Mapping[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over splits and its standard error."""
    key = f"mean_test_{name}"
    if key not in results:
        present = sorted(k.removeprefix("mean_test_") for k in results if "mean_test_" in k)
        raise ValueError(f"cv_results_ has no {key!r}; the search scored {present}.")
    pattern = re.compile(rf"split\d+_test_{re.escape(name)}")
    splits = np.array([results[k] for k in results if pattern.fullmatch(k)], dtype=float)
    error = splits.std(axis=0, ddof=min(1, len(splits) - 1)) / np.sqrt(len(splits))
    return np.asarray(results[key], dtype=float), error


def _names(params: Any) -> list[str]:
    """Name candidates by the parameters that differ between them, pipeline prefixes left out."""
    varied = [key for key in params[0] if len({repr(p.get(key)) for p in params}) > 1]
    return [
        ", ".join(f"{key.rsplit('__', 1)[-1]} {_short(p.get(key))}" for key in varied)
        for p in params
    ]


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
