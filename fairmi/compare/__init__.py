"""The comparison of fairmi with its peers: on Adult, German, or a table of one's own."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold, StratifiedGroupKFold
from threadpoolctl import threadpool_limits

from fairmi.compare._methods import METHODS, NUMBER_METHODS, Method, Trial
from fairmi.compare._report import Comparison
from fairmi.compare._rows import (
    LOSSES,
    LabelledRows,
    adult_rows,
    german_rows,
    table_rows,
    visits_rows,
    wages_rows,
)
from fairmi.compare._run import Setting, Split, compared, fits

__all__ = [
    "DATASETS",
    "METHODS",
    "NUMBER_METHODS",
    "Comparison",
    "Method",
    "Trial",
    "compare",
    "methods_named",
]

DATASETS = ("adult", "german", "wages", "visits")
_FAST_ROWS = 8_000
_N_FOLDS = 5
_REFERENCE = "Gradient boosting"

Line = tuple[Method, list[Setting]]


def compare(
    X: Any,
    y: Any = None,
    *,
    sensitive_features: Any = None,
    positive: Any = None,
    loss: str = "auto",
    clusters: Any = None,
    bound: float | str = "auto",
    methods: Sequence[Method | str] | None = None,
    without_sensitive: bool = False,
    minutes: float | None = None,
    folder: str | Path | None = None,
    fast: bool = False,
    n_jobs: int = 2,
) -> Comparison:
    """Fit fairmi and its peers, and measure them on rows they never saw.

    Parameters
    ----------
    X : {"adult", "german", "wages", "visits"}, DataFrame, or array of shape (n_rows, n_columns)
        Adult: the official training and test part, sex sensitive. German: 20 folds (4 times 5),
        age over 25 sensitive. Wages and visits to a doctor, which are numbers: each half learned
        from the other, three times. A table of one's own: 5 folds. Where there are folds a row is
        predicted by models that did not see it, and unfairness is that of all rows together.
    y : array of shape (n_rows,), default=None
        Of a table of one's own: labels, two, or more where `positive` names one of them; or
        numbers to predict.
    sensitive_features : str, list of str, or array of shape (n_rows,), default=None
        The groups of a table of one's own, or the names of the columns of X that hold them.
    positive : label, default=None
        The label whose prediction the groups should get alike; None is the second of two.
    loss : {"auto", "squared_error", "poisson"}, default="auto"
        What is predicted: numbers, or counts ("poisson"). "auto" takes y with more than ten
        numbers as numbers, and others as labels.
    clusters : array of shape (n_rows,), default=None
        Whose rows belong together, such as those of one person: they stay in one fold, and are
        drawn together for intervals.
    bound : float or "auto", default="auto"
        The unfairness under which a setting is chosen and recommended: a demographic parity
        difference ("auto": 0.05), or, of numbers, a KS between groups ("auto": 0.1).
    methods : sequence of Method or str, default=None
        What is compared, by itself or by name; None takes METHODS, or NUMBER_METHODS.
    without_sensitive : bool, default=False
        Whether to drop the columns of X that tell the sensitive feature by themselves, for all
        methods. Those of METHODS that need the group at prediction are still given it.
    minutes : float, default=None
        About how long a comparison on a table of one's own may take: the slowest methods are left
        out, and the report names them. None leaves out nothing.
    folder : path, default=None
        Where cps_wages.csv.gz and doctor_visits.csv.gz lie, which are not packaged. None reads the
        environment variable FAIRMI_DATA, or else ../shared/data.
    fast : bool, default=False
        Fewer rows, settings and folds: to see that it runs, not to read figures from.
    n_jobs : int, default=2
        Processes side by side; a fit has one thread.

    Returns
    -------
    comparison : Comparison
        The table, with what prints, draws and saves it.

    Raises
    ------
    ValueError
        If an argument is wrong; the text says how to put it right.
    """
    named = isinstance(X, str)
    if named and X not in DATASETS:
        raise ValueError(f"X must be a table, or one of {DATASETS}, got {X!r}.")
    if not named and (y is None or sensitive_features is None):
        raise ValueError("y and sensitive_features must be given with a table X.")
    if bound != "auto" and not (isinstance(bound, int | float) and 0 < bound < 1):
        raise ValueError(f"bound must be between 0 and 1, got {bound!r}.")
    if minutes is not None and not (isinstance(minutes, int | float) and minutes > 0):
        raise ValueError(f"minutes must be greater than 0, got {minutes!r}.")
    if methods is not None and not len(methods):
        raise ValueError("methods is empty; name some, or give None for all.")
    if loss not in ("auto", *LOSSES):
        raise ValueError(f'loss must be "auto" or one of {LOSSES}, got {loss!r}.')
    if named:
        rows, positive = _rows_named(X, folder), None
    else:
        rows, positive = table_rows(X, y, sensitive_features, positive, loss, clusters)
        n_owners = _N_FOLDS if rows.clusters is None else rows.clusters.max() + 1
        if n_owners < _N_FOLDS:
            raise ValueError(
                f"clusters has {n_owners} values; {_N_FOLDS} at least are needed, one a fold."
            )
    train = adult_rows("train") if named and X == "adult" else None
    if fast and train is not None:
        train = train.take(np.arange(min(_FAST_ROWS, len(train))))
    elif fast and named:
        rows = rows.first(_FAST_ROWS)
    sensitive = ", ".join(rows.sensitive_columns)
    if without_sensitive:
        if not sensitive:
            raise ValueError(
                "without_sensitive needs sensitive_features to be names of columns of X; leave "
                "the column out of X yourself where they are not."
            )
        rows = rows.without_sensitive()
        train = None if train is None else train.without_sensitive()
    every = METHODS if rows.loss is None else NUMBER_METHODS
    chosen = [
        m if isinstance(m, Method) else methods_named([m], every)[0] for m in methods or every
    ]
    notes: list[str] = []
    if train is not None:
        splits = [Split(train, rows, np.arange(len(rows)))]
        lines = [(m, m.settings(fast=fast)) for m in chosen]
    elif named:
        splits = list(
            _folds(rows, 2 if rows.loss else _N_FOLDS, 1 if fast else 3 if rows.loss else 4)
        )
        lines = [(m, m.settings(fast=fast, folds=True)) for m in chosen]
    else:
        splits = list(_folds(rows, _N_FOLDS, 1))
        lines, notes = _lines_of_table(rows, chosen, minutes, fast, n_jobs)
    limit = rows.reading.bound if bound == "auto" else float(bound)
    lines = [(method, settings) for method, settings in lines if settings]
    if not lines:
        raise ValueError(" ".join(["No method is left; name others in methods.", *notes]))
    table, draws = compared(splits, rows, lines, bound=limit, n_jobs=n_jobs)
    what = f"positive label {positive}" if rows.loss is None else "numbers to predict"
    about = X if named else f"{len(rows):,} rows, {what}"
    in_folds = limit if train is None else None
    return Comparison(
        about, table, draws, sensitive, fast, without_sensitive, in_folds, tuple(notes)
    )


def _rows_named(name: str, folder: str | Path | None) -> LabelledRows:
    if name == "adult":
        return adult_rows("test")
    if name == "german":
        return german_rows()
    place = Path(folder or os.environ.get("FAIRMI_DATA") or Path("..") / "shared" / "data")
    if not place.is_dir():
        raise ValueError(
            f"{name} is not packaged, and {place} is no folder; name the one that has it by "
            "folder (--data) or FAIRMI_DATA."
        )
    return (wages_rows if name == "wages" else visits_rows)(place)


def methods_named(names: Sequence[str], methods: Sequence[Method] = METHODS) -> tuple[Method, ...]:
    """Return the methods of those names, of METHODS or of others.

    Raises
    ------
    ValueError
        If a name is no method's.
    """
    known = {method.name: method for method in methods}
    for name in names:
        if name not in known:
            raise ValueError(f"methods has {name!r}; give some of {', '.join(map(repr, known))}.")
    return tuple(known[name] for name in names)


def _folds(rows: LabelledRows, n_folds: int, n_repeats: int) -> Iterator[Split]:
    """Yield splits that are even in label and group; each repeat measures every row once."""
    if rows.clusters is None:
        folds = RepeatedStratifiedKFold(n_splits=n_folds, n_repeats=n_repeats, random_state=0)
        parts = list(folds.split(rows.X, rows.strata))
    else:
        parts = [
            part
            for repeat in range(n_repeats)
            for part in StratifiedGroupKFold(n_folds, shuffle=True, random_state=repeat).split(
                rows.X, rows.strata, rows.clusters
            )
        ]
    for number, (train, test) in enumerate(parts):
        yield Split(rows.take(train), rows.take(test), test, number // n_folds)


def _lines_of_table(
    rows: LabelledRows,
    methods: Sequence[Method],
    minutes: float | None,
    fast: bool,
    n_jobs: int,
) -> tuple[list[Line], list[str]]:
    """Methods and settings that a table of the user's and the time allow, and what is left out.

    One boosting of the table says how fast this machine is on it; the others' times are to it as
    they are on Adult.
    """
    lines, notes = [], []
    for method in methods:
        if method.two_groups and rows.codes.max() > 1:
            notes.append(f"{method.name} is for two groups alone, and left out.")
            continue
        grid = method.settings(fast=fast, folds=True) or method.settings(fast=fast)
        lines.append((method, grid))
    if minutes is None:
        return lines, notes
    (reference,) = methods_named([_REFERENCE], METHODS if rows.loss is None else NUMBER_METHODS)
    with threadpool_limits(1):
        (fitted,) = fits(reference, [{}], rows)
    ratio = fitted.seconds / reference.cost
    left = 60 * minutes * (n_jobs if n_jobs > 0 else os.cpu_count() or 1)
    in_time = set()
    for method, _ in sorted(lines, key=lambda line: line[0].cost):
        left -= _N_FOLDS * ratio * method.cost
        if left >= 0:
            in_time.add(method.name)
    slow = [method.name for method, _ in lines if method.name not in in_time]
    if slow:
        unit = "minute" if minutes == 1 else "minutes"
        notes.append(f"Left out as too slow for {minutes:g} {unit}: {', '.join(slow)}.")
    return [line for line in lines if line[0].name in in_time], notes
