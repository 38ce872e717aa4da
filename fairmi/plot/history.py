"""The course of a training: losses, penalty and validation by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator

from fairmi.plot._style import axes_or_new, look, require, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

NOT_DRAWN = ("epoch", "time", "seconds", "step", "lr", "learning_rate", "lam", "n_")
SCORES = ("score", "accuracy", "auc")


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
