"""An audit as plain data: a DataFrame, dicts, and cells that a spreadsheet takes for text."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from fairmi.audit.records import AuditRecord

TEXT_COLUMNS = ["section", "attribute", "group", "subject", "condition", "measure"]
NUMBER_COLUMNS = ["value", "low", "high", "by_chance", "n"]
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


def as_frame(audit: AuditRecord) -> pd.DataFrame:
    """Return all figures, a row for each."""
    rows = [asdict(figure) for figure in audit.figures]
    return pd.DataFrame(rows, columns=TEXT_COLUMNS + NUMBER_COLUMNS)


def as_dict(audit: AuditRecord) -> dict[str, Any]:
    """Return everything as dicts, lists, strings and numbers; None for NaN and infinity."""
    return _plain(asdict(audit))


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the frame with an apostrophe before text, names too, that begins like a formula."""
    safe = frame.copy()
    for j, dtype in enumerate(frame.dtypes):
        if not pd.api.types.is_numeric_dtype(dtype):
            safe.isetitem(j, frame.iloc[:, j].map(_harmless))
    return safe.rename(columns=_harmless)


def _harmless(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    return value if isinstance(value, str | int | bool | None) else str(value)
