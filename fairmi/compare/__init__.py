"""The comparison with the peers, on Adult or German, in one table and one picture."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pandas as pd
from sklearn.model_selection import RepeatedStratifiedKFold

from fairmi.compare._methods import METHODS, PREDICTED_GROUP, Method
from fairmi.compare._report import Comparison
from fairmi.compare._run import run_fold, run_jobs, run_split
from fairmi.compare._samples import LabelledRows, adult_samples, german_sample
from fairmi.compare._table import fold_rows, split_rows

__all__ = ["DATASETS", "METHODS", "PREDICTED_GROUP", "Comparison", "compare", "methods_named"]

DATASETS = ("adult", "german")
N_DRAWS = 1_000
CHOICE_BOUND = 0.05
_FAST_ROWS = 8_000


def compare(
    dataset: str,
    *,
    methods: Sequence[Method] | None = None,
    without_sensitive: bool = False,
    fast: bool = False,
    n_jobs: int = 2,
) -> Comparison:
    """Fit fairmi and its peers on a data set, and measure them on rows they never saw.

    Parameters
    ----------
    dataset : {"adult", "german"}
        Adult: the official training and test part, sex sensitive; intervals are by bootstrap over
        the test rows. German: 20 folds (4 times 5), age over 25 sensitive; intervals are over
        folds, and each method's setting is also chosen inside the training rows of every fold.
    methods : sequence of Method, default=None
        What is compared. None takes METHODS, and PREDICTED_GROUP too where `without_sensitive`.
    without_sensitive : bool, default=False
        Whether to drop the column of X that tells the sensitive feature by itself, for all
        methods. Those of METHODS that need the group at prediction are still given it.
    fast : bool, default=False
        Fewer rows, settings and folds: to see that it runs, not to read figures from.
    n_jobs : int, default=2
        Processes side by side; a fit has one thread.

    Returns
    -------
    comparison : Comparison
        The table, with what prints and saves it.

    Raises
    ------
    ValueError
        If `dataset` is not one of the two.
    """
    if dataset not in DATASETS:
        raise ValueError(f"dataset must be one of {DATASETS}, got {dataset!r}.")
    if methods is None:
        methods = METHODS + PREDICTED_GROUP if without_sensitive else METHODS
    samples = list(adult_samples()) if dataset == "adult" else [german_sample()]
    if without_sensitive:
        samples = [sample.without_sensitive() for sample in samples]
    if dataset == "adult":
        train, test = samples
        if fast:
            train = train.take(np.arange(min(_FAST_ROWS, len(train))))
        rows = compare_split(train, test, methods, fast=fast, n_jobs=n_jobs)
    else:
        rows = compare_folds(samples[0], methods, fast=fast, n_jobs=n_jobs)
    return Comparison(dataset, rows, fast, without_sensitive)


def methods_named(names: Sequence[str]) -> tuple[Method, ...]:
    """Return the methods of those names.

    Raises
    ------
    ValueError
        If a name is no method's.
    """
    known = {method.name: method for method in METHODS + PREDICTED_GROUP}
    for name in names:
        if name not in known:
            raise ValueError(f"methods has {name!r}; give some of {', '.join(map(repr, known))}.")
    return tuple(known[name] for name in names)


def compare_split(
    train: LabelledRows, test: LabelledRows, methods: Sequence[Method], *, fast: bool, n_jobs: int
) -> pd.DataFrame:
    """Rows of the table from one training and one test sample."""
    lines = [(method, method.settings(fast=fast)) for method in methods]
    jobs = [
        (run_split, (method, part, train, test, N_DRAWS))
        for method, settings in lines
        for part in ([settings] if method.shares else [[setting] for setting in settings])
    ]
    # The slowest come last in the table: they start first, so that no process waits for one.
    outcomes = chain.from_iterable(run_jobs(jobs[::-1], n_jobs)[::-1])
    rows = []
    for method, settings in lines:
        rows += split_rows(method, settings, [next(outcomes) for _ in settings])
    return pd.DataFrame(rows)


def compare_folds(
    sample: LabelledRows, methods: Sequence[Method], *, fast: bool, n_jobs: int
) -> pd.DataFrame:
    """Rows of the table from repeated cross-validation of one sample."""
    folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=1 if fast else 4, random_state=0)
    splits = [
        (sample.take(train), sample.take(test)) for train, test in folds.split(sample.X, sample.y)
    ]
    lines = [(m, m.settings(fast=fast, folds=True)) for m in methods]
    lines = [(method, settings) for method, settings in lines if settings]
    jobs = [
        (run_fold, (m, settings, train, test, CHOICE_BOUND))
        for m, settings in lines
        for train, test in splits
    ]
    outcomes = iter(run_jobs(jobs, n_jobs))
    test_share = len(splits[0][1]) / len(splits[0][0])
    rows = []
    for method, settings in lines:
        rows += fold_rows(method, settings, [next(outcomes) for _ in splits], test_share)
    return pd.DataFrame(rows)
