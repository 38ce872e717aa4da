"""Sensitive features as a frame -> what the penalty reads: codes of groups, or values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fairmi._errors import SensitiveFeaturesError
from fairmi._groups import Groups, group_rows, is_continuous

_MISSING = "missing"


@dataclass(frozen=True)
class SensitiveRows:
    """Codes of groups (n,), or values (n, Q); `known` (n,) where one is there, else zeros."""

    groups: np.ndarray | None
    values: np.ndarray | None
    known: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """All that tells rows apart, (n, n_columns) float64."""
        parts = [part for part in (self.groups, self.values, self.known) if part is not None]
        return np.column_stack(parts).astype(np.float64)

    def take(self, index: np.ndarray) -> SensitiveRows:
        """Return the rows of `index`."""
        groups = None if self.groups is None else self.groups[index]
        values = None if self.values is None else self.values[index]
        return SensitiveRows(groups, values, self.known[index])


@dataclass(frozen=True)
class SensitivePlan:
    """How sensitive features were read at fit, to read later rows alike.

    `labels` are the groups of the categorical features; `mean` and `spread` standardise the
    continuous ones. Where both kinds are there, all are values: each group is an indicator.
    """

    continuous: np.ndarray
    labels: tuple[Any, ...]
    mean: np.ndarray
    spread: np.ndarray
    missing: str

    @property
    def n_groups(self) -> int | None:
        """Groups G, or None where the penalty reads values."""
        return None if self.continuous.any() else len(self.labels)

    def rows(self, frame: pd.DataFrame, *, n_rows: int, argument: str) -> SensitiveRows:
        """Return the rows of `frame`, whose groups must all be among those of fit."""
        _check_shape(frame, len(self.continuous), n_rows, argument)
        frame = _filled(frame, self.continuous, self.missing)
        known = _known(frame, self.missing, argument)
        present = frame[known]
        codes = np.zeros(n_rows, dtype=np.int64)
        if self.labels:
            codes[known] = self._codes(present.loc[:, ~self.continuous], argument)
        if not self.continuous.any():
            return SensitiveRows(codes, None, known)
        part = _quantities(present.loc[:, self.continuous], argument)
        values = np.zeros((n_rows, part.shape[1]))
        values[known] = (part - self.mean) / self.spread
        if self.labels:
            values = np.hstack([values, np.eye(len(self.labels))[codes] * known[:, None]])
        return SensitiveRows(None, values, known)

    def _codes(self, frame: pd.DataFrame, argument: str) -> np.ndarray:
        if not len(frame):
            return np.zeros(0, dtype=np.int64)
        groups = group_rows(frame, argument=argument, at_least=1)
        place: Mapping[Any, int] = {label: k for k, label in enumerate(self.labels)}
        unseen = [label for label in groups.labels if label not in place]
        if unseen:
            raise SensitiveFeaturesError(
                f"{argument} has groups that the first fit did not see: "
                f"{', '.join(map(repr, unseen[:5]))}; known are {', '.join(map(repr, place))}."
            )
        return np.array([place[label] for label in groups.labels])[groups.codes]


def plan_sensitive(
    frame: pd.DataFrame, weights: np.ndarray, *, missing: str, argument: str
) -> SensitivePlan:
    """Learn how to read the sensitive features of a fit.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_sensitive)
    weights : ndarray of shape (n_rows,)
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
    _check_shape(frame, frame.shape[1], len(weights), argument)
    continuous = np.array([is_continuous(frame.iloc[:, j]) for j in range(frame.shape[1])])
    frame = _filled(frame, continuous, missing)
    known = _known(frame, missing, argument)
    present = frame[known]
    labels: tuple[Any, ...] = ()
    if not continuous.all():
        labels = _checked_groups(present.loc[:, ~continuous], argument).labels
    part = _quantities(present.loc[:, continuous], argument)
    mean = np.average(part, axis=0, weights=weights[known])
    spread = np.sqrt(np.average((part - mean) ** 2, axis=0, weights=weights[known]))
    # In float32, so that the order in which rows are summed leaves no trace.
    return SensitivePlan(continuous, labels, _single(mean), _single(spread), missing)


def _check_shape(frame: pd.DataFrame, n_columns: int, n_rows: int, argument: str) -> None:
    if len(frame) != n_rows:
        raise SensitiveFeaturesError(
            f"{argument} has {len(frame)} rows, but X has {n_rows}; "
            "give one row for each row of X."
        )
    if frame.shape[1] != n_columns or not n_columns:
        raise SensitiveFeaturesError(
            f"{argument} has {frame.shape[1]} columns, {n_columns or 'at least 1'} expected."
        )


def _filled(frame: pd.DataFrame, continuous: np.ndarray, missing: str) -> pd.DataFrame:
    if missing != "category":
        return frame
    frame = frame.copy()
    for name in frame.columns[~continuous]:
        column = frame[name].astype(object)
        frame[name] = column.where(column.notna(), _MISSING)
    return frame


def _known(frame: pd.DataFrame, missing: str, argument: str) -> np.ndarray:
    known = ~frame.isna().to_numpy().any(axis=1)
    if missing != "mask" and not known.all():
        raise SensitiveFeaturesError(
            f"{argument} has a missing value (NaN or None) in {int((~known).sum())} rows; drop "
            'these rows, or set missing_sensitive to "mask" (they train the task alone) or, for '
            'groups, to "category".'
        )
    return known


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


def _single(values: np.ndarray) -> np.ndarray:
    return values.astype(np.float32).astype(np.float64)
