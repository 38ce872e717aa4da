"""Z in any form (representation, scores, predictions), read once: numbers, and exact values.

A probe learns from floats. A certificate, the plug-in estimate and the test of recurring values
speak of *values*, and a value that is read into a float may no longer be told from its neighbour,
though every program that gets Z can tell them apart. So values are compared as they were given:
by their type and all their bits.
"""

from __future__ import annotations

import datetime
import struct
import uuid
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import cached_property
from importlib import import_module
from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

from fairmi._data.values import category_names, raise_faults, read_objects, to_pandas
from fairmi._typing import TableLike

NUMBERS = "biufmM"  # kinds of dtypes whose arrays hold the values themselves
EXACT_IN_DAYS = 2**50  # ticks of a clock, below which a float of days tells them apart
LOW_BITS = 2**20
TICKS_OF_A_DAY = {
    "D": 1.0, "h": 24.0, "m": 1440.0, "s": 86_400.0, "ms": 8.64e7, "us": 8.64e10, "ns": 8.64e13,
}  # fmt: skip


@dataclass(frozen=True)
class Column:
    """The values of a column of Z, (n_rows,), as they were given: a native dtype, or objects.

    `is_category` says that numbers among them are names.
    """

    name: str
    values: np.ndarray
    is_category: bool = False

    def keys(self) -> np.ndarray:
        """Return bytes that tell the values apart, uint8 of shape (n_rows, n_bytes)."""
        values = self.values
        if values.dtype == object:
            codes, _ = _object_codes(values)
            return codes.view(np.uint8).reshape(len(codes), -1)
        if not values.dtype.itemsize:  # text that is empty in all rows
            return np.zeros((len(values), 1), dtype=np.uint8)
        raw = np.ascontiguousarray(values).view(np.uint8).reshape(len(values), -1)
        if values.dtype == np.longdouble and np.finfo(np.longdouble).nmant == 63:
            return raw[:, :10]  # what pads the 80 bits is no part of the number
        return raw

    def ranks(self, argument: str) -> np.ndarray:
        """Return the place of each row's number in their order, (n_rows,), as exactly."""
        if not self.is_category and self.values.dtype.kind in NUMBERS:
            return np.unique(self.values, return_inverse=True)[1].reshape(-1)
        codes, distinct = _object_codes(self.values.astype(object))
        kinds = {type(value) for value in distinct}
        if self.is_category or not any(kinds <= ordered for ordered in _ORDERED):
            raise ValueError(
                f'against="thresholds" needs numbers, but column {self.name!r} of {argument} '
                f"holds {' and '.join(sorted(kind.__name__ for kind in kinds))}; give scores as "
                'float64, or ask against="classifiers".'
            )
        order = sorted(range(len(distinct)), key=distinct.__getitem__)
        rank, place = np.zeros(len(order), dtype=np.int64), 0
        for before, k in zip([order[0], *order], order, strict=False):
            place += distinct[before] != distinct[k]  # 1, 1.0 and True are one number
            rank[k] = place
        return rank[codes]

    def numbers(self) -> np.ndarray:
        """Return the values as floats for a probe, (n_rows, n_features), NaN where missing.

        Text becomes an indicator of each value. Where floats don't tell values apart, a further
        column does: the low bits of whole numbers, or what a float leaves of a number.
        """
        values = self.values
        if values.dtype.kind == "f":
            if values.dtype != np.longdouble:
                return values.astype(np.float64)[:, None]
            high = values.astype(np.float64)
            rest = np.where(np.isfinite(high), values - high, 0).astype(np.float64)
            return np.column_stack([high, rest] if rest.any() else [high])
        if values.dtype.kind in "biu":
            return _with_low_bits(values.astype(np.float64), values, 2**53)
        if values.dtype.kind in "mM":
            return _days(values)
        objects = values.astype(object)
        if self.is_category:
            objects[pd.isna(objects)] = None
            read = objects
        else:
            read = read_objects(objects)[0]
        floats = _indicators(pd.Series(read)) if read.dtype == object else read[:, None]
        return _told_apart(floats, objects)


def _indicators(values: pd.Series) -> np.ndarray:
    """Return an indicator column for each value, and one for what is missing."""
    if values.isna().all():
        return np.ones((len(values), 1))
    try:
        return pd.get_dummies(values, dummy_na=True).to_numpy(np.float64)
    except ValueError:  # pandas 2 sorts periods of unlike lengths, which have no order
        text = values.map(repr, na_action="ignore")
        return pd.get_dummies(text, dummy_na=True).to_numpy(np.float64)


@dataclass(frozen=True)
class Representation:
    """Z, read: what probes learn from, and the values that a program can tell apart.

    `matrix` (n_rows, n_features) has the float precision of Z. A missing number is its column's
    median there, and a column more says where.
    """

    matrix: np.ndarray
    columns: tuple[Column, ...]
    argument: str = "Z"

    def __len__(self) -> int:
        return len(self.matrix)

    def rows(self, chosen: np.ndarray) -> Representation:
        """Return some of the rows."""
        columns = (Column(c.name, c.values[chosen], c.is_category) for c in self.columns)
        return Representation(self.matrix[chosen], tuple(columns), self.argument)

    def rounded(self) -> Representation:
        """Return Z with six digits, of those of its column's largest value."""
        size = np.abs(self.matrix).max(axis=0).astype(np.float64)
        unit = 10.0 ** (np.floor(np.log10(np.where(size > 0, size, 1.0))) - 5)
        matrix = (np.rint(self.matrix / unit) * unit).astype(self.matrix.dtype)
        columns = (Column(str(j), values) for j, values in enumerate(matrix.T))
        return Representation(matrix, tuple(columns), self.argument)

    @cached_property
    def codes(self) -> np.ndarray:
        """The code of each row's value, (n_rows,): the same where all columns are, exactly."""
        return _codes_of_bytes([column.keys() for column in self.columns])

    def column_codes(self) -> list[np.ndarray]:
        """Return the code of each row's value in each column, (n_rows,)."""
        return [_codes_of_bytes([column.keys()]) for column in self.columns]


def read_representation(
    Z: TableLike, *, argument: str = "Z", allow_missing: bool = True
) -> Representation:
    """Return Z as numbers and exact values; one dimension is taken as one column."""
    if isinstance(Z, Representation):
        return Z
    table = _table(Z, argument)
    columns = list(_columns(table))
    if isinstance(table, np.ndarray) and table.dtype in (bool, np.float16, np.float32, np.float64):
        # The digits of a probe are those of the precision that Z has.
        small = table.dtype in (np.float16, np.float32)
        matrix = np.ascontiguousarray(table, dtype=np.float32 if small else np.float64)
    else:
        n_rows = len(columns[0].values) if columns else 0
        matrix = np.hstack([np.empty((n_rows, 0)), *_all_numbers(columns, argument)])
    if not matrix.size:
        raise ValueError(f"{argument} has shape {matrix.shape}; give at least one row and column.")
    infinite = np.isinf(matrix).any(axis=1)
    if infinite.any():
        raise ValueError(
            f"{argument} has an infinite value in {int(infinite.sum())} rows; clip these values "
            "or drop the rows."
        )
    missing = int(np.isnan(matrix).any(axis=1).sum())
    if missing and not allow_missing:
        raise ValueError(
            f"{argument} has a missing value in {missing} rows; fill these values in or drop the "
            "rows."
        )
    return Representation(_with_indicators(matrix), tuple(columns), argument)


def _all_numbers(columns: list[Column], argument: str) -> list[np.ndarray]:
    """Return the floats of each column; all columns at fault are named at once."""
    numbers, faults = [], {}
    for column in columns:
        try:
            numbers.append(column.numbers())
        except ValueError as error:
            faults[column.name] = str(error)
    raise_faults(faults, argument)
    return numbers


def _table(Z: Any, argument: str) -> np.ndarray | pd.DataFrame:
    """Return Z as a table, without a conversion that could make two values one."""
    if isinstance(Z, np.ma.MaskedArray) and np.ma.getmaskarray(Z).any():
        mask = np.ma.getmaskarray(Z)
        Z = np.asarray(Z.data).astype(object)
        Z[mask] = None
    table = to_pandas(Z, argument=argument)
    table = table.toarray() if issparse(table) else table
    if isinstance(table, pd.DataFrame | pd.Series):
        return pd.DataFrame(table)
    # A list may hold what is of several types, of which numpy would make one.
    array = np.asarray(table if hasattr(table, "dtype") else np.array(table, dtype=object))
    if array.ndim > 2:
        raise ValueError(f"{argument} has {array.ndim} dimensions; reshape it to rows by columns.")
    return array if array.ndim == 2 else array.reshape(-1, 1)


def _columns(table: np.ndarray | pd.DataFrame) -> Iterator[Column]:
    if isinstance(table, np.ndarray):
        yield from (_of_array(str(j), values) for j, values in enumerate(table.T))
    else:
        names = map(str, table.columns)
        yield from (_of_pandas(name, table.iloc[:, j]) for j, name in enumerate(names))


def _of_array(name: str, values: np.ndarray) -> Column:
    """Return a column of an array; objects of one type of numbers are an array of that type."""
    if values.dtype != object or not len(values):
        return Column(name, values)
    kind, *others = {type(value) for value in values}
    if not others and (kind in (bool, int, float) or issubclass(kind, np.number | np.bool_)):
        numbers = np.array(list(values))
        if kind is not int or numbers.dtype == np.int64:  # larger ones would become floats
            return Column(name, numbers)
    return Column(name, values)


def _of_pandas(name: str, column: pd.Series) -> Column:
    if isinstance(column.dtype, pd.ArrowDtype):
        arrow = import_module("pyarrow")  # it is there, since the column is Arrow's
        column = to_pandas(arrow.chunked_array([arrow.array(column.array)]))
    if isinstance(column.dtype, pd.CategoricalDtype):
        return Column(name, category_names(column), True)
    if isinstance(column.dtype, np.dtype | pd.SparseDtype):
        return _of_array(name, np.asarray(column))
    return _of_array(name, column.astype(object).to_numpy(dtype=object))


def _object_codes(values: np.ndarray) -> tuple[np.ndarray, list[Any]]:
    """Return the code of each value's key, int64 of shape (n_rows,), and a value of each code."""
    code_of: dict[Hashable, int] = {}
    distinct: list[Any] = []
    codes = np.empty(len(values), dtype=np.int64)
    for i, value in enumerate(values):
        key = _key(value)
        code = code_of.setdefault(key, len(code_of))
        if code == len(distinct):
            distinct.append(value)
        codes[i] = code
    return codes, distinct


def _key(value: object) -> Hashable:
    """Return what equals another value's only where they are of one type and the same in all."""
    kind = type(value)
    if kind in _KEYS:
        return kind, _KEYS[kind](value)
    if isinstance(value, Enum):
        return kind, value.name
    if isinstance(value, np.generic) and value.dtype.kind in "biufmMSU":
        return kind, value.dtype.str, value.tobytes()
    raise ValueError(f"has dtype {kind.__name__}, whose values can't be told apart exactly")


def _clock(value: datetime.datetime | datetime.time) -> tuple[Hashable, ...]:
    return value.isoformat(), value.fold, repr(value.tzinfo)


_KEYS: dict[type, Callable[[Any], Hashable]] = {
    type(None): lambda value: None,
    type(pd.NA): lambda value: None,
    type(pd.NaT): lambda value: None,
    bool: bool,
    int: int,
    str: str,
    bytes: bytes,
    float: struct.Struct("d").pack,  # 0.0 and -0.0 differ, and NaN equals itself
    Decimal: lambda value: tuple(value.as_tuple()),  # 1.0 and 1.00 differ
    Fraction: lambda value: value.as_integer_ratio(),
    uuid.UUID: lambda value: (value.int, value.is_safe),
    datetime.date: datetime.date.toordinal,
    datetime.datetime: _clock,
    datetime.time: _clock,
    datetime.timedelta: lambda value: (value.days, value.seconds, value.microseconds),
    pd.Timestamp: lambda value: (*_clock(value), value.unit),
    pd.Timedelta: lambda value: (value.asm8.tobytes(), value.unit),
    pd.Period: lambda value: (value.ordinal, value.freqstr),
    pd.Interval: lambda value: (_key(value.left), _key(value.right), value.closed),
    tuple: lambda value: tuple(_key(part) for part in value),
}
# Types that Python compares with one another exactly.
_ORDERED = (
    {bool, int, float, Fraction},
    {bool, int, float, Decimal},
    {datetime.date},
    {datetime.timedelta},
    {pd.Timestamp},
    {pd.Timedelta},
)


def _codes_of_bytes(keys: list[np.ndarray]) -> np.ndarray:
    """Return the place of each row's bytes in their order, (n_rows,); `keys` are of columns."""
    codes: np.ndarray | None = None
    for key in keys:
        width = key.shape[1]
        # The order of bytes is that of a whole number whose first byte is the highest.
        kind = f">u{width}" if width in (1, 2, 4, 8) else np.dtype((np.void, width))
        of_column = _places(np.ascontiguousarray(key).view(kind).ravel())
        joint = of_column if codes is None else codes * (of_column.max(initial=0) + 1) + of_column
        codes = of_column if codes is None else _places(joint)
    return np.zeros(0, dtype=np.int64) if codes is None else codes


def _places(values: np.ndarray) -> np.ndarray:
    """Return the place of each value in their order, (n_rows,) int64; equal ones share one."""
    if values.dtype.kind == "u":
        values = values.astype(values.dtype.newbyteorder("="))
    if values.dtype.kind != "V":  # a hash table is quicker than to sort all rows
        codes, distinct = pd.factorize(values)
        order = np.argsort(distinct)
        place = np.empty(len(order), dtype=np.int64)
        place[order] = np.arange(len(order))
        return place[codes]
    return np.unique(values, return_inverse=True)[1].reshape(-1).astype(np.int64)


def _with_low_bits(floats: np.ndarray, whole: np.ndarray, largest: int) -> np.ndarray:
    if not (np.abs(floats) > largest).any():
        return floats[:, None]
    return np.column_stack([floats, (whole % LOW_BITS).astype(np.float64)])


def _days(times: np.ndarray) -> np.ndarray:
    """Return days since 1970, or of a duration; beside them the last ticks, where floats fail."""
    unit, count = np.datetime_data(times.dtype)
    if unit in ("Y", "M", "W"):
        if times.dtype.kind == "M":
            return _days(times.astype("datetime64[D]"))
        unit, count = "D", 1  # a year has no fixed length: its number serves as well
    ticks = times.astype(np.int64)
    days = np.where(np.isnat(times), np.nan, ticks * (count / TICKS_OF_A_DAY.get(unit, 1.0)))
    known = np.where(np.isnat(times), 0, ticks)
    scaled = _with_low_bits(known.astype(np.float64), known, EXACT_IN_DAYS)
    return np.column_stack([days, scaled[:, 1:]])


def _told_apart(floats: np.ndarray, objects: np.ndarray) -> np.ndarray:
    """Return floats of objects with columns more where they don't tell the objects apart.

    First comes what the float leaves of an exact number; then the place of a value among those
    that are still read alike, by the names of their types.
    """
    codes, distinct = _object_codes(objects)
    read = floats[np.unique(codes, return_index=True)[1]]
    if len(np.unique(read, axis=0)) == len(distinct):
        return floats
    if read.shape[1] == 1:
        rest = [_rest(value, read[k, 0]) for k, value in enumerate(distinct)]
        read = np.column_stack([read, rest])
    alike = np.unique(read, axis=0, return_inverse=True)[1].reshape(-1)
    by_type = sorted(range(len(distinct)), key=lambda k: type(distinct[k]).__name__)
    place = pd.Series(alike[by_type]).groupby(alike[by_type]).cumcount().to_numpy()
    more = np.column_stack([read[:, floats.shape[1] :], place[np.argsort(by_type)]])
    return np.column_stack([floats, more[:, more.any(axis=0)][codes]])


def _rest(value: object, read: float) -> float:
    if not isinstance(value, int | Decimal | Fraction) or not np.isfinite(read):
        return 0.0
    whole = isinstance(value, int) and abs(value) > 2**53
    return float(value % LOW_BITS if whole else Fraction(value) - Fraction(read))


def _with_indicators(matrix: np.ndarray) -> np.ndarray:
    """Return the matrix with missing values as their column's median and an indicator column."""
    missing = np.isnan(matrix)
    somewhere = missing.any(axis=0)
    if not somewhere.any():
        return matrix
    nothing = missing.all(axis=0)
    known = np.where(nothing, matrix.dtype.type(0), matrix)
    filled = np.where(missing, np.nanmedian(known, axis=0), matrix)
    return np.hstack([filled, missing[:, somewhere]]).astype(matrix.dtype)
