"""What a training claimed is left of the sensitive feature, beside what a fresh probe finds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from fairmi._typing import RandomState, SensitiveLike, TableLike
from fairmi.audit.pictures import GREY
from fairmi.metrics.information import mutual_information_report
from fairmi.plot._style import axes_or_new, look, require, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
            Where an estimator has a λ for each feature.
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
