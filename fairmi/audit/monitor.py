"""Rates by group of a model in use, with intervals that hold however often one looks."""

from __future__ import annotations

import json
from collections.abc import Hashable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fairmi._typing import ColumnLike, SensitiveLike
from fairmi.audit.periods import (
    RATES,
    SHARE,
    UNKNOWN,
    Alarm,
    Counts,
    Periods,
    Time,
    check_features,
    count_batch,
    plain_time,
    rate_counts,
    shared,
)
from fairmi.audit.pictures import BLUE, GREY, VERMILION, axes_or_new
from fairmi.audit.report import write_whole
from fairmi.audit.sequences import difference_limits, is_above, rate_limits

__all__ = ["FairnessMonitor"]

FORMAT = 1
PARAMETERS = ("tolerance", "confidence", "pos_label", "intersections")


class FairnessMonitor:
    """Watch the rates of groups in the predictions of a model that is in use.

    Batches of predictions come, with their labels, without, or with labels that come later. All
    intervals and the alarm hold at all times at once: however often one looks, and whenever one
    stops, a false alarm has a probability of at most 1 - `confidence` in all.

    Parameters
    ----------
    tolerance : float or dict of str to float, default=0.1
        Largest difference between the rates of two groups that is no cause for alarm. A float
        stands for "selection_rate", "true_positive_rate" and "false_positive_rate"; a dict names
        those that are watched, of these and "accuracy".
    confidence : float, default=0.95
        Confidence of the alarm, and of each of the tables.
    pos_label : bool, int, float or str, default=1
        The prediction whose rate matters; all others count as the rest.
    intersections : bool, default=False
        Whether to watch the combinations of several sensitive features too.

    Attributes
    ----------
    alarm : bool
        Whether some difference was above its tolerance with confidence, now or at an earlier look.
    alarms : tuple of Alarm
        Which, and since when.
    since : str, int, float or None
        When the first of them rang.
    state : dict
        All that there is to know, as counts, text and numbers, for JSON.

    Notes
    -----
    The intervals are confidence sequences by betting [1]_ [2]_, with bets that leave nothing to
    keep but counts. They are for the *mean* of the rate over the rows so far, which may drift
    as it likes; rows must not depend on earlier ones in other ways (of one person's many rows give
    one). As counts know no order, monitors of several servers merge exactly: what holds is
    then said of the looks at the one that others are merged into.

    So that a model that was fair for a year and is not since Monday is seen, the rates of all rows
    get half of the error, and those of all rows since the k-th period a part of the other half
    that falls as 1 / (k log² k). Pairs of groups, measures and features share the error by
    Bonferroni's inequality; groups that weren't there when a second group was first seen share a
    tenth of it. A tolerance is on a difference, not on a ratio.

    Rates that need labels are those of the rows that have one. Where labels come for some
    predictions alone (a loan that was refused is never repaid), they are no rates of all rows.

    References
    ----------
    .. [1] I. Waudby-Smith, A. Ramdas, Estimating means of bounded random variables by betting,
       JRSS-B 86 (2024).
    .. [2] B. Chugg, S. Cortes-Gomez, B. Wilder, A. Ramdas, Auditing fairness by betting,
       NeurIPS 2023, arXiv 2305.17570. They bet on differences of paired rows; here are the bets on
       each group's rate, whose product needs no pairs.

    Examples
    --------
    >>> import numpy as np
    >>> from fairmi.audit import FairnessMonitor
    >>> rng = np.random.default_rng(0)
    >>> monitor = FairnessMonitor(tolerance={"selection_rate": 0.1})
    >>> for day in range(1, 11):
    ...     group = rng.choice(["a", "b"], size=300)
    ...     chance = np.where(group == "a", 0.5, 0.5 if day < 4 else 0.2)
    ...     y_pred = rng.random(300) < chance
    ...     monitor = monitor.update(y_pred, group, time=f"2026-03-{day:02}")
    >>> monitor.alarm, monitor.since
    (True, '2026-03-05')
    """

    def __init__(
        self,
        *,
        tolerance: float | Mapping[str, float] = 0.1,
        confidence: float = 0.95,
        pos_label: bool | int | float | str = 1,
        intersections: bool = False,
    ) -> None:
        self.tolerance = _tolerances(tolerance)
        if not (isinstance(confidence, int | float | np.floating) and 0 < confidence < 1):
            raise ValueError(f"confidence={confidence!r} is not between 0 and 1, as 0.95 is.")
        if isinstance(pos_label, np.generic):
            pos_label = pos_label.item()
        if not isinstance(pos_label, bool | int | float | str):
            raise TypeError(
                f"pos_label={pos_label!r} can't be kept as JSON; give text, a number or a bool."
            )
        self.confidence = float(confidence)
        self.pos_label = pos_label
        self.intersections = bool(intersections)
        self._periods: Periods = Periods()
        self._alarms: list[Alarm] = []

    @property
    def alarm(self) -> bool:
        """Whether some difference was above its tolerance, with confidence, at some look."""
        return bool(self._alarms)

    @property
    def alarms(self) -> tuple[Alarm, ...]:
        """What rang, in the order of time."""
        return tuple(self._alarms)

    @property
    def since(self) -> Time | None:
        """Time of the update after which the first alarm rang, None if there was none."""
        return self._alarms[0].since if self._alarms else None

    def update(
        self,
        y_pred: ColumnLike,
        sensitive_features: SensitiveLike,
        y_true: ColumnLike | None = None,
        time: Hashable = None,
    ) -> FairnessMonitor:
        """Count a batch of predictions, and look.

        Parameters
        ----------
        y_pred : array-like of shape (n_rows,)
            Predictions, as classes.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, k)
            Groups of the rows, with the same columns at each update.
        y_true : array-like of shape (n_rows,), default=None
            Labels; None where there are none yet, NaN or None for single rows.
        time : str, date, datetime, int or float, default=None
            When the predictions were made; dates and ISO text sort by themselves. None for the
            number of the update. Rows of one time are one period.

        Returns
        -------
        FairnessMonitor
            Itself.

        Raises
        ------
        ValueError
            If the arguments differ in length or index, `pos_label` is none of several classes, or
            the times are of two kinds.
        SensitiveFeaturesError
            If a group is missing, the columns are others than before, or a feature has more than
            50 groups.
        """
        counts = self._read(y_pred, sensitive_features, y_true)
        if not counts:
            return self
        if time is None:
            latest = max(self._periods.lasts, default=-1)
            if isinstance(latest, str):
                raise ValueError(f"time is None, but earlier updates had one, such as {latest!r}.")
            time = latest + 1
        time = plain_time(time)
        self._periods.add(counts, time)
        self._look(time)
        return self

    def add_labels(
        self,
        y_true: ColumnLike,
        y_pred: ColumnLike,
        sensitive_features: SensitiveLike,
        time: Hashable = None,
    ) -> FairnessMonitor:
        """Give labels to rows that were counted without one, and look.

        Parameters
        ----------
        y_true : array-like of shape (n_rows,)
            The labels that came.
        y_pred : array-like of shape (n_rows,)
            What was predicted for these rows.
        sensitive_features : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, k)
            Their groups.
        time : str, date, datetime, int or float, default=None
            When the predictions were made. None for the earliest ones that wait for a label.

        Returns
        -------
        FairnessMonitor
            Itself.

        Raises
        ------
        ValueError
            If a label is missing, or fewer rows like these were counted without a label.
        """
        counts = self._read(y_pred, sensitive_features, y_true)
        if not counts:
            return self
        for groups in counts.values():
            if y_true is None or sum(row[[UNKNOWN, 3 + UNKNOWN]].sum() for row in groups.values()):
                raise ValueError("y_true has missing labels; give the rows that have one.")
        self._periods.label(counts, None if time is None else plain_time(time))
        self._look(max(self._periods.lasts))
        return self

    def merge(self, other: FairnessMonitor) -> FairnessMonitor:
        """Add the counts of another monitor, such as another server's, and look.

        The alarms of both stay, each at its own monitor's error. Give each row to one monitor
        alone: merged twice it counts twice.

        Raises
        ------
        ValueError
            If the two were made with other parameters or features.
        """
        for name in PARAMETERS:
            ours, theirs = getattr(self, name), getattr(other, name)
            if ours != theirs:
                raise ValueError(f"The monitors differ in {name}: {ours!r} and {theirs!r}.")
        if self._periods.groups and other._periods.groups:
            check_features(other._periods.groups, self._periods.groups)
        counts = deepcopy(self._periods)
        counts.merge(other._periods)
        self._periods = counts
        by_since: Any = sorted((*self._alarms, *other._alarms), key=lambda a: a.since)
        # The earlier of two on the same pair stays.
        self._alarms = list({a[:4]: a for a in reversed(by_since)}.values())[::-1]
        if counts.times:
            self._look(max(counts.lasts))
        return self

    @property
    def state(self) -> dict[str, Any]:
        """All that there is to know, as dicts, lists, text and numbers."""
        return {
            "format": FORMAT,
            **{name: getattr(self, name) for name in PARAMETERS},
            "alarms": [alarm._asdict() for alarm in self._alarms],
            **self._periods.to_plain(),
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> FairnessMonitor:
        """Make the monitor whose `state` this is.

        Raises
        ------
        ValueError
            If it is no such state, or of a later version.
        """
        of = state.get("format") if isinstance(state, Mapping) else None
        if of != FORMAT:
            raise ValueError(
                f"This is no state of a FairnessMonitor of format {FORMAT}: its format is {of!r}."
            )
        try:
            monitor = cls(**{name: state[name] for name in PARAMETERS})
            monitor._periods = Periods.from_plain(state)
            monitor._alarms = [Alarm(**alarm) for alarm in state["alarms"]]
        except (AttributeError, KeyError, TypeError, IndexError) as error:
            raise ValueError(f"The state of the monitor is damaged: {error}.") from error
        return monitor

    def save(self, path: str | Path) -> None:
        """Write the state as JSON, whole or not at all: to a file beside, which is then moved."""
        write_whole(path, json.dumps(self.state))

    @classmethod
    def load(cls, path: str | Path) -> FairnessMonitor:
        """Make the monitor that was saved there."""
        try:
            state = json.loads(Path(path).read_text(encoding="utf-8"))
        except ValueError as error:
            raise ValueError(f"{path} is not JSON: {error}.") from error
        return cls.from_state(state)

    def rates(self) -> pd.DataFrame:
        """Return the rates of all groups, each with an interval of its own.

        Returns
        -------
        DataFrame
            Columns attribute, group, measure, value, low, high, n (rows that it is a share of) and
            rows (of the group).
        """
        records = []
        for name, labels in self._periods.groups.items():
            counts = self._periods.counts[name].sum(axis=0)
            for measure in RATES:
                successes, n = rate_counts(counts, measure)
                low, high = rate_limits(successes, n, 1 - self.confidence)
                with np.errstate(invalid="ignore"):
                    columns = (successes / n, low, high, n, counts.sum(axis=1))
                records += [
                    (name, label, measure, *row)
                    for label, *row in zip(labels, *columns, strict=True)
                ]
        names = ["attribute", "group", "measure", "value", "low", "high", "n", "rows"]
        return pd.DataFrame(records, columns=names)

    def differences(self) -> pd.DataFrame:
        """Return the differences of all pairs of groups over all rows, with the alarm's intervals.

        Returns
        -------
        DataFrame
            Columns attribute, measure, above, below (the groups), value, low, high, tolerance and
            alarm. The intervals hold for all pairs, measures, features and times at once.
        """
        records = []
        rung = {(*a[:2], frozenset(a[2:4])) for a in self._alarms}
        for name, measure, error in self._watched():
            labels = self._periods.groups[name]
            s, n = rate_counts(self._periods.counts[name].sum(axis=0), measure)
            i, j = np.triu_indices(len(labels), 1)
            swap = s[i] * n[j] < s[j] * n[i]
            i, j = np.where(swap, j, i), np.where(swap, i, j)
            # Half of the error is for all rows, the other half for those since some period.
            low, high = difference_limits((s[i], n[i]), (s[j], n[j]), error[i, j] / 2)
            with np.errstate(invalid="ignore"):
                value = s[i] / n[i] - s[j] / n[j]
            tolerance = self.tolerance[measure]
            for a, b, *figures in zip(i, j, value, low, high, strict=True):
                pair = labels[a], labels[b]
                alarm = (name, measure, frozenset(pair)) in rung
                records.append((name, measure, *pair, *figures, tolerance, alarm))
        columns = ["attribute", "measure", "above", "below", "value", "low", "high"]
        return pd.DataFrame(records, columns=[*columns, "tolerance", "alarm"])

    def drift(self) -> pd.DataFrame:
        """Return what has changed most clearly for each group: its share of rows, and its rates.

        The rows before each period are compared with those from it on, and the period where the
        change is clearest is shown. A change of `share_of_rows` is one of the population: the
        rates are within groups, and it moves no alarm. A change of a rate is one of the model, or
        of what it is asked about.

        Returns
        -------
        DataFrame
            Columns attribute, group, measure, before, after, low, high (of the change, for all
            groups and periods at once), time (of the first rows after) and changed (whether the
            interval leaves out 0).
        """
        records = []
        n_rates = len(self._periods.groups) * (1 + len(self.tolerance))
        for name, labels in self._periods.groups.items():
            of_all, *since = self._periods.since(name)
            if not since:
                continue
            share = shared(len(labels), self._periods.n_first.get(name, len(labels)))
            weights = self._periods.start_weights()[1:]
            error = (1 - self.confidence) / n_rates * np.outer(weights, share)
            for measure in (SHARE, *self.tolerance):
                s, n = rate_counts(of_all - since, measure)
                t, m = rate_counts(np.array(since), measure)
                low, high = difference_limits((t, m), (s, n), 2 * error)
                with np.errstate(invalid="ignore"):
                    columns = (s / n, t / m, low, high)
                clearest = np.argmax(np.maximum(low, -high), axis=0)
                for g, (label, k) in enumerate(zip(labels, clearest, strict=True)):
                    figures = [of[k, g] for of in columns]
                    changed = bool(low[k, g] > 0 or high[k, g] < 0)
                    time = self._periods.times[k + 1]
                    records.append((name, label, measure, *figures, time, changed))
        names = ["attribute", "group", "measure", "before", "after", "low", "high"]
        return pd.DataFrame(records, columns=[*names, "time", "changed"])

    def plot(
        self, measure: str = "selection_rate", attribute: str | None = None, ax: Any = None
    ) -> Any:
        """Draw the largest difference between two groups over time.

        Parameters
        ----------
        measure : str, default="selection_rate"
            One that is watched.
        attribute : str, default=None
            A sensitive feature; None for the first.
        ax : matplotlib Axes, default=None
            Where to draw; new axes if None.

        Returns
        -------
        matplotlib Axes
            Points are the difference in each period, the line that of all rows until then with
            its interval, as the counts are known now.

        Raises
        ------
        ValueError
            If `measure` is not watched, or no two groups have rows that it is a share of yet.
        """
        name = next(iter(self._periods.groups), "") if attribute is None else attribute
        watched = {(n, m): error for n, m, error in self._watched()}
        if (name, measure) not in watched:
            raise ValueError(
                f"measure={measure!r} of attribute={name!r} can't be drawn; watched are "
                f"{list(watched)}."
            )
        labels = self._periods.groups[name]
        by_period = self._periods.counts[name]
        s, n = rate_counts(by_period.cumsum(axis=0), measure)
        s_each, n_each = rate_counts(by_period, measure)
        with np.errstate(invalid="ignore"):
            running, each = s / n, s_each / n_each
        if (n[-1] > 0).sum() < 2:
            raise ValueError(
                f"measure={measure!r} of attribute={name!r} can't be drawn: fewer than two groups "
                "have rows that it is a share of; add their labels first."
            )
        a, b = int(np.nanargmax(running[-1])), int(np.nanargmin(running[-1]))
        ax = axes_or_new(ax)
        error = watched[name, measure][a, b] / 2
        low, high = difference_limits((s[:, a], n[:, a]), (s[:, b], n[:, b]), error)
        times = self._periods.times
        place = np.arange(len(times))
        band = {"color": BLUE, "alpha": 0.2, "lw": 0, "label": "interval at all times"}
        ax.fill_between(place, low, high, **band)
        ax.plot(place, running[:, a] - running[:, b], color=BLUE, label="all rows until then")
        ax.plot(place, each[:, a] - each[:, b], "o", color=GREY, ms=4, label="rows of the period")
        tolerance = self.tolerance[measure]
        ax.axhline(tolerance, color=VERMILION, ls="--", lw=1, label="tolerance")
        ax.axhline(-tolerance, color=VERMILION, ls="--", lw=1)
        for alarm in self._alarms:
            if alarm[:4] == (name, measure, labels[a], labels[b]):
                until = sum(time <= alarm.since for time in times) - 1
                ax.axvline(until, color=VERMILION, label=f"alarm, {alarm.since}")
        shown = np.unique(np.linspace(0, len(times) - 1, 6).astype(int))
        ax.set_xticks(shown, [str(times[k]) for k in shown])
        title = f"{measure.replace('_', ' ')}: {labels[a]} less {labels[b]}"
        ax.set(xlabel="time", ylabel=title)
        ax.spines[["top", "right"]].set_visible(False)
        # On white, so that the line of the tolerance does not cross its words.
        ax.legend(framealpha=1, edgecolor="none")
        return ax

    def __repr__(self) -> str:
        if not self._periods.times:
            return "FairnessMonitor: no rows yet"
        total = next(iter(self._periods.counts.values())).sum(axis=(0, 1))
        labelled = 1 - total[[UNKNOWN, 3 + UNKNOWN]].sum() / total.sum()
        times = f"from {self._periods.times[0]} to {self._periods.lasts[-1]}"
        lines = [f"FairnessMonitor: {total.sum()} rows {times}, {labelled:.0%} with a label"]
        lines += [
            f"ALARM {a.attribute}, {a.measure}: {a.above} above {a.below} since {a.since}, seen "
            f"in rows from {a.rows_from} on"
            for a in self._alarms
        ]
        table = self.differences()
        if len(table):
            lines.append(table.to_string(index=False, float_format="{:.3f}".format))
        return "\n".join(lines)

    def _read(
        self, y_pred: ColumnLike, sensitive_features: SensitiveLike, y_true: ColumnLike | None
    ) -> Counts:
        known, positive = self._periods.groups, self.pos_label
        return count_batch(y_pred, sensitive_features, y_true, known, positive, self.intersections)

    def _watched(self) -> Iterator[tuple[str, str, np.ndarray]]:
        """Yield feature, measure and the error of each pair of groups, (n_groups, n_groups).

        Half of it is for the rows of all periods.
        """
        n_tests = len(self._periods.groups) * len(self.tolerance)
        for name, labels in self._periods.groups.items():
            if len(labels) > 1:
                error = (1 - self.confidence) / n_tests * self._periods.pair_shares(name)
                for measure in self.tolerance:
                    yield name, measure, error

    def _look(self, time: Time) -> None:
        """Note the pairs of groups that are above the tolerance for the first time."""
        rung = {a[:4] for a in self._alarms}
        weights = self._periods.start_weights()
        for name, measure, error in self._watched():
            labels = self._periods.groups[name]
            s, n = rate_counts(self._periods.since(name), measure)
            wanted = np.log(2 / (error * weights[:, None, None]))
            first, second = (s[:, :, None], n[:, :, None]), (s[:, None, :], n[:, None, :])
            above = is_above(first, second, self.tolerance[measure], wanted)
            for a, b in np.argwhere(above.any(axis=0)):
                if (name, measure, labels[a], labels[b]) not in rung:
                    start = self._periods.times[int(np.argmax(above[:, a, b]))]
                    alarm = Alarm(name, measure, labels[a], labels[b], time, start)
                    self._alarms.append(alarm)


def _tolerances(tolerance: float | Mapping[str, float]) -> dict[str, float]:
    if not isinstance(tolerance, Mapping):
        tolerance = dict.fromkeys(list(RATES)[:3], tolerance)
    for measure, value in tolerance.items():
        if measure not in RATES:
            raise ValueError(
                f"tolerance names {measure!r}, which is no rate; watch some of {list(RATES)}."
            )
        if isinstance(value, bool) or not (
            isinstance(value, int | float | np.floating) and 0 <= value < 1
        ):
            raise ValueError(f"tolerance={value!r} is not from 0 to below 1, as 0.1 is.")
    if not tolerance:
        raise ValueError(f"tolerance={tolerance!r} watches nothing; name some of {list(RATES)}.")
    return {measure: float(value) for measure, value in tolerance.items()}
