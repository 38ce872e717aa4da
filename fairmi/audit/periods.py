"""Rows counted by period, sensitive feature, group, prediction and label: all a monitor keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fairmi.audit.measures import cells_of_rates

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

        Parameters
        ----------
        counts : dict
            Rows by feature and group.
        time : str, int, float or None
            When they were predicted; None for the earliest rows that wait for a label.

        Raises
        ------
        ValueError
            If fewer such rows were counted. Then nothing is changed.
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
