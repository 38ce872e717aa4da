"""`sensitive_values` as a user gives them -> the groups of each attribute, before any row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fairmi.exceptions import SensitiveFeaturesError


def named_groups(values: Any, names: list[Any], *, separate: bool) -> dict[Any, tuple[Any, ...]]:
    """Return the groups that a user named, by column where `separate`, else of key None."""
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


def check_same_groups(values: Any, known: Mapping[Any, tuple[Any, ...]]) -> None:
    """Raise SensitiveFeaturesError where a user names other groups than a stream began with.

    `known` are these: by column, or of key None where all columns are one attribute.
    """
    named = named_groups(values, [n for n in known if n is not None], separate=None not in known)
    for name, groups in named.items():
        if groups != known[name]:
            raise SensitiveFeaturesError(
                f"sensitive_values={values!r} are not the groups of the first call to "
                f"partial_fit, {list(known[name])!r}; leave them out."
            )


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
