"""One column in any form -> numbers or categories, told apart by its values: the one rule."""

from __future__ import annotations

import datetime
from collections.abc import Hashable
from dataclasses import dataclass
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd

_US_OF_A_DAY = 86_400_000_000
NUMBER_KINDS = {"floating", "integer", "mixed-integer-float", "decimal", "boolean"}
_COMPLEX = (complex, np.complexfloating)
_TIMES = {"datetime", "datetime64", "date", "period", "timedelta", "timedelta64", "time"}


@dataclass(frozen=True)
class ColumnValues:
    """The n values of a column: float64 with NaN, or objects with None where missing.

    Booleans are 0 and 1; dates are days since 1970, by the clock that they show; durations and
    times of day are days. `is_date` says whether the calendar tells more of the values, and
    `is_category` whether the column's type says that they are categories.
    """

    values: np.ndarray
    is_date: bool = False
    is_category: bool = False


def read_values(column: pd.Series) -> ColumnValues:
    """Return the values of a column, as numbers where they are numbers, whatever its dtype.

    Categories stay categories, numbers among them too.

    Raises
    ------
    ValueError
        If the values are neither numbers, times, text nor categories; the text says what they are.
    """
    dtype = column.dtype
    is_category = isinstance(dtype, pd.CategoricalDtype)  # of truths, is_bool_dtype says yes
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"has dtype {dtype}")
    number = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    if number and not is_category:
        return ColumnValues(column.to_numpy(dtype=np.float64, na_value=np.nan))
    if isinstance(dtype, np.dtype | pd.DatetimeTZDtype) and dtype.kind in "mM":
        return _of_datetimes(column)
    if is_category:
        names = column.cat.categories
        categories = np.empty(len(names) + 1, dtype=object)  # a missing value's code is -1
        categories[:-1] = names.to_numpy(dtype=object)
        return ColumnValues(categories[column.cat.codes.to_numpy()], is_category=True)
    return read_objects(column.astype(object).to_numpy(dtype=object, copy=True))


def read_objects(objects: np.ndarray) -> ColumnValues:
    """Return the values of an object array (n,), by what they are."""
    objects = objects.copy()
    objects[pd.isna(objects)] = None
    kind = pd.api.types.infer_dtype(objects, skipna=True)
    if kind == "string":
        return ColumnValues(objects)
    present = np.array([value is not None for value in objects], dtype=bool)
    if not present.any():
        return ColumnValues(objects)
    held = objects[present]
    if kind in NUMBER_KINDS or all(isinstance(v, Real | Decimal | np.bool_) for v in held):
        return _spread(_floats(held), present)
    if kind in _TIMES or all(isinstance(v, datetime.date) for v in held):
        return _times(kind, held, present)
    odd = next((v for v in held if isinstance(v, _COMPLEX) or not isinstance(v, Hashable)), None)
    if odd is not None:
        raise ValueError(f"has dtype {type(odd).__name__}")
    return ColumnValues(objects)


def _of_datetimes(column: pd.Series) -> ColumnValues:
    is_date = column.dtype.kind == "M"
    if is_date and column.dt.tz is not None:
        column = column.dt.tz_localize(None)
    return ColumnValues(_days(column.to_numpy()), is_date)


def _floats(held: np.ndarray) -> np.ndarray:
    try:
        return held.astype(np.float64)
    except OverflowError:
        raise ValueError("holds a value above 3e38 in size") from None


def _times(kind: str, held: np.ndarray, present: np.ndarray) -> ColumnValues:
    if kind == "time":
        days = [_seconds(time) / 86_400 for time in held]
        return _spread(np.array(days), present)
    if kind.startswith("timedelta"):
        return _spread(_days(np.array(list(held), dtype="timedelta64[us]")), present)
    stamps = np.array([_without_zone(moment) for moment in held], dtype="datetime64[us]")
    return _spread(_days(stamps), present, is_date=True)


def _days(times: np.ndarray) -> np.ndarray:
    unit = "datetime64[us]" if times.dtype.kind == "M" else "timedelta64[us]"
    days = times.astype(unit).astype(np.int64) / _US_OF_A_DAY
    return np.where(np.isnat(times), np.nan, days)


def _without_zone(moment: Any) -> Any:
    if isinstance(moment, pd.Period):
        return moment.start_time
    return moment.replace(tzinfo=None) if isinstance(moment, datetime.datetime) else moment


def _seconds(time: datetime.time) -> float:
    return time.hour * 3600 + time.minute * 60 + time.second + time.microsecond / 1e6


def _spread(held: np.ndarray, present: np.ndarray, *, is_date: bool = False) -> ColumnValues:
    values = np.full(len(present), np.nan)
    values[present] = held
    return ColumnValues(values, is_date)
