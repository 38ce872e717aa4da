"""Pictures as inline SVG: they need no library, no script and no network."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from fairmi.audit.render.palette import BLUE, COLOURS, GREY, GRID, INK

# Dashes and marks tell apart in grey what colours do on a screen.
DASHES = ("none", "7 3", "2 3", "9 3 2 3")
MARKS: tuple[list[tuple[float, float]], ...] = (  # corners; none for a circle
    [],
    [(-1, -1), (1, -1), (1, 1), (-1, 1)],
    [(0, -1.3), (1.3, 0), (0, 1.3), (-1.3, 0)],
    [(0, -1.2), (1.2, 1), (-1.2, 1)],
)
TEXT = f'font-family="system-ui, sans-serif" font-size="13" fill="{INK}"'
ROW = 26
AXIS = 170
CHARACTER = 7.6  # width of a letter at that size, generously


@dataclass(frozen=True)
class Dot:
    """A value with its interval; `chance` is the range that chance alone gives. NaN: not drawn."""

    label: str
    value: float
    low: float = math.nan
    high: float = math.nan
    chance: tuple[float, float] = (math.nan, math.nan)


@dataclass(frozen=True)
class Line:
    """Points of one group, each with the ends of its interval: x, y, low, high."""

    label: str
    points: Sequence[tuple[float, float, float, float]]


def dot_panel(title: str, dots: list[Dot], description: str) -> str:
    """Draw values with their intervals, a row for each; it fits a phone where labels are short."""
    left = 16 + CHARACTER * max(len(dot.label) for dot in dots)
    height = ROW * len(dots)
    low, high = _range(dots)
    scale = _Scale(low, high, left, left + AXIS)
    parts = [_text(8, 20, title, weight="600"), *_vertical_axis_lines(scale, 36, 44 + height)]
    for i, dot in enumerate(dots):
        y = 42 + ROW * (i + 0.5)
        parts += [_text(left - 10, y + 4, dot.label, "end"), *_dot(dot, scale, y)]
    width = max(left + AXIS + 24, 16 + CHARACTER * len(title))
    return _svg(width, height + 70, parts, description)


def reliability_picture(lines: list[Line], description: str) -> str:
    """Draw shares that came true over scores, a line for each group, and the diagonal."""
    size, left, top = 270, 56, 12
    across, up = _Scale(0, 1, left, left + size), _Scale(0, 1, top + size, top)
    parts = _vertical_axis_lines(across, top, top + size)
    for tick in (0, 0.25, 0.5, 0.75, 1):
        y = up(tick)
        parts += [
            _rule(left, y, left + size, y, GRID),
            _text(left - 8, y + 4, f"{tick:g}", "end"),
        ]
    parts.append(_rule(across(0), up(0), across(1), up(1), GREY, dash="4 4"))
    parts.append(_text(left + size / 2, top + size + 40, "score", "middle"))
    upright = f'transform="translate(14 {top + size / 2}) rotate(-90)"'
    parts.append(f'<text {TEXT} text-anchor="middle" {upright}>share that came true</text>')
    for i, line in enumerate(lines):
        parts += _curve(line, i, across, up)
        y = top + size + 66 + 22 * i
        sample = left
        parts.append(_rule(sample, y - 4, sample + 34, y - 4, _colour(i), 2, _dash(i)))
        parts += [_mark(sample + 17, y - 4, i), _text(sample + 42, y, line.label)]
    longest = max((len(line.label) for line in lines), default=0)
    width = max(left + size + 16, left + 46 + CHARACTER * longest)
    return _svg(width, top + size + 62 + 22 * len(lines), parts, description)


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


def _range(dots: list[Dot]) -> tuple[float, float]:
    seen = [v for d in dots for v in (d.value, d.low, d.high, *d.chance) if math.isfinite(v)]
    low, high = min(seen, default=0.0), max(seen, default=1.0)
    space = 0.06 * (high - low or 0.1)
    return (0.0 if 0 <= low < 0.4 * high else low - space), high + space


def _dot(dot: Dot, scale: _Scale, y: float) -> list[str]:
    parts = []
    if all(map(math.isfinite, dot.chance)):
        a, b = map(scale, dot.chance)
        parts.append(
            f'<rect x="{a:.1f}" y="{y - 9:.1f}" width="{max(b - a, 1):.1f}" height="18" '
            f'fill="{GRID}" stroke="{GREY}"/>'
        )
    if math.isfinite(dot.low) and math.isfinite(dot.high):
        a, b = scale(dot.low), scale(dot.high)
        parts.append(_rule(a, y, b, y, BLUE, 2))
        parts += [_rule(x, y - 4, x, y + 4, BLUE, 2) for x in (a, b)]
    if math.isfinite(dot.value):
        parts.append(f'<circle cx="{scale(dot.value):.1f}" cy="{y:.1f}" r="4.5" fill="{BLUE}"/>')
    return parts


def _curve(line: Line, i: int, across: _Scale, up: _Scale) -> list[str]:
    places = [(across(x), up(y), up(low), up(high)) for x, y, low, high in line.points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in places)
    stroke = f'stroke="{_colour(i)}" stroke-width="2" stroke-dasharray="{_dash(i)}"'
    parts = [f'<polyline points="{path}" fill="none" {stroke}/>']
    for x, y, low, high in places:
        parts += [_rule(x, low, x, high, _colour(i), 1), _mark(x, y, i)]
    return parts


def _mark(x: float, y: float, i: int) -> str:
    corners, r = MARKS[i % len(MARKS)], 4.5
    if not corners:
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{r}" fill="{_colour(i)}"/>'
    points = " ".join(f"{x + r * a:.1f},{y + r * b:.1f}" for a, b in corners)
    return f'<polygon points="{points}" fill="{_colour(i)}"/>'


def _colour(i: int) -> str:
    return COLOURS[i % len(COLOURS)]


def _dash(i: int) -> str:
    return DASHES[i % len(DASHES)]


def _vertical_axis_lines(scale: _Scale, top: float, bottom: float) -> list[str]:
    parts = []
    for tick in scale.ticks():
        x = scale(tick)
        parts += [_rule(x, top, x, bottom, GRID), _text(x, bottom + 18, f"{tick:g}", "middle")]
    return [*parts, _rule(scale.start, bottom, scale.end, bottom, GREY)]


def _rule(
    x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1, dash: str = "none"
) -> str:
    return (
        f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
        f'stroke-width="{width}" stroke-dasharray="{dash}"/>'
    )


def _text(x: float, y: float, text: str, anchor: str = "start", weight: str = "400") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}" {TEXT}>'
        f"{escape(text)}</text>"
    )


def _svg(width: float, height: float, parts: list[str], description: str) -> str:
    return (
        f'<svg role="img" aria-label="{escape(description)}" width="{width:.0f}" '
        f'height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'xmlns="http://www.w3.org/2000/svg">{"".join(parts)}</svg>'
    )
