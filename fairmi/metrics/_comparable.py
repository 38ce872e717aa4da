"""Groups that can be compared: a continuous sensitive feature is refused, not taken row by row."""

from __future__ import annotations

from typing import Any

from fairmi._data.groups import Groups, group_rows
from fairmi.exceptions import SensitiveFeaturesError


def comparable_groups(sensitive_features: Any, n_rows: int) -> Groups:
    """Return the groups of the rows, of two rows each on average at the least.

    Raises
    ------
    SensitiveFeaturesError
        If `group_rows` raises it, or there are more groups than half the rows.
    """
    groups = group_rows(sensitive_features, n_rows=n_rows)
    if 2 * len(groups) > n_rows > 4:
        raise SensitiveFeaturesError(
            f"sensitive_features has {len(groups)} distinct values in {n_rows} rows, too many "
            "groups to compare; cut a continuous one into bins first, as pandas.qcut does."
        )
    return groups
