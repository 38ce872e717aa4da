"""The frontier: accuracy over unfairness, one line a method."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import pandas as pd

from fairmi.audit.render import palette

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Characters of a line under the axes, which the legend makes narrower than the picture.
_NOTE_WIDTH = 80
# The marker says the same again as the colour.
_STYLES = {
    "fairmi": (palette.VERMILION, "o"),
    "fairmi, network": (palette.VERMILION, "<"),
    "fairmi, 4 networks": (palette.VERMILION, ">"),
    "MI backpropagation as published": (palette.BROWN, "p"),
    "ExponentiatedGradient": (palette.BLUE, "s"),
    "GridSearch": (palette.SKY, "^"),
    "ThresholdOptimizer": (palette.GREEN, "D"),
    "Quantile transport": (palette.PALE_INK, "d"),
    "Predicted group": (palette.BLUE, "h"),
    "CorrelationRemover": (palette.PURPLE, "v"),
    "Adversarial": (palette.ORANGE, "X"),
    "Logistic regression": (palette.BLACK, "P"),
    "Gradient boosting": (palette.PALE_GREY, "*"),
}
_HIGHLIGHTED = "fairmi, trees"
_OTHER = (palette.BROWN, "h")
_PLAIN = "plain encoding"
_X, _Y = "demographic_parity_difference", "accuracy"


def draw_frontier(table: pd.DataFrame, *, title: str) -> Figure:
    """Draw a comparison's table as lines of accuracy over demographic parity difference.

    Methods on the plain encoding are faint; the majority class, which is far below, is left to
    the table.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.add_subplot()
    drawn = table[table["method"] != "Majority class"]
    for name, points in drawn.groupby("method", sort=False):
        _draw_method(axes, str(name), points)
    axes.set_xlabel("Unfairness: demographic parity difference (0: equal shares selected)")
    axes.set_ylabel("Accuracy")
    axes.set_title(f"{title}\naccuracy over unfairness on unseen rows (better: up and left)")
    if len(drawn):
        _frame_the_bulk(axes, drawn)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    _add_legend(figure, has_plain=bool(drawn["method"].str.endswith(_PLAIN).any()))
    return figure


def _draw_method(axes: Axes, name: str, points: pd.DataFrame) -> None:
    family, _, variant = name.partition(", ")
    color, marker = _STYLES.get(name, _STYLES.get(family, _OTHER))
    is_plain, is_ours = variant == _PLAIN, name == _HIGHLIGHTED
    chosen = points["setting"].str.startswith("chosen")
    line = points[~chosen].sort_values(_X) if len(points) > 1 else points
    axes.plot(
        line[_X],
        line[_Y],
        color=color,
        marker=marker,
        label=None if is_plain else name,
        linestyle="--" if variant and not is_plain and not is_ours else "-",
        linewidth=2.5 if is_ours else 1.2,
        markersize=7 if is_ours else 5,
        alpha=0.3 if is_plain else 1.0,
        zorder=3 if is_ours else 2,
    )
    if len(points) > 1:
        axes.plot(
            points.loc[chosen, _X],
            points.loc[chosen, _Y],
            color=color,
            marker=marker,
            linestyle="none",
            markersize=13,
            markerfacecolor="none",
        )
    if is_ours:
        _mark_settings(axes, points[~chosen], color)


def _frame_the_bulk(axes: Axes, points: pd.DataFrame) -> None:
    """Frame the bulk of the points, so that lines stay apart, and say whose lie outside.

    On the worse side the frame reaches one spread of the middle half of the points beyond it.
    """
    low, high = points[_Y].quantile([0.25, 0.75])
    left, right = points[_X].quantile([0.25, 0.75])
    inside = (points[_Y] >= low - (high - low)) & (points[_X] <= right + (right - left))
    for values, set_limits in ((points[_X], axes.set_xlim), (points[_Y], axes.set_ylim)):
        least, greatest = values[inside].min(), values[inside].max()
        margin = 0.07 * max(greatest - least, 0.01)
        set_limits(max(least - margin, -0.005), greatest + margin)
    if not inside.all():
        counts = points.loc[~inside, "method"].str.partition(", ")[0].value_counts()
        said = ", ".join(f"{n} of {name}" for name, n in counts.items())
        note = f"Outside the frame, which holds the bulk of the points: {said} (see the table)"
        axes.set_xlabel(f"{axes.get_xlabel()}\n{fill(note, _NOTE_WIDTH)}")


def _add_legend(figure: Figure, *, has_plain: bool) -> None:
    from matplotlib.lines import Line2D

    handles = figure.axes[0].get_legend_handles_labels()[0]
    if has_plain:
        label = "faint: the same, plain encoding"
        handles.append(Line2D([], [], color="black", alpha=0.3, marker="o", label=label))
    figure.legend(handles=handles, loc="outside right upper", frameon=False, fontsize="small")


def _mark_settings(axes: Axes, points: pd.DataFrame, color: str) -> None:
    axes.errorbar(
        points[_X],
        points[_Y],
        xerr=_reach(points, _X),
        yerr=_reach(points, _Y),
        fmt="none",
        ecolor=color,
        alpha=0.35,
        linewidth=1,
        label=f"{_HIGHLIGHTED}, 95 % intervals",
    )
    for point in points.itertuples():
        text = str(point.setting).replace("lam=", "λ = ")
        axes.annotate(
            text,
            (getattr(point, _X), getattr(point, _Y)),
            xytext=(6, -11),
            textcoords="offset points",
            fontsize="x-small",
            color=color,
        )


def _reach(points: pd.DataFrame, name: str) -> list[pd.Series]:
    below, above = points[name] - points[f"{name}_low"], points[f"{name}_high"] - points[name]
    return [below.clip(lower=0), above.clip(lower=0)]
