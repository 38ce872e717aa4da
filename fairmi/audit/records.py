"""What an audit found: one kind of record for every figure, and the audit that holds them."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd


@dataclass(frozen=True)
class Figure:
    """One number of an audit.

    Attributes
    ----------
    section : str
        "overall", "group", "gap", "change" (against the baseline), "calibration", "leakage",
        "information" or "certificate".
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


@dataclass(frozen=True, repr=False)
class Audit:
    """What `audit` found. It prints as a table, and shows as a page in a notebook.

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

    def section(self, name: str) -> list[Figure]:
        """Return the figures of one section."""
        return [figure for figure in self.figures if figure.section == name]

    def to_frame(self) -> pd.DataFrame:
        """Return all figures as a DataFrame, a row for each; columns as in `Figure`."""
        columns = ["section", "attribute", "group", "subject", "measure"]
        numbers = ["value", "low", "high", "by_chance", "n"]
        return pd.DataFrame([asdict(figure) for figure in self.figures])[columns + numbers]

    def to_dict(self) -> dict[str, Any]:
        """Return everything as dicts, lists, strings and numbers; None for NaN and infinity."""
        return _plain(asdict(self))

    def to_json(self, path: str | Path) -> None:
        """Write `to_dict` to a file of JSON."""
        text = json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)
        Path(path).write_text(text + "\n", encoding="utf-8")

    def to_html(self, path: str | Path) -> None:
        """Write a self-contained page, with pictures, that states what the figures mean."""
        from fairmi.audit.page import whole_page

        Path(path).write_text(whole_page(self), encoding="utf-8")

    def _repr_html_(self) -> str:
        from fairmi.audit.page import fragment

        return fragment(self)

    def __repr__(self) -> str:
        from fairmi.audit.text import as_text

        return as_text(self)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
