"""Score against unfairness: what fairness costs."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.pipeline import Pipeline
from sklearn.utils.multiclass import type_of_target

from fairmi._typing import ColumnLike, SensitiveLike
from fairmi.audit.pictures import GREY, VERMILION, axes_or_new, look, tidy
from fairmi.metrics.scorers import Predictions, make_fairness_scorer
from fairmi.plot.displays import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_PARITY = "demographic_parity_difference"
# Names of axes that are not their keys without underscores.
_NAMES = {"r2": "R²", "d2": "D²", "ks_difference": "KS between groups"}


class FairnessFrontierDisplay:
    """Candidates by unfairness and score, and the line of those that no other beats in both.

    Parameters
    ----------
    unfairness, score : array-like of shape (n_candidates,)
        Less and more are better.
    unfairness_error, score_error : array-like of shape (n_candidates,), default=None
        Standard errors, drawn as bars.
    labels : sequence of str, default=None
        Names of the candidates, written where there is room beside the chosen one and those on the
        frontier; where some names are "", beside all whose name is not.
    unfairness_name, score_name : str
        Names of the axes.
    chosen : int, default=None
        Index of the candidate to ring.
    bound : float, default=None
        Greatest unfairness allowed, drawn as a line.

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
        unfairness: ArrayLike,
        score: object,
        *,
        unfairness_error: ArrayLike | None = None,
        score_error: ArrayLike | None = None,
        labels: Any = None,
        unfairness_name: str = "demographic parity difference",
        score_name: str = "accuracy",
        chosen: int | None = None,
        bound: float | None = None,
    ) -> None:
        self.unfairness = np.asarray(unfairness, dtype=float)
        self.score = np.asarray(score, dtype=float)
        self.unfairness_error = unfairness_error
        self.score_error = score_error
        self.labels = labels
        self.unfairness_name = unfairness_name
        self.score_name = score_name
        self.chosen = chosen
        self.bound = bound

    @classmethod
    def from_estimator(
        cls,
        search: BaseEstimator,
        *,
        unfairness: str | None = None,
        score: str | None = None,
        ax: Axes | None = None,
    ) -> FairnessFrontierDisplay:
        """Draw the candidates of a fitted search, as it measured them on held-out rows.

        Of a search of fairmi λ = 0 and the chosen λ are named.

        Parameters
        ----------
        search : MIDebiasedClassifierCV, MIDebiasedRegressorCV, GridSearchCV or its like, or a \
Pipeline that ends in one
            Fitted; of several scorers, `unfairness` and `score` among them.
        unfairness, score : str, default=None
            Keys of its `scoring`. None are those of a search of fairmi, and of another
            "demographic_parity_difference" and "accuracy". The sign of the unfairness does not
            matter.
        ax : matplotlib Axes, default=None
            Where to draw; new axes if None.
        """
        search = search[-1] if isinstance(search, Pipeline) else search
        results = require(search, "cv_results_")
        chosen, lams = (getattr(search, name, None) for name in ("best_index_", "lams_"))
        if lams is not None:
            _, mean, _, pooled, *_ = search.frontier_.columns
            score, unfairness = score or mean.removeprefix("mean_"), unfairness or pooled
        unfairness = unfairness or _PARITY
        score = score or "accuracy"
        means, errors = zip(
            *(_over_splits(results, key) for key in (unfairness, score)), strict=True
        )
        return cls(
            np.abs(means[0]),
            means[1],
            unfairness_error=errors[0],
            score_error=errors[1],
            labels=_names(results["params"]) if lams is None else _names_of_path(lams, chosen),
            unfairness_name=_name_of(unfairness),
            score_name=_name_of(score),
            chosen=chosen,
            bound=_bound(search, unfairness),
        ).plot(ax=ax)

    @classmethod
    def from_predictions(
        cls,
        y_true: ColumnLike,
        predictions: Mapping[str, Any],
        *,
        sensitive_features: SensitiveLike,
        unfairness: str | None = None,
        score: Callable[[Any, Any], float] | None = None,
        ax: Axes | None = None,
    ) -> FairnessFrontierDisplay:
        """Draw models by their predictions for the same rows, given by name: labels or numbers.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
        predictions : dict of array-like of shape (n_rows,)
            Where one has numbers with a fraction, all are numbers.
        sensitive_features : array-like of shape (n_rows,) or (n_rows, n_sensitive)
        unfairness : str, default=None
            A name that `fairmi.metrics.make_fairness_scorer` takes. None is
            "demographic_parity_difference" of labels, and "ks_difference" of numbers.
        score : callable, default=None
            Maps `y_true` and predictions to a number, of which more is better. None is accuracy of
            labels, and R² of numbers.
        ax : matplotlib Axes, default=None
            Where to draw; new axes if None.
        """
        given = {name: np.asarray(of) for name, of in predictions.items()}
        numbers = any(type_of_target(of).startswith("continuous") for of in given.values())
        unfairness = unfairness or ("ks_difference" if numbers else _PARITY)
        score = score or (r2_score if numbers else accuracy_score)
        scorer = make_fairness_scorer(unfairness)
        models = [Predictions(of, numbers=numbers) for of in given.values()]
        gaps = [
            abs(scorer(model, None, y_true, sensitive_features=sensitive_features))
            for model in models
        ]
        return cls(
            gaps,
            [score(y_true, of) for of in given.values()],
            labels=list(given),
            unfairness_name=_name_of(unfairness),
            score_name=_name_of(getattr(score, "__name__", "score").removesuffix("_score")),
        ).plot(ax=ax)

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
        things: list[Any] = []
        if self.bound is not None:
            name = f"bound {self.bound:g}"
            line = ax.axvline(self.bound, color=GREY, linestyle=":", linewidth=1.5, label=name)
            things.append(line)
        if self.chosen is not None:
            at = self.unfairness[self.chosen], self.score[self.chosen]
            ring = {"markersize": 13, "markerfacecolor": "none", "markeredgewidth": 1.8}
            ax.plot(*at, "o", color=VERMILION, label="chosen", zorder=4, **ring)
        ax.set(xlabel=f"{self.unfairness_name} (less is fairer)", ylabel=self.score_name)
        tidy(ax)
        things.append(ax.legend(frameon=False, loc="lower right"))
        if self.labels is not None:
            self._name(ax, front, things)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _name(self, ax: Axes, front: np.ndarray, things: list[Any]) -> None:
        """Write names beside candidates, the chosen one first, clear of `things` and of others."""
        ax.figure.figure.draw_without_rendering()  # what decides where the axes lie
        taken = [thing.get_window_extent() for thing in things]
        first = [] if self.chosen is None else [self.chosen]
        named = [i for i, name in enumerate(self.labels) if name]
        rest = front if len(named) == len(self.labels) else named
        for i in dict.fromkeys([*first, *rest]):
            at = (self.unfairness[i], self.score[i])
            box = _write(ax, str(self.labels[i]), at, taken) if np.isfinite(at).all() else None
            taken += [] if box is None else [box]


# Offsets in points, and how text stands to a point: right and below it first.
_PLACES = tuple(
    ((x, y), {"ha": "left" if x > 0 else "right", "va": "bottom" if y > 0 else "top"})
    for x in (9, -9)
    for y in (-5, 5)
)


def _write(ax: Any, text: str, at: tuple[float, float], taken: list[Any]) -> Any:
    """Write text beside a point inside the frame, clear of `taken`; return its box, if it can."""
    frame = ax.get_window_extent()
    for offset, alignment in _PLACES:
        written = ax.annotate(
            text,
            at,
            xytext=offset,
            textcoords="offset points",
            fontsize="small",
            bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 0.5},
            **alignment,
        )
        box = written.get_window_extent()
        inside = frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1)
        if inside and not any(box.overlaps(other) for other in taken):
            return box
        written.remove()
    return None


def _name_of(key: str) -> str:
    return _NAMES.get(key, key.replace("_", " "))


def _over_splits(results: Mapping[str, Any], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean over splits, or the value on all together, and its standard error."""
    if f"pooled_test_{name}" in results:
        return results[f"pooled_test_{name}"], results[f"se_test_{name}"]
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


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _names_of_path(lams: Any, chosen: int | None) -> list[str]:
    """Name λ = 0 and the chosen λ alone."""
    return [f"λ = {lam:.3g}" if lam == 0 or k == chosen else "" for k, lam in enumerate(lams)]


def _bound(search: BaseEstimator, unfairness: str) -> float | None:
    """Return the bound under which a search chose, if it is one on that unfairness."""
    if hasattr(search, "bound_"):
        return float(search.bound_) if unfairness in search.frontier_ else None
    rule = getattr(search, "refit", None)
    bounded = getattr(rule, "unfairness", None) == unfairness
    return float(rule.bound) if bounded and rule is not None else None
