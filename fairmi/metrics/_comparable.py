"""Groups that can be compared: a continuous sensitive feature is refused, not taken row by row."""

from __future__ import annotations

from typing import Any

import numpy as np

from fairmi._data.groups import Groups, group_rows, sensitive_frame
from fairmi._data.kinds import column_kinds
from fairmi.exceptions import SensitiveFeaturesError


def comparable_groups(sensitive_features: Any, n_rows: int) -> Groups:
    """Return the groups of the rows, of two rows each on average at the least.

    Raises
    ------
    SensitiveFeaturesError
        If `group_rows` raises it, a column is continuous by the rule of `fit`, or there are more
        groups than half the rows.
    """
    frame = sensitive_frame(sensitive_features)
    if len(frame) == n_rows:
        for j in np.flatnonzero(column_kinds(frame)):
            column = frame.iloc[:, j]
            raise SensitiveFeaturesError(
                f"sensitive_features: {column.name!r} has {column.nunique()} distinct values in "
                f"{n_rows} rows, a quantity by the rule of fit; cut a continuous one into bins, "
                "as pandas.qcut does, or give codes of groups as text: .astype(str)."
            )
    groups = group_rows(sensitive_features, n_rows=n_rows)
    if 2 * len(groups) > n_rows > 4:
        raise SensitiveFeaturesError(
            f"sensitive_features has {len(groups)} distinct values in {n_rows} rows, too many "
            "groups to compare; cut a continuous one into bins first, as pandas.qcut does."
        )
    return groups
