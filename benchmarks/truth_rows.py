"""One figure of benchmarks/truth.py, and the tables that come in this form."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One figure: of `repetitions` runs of `case` at `rows` rows, `measure` was `value`."""

    table: str
    case: str
    rows: int
    repetitions: int
    measure: str
    value: float
