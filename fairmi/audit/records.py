"""What an audit found, as plain records: all that is shown is made of these."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Figure:
    """One number of an audit.

    Attributes
    ----------
    section : str
        "overall", "group", "disparity" (between groups), "conditional" (between groups within a
        part of the rows), "conditional group", "baseline", "change" (against the baseline),
        "calibration", "leakage", "information" or "certificate".
    measure : str
        What was measured, such as "demographic_parity_difference".
    value : float
        The number.
    low, high : float
        Ends of its confidence interval; NaN where there is none.
    by_chance : float
        What a fair model shows on this sample by chance alone: the quantile, at the audit's
        confidence, of the value under fairness (the lower one for ratios). NaN where not computed.
    n : int
        Rows that the number was computed from.
    attribute : str
        The sensitive feature, or several joined by " & "; "" for all rows.
    group : str
        The group, where the number is of one.
    subject : str
        The class that a rate is of (more than two classes), or what was examined: "predictions",
        "scores" or "representation".
    condition : str
        The part of the rows that the number is of, such as "label = 1"; "" for all of them.
    """

    section: str
    measure: str
    value: float
    low: float = math.nan
    high: float = math.nan
    by_chance: float = math.nan
    n: int = 0
    attribute: str = ""
    group: str = ""
    subject: str = ""
    condition: str = ""


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows of one group whose scores fall in one bin: mean score against share that came true."""

    score: float
    share: float
    low: float
    high: float
    n: int


@dataclass(frozen=True)
class Curve:
    """The reliability of the scores of one group, for a picture."""

    attribute: str
    group: str
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True)
class AuditRecord:
    """All that an audit found.

    Attributes
    ----------
    about : dict of str to object
        What was audited, on what, and how: model, rows, labels, confidence, versions.
    figures : tuple of Figure
        All numbers.
    curves : tuple of Curve
        Reliability of scores by group.
    notes : tuple of str
        What could not be measured or relied on, and why, in plain words.
    """

    about: dict[str, Any]
    figures: tuple[Figure, ...]
    curves: tuple[Curve, ...]
    notes: tuple[str, ...]

    @property
    def attributes(self) -> list[str]:
        """The sensitive features, and their intersection where there are several."""
        return list(dict.fromkeys(f.attribute for f in self.figures if f.attribute))

    def section(self, name: str, attribute: str | None = None) -> list[Figure]:
        """Return the figures of one section, of one sensitive feature if that is given."""
        return [
            figure
            for figure in self.figures
            if figure.section == name and attribute in (None, figure.attribute)
        ]
