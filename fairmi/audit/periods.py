"""All a monitor keeps: rows by period, feature, group, prediction and label, and its alarms."""

from __future__ import annotations

from bisect import bisect
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from fairmi._data.groups import group_rows, sensitive_frame
from fairmi._data.values import check_indexes
from fairmi._typing import ColumnLike, SensitiveLike
from fairmi.audit.measures import cells_of_rates
from fairmi.exceptions import SensitiveFeaturesError

# Share of the error that goes to the groups of the beginning, alike; the rest is for later ones.
FIRST_SHARE = 0.9
# Sum of 1 / (k log(k)^2) over k = 2, 3, ...
LOG_SERIES = 2.10974
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
SHARE = "share_of_rows"  # of a group
MAX_PERIODS = 64
MAX_GROUPS = 50

Time = str | int | float
Counts = dict[str, dict[str, np.ndarray]]  # of each sensitive feature, by group: (6,)


def count_batch(
    y_pred: ColumnLike,
    sensitive_features: SensitiveLike,
    y_true: ColumnLike | None,
    known: Mapping[str, Collection[str]],
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


class Alarm(NamedTuple):
    """A difference between two groups that was above the tolerance with confidence.

    Attributes
    ----------
    attribute, measure : str
        The sensitive feature, and the rate that differs.
    above, below : str
        The group whose rate is higher, and the other.
    since : str, int or float
        Time of the first update after which it was so.
    rows_from : str, int or float
        Time of the first rows that showed it: those of all periods, or of the latest ones alone.
    """

    attribute: str
    measure: str
    above: str
    below: str
    since: Time
    rows_from: Time


@dataclass
class Periods:
    """All counts in the order of time, and the groups of each feature as they turned up.

    A period holds the rows from its time in `times` to that in `lasts`; `numbers` says how many
    were begun before its end. `counts` has an array of shape (n_periods, n_groups, 6) for each
    feature, and `n_first` how many groups it had when there was more than one for the first time.
    """

    groups: dict[str, list[str]] = field(default_factory=dict)
    n_first: dict[str, int] = field(default_factory=dict)
    n_begun: int = 0
    times: list[Any] = field(default_factory=list)
    lasts: list[Any] = field(default_factory=list)
    numbers: list[int] = field(default_factory=list)
    counts: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, counts: Counts, time: Time, last: Time | None = None) -> None:
        """Add counts to the period of `time`, which begins here if there is none.

        Of more than MAX_PERIODS, neighbours become one: the older a period, the longer.
        """
        if any(isinstance(time, str) != isinstance(other, str) for other in self.times):
            raise ValueError(
                f"time={time!r} can't be compared with the time {self.times[0]!r} of an "
                "earlier update; give all of one kind, dates or numbers."
            )
        at = next(iter(self._places(time)), None)
        if at is None:
            at = bisect(self.times, time)
            self.n_begun += 1
            self.times.insert(at, time)
            self.lasts.insert(at, time if last is None else last)
            self.numbers.insert(at, self.n_begun)
            self.counts = {name: np.insert(of, at, 0, axis=0) for name, of in self.counts.items()}
        for name, rows in counts.items():
            known = self.groups.setdefault(name, [])
            known += [group for group in rows if group not in known]
            if len(known) > 1:
                self.n_first.setdefault(name, len(known))
            table = np.zeros((len(self.times), len(known), N_CELLS), dtype=np.int64)
            if name in self.counts:
                table[:, : self.counts[name].shape[1]] = self.counts[name]
            for group, row in rows.items():
                table[at, known.index(group)] += row
            self.counts[name] = table
        if len(self.times) > MAX_PERIODS:
            starts = range(0, len(self.times), 2)
            self.counts = {name: np.add.reduceat(of, starts) for name, of in self.counts.items()}
            self.lasts = [max(self.lasts[k : k + 2]) for k in starts]
            self.times, self.numbers = self.times[::2], self.numbers[::2]

    def merge(self, other: Periods) -> None:
        """Add the counts of others, period by period."""
        self.n_first = {**other.n_first, **self.n_first}
        for k, (time, last) in enumerate(zip(other.times, other.lasts, strict=True)):
            counts = {
                name: dict(zip(other.groups[name], table[k], strict=True))
                for name, table in other.counts.items()
            }
            self.add(counts, time, last)

    def _places(self, time: Any) -> list[int]:
        """Return which periods hold a time."""
        spans = enumerate(zip(self.times, self.lasts, strict=True))
        return [k for k, (first, last) in spans if first <= time <= last]

    def label(self, counts: Counts, time: Time | None) -> None:
        """Give rows that were counted without a label the one they have in `counts`.

        Of those of `time`, or the earliest that wait for one. Where fewer such rows were counted
        a ValueError is raised, and nothing is changed.
        """
        places = range(len(self.times)) if time is None else self._places(time)
        labelled = {name: table.copy() for name, table in self.counts.items()}
        for name, rows in counts.items():
            for group, row in rows.items():
                known = group in self.groups.get(name, [])
                at = (
                    list(places) if known else [],
                    self.groups[name].index(group) if known else 0,
                )
                for predicted, wanted in enumerate(row.reshape(2, -1)[:, :UNKNOWN]):
                    cells = labelled[name][at].reshape(-1, 2, 3)[:, predicted]
                    waiting = cells[:, UNKNOWN]
                    if waiting.sum() < wanted.sum():
                        when = "" if time is None else f" at time={time!r}"
                        raise ValueError(
                            f"y_true has labels of {wanted.sum()} rows with {name} = {group} and "
                            f"the prediction {predicted}, but {waiting.sum()} rows like these "
                            f"were counted without a label{when}; give each label once, with "
                            "the prediction that update() was given."
                        )
                    # The earliest get the labels 0, the next ones the labels 1.
                    until = np.minimum(waiting.cumsum()[:, None], wanted.cumsum())
                    of_label = np.diff(np.diff(until, axis=0, prepend=0), axis=1, prepend=0)
                    first = 3 * predicted
                    labelled[name][(*at, slice(first, first + UNKNOWN))] += of_label
                    labelled[name][(*at, first + UNKNOWN)] -= of_label.sum(axis=1)
        self.counts = labelled

    def since(self, name: str) -> np.ndarray:
        """Return the counts of all rows since each period, (n_periods, n_groups, 6)."""
        return self.counts[name][::-1].cumsum(axis=0)[::-1]

    def start_weights(self) -> np.ndarray:
        """Return the share of the error for all rows since each period; the first is for all."""
        k = np.array(self.numbers) + 1.0
        weights = 0.5 / (LOG_SERIES * k * np.log(k) ** 2)
        weights[0] = 0.5
        return weights

    def pair_shares(self, name: str) -> np.ndarray:
        """Return the share of the error for each pair of groups, (n_groups, n_groups)."""
        n_groups, n_first = len(self.groups[name]), self.n_first[name]
        # In the order in which a pair's later group turned up.
        later, earlier = np.tril_indices(n_groups, -1)
        shares = np.ones((n_groups, n_groups))
        share = shared(len(later), n_first * (n_first - 1) // 2)
        shares[later, earlier] = shares[earlier, later] = share
        return shares

    def to_plain(self) -> dict[str, Any]:
        """Return all as lists, numbers and text."""
        spans = zip(self.times, self.lasts, self.numbers, strict=True)
        periods = [
            {
                "time": time,
                "last": last,
                "number": number,
                "counts": {name: table[k].tolist() for name, table in self.counts.items()},
            }
            for k, (time, last, number) in enumerate(spans)
        ]
        groups = {name: list(labels) for name, labels in self.groups.items()}
        n_first = dict(self.n_first)
        return {"groups": groups, "n_first": n_first, "n_begun": self.n_begun, "periods": periods}

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Periods:
        """Make what `to_plain` returned; groups that a period hasn't seen may lack there."""
        groups = {name: list(labels) for name, labels in plain["groups"].items()}
        shape = len(plain["periods"])
        counts = {
            name: np.zeros((shape, len(labels), N_CELLS), dtype=np.int64)
            for name, labels in groups.items()
        }
        for k, period in enumerate(plain["periods"]):
            for name, table in period["counts"].items():
                counts[name][k, : len(table)] = np.reshape(table, (-1, N_CELLS))
        times, lasts, numbers = (
            [period[key] for period in plain["periods"]] for key in ("time", "last", "number")
        )
        n_first, n_begun = dict(plain["n_first"]), int(plain["n_begun"])
        return cls(groups, n_first, n_begun, times, lasts, numbers, counts)


def rate_counts(counts: np.ndarray, measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return successes and trials of a rate, or a group's rows and all, of counts (..., 6)."""
    if measure == SHARE:
        rows = counts.sum(axis=-1)
        return rows, np.broadcast_to(rows.sum(axis=-1, keepdims=True), rows.shape)
    top, bottom = RATES[measure]
    return counts[..., list(top)].sum(axis=-1), counts[..., list(bottom)].sum(axis=-1)


def shared(n: int, n_first: int) -> np.ndarray:
    """Split 1 between `n` things, (n,): 0.9 for the first, alike, and less for each later one."""
    k = np.arange(1, n - n_first + 1)
    return np.concatenate(
        [np.full(n_first, FIRST_SHARE / max(n_first, 1)), (1 - FIRST_SHARE) / (k * (k + 1))]
    )
