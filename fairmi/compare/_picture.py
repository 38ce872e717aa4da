"""The frontier: score over unfairness, one line a method, its name beside it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from fairmi.audit import pictures as palette
from fairmi.compare._measures import CHOSEN, CLASSES, reading_of, score_within

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
    "Barycentre, our base": (palette.GREEN, "P"),
}
_OTHERS = (
    (palette.PALE_INK, "h"),
    (palette.BROWN, "X"),
    (palette.BLUE, "^"),
    (palette.SKY, "H"),
    (palette.BROWN, "8"),
    (palette.GREEN, "p"),
)
_PROBE = "probe_auc"
_WIDTH = 70  # letters of a line under a panel


def draw_frontier(
    table: pd.DataFrame, *, title: str, methods: Sequence[str] | None = None
) -> Figure:
    """Draw a comparison's table as lines of accuracy over demographic parity difference.

    A line goes through those settings of a method that no other of its settings betters. Of
    numbers it is R² or D² over KS, and, beside it, over what a probe recovers of the group.
    Where the table has the ends of intervals, their median width is said under the picture; so is
    how many methods it has beside those drawn: `methods`, or ours and the strongest peers, seven
    in all.
    """
    from matplotlib.figure import Figure

    reading = reading_of(table)
    x, y = reading.unfairness, reading.score
    chosen = strongest(table) if methods is None else [*methods]
    table = table[table["setting"] != CHOSEN]
    shown = table[table["method"].isin(chosen)]
    styles = _styles(chosen)
    panels = [x] if reading is CLASSES else [_PROBE, x]  # names stand beside the last one
    figure = Figure(figsize=(8 if len(panels) == 1 else 11, 4.8), layout="constrained")
    for axes, across in zip(np.ravel(figure.subplots(1, len(panels))), panels, strict=True):
        axes.grid(alpha=0.25)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_ylabel(reading.score_words)
        drawn = shown.dropna(subset=[across]).sort_values([across, y], ascending=[True, False])
        drawn = drawn[drawn[y] >= drawn.groupby("method")[y].cummax()]
        for name in chosen:
            line, (color, marker) = drawn[drawn["method"] == name], styles[name]
            look: dict[str, Any] = {"markersize": 5, "linewidth": 1.2, "zorder": 2}
            if name.startswith("fairmi"):
                look = {"markersize": 6, "linewidth": 2.2, "zorder": 3}
            axes.plot(line[across], line[y], color=color, marker=marker, label=name, **look)
        notes = [reading.axis if across == x else "probe AUC of predictions (0.5: nothing left)"]
        if len(drawn):
            notes += _frame_the_bulk(axes, drawn, across, y)
        axes.set_xlabel("\n".join(notes))
    if len(drawn):
        _write_names(axes, drawn, x, y, styles)
    figure.axes[0].set_title(title, loc="left")
    ours = next((name for name in chosen if name.startswith("fairmi")), None)
    if ours is not None:
        _mark_settings(axes, drawn[drawn["method"] == ours], x, y, styles[ours][0])
    if {f"{x}_low", f"{y}_low"} <= set(drawn):
        reach = [(drawn[f"{k}_high"] - drawn[f"{k}_low"]).median() / 2 for k in (y, x)]
        notes.append(
            f"95 % intervals: {reading.score_words} ± {reach[0]:.3f}, difference ± {reach[1]:.3f}"
        )
    n_left = table["method"].nunique() - len(chosen)
    if n_left > 0:
        notes.append(f"in the table alone: {n_left} more method{'s' * (n_left > 1)}")
    axes.set_xlabel("\n".join(notes))
    return figure


def strongest(table: pd.DataFrame, most: int = MOST_LINES) -> list[str]:
    """Names of our methods, then of the peers, that score highest over all levels.

    First among peers are those that are the best of them at some level: the text names them.
    """
    reading = reading_of(table)
    lowest = table[reading.score].min()
    scores: dict[str, list[float]] = {}
    for name, points in table.groupby("method", sort=False):
        if name != reading.constant:
            points = points.reset_index(drop=True)
            at_levels = [score_within(points, at) for at in reading.levels]
            scores[str(name)] = [lowest if value is None else value for value in at_levels]
    ranked = sorted(scores, key=lambda name: -sum(scores[name]))
    ours = [name for name in ranked if name.startswith("fairmi")][:_MOST_OURS]
    peers = [name for name in ranked if not name.startswith("fairmi")]
    of_level = zip(*(scores[name] for name in peers), strict=True)
    best = {peers[int(np.argmax(values))] for values in of_level}
    return (ours + sorted(peers, key=lambda name: name not in best))[:most]


def _styles(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """A colour and a marker for each name, no two of which share a marker."""
    known = {name: _STYLES[name] for name in names if name in _STYLES}
    for name in names:
        spare = _OURS if name.startswith("fairmi") else _OTHERS
        free = [style for style in spare if style[1] not in {m for _, m in known.values()}]
        known.setdefault(name, (free or [*spare])[0])
    return known


def _frame_the_bulk(axes: Axes, points: pd.DataFrame, x: str, y: str) -> list[str]:
    """Frame the bulk of the points, so that lines stay apart, and return what lies outside.

    On the worse side the frame reaches one spread of the middle half of the points beyond it.
    """
    low, high = points[y].quantile([0.25, 0.75])
    left, right = points[x].quantile([0.25, 0.75])
    inside = (points[y] >= low - (high - low)) & (points[x] <= right + (right - left))
    for values, set_limits in ((points[x], axes.set_xlim), (points[y], axes.set_ylim)):
        least, greatest = values[inside].min(), values[inside].max()
        margin = 0.07 * max(greatest - least, 0.01)
        room = 3 * margin if set_limits == axes.set_ylim else margin  # for names of settings
        lowest = -0.005 if least >= 0 else -np.inf  # no sizes below zero, but signed differences
        set_limits(max(least - margin, lowest), greatest + room)
    counts = points.loc[~inside, "method"].value_counts()
    outside = ", ".join(f"{n} of {name}" for name, n in counts.items())
    return textwrap.wrap(f"outside the frame: {outside}", _WIDTH) if outside else []


def _write_names(
    axes: Axes, points: pd.DataFrame, x: str, y: str, styles: dict[str, tuple[str, str]]
) -> None:
    """Write each name right of the frame, at the height of its line's end or near it."""
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    ends = {}
    for name, line in points.groupby("method", sort=False):
        seen = line[line[x].between(left, right) & line[y].between(bottom, top)]
        if seen.empty:
            continue  # it is named under the picture
        last = seen.sort_values(x).iloc[-1]
        ends[str(name)] = (last[x], float(np.clip(last[y], bottom, top)))
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


def _mark_settings(axes: Axes, line: pd.DataFrame, x: str, y: str, color: str) -> None:
    """Write a few settings of a method, on white, so that no line crosses them."""
    from matplotlib.patheffects import withStroke

    left, right = axes.get_xlim()
    for _, point in line.iloc[:: max(1, len(line) // 4)].iterrows():
        if point[x] < left + 0.2 * (right - left):
            continue  # its text would lie on the axis
        axes.annotate(
            str(point["setting"]).replace("lam=", "λ = "),
            (point[x], point[y]),
            xytext=(-22, 30),  # above a frontier there is nothing
            textcoords="offset points",
            ha="right",
            fontsize="small",
            color=color,
            zorder=5,
            arrowprops={"arrowstyle": "-", "color": color, "alpha": 0.5, "shrinkB": 4},
            path_effects=[withStroke(linewidth=4, foreground=palette.WHITE)],
        )
