"""Labels and categories of any type <-> plain data, so that a saved model holds nothing else."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable
from decimal import Decimal
from enum import Enum, EnumMeta
from fractions import Fraction
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd

_TYPE, _PARTS = "fairmi type", "parts"  # keys of a dict, which no label is: it has no hash


def to_plain(value: Any) -> Any:
    """Return a value with plain data in place of what is none, in dicts and sequences too."""
    if isinstance(value, dict):
        return {key: to_plain(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(to_plain(inner) for inner in value)
    if type(value) is np.ndarray and value.dtype == object:
        return _array_of([to_plain(inner) for inner in value.ravel()], value.shape)
    if isinstance(value, Enum):
        kind = type(value)
        return {_TYPE: "Enum", _PARTS: [kind.__module__, kind.__qualname__, value.name]}
    for kind, (parts_of, _) in _TYPES.items():
        if type(value) is kind:
            return {_TYPE: kind.__name__, _PARTS: to_plain(parts_of(value))}
    return value


def from_plain(value: Any) -> Any:
    """Return what `to_plain` was given."""
    if isinstance(value, dict):
        if value.keys() == {_TYPE, _PARTS}:
            return _rebuilt(value[_TYPE], from_plain(value[_PARTS]))
        return {key: from_plain(inner) for key, inner in value.items()}
    if type(value) in (list, tuple):
        return type(value)(from_plain(inner) for inner in value)
    if type(value) is np.ndarray and value.dtype == object:
        return _array_of([from_plain(inner) for inner in value.ravel()], value.shape)
    return value


def _array_of(values: list[Any], shape: tuple[int, ...]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array.reshape(shape)


def _stamp_parts(stamp: pd.Timestamp) -> list[Any]:
    zone = None if stamp.tz is None else str(stamp.tz)
    return [stamp.isoformat(), stamp.unit, zone]


def _stamp(text: str, unit: str, zone: str | None) -> pd.Timestamp:
    stamp = pd.Timestamp(text).as_unit(unit)
    return stamp if zone is None else stamp.tz_convert(zone)


_TYPES: dict[type, tuple[Callable[[Any], list[Any]], Callable[..., Any]]] = {
    pd.Interval: (lambda v: [v.left, v.right, v.closed], pd.Interval),
    pd.Timestamp: (_stamp_parts, _stamp),
    pd.Timedelta: (
        lambda v: [v.value, v.unit],
        lambda n, unit: pd.Timedelta(n, unit="ns").as_unit(unit),
    ),
    pd.Period: (lambda v: [v.ordinal, v.freqstr], lambda n, f: pd.Period(ordinal=n, freq=f)),
    datetime.datetime: (lambda v: [v.isoformat()], datetime.datetime.fromisoformat),
    datetime.date: (lambda v: [v.isoformat()], datetime.date.fromisoformat),
    datetime.time: (lambda v: [v.isoformat()], datetime.time.fromisoformat),
    datetime.timedelta: (lambda v: [v.days, v.seconds, v.microseconds], datetime.timedelta),
    UUID: (lambda v: [str(v)], UUID),
    Decimal: (lambda v: [str(v)], Decimal),
    Fraction: (lambda v: [v.numerator, v.denominator], Fraction),
}


def _rebuilt(name: str, parts: list[Any]) -> Any:
    """Return a value of its parts; nothing is imported, so that no file can have code run."""
    for known, (_, rebuild) in _TYPES.items():
        if known.__name__ == name:
            return rebuild(*parts)
    if name != "Enum":
        raise ValueError(f"The saved model is damaged: it holds a value of the type {name!r}.")
    module, qualified, member = parts
    kind: Any = sys.modules.get(module)
    for part in qualified.split("."):
        kind = getattr(kind, part, None)
    if not isinstance(kind, EnumMeta) or member not in kind.__members__:
        raise ValueError(
            f"The saved model has the group or category {qualified}.{member}, an Enum of the "
            f"module {module}; import it before you load the model."
        )
    return kind[member]
