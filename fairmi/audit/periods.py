"""Rows counted by period, sensitive feature, group, prediction and label: all a monitor keeps."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any

import numpy as np
import pandas as pd

from fairmi._data.groups import group_rows, sensitive_frame
from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, SensitiveLike
from fairmi.audit.measures import cells_of_rates
from fairmi.exceptions import SensitiveFeaturesError

# Columns of counts: 3 * prediction + label, where a label of 2 isn't there yet.
N_CELLS = 6
UNKNOWN = 2
# Which columns of counts each rate divides by which.
RATES = cells_of_rates(
    ("selection_rate", "true_positive_rate", "false_positive_rate", "accuracy"),
    np.arange(N_CELLS) % 3,
    np.arange(N_CELLS) // 3,
    UNKNOWN,
)
MAX_PERIODS = 64
MAX_GROUPS = 50

Time = str | int | float
Counts = dict[str, dict[str, np.ndarray]]  # of each sensitive feature, by group: (6,)


def count_batch(
    y_pred: ColumnLike,
    sensitive_features: SensitiveLike,
    y_true: ColumnLike | None,
    known: Mapping[str, Collection[str]],
    *,
    pos_label: Hashable,
    intersections: bool,
) -> Counts:
    """Count rows by feature, group, prediction and label; nothing where there are no rows.

    `known` has the groups of each feature so far.
    """
    check_indexes(y_pred=y_pred, sensitive_features=sensitive_features, y_true=y_true)
    frame = sensitive_frame(sensitive_features)
    predicted = positive_codes(y_pred, len(frame), "y_pred", pos_label)
    if (predicted == UNKNOWN).any():
        raise ValueError("y_pred has missing values; leave these rows out.")
    true = np.full(len(frame), UNKNOWN)
    if y_true is not None:
        true = positive_codes(y_true, len(frame), "y_true", pos_label)
    columns = {str(name): frame.iloc[:, [j]] for j, name in enumerate(frame.columns)}
    if intersections and len(columns) > 1:
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
    """Return the counts of a feature by group, as text; `known` are its groups so far."""
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


@dataclass
class Period:
    """Rows from `time` to `last`; `number` says how many periods were begun before it.

    `counts` holds an array of shape (n_groups, 6) for each sensitive feature. Groups that the
    period hasn't seen may lack a row at its end.
    """

    time: Time
    last: Time
    number: int
    counts: dict[str, np.ndarray]


@dataclass
class Periods:
    """All counts in the order of time, and the groups of each feature as they turned up.

    `n_first` is how many groups there were of each feature when there was more than one for the
    first time.
    """

    groups: dict[str, list[str]] = field(default_factory=dict)
    n_first: dict[str, int] = field(default_factory=dict)
    periods: list[Period] = field(default_factory=list)
    n_begun: int = 0

    def add(self, counts: Counts, time: Time, last: Time | None = None) -> None:
        """Add counts to the period of `time`, which begins here if there is none.

        Of more than MAX_PERIODS, neighbours become one: the older a period, the longer.
        """
        if any(isinstance(time, str) != isinstance(p.time, str) for p in self.periods):
            raise ValueError(
                f"time={time!r} can't be compared with the time {self.periods[0].time!r} of an "
                "earlier update; give all of one kind, dates or numbers."
            )
        period = self._period(time, time if last is None else last)
        for name, rows in counts.items():
            known = self.groups.setdefault(name, [])
            known += [group for group in rows if group not in known]
            if len(known) > 1:
                self.n_first.setdefault(name, len(known))
            table = _padded(period.counts.get(name), len(known))
            for group, row in rows.items():
                table[known.index(group)] += row
            period.counts[name] = table
        if len(self.periods) > MAX_PERIODS:
            self._join_neighbours()

    def _period(self, time: Any, last: Time) -> Period:
        for period in self.periods:
            first: Any = period.time
            if first <= time <= period.last:
                return period
        self.n_begun += 1
        self.periods.append(Period(time, last, self.n_begun, {}))
        self.periods.sort(key=lambda p: p.time)
        return next(p for p in self.periods if p.time == time)

    def _join_neighbours(self) -> None:
        pairs = zip(self.periods[::2], [*self.periods[1::2], None], strict=False)
        joined = []
        for one, other in pairs:
            if other is not None:
                one.last = max(one.last, other.last)
                for name, table in other.counts.items():
                    sum_ = _padded(one.counts.get(name), len(table))
                    sum_[: len(table)] += table
                    one.counts[name] = sum_
            joined.append(one)
        self.periods = joined

    def label(self, counts: Counts, time: Time | None) -> None:
        """Give rows that were counted without a label the one they have in `counts`.

        Of those of `time`, or the earliest that wait for one. Where fewer such rows were counted
        a ValueError is raised, and nothing is changed.
        """
        periods: list[Any] = self.periods
        if time is not None:
            periods = [p for p in periods if p.time <= time <= p.last]
        moves = []
        for name, rows in counts.items():
            for group, row in rows.items():
                for predicted in (0, 1):
                    wanted = row[3 * predicted : 3 * predicted + UNKNOWN]
                    waiting = self._waiting(periods, name, group, predicted)
                    if sum(waiting) < wanted.sum():
                        when = "" if time is None else f" at time={time!r}"
                        raise ValueError(
                            f"y_true has labels of {wanted.sum()} rows with {name} = {group} and "
                            f"the prediction {predicted}, but {sum(waiting)} rows like these "
                            f"were counted without a label{when}; give each label once, with "
                            "the prediction that update() was given."
                        )
                    moves.append((name, group, predicted, wanted.copy(), waiting))
        for name, group, predicted, wanted, waiting in moves:
            for period, n_waiting in zip(periods, waiting, strict=True):
                for label in (0, 1):
                    n = min(wanted[label], n_waiting)
                    if n:
                        row = period.counts[name][self.groups[name].index(group)]
                        row[3 * predicted + label] += n
                        row[3 * predicted + UNKNOWN] -= n
                        n_waiting -= n
                        wanted[label] -= n

    def _waiting(self, periods: list[Period], name: str, group: str, predicted: int) -> list[int]:
        """Return how many rows of each period wait for a label."""
        known = self.groups.get(name, [])
        if group not in known:
            return [0] * len(periods)
        tables = [_padded(p.counts.get(name), len(known)) for p in periods]
        return [int(t[known.index(group), 3 * predicted + UNKNOWN]) for t in tables]

    def by_period(self, name: str) -> np.ndarray:
        """Return the counts of one feature, (n_periods, n_groups, 6)."""
        n_groups = len(self.groups[name])
        return np.stack([_padded(p.counts.get(name), n_groups) for p in self.periods])

    def as_counts(self, period: Period) -> Counts:
        """Return what one period holds, by feature and group."""
        return {
            name: dict(zip(self.groups[name], table, strict=False))
            for name, table in period.counts.items()
        }

    def to_plain(self) -> dict[str, Any]:
        """Return all as lists, numbers and text."""
        return {
            "groups": {name: list(labels) for name, labels in self.groups.items()},
            "n_first": dict(self.n_first),
            "n_begun": self.n_begun,
            "periods": [
                {
                    "time": p.time,
                    "last": p.last,
                    "number": p.number,
                    "counts": {name: table.tolist() for name, table in p.counts.items()},
                }
                for p in self.periods
            ],
        }

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Periods:
        """Make what `to_plain` returned."""
        periods = [
            Period(
                p["time"],
                p["last"],
                int(p["number"]),
                {
                    name: np.array(table, dtype=np.int64).reshape(-1, N_CELLS)
                    for name, table in p["counts"].items()
                },
            )
            for p in plain["periods"]
        ]
        groups = {name: list(labels) for name, labels in plain["groups"].items()}
        return cls(groups, dict(plain["n_first"]), periods, int(plain["n_begun"]))


def rate_counts(counts: np.ndarray, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return successes and trials of a rate from counts of shape (..., 6)."""
    top, bottom = RATES[measure]
    return counts[..., list(top)].sum(axis=-1), counts[..., list(bottom)].sum(axis=-1)


def _padded(table: np.ndarray | None, n_groups: int) -> np.ndarray:
    """Return a copy with a row for each group."""
    n_rows = 0 if table is None else len(table)
    padded = np.zeros((max(n_groups, n_rows), N_CELLS), dtype=np.int64)
    if table is not None:
        padded[:n_rows] = table
    return padded
