"""Figures as pictures: what is drawn, for a page and for `fairmi.plot`, colours and inline SVG.

The SVG needs no library, no script and no network. Its colours are those of the page's style
sheet, by class, so that they follow it into the dark and onto paper.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from fairmi.audit import measures
from fairmi.audit.findings import Figures, capital, interval, known_words, number
from fairmi.audit.measures import FOUND, NOTHING, Curve, Figure, name_of
from fairmi.audit.tables import MAX_PARTS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours, told apart by colour-blind eyes. PURPLE, ORANGE and SKY are darkened
# until they reach the 3 : 1 on white that WCAG 2.2 (1.4.11) asks of what carries a number.
# M. Okabe, K. Ito, Color Universal Design, 2008, https://jfly.uni-koeln.de/color/
BLUE = "#0072B2"
VERMILION = "#D55E00"
GREEN = "#009E73"
PURPLE = "#B8578F"
ORANGE = "#B07A00"
SKY = "#2F8FC4"
BLACK = "#000000"
COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, BLACK)
WHITE = "#FFFFFF"
INK = "#222222"  # text
PALE_INK = "#555555"  # small text
GREY = "#666666"  # axes, and the edge of what chance explains
GRID = "#DDDDDD"  # lines that carry nothing, and the inside of an edged area
BROWN = "#A6761D"

# Dashes and marks tell apart in grey what colours do on a screen.
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
CORNERS: tuple[list[tuple[float, float]], ...] = (  # none for a circle
    [],
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    [(0, -1.2), (1.2, 1), (-1.2, 1)],
)
# The same where matplotlib draws.
MARKS = ("o", "s", "D", "^", "v", "P", "X")
LINES = ("-", "--", ":", "-.")
WIDTH = 340  # of a panel: that of a phone
CHARACTER = 7.3  # width of a letter of 13 pixels, generously
MAX_ROWS = 40  # of a panel; larger tables go without one
MAX_PANELS = 16
MAX_LINES = 5
MIN_IN_BIN = 10  # rows
KS = "ks_difference"  # of all differences of numbers the one that is in no units of y


@dataclass(frozen=True)
class Dot:
    """A figure as a dot with its interval, in a row of a panel under its label.

    `title` stands before the number, on a line of its own. `chance` is the range that chance alone
    gives, NaN for none; `baseline` the same figure of the baseline.
    """

    label: str
    figure: Figure
    chance: tuple[float, float] = (math.nan, math.nan)
    baseline: Figure | None = None
    title: str = ""


Panels = dict[str, list[Dot]]
# What is drawn of a section's figures; the overview is of the differences between groups.
DESCRIPTIONS = {
    "overview": "Differences between groups with intervals, and what chance explains",
    "group": "Rates by group with intervals",
    "conditional": "Differences within parts of the rows with intervals",
    "change": "Changes from the baseline with intervals",
    "leakage": "What is recovered, with intervals, and what chance explains",
    "information": "What is told, with intervals, and what chance explains",
}


def picture_of(audit: Figures, section: str, attribute: str) -> list[str]:
    """Return the pictures of a section, or the overview, as SVG; none where it has none."""
    curves = [c for c in audit.curves if (c.attribute, c.section) == (attribute, section)]
    if curves:
        return _curves(curves, audit.of_numbers)
    if section not in DESCRIPTIONS:
        return []
    if section == "overview":
        panels = _overview_panels(audit, attribute)
    else:
        baseline = audit.section("baseline group", attribute) if section == "group" else []
        panels = panels_of(section, audit.section(section, attribute), baseline)
    return [
        dot_panel(title, dots, f"{DESCRIPTIONS[section]}: {attribute}")
        for title, dots in panels.items()
        if len(dots) <= MAX_ROWS and len(panels) <= MAX_PANELS
    ]


def _overview_panels(audit: Figures, attribute: str) -> Panels:
    """Return who is treated differently, by how much and how surely: a row for each difference."""
    theirs = {f.measure: f for f in audit.section("baseline", attribute)}
    panels: dict[str, dict[str, Dot]] = {}
    for f in audit.section("disparity", attribute):
        if f.measure.endswith("_difference") and f.value == f.value:
            panel, title = "", name_of(f.rate) + (f" of {f.subject}" if f.subject else "")
            if audit.of_numbers:
                panel = "from 0 to 1" if f.measure == KS else "in units of y"
                title = name_of(f.measure).removesuffix(" difference")
            pair, chance = f"{f.most} above {f.least}", (0.0, f.by_chance)
            dot = Dot(pair, f, chance, theirs.get(f.measure), capital(title))
            # Of a rate two criteria may say the same.
            panels.setdefault(panel, {}).setdefault(title, dot)
    return {panel: list(dots.values()) for panel, dots in sorted(panels.items())}


def panels_of(section: str, figures: Sequence[Figure], baseline: Sequence[Figure] = ()) -> Panels:
    """Return what a section's figures look like: a panel for each measure, or unit."""
    theirs = {(f.measure, f.subject, f.group): f for f in baseline}
    panels: Panels = {}
    if section == "group":
        order = measures.figures_of_groups()
        figures = sorted(figures, key=lambda f: (order.index(f.measure), f.subject))
    of_numbers = any(f.measure == KS for f in figures)
    for f in figures:
        name = name_of(f.measure)
        if section == "group":
            panel = name + (f" of {f.subject}" if f.subject else "")
            dot = Dot(f.group, f, baseline=theirs.get((f.measure, f.subject, f.group)))
        elif section == "conditional":
            panel = "difference of selection rates" if f.rate == "selection_rate" else name
            dot = Dot(f.part + (f", {f.subject}" if f.subject else ""), f)
        elif section == "change":
            panel = "change of the difference"
            if of_numbers:
                panel = "change, " + ("from 0 to 1" if f.measure == KS else "in units of y")
            dot = Dot(name.removesuffix(" difference"), f, (0.0, 0.0))
        elif math.isnan(f.by_chance):  # what stands beside a probe's score
            continue
        else:
            panel = next(iter(panels), name)
            nothing = 0.5 if "AUC" in panel else 0.0
            known = f",{known_words(f)}" if f.given else ""
            dot = Dot(f.subject + known, f, (nothing, f.by_chance))
        panels.setdefault(panel, []).append(dot)
    if section == "conditional":
        panels = {panel: dots[:MAX_PARTS] for panel, dots in panels.items()}
    return panels


def dot_panel(title: str, dots: Sequence[Dot], description: str) -> str:
    """Draw figures with their intervals, a label and a line for each, no wider than a phone."""
    top, lines = (28 if title else 6), 1 + any(dot.title for dot in dots)
    row = 24 + 18 * lines + (12 if any(dot.baseline for dot in dots) else 0)
    height = top + row * len(dots)
    scale = _Scale(*_range(dots), 12, WIDTH - 12)
    parts = [_text(8, 18, title, style="title")] if title else []
    parts += _vertical_axis_lines(scale, top, height)
    for i, dot in enumerate(dots):
        y = top + row * i + 16
        parts.append(f"<g><title>{_told(dot)}</title>")
        if dot.title:
            shown = number(dot.figure.value)
            parts.append(_text(8, y, _short(dot.title, len(shown) + 1), style="title"))
            parts.append(_text(WIDTH - 8, y, shown, "end", style="title"))
            y += 18
        parts += [_text(8, y, _short(dot.label)), *_dot(dot, scale, y + 13), "</g>"]
    told = "; ".join(f"{dot.title} {dot.label} {number(dot.figure.value)}" for dot in dots)
    words = ". ".join(part for part in (title.capitalize(), description, told) if part)
    return _svg(WIDTH, height + 26, parts, words)


def _told(dot: Dot) -> str:
    ends = interval(dot.figure)
    told = f"{dot.label}: {number(dot.figure.value)}" + (f" ({ends})" if ends else "")
    return escape(told + (f"; baseline {number(dot.baseline.value)}" if dot.baseline else ""))


def _short(label: str, taken: int = 0) -> str:
    most = int((WIDTH - 16) / CHARACTER) - taken
    return label if len(label) <= most else f"{label[: most - 1]}…"


def _dot(dot: Dot, scale: _Scale, y: float) -> list[str]:
    parts = []
    if all(map(math.isfinite, dot.chance)):
        a, b = map(scale, dot.chance)
        parts.append(
            f'<rect class="chance" x="{a:.1f}" y="{y - 7:.1f}" width="{max(b - a, 1):.1f}" '
            'height="14"/>'
        )
    if dot.baseline is not None:
        parts += _interval(dot.baseline, scale, y + 12, "baseline")
        parts.append(_mark(scale(dot.baseline.value), y + 12, 1, "baseline"))
    parts += _interval(dot.figure, scale, y, "model")
    if math.isfinite(dot.figure.value):
        # A full circle for what was found or decides nothing, a hollow one for what is not sure.
        verdict = dot.figure.verdict
        sure = verdict in ("", FOUND, "higher", "lower")
        shape = 0 if sure or verdict == NOTHING else 2
        style = "model" if sure else "model hollow"
        parts.append(_mark(scale(dot.figure.value), y, shape, style))
    return parts


def _interval(figure: Figure, scale: _Scale, y: float, style: str) -> list[str]:
    if not (math.isfinite(figure.low) and math.isfinite(figure.high)):
        return []
    a, b = scale(figure.low), scale(figure.high)
    ends = [_rule(x, y - 4, x, y + 4, style) for x in (a, b)]
    return [_rule(a, y, b, y, style), *ends]


def _curves(curves: Sequence[Curve], of_numbers: bool) -> list[str]:
    """Draw a line for each of the largest groups, at the points that enough rows fall in.

    Of calibration, the outcome over the score and the diagonal; else distribution functions.
    """
    is_distribution = curves[0].section == "disparity"
    largest = sorted(curves, key=lambda curve: -sum(b.n for b in curve.bins))[:MAX_LINES]
    lines = {
        curve.group: [b for b in curve.bins if b.n >= MIN_IN_BIN]
        for curve in curves
        if curve in largest
    }
    lines = {group: bins for group, bins in lines.items() if bins}
    if not lines:
        return []
    size, left, top = 262, 56, 12
    points = [b for bins in lines.values() for b in bins]
    x_range, y_range, names = (0.0, 1.0), (0.0, 1.0), ("score", "share that came true")
    if of_numbers:
        scores, outcomes = [b.score for b in points], [b.share for b in points]
        names = ("prediction", "share predicted that or less")
        x_range = (min(scores), max(scores))
        if not is_distribution:
            names = ("mean prediction", "mean y")
            x_range = y_range = (min(scores + outcomes), max(scores + outcomes))
    if x_range[0] == x_range[1]:
        return []
    across, up = _Scale(*x_range, left, left + size), _Scale(*y_range, top + size, top)
    parts = _vertical_axis_lines(across, top, top + size)
    for tick in up.ticks() if of_numbers else (0, 0.25, 0.5, 0.75, 1):
        y = up(tick)
        parts += [
            _rule(left, y, left + size, y, "grid"),
            _text(left - 8, y + 4, f"{tick:g}", "end"),
        ]
    if not is_distribution:
        parts.append(_rule(left, top + size, left + size, top, "axis", dash="4 4"))
    parts.append(_text(left + size / 2, top + size + 40, names[0], "middle"))
    upright = f'transform="translate(14 {top + size / 2}) rotate(-90)"'
    parts.append(f'<text text-anchor="middle" {upright}>{names[1]}</text>')
    for i, (group, bins) in enumerate(lines.items()):
        style, dash = f"line{i}", DASHES[i % len(DASHES)]
        at = [(across(b.score), up(b.share)) for b in bins]
        corners = [p for a, b in pairwise(at) for p in (a, (b[0], a[1]))] + at[-1:]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in (corners if is_distribution else at))
        parts.append(f'<polyline class="{style}" points="{path}" stroke-dasharray="{dash}"/>')
        for b, (x, y) in zip(bins, at, strict=True):
            if not is_distribution:
                parts += [_rule(x, up(b.low), x, up(b.high), style), _mark(x, y, i, style)]
        y = top + size + 66 + 22 * i
        parts.append(_rule(left, y - 4, left + 34, y - 4, style, dash=dash))
        parts += [_mark(left + 17, y - 4, i, style)] * (not is_distribution)
        parts.append(_text(left + 42, y, _short(group)[:36]))
    of = "Distribution of predictions" if is_distribution else f"{names[1]} over {names[0]}"
    words = f"{of.capitalize()}, a line for each group: {curves[0].attribute}"
    return [_svg(WIDTH, top + size + 56 + 22 * len(lines), parts, words)]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + min(max(share, 0.0), 1.0) * (self.end - self.start)

    def ticks(self) -> list[float]:
        """About four round numbers between the ends."""
        step = 10 ** math.floor(math.log10((self.high - self.low) / 2))
        while (self.high - self.low) / step > 5:
            step *= 2 if round(math.log10(step) % 1, 3) != 0.301 else 2.5
        first = math.ceil(self.low / step - 1e-9)
        return [k * step for k in range(first, int(self.high / step + 1e-9) + 1)]


def _range(dots: Sequence[Dot]) -> tuple[float, float]:
    figures = [f for dot in dots for f in (dot.figure, dot.baseline) if f is not None]
    values = [v for f in figures for v in (f.value, f.low, f.high)]
    seen = [v for v in (*values, *(v for dot in dots for v in dot.chance)) if math.isfinite(v)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    space = 0.06 * (high - low or 0.1)
    return (0.0 if 0 <= low < 0.4 * high else low - space), high + space


def _mark(x: float, y: float, i: int, style: str) -> str:
    corners, r = CORNERS[i % len(CORNERS)], 4.5
    if not corners:
        return f'<circle class="{style}" cx="{x:.1f}" cy="{y:.1f}" r="{r}"/>'
    points = " ".join(f"{x + r * a:.1f},{y + r * b:.1f}" for a, b in corners)
    return f'<polygon class="{style}" points="{points}"/>'


def _vertical_axis_lines(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts += [_rule(x, top, x, bottom, "grid"), _text(x, bottom + 18, f"{tick:g}", "middle")]
    return [*parts, _rule(scale.start, bottom, scale.end, bottom, "axis")]


def _rule(x1: float, y1: float, x2: float, y2: float, style: str, *, dash: str = "none") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash != "none" else ""
    return (
        f'<line class="{style}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"{dashes}/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", style: str = "") -> str:
    named = f' class="{style}"' if style else ""
    return f'<text{named} x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(width: float, height: float, parts: Sequence[str], description: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(description)}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">{"".join(parts)}</svg>'
    )


def look(i: int, *, line: bool = True) -> dict[str, Any]:
    """Return the colour, mark and line style of the i-th thing in a picture by matplotlib."""
    style = {"color": COLOURS[i % len(COLOURS)], "marker": MARKS[i % len(MARKS)], "markersize": 5}
    return {**style, "linestyle": LINES[i % len(LINES)] if line else "none"}


def axes_or_new(ax: Any) -> Any:
    """Return `ax`, or the axes of a new figure; ImportError if matplotlib is not installed."""
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
