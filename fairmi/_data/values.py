"""What a user gives -> pandas, once; a column of it -> numbers or categories, told by its values.

No value is lost on the way into pandas: a certificate speaks of values as they were given.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from importlib import import_module
from numbers import Real
from typing import Any, TypeGuard

import narwhals.stable.v2 as nw
import numpy as np
import pandas as pd
from scipy.sparse import issparse

from fairmi.exceptions import SensitiveFeaturesError

_US_OF_A_DAY = 86_400_000_000
_NOT_A_TIME = np.iinfo(np.int64).min
_MAX_NAMED = 5
NUMBER_KINDS = {"floating", "integer", "mixed-integer-float", "decimal", "boolean"}
_COMPLEX = (complex, np.complexfloating)
_TIMES = {"datetime", "datetime64", "date", "period", "timedelta", "timedelta64", "time"}
_FIXES = (
    (
        "has dtype",
        "Convert what is no number, time, text or category to one of these, or drop it.",
    ),
    ("holds a", "Replace such a value by a number, or by NaN for a missing one."),
    ("at fit and", "Give each column the type that it had."),
)


@dataclass(frozen=True)
class ColumnValues:
    """A column of n rows; `values` are float64 with NaN, or objects with None, where missing.

    Booleans are 0 and 1; dates are days since 1970, by the clock that they show; durations and
    times of day are days. `is_date` says whether the calendar tells more of the values, and
    `is_category` whether the column's type says that they are categories.
    """

    name: str
    values: np.ndarray
    is_date: bool = False
    is_category: bool = False


def plain(values: object, *, argument: str) -> Any:
    """Return values without a gradient, and what a mask hides as missing; others as they are.

    Raises TypeError of a frame without rows yet, or a tensor that numpy can't read.
    """
    library = type(values).__module__.split(".")[0]
    if isinstance(values, np.ma.MaskedArray):
        hidden = np.ma.getmaskarray(values)
        if not hidden.any():
            return np.asarray(values.data)
        if values.dtype.kind in "biuf":
            return np.asarray(np.ma.filled(values.astype(np.float64), np.nan))
        objects = np.array(values.data, dtype=object)
        objects[hidden] = None
        return objects
    if isinstance(values, np.ndarray | pd.DataFrame | pd.Series):
        return values
    if hasattr(values, "detach") and hasattr(values, "cpu"):
        try:
            return np.asarray(values.detach().cpu().numpy())
        except (TypeError, RuntimeError) as error:
            raise TypeError(
                f"{argument} is a tensor that numpy can't read ({error}); give "
                f"{argument}.to_dense().float()."
            ) from error
    if library == "pyarrow":
        arrow = import_module("pyarrow")  # it is there, since the values are Arrow's
        if isinstance(values, arrow.RecordBatch):
            return arrow.Table.from_batches([values])
        return arrow.chunked_array([values]) if isinstance(values, arrow.Array) else values
    if isinstance(nw.from_native(values, pass_through=True), nw.LazyFrame):
        call = "compute" if hasattr(values, "compute") else "collect"
        raise TypeError(
            f"{argument} is a {library}.{type(values).__name__}, whose rows are not there yet; "
            f"give {argument}.{call}()."
        )
    return values


def to_pandas(values: object, *, argument: str = "X") -> Any:
    """Return a frame or column of any library as pandas' own; others as `plain` does.

    Numbers, times and categories keep their type; all else becomes objects.
    """
    values = plain(values, argument=argument)
    if isinstance(values, pd.DataFrame | pd.Series | np.ndarray):
        return values
    if isinstance(values, pd.api.extensions.ExtensionArray | pd.Index):
        return pd.Series(values)
    native = nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    if isinstance(native, nw.Series):
        return _series(native)
    if isinstance(native, nw.DataFrame):
        columns = {name: _series(native[name]) for name in native.columns}
        return pd.DataFrame(columns, index=range(len(native)))
    return values


def _series(column: nw.Series) -> pd.Series:
    dtype, gaps = column.dtype, column.null_count() > 0
    values: Any = None
    if dtype.is_float() and not (gaps and column.is_nan().any()):
        values = column.to_numpy()
    elif dtype in _INTEGERS and gaps:
        missing = column.is_null().to_numpy()
        values = pd.arrays.IntegerArray(column.fill_null(0).to_numpy(), np.array(missing))
    elif dtype in _INTEGERS or (dtype == nw.Boolean and not gaps):
        values = column.to_numpy()
    elif isinstance(dtype, nw.Datetime):
        values = pd.Series(_ticks(column).astype(f"datetime64[{dtype.time_unit}]"))
        if dtype.time_zone is not None:
            values = values.dt.tz_localize("UTC").dt.tz_convert(dtype.time_zone)
    elif isinstance(dtype, nw.Duration):
        values = _ticks(column).astype(f"timedelta64[{dtype.time_unit}]")
    elif dtype == nw.Time and _unit_of_time(column) in ("us", "ns"):  # Python's would be rounded
        values = _ticks(column).astype(f"timedelta64[{_unit_of_time(column)}]")
    elif column.implementation.is_pyarrow() and dtype in (nw.String, nw.Categorical):
        values = column.to_pandas()  # in less time than by a list
    elif dtype in (nw.Categorical, nw.Enum):
        declared = list(dtype.categories) if isinstance(dtype, nw.Enum) else None
        values = pd.Categorical(column.to_list(), categories=declared)
    else:
        values = np.empty(len(column), dtype=object)
        values[:] = column.to_list()
    return pd.Series(values, name=column.name or None)


_INTEGERS = {nw.Int8, nw.Int16, nw.Int32, nw.Int64, nw.UInt8, nw.UInt16, nw.UInt32, nw.UInt64}


def _unit_of_time(column: nw.Series) -> str:
    return "ns" if column.implementation.is_polars() else str(column.to_native().type.unit)


def _ticks(times: nw.Series) -> np.ndarray:
    return times.cast(nw.Int64).fill_null(_NOT_A_TIME).to_numpy()


def plain_series(y: Any) -> Any:
    """Return a column of any library as an array of values that numpy knows, if it can be one."""
    series = to_pandas(y, argument="y")
    if not isinstance(series, pd.Series) or (series is y and isinstance(series.dtype, np.dtype)):
        return series
    return series.to_numpy(dtype=object) if series.isna().any() else np.array(series.tolist())


def is_dict(values: object) -> TypeGuard[Mapping[Any, Any]]:
    """Whether values are a dict of columns; a sparse array may be a mapping too."""
    return isinstance(values, Mapping) and not issparse(values)


def is_frame(X: object) -> bool:
    """Whether X is a DataFrame of pandas, polars or another library that narwhals knows."""
    return isinstance(nw.from_native(X, eager_only=True, pass_through=True), nw.DataFrame)


def n_rows(X: Any) -> int:
    """Return the number of rows of a table in any form."""
    return int(X.shape[0]) if hasattr(X, "shape") else len(X)


@contextmanager
def named(argument: str) -> Iterator[None]:
    """Give an error of what is inside the argument's name, if its text doesn't have it."""
    try:
        yield
    except SensitiveFeaturesError:
        raise
    except (ValueError, TypeError) as error:
        named_error = naming(argument, error)
        if named_error is error:
            raise
        raise named_error from error


def naming(argument: str, error: Exception) -> Exception:
    """Return the error with the argument's name in its text, if it is not there."""
    text = str(error)
    if re.search(rf"\b{argument}\b", text):
        return error
    kind = ValueError if isinstance(error, ValueError) else TypeError
    return kind(f"{argument}: {text}")


def check_indexes(**tables: Any) -> None:
    """Raise ValueError where two pandas arguments are of equal length but disagree on index."""
    for argument in [k for k, v in tables.items() if type(v) is dict]:
        columns = tables.pop(argument)
        tables |= {f"{argument}[{name!r}]": column for name, column in columns.items()}
    pandas = {k: v for k, v in tables.items() if isinstance(v, pd.Series | pd.DataFrame)}
    first, *others = pandas or [""]
    for other in others:
        if len(pandas[first]) == len(pandas[other]) and not pandas[first].index.equals(
            pandas[other].index
        ):
            raise ValueError(
                f"The indexes of {first} and {other} differ: their rows would be paired by "
                f"position, not by index. Align them first, as in {other}.loc[{first}.index], or "
                f"drop the index with {other}.reset_index(drop=True) on both."
            )


def read_columns(X: object, *, argument: str = "X") -> Iterator[ColumnValues]:
    """Yield the columns of a table: numbers and times as float64, all others as objects with None.

    After the last it raises ValueError that names all columns which hold an infinite value, one
    too large for float32, or what is neither a number, a time nor a category (a list).
    """
    table = to_pandas(X)
    table = table.toarray() if issparse(table) else table
    is_matrix = isinstance(table, np.ndarray) and table.dtype.kind in "biuf"
    if not is_matrix:
        table = pd.DataFrame(table)
    faults: dict[str, str] = {}
    for j in range(table.shape[1]):
        name = str(j) if is_matrix else str(table.columns[j])
        try:
            if is_matrix:
                column = ColumnValues(name, table[:, j].astype(float))
            else:
                column = _column(name, table.iloc[:, j])
            size = 0.0 if column.values.dtype == object else np.abs(column.values)
            if np.any(size > np.finfo(np.float32).max):
                what = (
                    "an infinite value" if np.isinf(size).any() else "a value above 3e38 in size"
                )
                raise ValueError(f"holds {what}")
        except ValueError as error:
            faults[name] = str(error)
        else:
            yield column
    raise_faults(faults, argument)


def raise_faults(faults: Mapping[str, str], argument: str = "X") -> None:
    """Raise ValueError that names all columns at fault, and what is wrong with each, if any is."""
    faults = {name: fault for name, fault in faults.items() if fault}
    if not faults:
        return
    shown = [
        f"{name!r} of {argument} {fault}" for name, fault in list(faults.items())[:_MAX_NAMED]
    ]
    more = f"; and {len(faults) - _MAX_NAMED} more" if len(faults) > _MAX_NAMED else ""
    fixes = dict.fromkeys(fix for fault, fix in _FIXES if any(fault in f for f in faults.values()))
    columns = "Column" if len(faults) == 1 else f"{len(faults)} columns:"
    raise ValueError(f"{columns} {'; '.join(shown)}{more}. {' '.join(fixes)}".rstrip())


def _column(name: str, column: pd.Series) -> ColumnValues:
    """Return a column as numbers where its values are numbers, whatever its dtype.

    Categories stay categories, numbers among them too.
    """
    dtype = column.dtype
    is_category = isinstance(dtype, pd.CategoricalDtype)  # of truths, is_bool_dtype says yes
    if pd.api.types.is_complex_dtype(dtype):
        raise ValueError(f"has dtype {dtype}")
    number = pd.api.types.is_numeric_dtype(dtype) or pd.api.types.is_bool_dtype(dtype)
    if number and not is_category:
        return ColumnValues(name, column.to_numpy(dtype=np.float64, na_value=np.nan))
    if isinstance(dtype, np.dtype | pd.DatetimeTZDtype) and dtype.kind in "mM":
        is_date = dtype.kind == "M"
        if is_date and column.dt.tz is not None:
            column = column.dt.tz_localize(None)
        return ColumnValues(name, _days(column.to_numpy()), is_date)
    if is_category:
        return ColumnValues(name, category_names(column), is_category=True)
    return ColumnValues(name, *read_objects(column.astype(object).to_numpy(dtype=object)))


def category_names(column: pd.Series) -> np.ndarray:
    """Return the categories of a categorical column, (n_rows,) objects, None where missing."""
    names = np.append(column.cat.categories.to_numpy(dtype=object), [None])
    return names[column.cat.codes.to_numpy()]  # a missing value's code is -1


def read_objects(objects: np.ndarray) -> tuple[np.ndarray, bool]:
    """Return the values of an object array (n,), by what they are, and whether they are dates."""
    objects = objects.copy()
    objects[pd.isna(objects)] = None
    kind = pd.api.types.infer_dtype(objects, skipna=True)
    present = np.array([value is not None for value in objects], dtype=bool)
    known = objects[present]
    if kind == "string" or not len(known):
        return objects, False
    values, is_date = np.full(len(objects), np.nan), False
    if kind in NUMBER_KINDS or all(isinstance(v, Real | Decimal | np.bool_) for v in known):
        try:
            values[present] = known.astype(np.float64)
        except OverflowError:
            raise ValueError("holds a value above 3e38 in size") from None
    elif kind == "time":
        values[present] = [_seconds(time) / 86_400 for time in known]
    elif kind.startswith("timedelta"):
        values[present] = _days(np.array(list(known), dtype="timedelta64[us]"))
    elif kind in _TIMES or all(isinstance(v, datetime.date) for v in known):
        stamps = [_without_zone(moment) for moment in known]
        values[present], is_date = _days(np.array(stamps, dtype="datetime64[us]")), True
    else:
        for value in known:
            if isinstance(value, _COMPLEX) or not isinstance(value, Hashable):
                raise ValueError(f"has dtype {type(value).__name__}")
        return objects, False
    return values, is_date


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
