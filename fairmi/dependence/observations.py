"""Z and C in any form -> what critics read: features of their ranks, or codes of groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import ndtri
from sklearn.utils.validation import check_array

from fairmi._data.groups import column_kinds, group_rows, sensitive_frame
from fairmi._data.sensitive import AttributePlan
from fairmi._typing import SensitiveLike, TableLike
from fairmi.exceptions import SensitiveFeaturesError

_N_RAMPS = 8
_END = 3.0
_KNOTS = np.concatenate([[-_END], ndtri(np.arange(1, _N_RAMPS) / _N_RAMPS), [_END]])


class NormalScores:
    """Columns made standard normal by their ranks, which leaves the information as it is."""

    def __init__(self, matrix: np.ndarray) -> None:
        self.tables = [_table(column) for column in matrix.T]

    def transform(self, matrix: np.ndarray) -> np.ndarray:
        """Return the scores of rows; those between two rows of fit lie between their scores."""
        scores = np.empty(matrix.shape, dtype=np.float32)
        for j, table in enumerate(self.tables):
            scores[:, j] = np.interp(matrix[:, j], *table)
        return scores


def features(scores: np.ndarray) -> np.ndarray:
    """Return normal scores (n, D), their squares, and a ramp between each two knots, float32.

    Squares make the log density ratio of normals, and of what has a common scale, a linear one;
    ramps let a smooth network see edges.
    """
    squares = (scores**2 - 1) / 1.5
    ramps = np.clip((scores[..., None] - _KNOTS[:-1]) / np.diff(_KNOTS), 0, 1) - 0.5
    parts = [scores, squares, ramps.reshape(len(scores), scores.shape[1] * _N_RAMPS)]
    return np.hstack(parts).astype(np.float32)


def _table(column: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    values, counts = np.unique(column, return_counts=True)
    ranks = np.cumsum(counts) - counts / 2
    scores = ndtri(ranks / len(column))
    spread = np.sqrt(np.average(scores**2, weights=counts))
    return values, scores / (spread or 1.0)


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

    def __init__(self, Z: TableLike, C: SensitiveLike, *, plain_c: bool) -> None:
        self.plain_c = plain_c
        matrix = matrix_of(Z)
        frame = _frame(C, len(matrix))
        self.n_columns = frame.shape[1]
        continuous = column_kinds(frame, argument="C")
        labels: tuple[Any, ...] = ()
        if not continuous.all():
            at_least = 1 if continuous.any() else 2
            labels = group_rows(frame.loc[:, ~continuous], argument="C", at_least=at_least).labels
        self.columns = AttributePlan(continuous, labels)
        _, values = self.columns.read(frame, argument="C")
        self.of_z = NormalScores(matrix)
        self.of_c = None if values is None else NormalScores(values)

    @property
    def n_groups(self) -> int:
        """Groups, or 0 where the critic reads values."""
        return self.columns.n_groups

    def read(self, Z: TableLike, C: SensitiveLike) -> Observations:
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


def matrix_of(Z: TableLike) -> np.ndarray:
    """Return Z as a float64 matrix; one dimension is one column."""
    if getattr(Z, "ndim", None) == 1 or (isinstance(Z, list) and Z and np.ndim(Z[0]) == 0):
        Z = np.asarray(Z)[:, None]
    return check_array(Z, dtype=np.float64, input_name="Z", ensure_min_samples=2)


def _frame(C: SensitiveLike, n_rows: int) -> Any:
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
