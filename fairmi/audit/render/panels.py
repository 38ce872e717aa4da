"""Which figures become which picture."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from fairmi.audit.figures.outcomes import RATES
from fairmi.audit.records import AuditRecord, Figure
from fairmi.audit.render.figure_tables import MAX_PARTS
from fairmi.audit.render.pictures import Dot, Line, dot_panel, reliability_picture
from fairmi.audit.render.words import name_of

MAX_ROWS = 40  # of a picture; larger tables go without one
MAX_PANELS = 16
MAX_LINES = 5
MAX_LABEL = 24  # letters
OF_RELIABILITY = (
    f"The picture has the largest groups, at most {MAX_LINES}, and bins of 10 rows or more."
)
GREY_IS = "grey: what chance explains"


def picture_of(audit: AuditRecord, section: str, attribute: str) -> str:
    """Return the pictures of a section as SVG, side by side; "" where it has none."""
    if section == "calibration":
        return _reliability(audit, attribute)
    if section not in PICTURES:
        return ""
    panels, description = PICTURES[section](audit.section(section, attribute))
    return "".join(
        dot_panel(title, dots, f"{title}. {description}")
        for title, dots in panels.items()
        if 0 < len(dots) <= MAX_ROWS
    )


Panels = tuple[dict[str, list[Dot]], str]


def _rates(figures: Sequence[Figure]) -> Panels:
    """One panel for each rate, and with more than two classes for each rate of each class."""
    keys = dict.fromkeys((f.measure, f.subject) for f in figures)
    panels = {
        name_of(measure) + (f" of {subject}" if subject else ""): [
            _dot(f.group, f) for f in figures if (f.measure, f.subject) == (measure, subject)
        ]
        for measure, subject in sorted(keys, key=lambda key: (RATES.index(key[0]), key[1]))
    }
    if len(panels) > MAX_PANELS:
        panels = {}
    return panels, "By group, with intervals; the numbers are in the table below."


def _disparities(figures: Sequence[Figure]) -> Panels:
    dots = [
        _dot(name_of(f.measure).removesuffix(" difference"), f, (0.0, f.by_chance))
        for f in figures
        if f.measure.endswith("_difference")
    ]
    return {f"difference ({GREY_IS})": dots}, "Differences between groups, with intervals."


def _conditional(figures: Sequence[Figure]) -> Panels:
    dots = [
        _dot(f.condition + (f", {f.subject}" if f.subject else ""), f) for f in figures[:MAX_PARTS]
    ]
    return {"difference of selection rates": dots}, "Within parts of the rows, with intervals."


def _changes(figures: Sequence[Figure]) -> Panels:
    dots = [_dot(name_of(f.measure).removesuffix(" difference"), f, (0.0, 0.0)) for f in figures]
    return {"change of the difference": dots}, "Changes from the baseline, with intervals."


def _leaks(figures: Sequence[Figure]) -> Panels:
    figures = [f for f in figures if not math.isnan(f.by_chance)]
    nothing = 0.5 if figures[0].measure.startswith("roc_auc") else 0.0
    dots = [
        _dot(
            f"{f.subject}, {f.condition}" if f.condition else f.subject, f, (nothing, f.by_chance)
        )
        for f in figures
    ]
    title = f"{name_of(figures[0].measure)} ({GREY_IS})"
    return {title: dots}, "What is recovered of the sensitive feature, with intervals."


def _dot(label: str, figure: Figure, chance: tuple[float, float] | None = None) -> Dot:
    short = label if len(label) <= MAX_LABEL else f"{label[: MAX_LABEL - 1]}…"
    return Dot(short, figure.value, figure.low, figure.high, chance or (math.nan, math.nan))


PICTURES: dict[str, Callable[[Sequence[Figure]], Panels]] = {
    "group": _rates,
    "disparity": _disparities,
    "conditional": _conditional,
    "change": _changes,
    "leakage": _leaks,
    "information": _leaks,
}


def _reliability(audit: AuditRecord, attribute: str) -> str:
    """Draw the largest groups, and of them the bins that enough rows fall in."""
    curves = [curve for curve in audit.curves if curve.attribute == attribute]
    largest = sorted(curves, key=lambda curve: -sum(b.n for b in curve.bins))[:MAX_LINES]
    lines = [
        Line(curve.group, [(b.score, b.share, b.low, b.high) for b in curve.bins if b.n >= 10])
        for curve in curves
        if curve in largest
    ]
    description = "Share that came true over score, with intervals, a line for each group."
    return reliability_picture([line for line in lines if line.points], description)
