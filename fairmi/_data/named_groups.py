"""`sensitive_values` as a user gives them -> the groups of each attribute, before any row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairmi.exceptions import SensitiveFeaturesError


def named_groups(values: Any, names: list[Any], *, separate: bool) -> dict[Any, tuple[Any, ...]]:
    """Return the groups that a user named, by column where `separate`, else of key None."""
    if values is None:
        return {}
    if isinstance(values, Mapping) != separate:
        wanted = "a dict, a list of groups for each column" if separate else "a list of groups"
        raise SensitiveFeaturesError(f"sensitive_values={values!r} must be {wanted}.")
    lists = dict(values) if separate else {None: values}
    odd = [name for name in lists if name is not None and name not in names]
    if odd:
        raise SensitiveFeaturesError(
            f"sensitive_values names {odd[0]!r}, which is not among the sensitive features; "
            f"these are {', '.join(map(repr, names))}."
        )
    return {name: _sorted_groups(groups) for name, groups in lists.items()}


def _sorted_groups(values: Any) -> tuple[Any, ...]:
    is_list = hasattr(values, "__iter__") and not isinstance(values, str | bytes)
    labels = [v.item() if isinstance(v, np.generic) else v for v in values] if is_list else []
    if len(set(labels)) < 2:
        raise SensitiveFeaturesError(
            f"sensitive_values={values!r} must hold two groups at least, as in ['f', 'm']."
        )
    try:
        return tuple(sorted(set(labels)))
    except TypeError:
        return tuple(sorted(set(labels), key=str))
