"""Z and C in any form -> what critics are trained on: features, or codes of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from fairmi._data.groups import codes_among, column_kinds, group_rows, quantities, sensitive_frame
from fairmi.dependence._features import NormalScores, features
from fairmi.exceptions import SensitiveFeaturesError


@dataclass(frozen=True)
class Observations:
    """Z (n, D) and codes of groups (n,), or values (n, Q) of C, as a critic reads them."""

    z: np.ndarray
    groups: np.ndarray | None
    values: np.ndarray | None


class Reader:
    """How Z and C were read at fit, to read later rows alike.

    `plain_c` asks for normal scores alone of continuous C, else features.
    """

    def __init__(self, Z: Any, C: Any, *, plain_c: bool) -> None:
        self.plain_c = plain_c
        matrix = matrix_of(Z)
        frame = _frame(C, len(matrix))
        self.n_columns = frame.shape[1]
        self.continuous = column_kinds(frame)
        self.labels: tuple[Any, ...] = ()
        if not self.continuous.all():
            at_least = 1 if self.continuous.any() else 2
            groups = group_rows(frame.loc[:, ~self.continuous], argument="C", at_least=at_least)
            self.labels = groups.labels
        self.of_z = NormalScores(matrix)
        self.of_c = NormalScores(quantities(frame.loc[:, self.continuous], argument="C"))

    @property
    def n_groups(self) -> int:
        """Groups, or 0 where the critic reads values."""
        return 0 if self.continuous.any() else len(self.labels)

    def read(self, Z: Any, C: Any) -> Observations:
        """Return rows as the critic reads them; groups must be among those of fit."""
        matrix = matrix_of(Z)
        if matrix.shape[1] != len(self.of_z.tables):
            raise ValueError(
                f"Z has {matrix.shape[1]} columns, but had {len(self.of_z.tables)} in fit; give "
                "the same columns."
            )
        frame = _frame(C, len(matrix))
        if frame.shape[1] != self.n_columns:
            raise SensitiveFeaturesError(
                f"C has {frame.shape[1]} columns, but had {self.n_columns} in fit; give the same "
                "columns."
            )
        z = features(self.of_z.transform(matrix))
        codes = None
        if self.labels:
            codes = codes_among(frame.loc[:, ~self.continuous], self.labels, argument="C")
        if not self.continuous.any():
            return Observations(z, codes, None)
        values = self.of_c.transform(quantities(frame.loc[:, self.continuous], argument="C"))
        values = values if self.plain_c else features(values)
        if codes is not None:
            values = np.hstack([values, np.eye(len(self.labels), dtype=np.float32)[codes]])
        return Observations(z, None, values)


def matrix_of(Z: Any) -> np.ndarray:
    """Return Z as a float64 matrix; one dimension is one column."""
    if getattr(Z, "ndim", None) == 1 or (isinstance(Z, list) and Z and np.ndim(Z[0]) == 0):
        Z = np.asarray(Z)[:, None]
    return check_array(Z, dtype=np.float64, input_name="Z", ensure_min_samples=2)


def _frame(C: Any, n_rows: int) -> Any:
    frame = sensitive_frame(C, argument="C")
    if len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"C has {len(frame)} rows, but Z has {n_rows}; give one row for each row of Z."
        )
    if not frame.shape[1]:
        raise SensitiveFeaturesError("C has no column; give at least one.")
    missing = frame.isna().to_numpy().any(axis=1)
    if missing.any():
        raise SensitiveFeaturesError(
            f"C has a missing value (NaN or None) in {int(missing.sum())} rows; drop these rows."
        )
    return frame
