"""What figures come to: the one place where a report decides what was found."""

from __future__ import annotations

import math

from fairmi.audit.records import Figure
from fairmi.metrics._reports import SIGNIFICANCE

FOUND = "found"
UNCLEAR = "unclear"
NOTHING = "none found"
NOT_MEASURED = "not measured"


def disparity_verdict(figure: Figure) -> str:
    """Whether groups differ: the interval and what chance explains must both say so.

    Where one of them says so alone, it is unclear.
    """
    if math.isnan(figure.value):
        return NOT_MEASURED
    if figure.measure.endswith("_ratio"):
        return _agreed(figure.high < 1, figure.value < figure.by_chance)
    return _agreed(figure.low > 0, figure.value > figure.by_chance)


def conditional_verdict(figure: Figure) -> str:
    """Whether groups differ in a part of the rows: by its interval, which holds for all parts."""
    return FOUND if figure.low > 0 else NOTHING


def calibration_verdict(error: Figure, excess: Figure) -> str:
    """Whether scores are off: their error is beyond chance.

    Where their mean alone is off, it is unclear.
    """
    if error.value > error.by_chance:
        return FOUND
    return UNCLEAR if excess.low > 0 or excess.high < 0 else NOTHING


def leakage_verdict(score: Figure, p_value: Figure) -> str:
    """Whether the group leaks: by the test of independence, as `LeakageReport.flagged`.

    Where the score alone exceeds chance, it is unclear.
    """
    if p_value.value <= SIGNIFICANCE:
        return FOUND
    return UNCLEAR if score.value > score.by_chance else NOTHING


def information_verdict(figure: Figure) -> str:
    """Whether information was found: more than chance gives, in an interval above 0."""
    return _agreed(figure.low > 0, figure.value > figure.by_chance)


def change_verdict(figure: Figure) -> str:
    """Say which way a figure changed, if its interval leaves out 0."""
    if figure.low > 0:
        return "higher"
    return "lower" if figure.high < 0 else "no change found"


def worst(verdicts: list[str]) -> str:
    """Return the verdict on several findings: that of the worst."""
    order = (FOUND, UNCLEAR, NOTHING)
    return next((verdict for verdict in order if verdict in verdicts), NOT_MEASURED)


def _agreed(one: bool, other: bool) -> str:
    if one and other:
        return FOUND
    return UNCLEAR if one or other else NOTHING
