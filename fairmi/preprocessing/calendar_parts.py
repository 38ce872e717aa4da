"""A column of dates -> the parts of the calendar that recur, each a column of numbers."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

import numpy as np

from fairmi._data.tables import read_columns

N_PARTS = 4  # that a date has


def with_calendar(
    X: Any, dates: Collection[int] | None = None, *, last: bool = False
) -> Iterator[tuple[str, np.ndarray, bool]]:
    """Yield name and values of the columns of a table, and whether they are dates.

    The parts of a date follow it, or the last column where `last`. `dates` are the positions of
    those that fit saw; None takes what is one.
    """
    parts: list[tuple[str, np.ndarray, bool]] = []
    for j, (name, read) in enumerate(read_columns(X)):
        yield name, read.values, read.is_date
        if read.is_date if dates is None else j in dates:
            # What is no number is told when the column itself is read.
            is_number = read.values.dtype != object
            days = read.values if is_number else np.full(len(read.values), np.nan)
            parts += [(*part, False) for part in calendar_parts(name, days)]
        if not last:
            yield from parts
            parts = []
    yield from parts


def calendar_parts(name: str, days: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Yield month 1 to 12, day of the month, day of the week (Monday 0) and hour of the day.

    `days` (n,) are those since 1970, NaN where missing; so are the parts there.
    """
    missing = np.isnan(days)
    whole = np.floor(np.where(missing, 0, days))
    dates = whole.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    parts = {
        "month": months.astype(int) % 12 + 1,
        "day of month": (dates - months).astype(int) + 1,
        "day of week": (whole + 3) % 7,
        "hour": (days - whole) * 24,
    }
    for part, values in parts.items():
        yield f"{name}: {part}", np.where(missing, np.nan, values)
