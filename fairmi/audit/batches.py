"""A batch of predictions as a user gives it -> counts by sensitive feature and group."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
import pandas as pd

from fairmi._data.groups import group_rows, sensitive_frame
from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, SensitiveLike
from fairmi.audit.periods import MAX_GROUPS, N_CELLS, UNKNOWN, Counts, Time
from fairmi.exceptions import SensitiveFeaturesError


@dataclass(frozen=True)
class BatchReader:
    """What a monitor was told of its batches."""

    pos_label: bool | int | float | str
    intersections: bool

    def counts(
        self,
        y_pred: ColumnLike,
        sensitive_features: SensitiveLike,
        y_true: ColumnLike | None,
        known: Mapping[str, Collection[str]],
    ) -> Counts:
        """Count rows by feature, group, prediction and label; nothing where there are no rows.

        `known` has the groups of each feature so far.
        """
        check_indexes(y_pred=y_pred, sensitive_features=sensitive_features, y_true=y_true)
        frame = sensitive_frame(sensitive_features)
        predicted = positive_codes(y_pred, len(frame), "y_pred", self.pos_label)
        if (predicted == UNKNOWN).any():
            raise ValueError("y_pred has missing values; leave these rows out.")
        if y_true is None:
            true = np.full(len(frame), UNKNOWN)
        else:
            true = positive_codes(y_true, len(frame), "y_true", self.pos_label)
        columns = {str(name): frame.iloc[:, [j]] for j, name in enumerate(frame.columns)}
        if self.intersections and len(columns) > 1:
            columns[" & ".join(columns)] = frame
        if known:
            check_features(columns, known)
        if not len(frame):
            return {}
        cell = 3 * predicted + true
        return {
            name: _count_groups(name, part, cell, known.get(name, ()))
            for name, part in columns.items()
        }


def positive_codes(
    values: ColumnLike, n_rows: int, argument: str, pos_label: Hashable
) -> np.ndarray:
    """Return 1 for `pos_label`, 0 for another class and UNKNOWN for none, (n_rows,)."""
    frame = sensitive_frame(values, argument=argument)
    if frame.shape != (n_rows, 1):
        raise ValueError(
            f"{argument} has the shape {frame.shape}, and there are {n_rows} rows of groups; give "
            "one class for each."
        )
    column = frame.iloc[:, 0]
    missing = column.isna().to_numpy()
    classes = column[~missing].unique().tolist()
    is_text = any(isinstance(c, str) for c in classes)
    is_other_kind = bool(classes) and is_text != isinstance(pos_label, str)
    is_score = any(isinstance(c, float) and not c.is_integer() for c in classes)
    if is_score or is_other_kind or (len(classes) > 1 and pos_label not in classes):
        shown = ", ".join(map(repr, classes[:5]))
        raise ValueError(
            f"{argument} holds {shown}{', ...' if len(classes) > 5 else ''}, and "
            f"pos_label={pos_label!r}; give classes, not scores, and name the class "
            "whose rate matters as pos_label."
        )
    positive = (column == pos_label).fillna(False).to_numpy(dtype=bool)
    return np.where(missing, UNKNOWN, positive.astype(np.int64))


def check_features(names: Collection[str], known: Collection[str]) -> None:
    """Raise SensitiveFeaturesError where the features are others than those of earlier updates."""
    if sorted(names) != sorted(known):
        raise SensitiveFeaturesError(
            f"sensitive_features has {list(names)}, and earlier updates had {list(known)}; give "
            "the same columns, by the same names."
        )


def _count_groups(
    name: str, part: pd.DataFrame, cell: np.ndarray, known: Collection[str]
) -> dict[str, np.ndarray]:
    groups = group_rows(part, at_least=0)
    labels = [
        " & ".join(map(_text, label if part.shape[1] > 1 else [label])) for label in groups.labels
    ]
    n_groups = len({*labels, *known})
    if n_groups > MAX_GROUPS:
        raise SensitiveFeaturesError(
            f"sensitive_features: {name!r} has {n_groups} groups, more than {MAX_GROUPS}; cut "
            "a continuous one into bins of fixed ends, as pandas.cut does."
        )
    flat = np.bincount(groups.codes * N_CELLS + cell, minlength=len(labels) * N_CELLS)
    counts: dict[str, np.ndarray] = {}
    # Values that are written alike, such as 1 and 1.0 on two servers, are one group.
    for label, row in zip(labels, flat.reshape(-1, N_CELLS), strict=True):
        counts[label] = counts.get(label, np.zeros(N_CELLS, dtype=np.int64)) + row
    return counts


def _text(value: object) -> str:
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)


def plain_time(time: Hashable) -> Time:
    """Return a time that JSON holds and that can be sorted: ISO text for dates, or a number."""
    if isinstance(time, np.datetime64):
        time = pd.Timestamp(time)
    if isinstance(time, date):
        return time.isoformat()
    if isinstance(time, np.generic):
        time = time.item()
    if isinstance(time, str) or (isinstance(time, int | float) and np.isfinite(time)):
        return time
    raise ValueError(f"time={time!r} is no date, ISO text or number.")
