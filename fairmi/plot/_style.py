"""Colours, marks and axes that all displays share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError

from fairmi.audit.pictures import COLOURS, GRID

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Marks and line styles tell apart what colours do not in grey.
MARKS = ("o", "s", "D", "^", "v", "P", "X")
LINES = ("-", "--", ":", "-.")


def look(i: int, *, line: bool = True) -> dict[str, Any]:
    """Return the colour, mark and line style of the i-th thing in a picture."""
    style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i % len(MARKS)], "markersize": 5}
    return {**style, "linestyle": LINES[i % len(LINES)] if line else "none"}


def require(estimator: BaseEstimator, attribute: str) -> Any:
    """Return what `fit` has left in that attribute.

    Raises
    ------
    NotFittedError
        If it isn't there.
    """
    if not hasattr(estimator, attribute):
        raise NotFittedError(
            f"{type(estimator).__name__} has no {attribute}; fit it first, if its fit leaves one."
        )
    return getattr(estimator, attribute)


def axes_or_new(ax: Any) -> Any:
    """Return `ax`, or the axes of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    if ax is not None:
        return ax
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            'Plots need matplotlib; install it by: pip install "fairmi[plot]"'
        ) from error
    return plt.subplots(layout="constrained")[1]


def tidy(ax: Axes) -> None:
    """Take away what carries no number."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(visible=True, color=GRID, linewidth=0.8)
    ax.set_axisbelow(True)
