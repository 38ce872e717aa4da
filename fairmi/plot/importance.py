"""Which columns carry the gap, of one model or of several side by side."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.stats import norm

from fairmi.inspection import GapImportance
from fairmi.plot._style import axes_or_new, look, tidy


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
        ax.axvline(0, color="#666666", lw=1)
        tidy(ax)
        ax.legend(title=f"{gap}{title}", frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self
