"""Sensitive features as a frame -> what the penalty reads: codes of groups, or values."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairmi._errors import SensitiveFeaturesError
from fairmi._groups import Groups, group_rows, is_continuous

_MISSING = "missing"


@dataclass(frozen=True)
class SensitiveRows:
    """Codes (n,) into `labels`, or continuous values (n, Q); `known` (n,) where one is there.

    Where categorical and continuous features are mixed all are values, each group of the
    categorical ones an indicator column. Rows that are not known hold zeros.
    """

    groups: np.ndarray | None
    labels: tuple[Any, ...]
    values: np.ndarray | None
    known: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """All that tells rows apart, (n, n_columns) float64."""
        content = self.values if self.groups is None else self.groups[:, None]
        return np.column_stack([content, self.known]).astype(np.float64)


def sensitive_rows(
    frame: pd.DataFrame, *, n_rows: int, missing: str, argument: str
) -> SensitiveRows:
    """Return the sensitive features as codes or values.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_sensitive)
    n_rows : int
        Rows of X.
    missing : {"error", "category", "mask"}
        A missing value is an error, a group of its own, or hides its row from the penalty.
    argument : str
        What an error names.

    Raises
    ------
    SensitiveFeaturesError
        If a feature is missing where it must not be, is infinite, or has one value or a group of
        one row.
    """
    if len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(frame)} rows, but X has {n_rows}; "
            "give one row for each row of X."
        )
    continuous = np.array([is_continuous(frame.iloc[:, j]) for j in range(frame.shape[1])])
    if missing == "category":
        frame = _with_missing_as_category(frame, continuous)
    known = ~frame.isna().to_numpy().any(axis=1)
    if missing != "mask" and not known.all():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {int((~known).sum())} rows; drop "
            'these rows, or set missing_sensitive to "mask" (they train the task alone) or, for '
            'groups, to "category".'
        )
    present = frame[known]
    if not continuous.any():
        groups = _checked_groups(present, argument)
        codes = np.zeros(n_rows, dtype=np.int64)
        codes[known] = groups.codes
        return SensitiveRows(codes, groups.labels, None, known)
    part = _quantities(present.loc[:, continuous], argument)
    if not continuous.all():
        groups = _checked_groups(present.loc[:, ~continuous], argument)
        part = np.hstack([part, np.eye(len(groups))[groups.codes]])
    values = np.zeros((n_rows, part.shape[1]))
    values[known] = part
    return SensitiveRows(None, (), values, known)


def _with_missing_as_category(frame: pd.DataFrame, continuous: np.ndarray) -> pd.DataFrame:
    frame = frame.copy()
    for name in frame.columns[~continuous]:
        column = frame[name].astype(object)
        frame[name] = column.where(column.notna(), _MISSING)
    return frame


def _quantities(frame: pd.DataFrame, argument: str) -> np.ndarray:
    values = frame.to_numpy(dtype=np.float64)
    infinite = ~np.isfinite(values).all(axis=1)
    if infinite.any():
        raise SensitiveFeaturesError(
            f"{argument} has an infinite value in {int(infinite.sum())} rows; drop these rows."
        )
    return values


def _checked_groups(frame: pd.DataFrame, argument: str) -> Groups:
    groups = group_rows(frame, argument=argument)
    small = [groups.labels[k] for k in np.flatnonzero(groups.counts < 2)]
    if small:
        raise SensitiveFeaturesError(
            f"{argument} has groups with fewer than two rows: "
            f"{', '.join(map(repr, small[:5]))}{', ...' if len(small) > 5 else ''}; merge them "
            "with others, or drop these rows."
        )
    return groups
