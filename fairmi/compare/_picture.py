"""The frontier: accuracy over unfairness, one line a method, its name beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from fairmi.audit import pictures as palette
from fairmi.compare._run import CHOSEN
from fairmi.compare._standings import LEVELS, MAJORITY, accuracy_within

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_LINES = 7
_MOST_OURS = 4
# Colour and marker: each says the same again as the other. Ours are warm, peers cold.
_OURS = (
    (palette.VERMILION, "o"),
    (palette.ORANGE, "<"),
    (palette.PURPLE, ">"),
    (palette.INK, "p"),
)
_STYLES = {
    "fairmi, trees": _OURS[0],
    "fairmi, network": _OURS[1],
    "fairmi, 4 networks": _OURS[2],
    "Boosting, a threshold for each group": (palette.GREEN, "P"),
    "ThresholdOptimizer": (palette.GREEN, "D"),
    "ThresholdOptimizer, boosting": (palette.GREEN, "d"),
    "ExponentiatedGradient": (palette.SKY, "v"),
    "ExponentiatedGradient, boosting": (palette.BLUE, "s"),
    "Logistic regression": (palette.BLACK, "x"),
    "Gradient boosting": (palette.BLACK, "*"),
}
_OTHERS = (
    (palette.PALE_INK, "h"),
    (palette.BROWN, "X"),
    (palette.BLUE, "^"),
    (palette.SKY, "H"),
    (palette.BROWN, "8"),
    (palette.GREEN, "p"),
)
_PLAIN = "plain encoding"
_X, _Y = "demographic_parity_difference", "accuracy"


def draw_frontier(
    table: pd.DataFrame, *, title: str, methods: Sequence[str] | None = None
) -> Figure:
    """Draw a comparison's table as lines of accuracy over demographic parity difference.

    A line goes through those settings of a method that no other of its settings betters.

    Parameters
    ----------
    table : DataFrame
        Columns `method`, `setting`, `reads_group`, `accuracy` and `demographic_parity_difference`;
        where it has the ends of intervals, their median width is said under the picture.
    title : str
    methods : sequence of str, default=None
        The lines to draw; None takes ours, and the strongest peers, seven in all. What else the
        table has is named under the picture.

    Returns
    -------
    figure : Figure
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), layout="constrained")
    axes = figure.add_subplot()
    chosen = strongest(table) if methods is None else [*methods]
    drawn = _unbettered(table[table["method"].isin(chosen)])
    styles = _styles(chosen)
    for name in chosen:
        _draw_line(axes, name, drawn[drawn["method"] == name], *styles[name])
    notes = ["demographic parity difference (0: equal shares selected; fairer to the left)"]
    axes.set_ylabel("accuracy")
    axes.set_title(title, loc="left")
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if len(drawn):
        notes += _frame_the_bulk(axes, drawn)
        _write_names(axes, drawn, styles)
    ours = next((name for name in chosen if name.startswith("fairmi")), None)
    if ours is not None:
        _mark_settings(axes, drawn[drawn["method"] == ours], styles[ours][0])
    if {f"{_X}_low", f"{_Y}_low"} <= set(drawn):
        reach = [(drawn[f"{k}_high"] - drawn[f"{k}_low"]).median() / 2 for k in (_Y, _X)]
        notes.append(f"95 % intervals: accuracy ± {reach[0]:.3f}, difference ± {reach[1]:.3f}")
    n_left = table["method"].nunique() - len(chosen)
    if n_left > 0:
        notes.append(f"{n_left} more methods are in the table")
    axes.set_xlabel("\n".join(notes))
    return figure


def strongest(table: pd.DataFrame, most: int = MOST_LINES) -> list[str]:
    """Names of our methods, then of the peers, that are most accurate over all levels."""
    lowest = table[_Y].min()
    scores = {}
    for name, points in table.groupby("method", sort=False):
        if name != MAJORITY and not str(name).endswith(_PLAIN):
            points = points.reset_index(drop=True)
            at_levels = (accuracy_within(points, at) for at in LEVELS)
            scores[str(name)] = sum(lowest if value is None else value for value in at_levels)
    ranked = sorted(scores, key=lambda name: -scores[name])
    ours = [name for name in ranked if name.startswith("fairmi")][:_MOST_OURS]
    return (ours + [name for name in ranked if not name.startswith("fairmi")])[:most]


def _unbettered(table: pd.DataFrame) -> pd.DataFrame:
    """The settings of each method that are on its frontier, by unfairness."""
    line = table[table["setting"] != CHOSEN].sort_values([_X, _Y], ascending=[True, False])
    return line[line[_Y] >= line.groupby("method")[_Y].cummax()]


def _styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name, no two of which share a marker."""
    known = {name: _STYLES[name] for name in names if name in _STYLES}
    for name in names:
        spare = _OURS if name.startswith("fairmi") else _OTHERS
        free = [style for style in spare if style[1] not in {m for _, m in known.values()}]
        known.setdefault(name, (free or [*spare])[0])
    return known


def _draw_line(axes: Axes, name: str, line: pd.DataFrame, color: str, marker: str) -> None:
    ours = name.startswith("fairmi")
    axes.plot(
        line[_X],
        line[_Y],
        color=color,
        marker=marker,
        markersize=6 if ours else 5,
        linewidth=2.2 if ours else 1.2,
        zorder=3 if ours else 2,
        label=name,
    )


def _frame_the_bulk(axes: Axes, points: pd.DataFrame) -> list[str]:
    """Frame the bulk of the points, so that lines stay apart, and return what lies outside.

    On the worse side the frame reaches one spread of the middle half of the points beyond it.
    """
    low, high = points[_Y].quantile([0.25, 0.75])
    left, right = points[_X].quantile([0.25, 0.75])
    inside = (points[_Y] >= low - (high - low)) & (points[_X] <= right + (right - left))
    for values, set_limits in ((points[_X], axes.set_xlim), (points[_Y], axes.set_ylim)):
        least, greatest = values[inside].min(), values[inside].max()
        margin = 0.07 * max(greatest - least, 0.01)
        room = 3 * margin if set_limits == axes.set_ylim else margin  # for names of settings
        set_limits(max(least - margin, -0.005), greatest + room)
    counts = points.loc[~inside, "method"].value_counts()
    outside = ", ".join(f"{n} of {name}" for name, n in counts.items())
    return [f"outside the frame: {outside}"] if outside else []


def _write_names(axes: Axes, points: pd.DataFrame, styles: dict[str, tuple[str, str]]) -> None:
    """Write each name right of the frame, at the height of its line's end or near it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = {}
    for name, line in points.groupby("method", sort=False):
        seen = line[line[_X].between(left, right) & line[_Y].between(bottom, top)]
        last = (seen if len(seen) else line).sort_values(_X).iloc[-1]
        ends[str(name)] = (last[_X], float(np.clip(last[_Y], bottom, top)))
    names = sorted(ends, key=lambda name: ends[name][1])
    heights = np.array([ends[name][1] for name in names])
    gap = (top - bottom) / 16  # a line of small text
    # From below each is raised above the last; then the pile is let down where it sticks out.
    for k in range(1, len(heights)):
        heights[k] = max(heights[k], heights[k - 1] + gap)
    heights -= max(0.0, heights[-1] - top)
    for k in range(len(heights) - 2, -1, -1):
        heights[k] = min(heights[k], heights[k + 1] - gap)
    for name, height in zip(names, heights, strict=True):
        color, _ = styles[name]
        axes.annotate(
            name,
            ends[name],
            xytext=(right + 0.02 * (right - left), height),
            textcoords="data",
            va="center",
            color=color,
            fontsize="small",
            fontweight="bold" if name.startswith("fairmi") else "normal",
            annotation_clip=False,
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.4, "shrinkB": 4},
        )


def _mark_settings(axes: Axes, line: pd.DataFrame, color: str) -> None:
    """Write a few settings of a method, on white, so that no line crosses them."""
    from matplotlib.patheffects import withStroke

    left, right = axes.get_xlim()
    for point in line.iloc[:: max(1, len(line) // 4)].itertuples():
        if getattr(point, _X) < left + 0.12 * (right - left):
            continue  # its text would lie on the axis
        axes.annotate(
            str(point.setting).replace("lam=", "λ = "),
            (getattr(point, _X), getattr(point, _Y)),
            xytext=(-22, 30),  # above a frontier there is nothing
            textcoords="offset points",
            ha="right",
            fontsize="small",
            color=color,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.5, "shrinkB": 4},
            path_effects=[withStroke(linewidth=4, foreground=palette.WHITE)],
        )
