"""The colours of all pictures and pages, each readable on white."""

from __future__ import annotations

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
PALE_GREY = "#7F7F7F"

# Foreground on background, and the least contrast that WCAG 2.2 AA asks of it: 4.5 for text
# (1.4.3), 3 for what else carries information (1.4.11).
PAIRS = (
    (INK, WHITE, 4.5),
    (PALE_INK, WHITE, 4.5),
    (VERMILION, WHITE, 3.0),
    (GREY, WHITE, 3.0),
    (GREY, GRID, 3.0),
    (BLUE, GRID, 3.0),
    (INK, GRID, 4.5),
    *((colour, WHITE, 3.0) for colour in COLOURS),
)


def contrast(one: str, other: str) -> float:
    """Return the contrast ratio of two colours, from 1 to 21, as WCAG 2.2 defines it.

    Examples
    --------
    >>> contrast("#000000", "#FFFFFF")
    21.0
    """
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return round((light + 0.05) / (dark + 0.05), 4)


def _luminance(colour: str) -> float:
    parts = (int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
