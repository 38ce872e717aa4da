"""A column of dates -> the parts of the calendar that recur, each a column of numbers."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

N_PARTS = 4  # that follow a date


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
