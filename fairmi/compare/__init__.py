"""The comparison of fairmi with its peers: on Adult, on German, or on a table of one's own."""

from __future__ import annotations

import os
from collections.abc import Sequence
from time import process_time
from typing import Any

import numpy as np
from sklearn.model_selection import RepeatedStratifiedKFold
from threadpoolctl import threadpool_limits

from fairmi.compare._methods import METHODS, PARITY, PLAIN, Method, Trial
from fairmi.compare._report import Comparison
from fairmi.compare._rows import LabelledRows, adult_rows, german_rows, table_rows
from fairmi.compare._run import Setting, Split, compared

__all__ = [
    "DATASETS",
    "METHODS",
    "Comparison",
    "Method",
    "Trial",
    "compare",
    "methods_named",
]

DATASETS = ("adult", "german")
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
    bound: float = 0.05,
    methods: Sequence[Method] | None = None,
    without_sensitive: bool = False,
    minutes: float | None = None,
    fast: bool = False,
    n_jobs: int = 2,
) -> Comparison:
    """Fit fairmi and its peers, and measure them on rows they never saw.

    Parameters
    ----------
    X : {"adult", "german"}, DataFrame, or array of shape (n_rows, n_columns)
        Adult: the official training and test part, sex sensitive. German: 20 folds (4 times 5),
        age over 25 sensitive. A table of one's own: 5 folds. Where there are folds a row is
        predicted by models that did not see it, and unfairness is that of all rows together.
    y : array of shape (n_rows,), default=None
        Labels of a table of one's own: two, or more where `positive` names one of them.
    sensitive_features : str, list of str, or array of shape (n_rows,), default=None
        The groups of a table of one's own, or the names of the columns of X that hold them.
    positive : label, default=None
        The label whose prediction the groups should get alike; None is the second of two.
    bound : float, default=0.05
        The demographic parity difference under which a setting is chosen and recommended.
    methods : sequence of Method, default=None
        What is compared; None takes METHODS.
    without_sensitive : bool, default=False
        Whether to drop the columns of X that tell the sensitive feature by themselves, for all
        methods. Those of METHODS that need the group at prediction are still given it.
    minutes : float, default=None
        About how long a comparison on a table of one's own may take: the slowest methods are left
        out, and the report names them. None leaves out nothing.
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
    if not 0 < bound < 1:
        raise ValueError(f"bound must be between 0 and 1, got {bound!r}.")
    if minutes is not None and minutes <= 0:
        raise ValueError(f"minutes must be greater than 0, got {minutes!r}.")
    if methods is None:
        methods = METHODS
    notes: list[str] = []
    if named and X == "adult":
        train, rows = adult_rows("train"), adult_rows("test")
        train = train.take(np.arange(min(_FAST_ROWS, len(train)))) if fast else train
        lines = [(m, m.settings(fast=fast)) for m in methods]
    elif named:
        rows = german_rows()
        lines = [(m, m.settings(fast=fast, folds=True)) for m in methods]
    else:
        rows, positive = table_rows(X, y, sensitive_features, positive)
        lines, notes = _lines_of_table(rows, methods, minutes, fast, n_jobs)
    sensitive = ", ".join(rows.sensitive_columns)
    if without_sensitive and not sensitive:
        raise ValueError(
            "without_sensitive needs sensitive_features to be names of columns of X; leave the "
            "column out of X yourself where they are not."
        )
    if without_sensitive:
        rows = rows.without_sensitive()
        train = train.without_sensitive() if named and X == "adult" else rows
    if named and X == "adult":
        splits = [Split(train, rows, np.arange(len(rows)))]
    else:
        splits = _folds(rows, 4 if named and not fast else 1)
    lines = [(method, settings) for method, settings in lines if settings]
    table, draws = compared(splits, rows, lines, bound=bound, n_jobs=n_jobs)
    about = X if named else f"{len(rows):,} rows, positive label {positive}"
    in_folds = bound if len(splits) > 1 else None
    return Comparison(
        about, table, draws, sensitive, fast, without_sensitive, in_folds, tuple(notes)
    )


def methods_named(names: Sequence[str]) -> tuple[Method, ...]:
    """Return the methods of those names.

    Raises
    ------
    ValueError
        If a name is no method's.
    """
    known = {method.name: method for method in METHODS}
    for name in names:
        if name not in known:
            raise ValueError(f"methods has {name!r}; give some of {', '.join(map(repr, known))}.")
    return tuple(known[name] for name in names)


def _folds(rows: LabelledRows, n_repeats: int) -> list[Split]:
    """Splits that are even in label and group; each repeat measures every row once."""
    folds = RepeatedStratifiedKFold(n_splits=_N_FOLDS, n_repeats=n_repeats, random_state=0)
    return [
        Split(rows.take(train), rows.take(test), test, number // _N_FOLDS)
        for number, (train, test) in enumerate(folds.split(rows.X, rows.strata))
    ]


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
        # On the plain encoding one method is enough to see what the encoding does.
        if method.name.endswith(PLAIN) and method.grid:
            continue
        if method.two_groups and rows.codes.max() > 1:
            notes.append(f"{method.name} is for two groups alone, and left out.")
            continue
        grid = method.settings(fast=fast, folds=True) or method.settings(fast=fast)
        lines.append((method, grid))
    if minutes is None:
        return lines, notes
    (reference,) = (method for method in METHODS if method.name == _REFERENCE)
    with threadpool_limits(1):
        start = process_time()
        reference.build(PARITY).fit(rows.X, rows.y, rows.s)
        ratio = (process_time() - start) / reference.cost
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
