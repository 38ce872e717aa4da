"""sensitive_features -> what a probe learns to predict: group codes, or continuous values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from fairmi._data.groups import group_rows, sensitive_frame
from fairmi._data.kinds import column_kinds, quantities
from fairmi.exceptions import SensitiveFeaturesError

Kind = Literal["categorical", "continuous"]


@dataclass(frozen=True)
class Target:
    """What a probe predicts; `values` are codes into `labels`, or floats where continuous."""

    kind: Kind
    values: np.ndarray
    labels: tuple[Any, ...]

    @property
    def continuous(self) -> bool:
        """Whether probes are regressors."""
        return self.kind == "continuous"

    @property
    def columns(self) -> np.ndarray:
        """Values as (n_rows, n_outputs): the number, the second of two groups, or one-hot."""
        if self.continuous:
            return self.values[:, None]
        if len(self.labels) == 2:
            return self.values[:, None].astype(np.float64)
        return np.eye(len(self.labels))[self.values]

    def standardised(self) -> Target:
        """Return the same target, continuous values at mean 0 and standard deviation 1."""
        if not self.continuous:
            return self
        centred = self.values - self.values.mean()
        return Target(self.kind, centred / centred.std(), self.labels)

    def rows(self, chosen: np.ndarray) -> Target:
        """Return the target on some rows; groups that are absent from them are left out."""
        if self.continuous:
            return Target(self.kind, self.values[chosen], ())
        present, codes = np.unique(self.values[chosen], return_inverse=True)
        return Target(self.kind, codes.reshape(-1), tuple(self.labels[k] for k in present))


def as_target(
    sensitive_features: Any,
    n_rows: int,
    *,
    kind: str = "auto",
    argument: str = "sensitive_features",
) -> Target:
    """Return `sensitive_features` as a target; "auto" tells the kind by `column_kinds`.

    Raises
    ------
    SensitiveFeaturesError
        If a value is missing, the length differs from `n_rows`, there is nothing to tell apart,
        or continuous values come in several columns.
    """
    frame = sensitive_frame(sensitive_features, argument=argument)
    if kind == "categorical" or (kind == "auto" and not column_kinds(frame).any()):
        groups = group_rows(frame, n_rows=n_rows, argument=argument)
        return Target("categorical", groups.codes, groups.labels)
    if frame.shape[1] != 1:
        raise SensitiveFeaturesError(
            f"{argument} has {frame.shape[1]} columns, one of which is continuous; give this "
            'column alone, or kind="categorical" to make a group of each combination of values.'
        )
    values = quantities(frame, argument=argument)[:, 0]
    if len(values) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(values)} rows, but Z has {n_rows}; give one for each row of Z."
        )
    if n_rows and values.min() == values.max():
        raise SensitiveFeaturesError(
            f"{argument} has the single value {values.tolist()[0]!r}; at least two are needed."
        )
    return Target("continuous", values, ())
