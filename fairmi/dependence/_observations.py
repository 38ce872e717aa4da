"""Z and C in any form -> what critics are trained on: features, or codes of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.utils.validation import check_array

from fairmi._data.groups import sensitive_frame
from fairmi._data.kinds import mixed_columns
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
        self.columns = mixed_columns(frame, argument="C")
        _, values = self.columns.read(frame, argument="C")
        self.of_z = NormalScores(matrix)
        self.of_c = None if values is None else NormalScores(values)

    @property
    def n_groups(self) -> int:
        """Groups, or 0 where the critic reads values."""
        return self.columns.n_groups

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
        codes, values = self.columns.read(frame, argument="C")
        if values is None or self.of_c is None:
            return Observations(z, codes, None)
        scores = self.of_c.transform(values)
        scores = scores if self.plain_c else features(scores)
        return Observations(z, None, self.columns.joined(scores, codes))


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
