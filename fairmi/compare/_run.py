"""The jobs of a comparison: fit a method at a setting, measure it on rows it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

import joblib
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fairmi.compare._measures import bootstrap_weights, probe_auc, weighted_metrics
from fairmi.compare._methods import Method
from fairmi.compare._peers import Contender
from fairmi.compare._samples import LabelledRows

Setting = dict[str, Any]
_VALIDATION_SHARE = 0.2
_INNER_FOLDS = 3


@dataclass(frozen=True)
class Result:
    """What one fit gave: each metric under each draw of the test rows, the first being all rows.

    `validation` is (accuracy, demographic parity difference) on validation rows, where the method
    is screened by them; `notes` are the warnings that the fit did not converge.
    """

    metrics: dict[str, np.ndarray]
    probe_auc: float
    fit_seconds: float
    notes: tuple[str, ...]
    validation: tuple[float, float] | None = None


@dataclass(frozen=True)
class FoldOutcome:
    """What one fold gave: an outcome for each setting, and which one the fold would choose."""

    outcomes: tuple[Result, ...]
    chosen: int


def run_split(
    method: Method,
    settings: Sequence[Setting],
    train: LabelledRows,
    test: LabelledRows,
    n_draws: int,
) -> list[Result]:
    """Fit a method at some settings on `train`, measure it on `test`.

    A screened method learns from `train` less the validation rows that it is screened by, and is
    not fitted again: a new fit would be another model than the one that was looked at.
    """
    if not method.screened:
        return [_measured(fit, train, test, n_draws) for fit in _fits(method, settings, train)]
    kept, held_out = train_test_split(
        np.arange(len(train)), test_size=_VALIDATION_SHARE, stratify=train.strata, random_state=0
    )
    learned, validation = train.take(kept), train.take(held_out)
    outcomes = []
    for fit in _fits(method, settings, learned):
        labels = fit.contender.predict(validation.X, validation.s)
        outcome = _measured(fit, learned, test, n_draws)
        outcomes.append(replace(outcome, validation=_accuracy_and_parity(validation, labels)))
    return outcomes


def run_fold(
    method: Method,
    settings: Sequence[Setting],
    train: LabelledRows,
    test: LabelledRows,
    bound: float,
) -> FoldOutcome:
    """Fit a method at every setting on `train` and measure on `test`; choose inside `train`."""
    outcomes = tuple(_measured(fit, train, test, 0) for fit in _fits(method, settings, train))
    return FoldOutcome(outcomes, choose_setting(method, settings, train, bound))


def choose_setting(
    method: Method, settings: Sequence[Setting], train: LabelledRows, bound: float
) -> int:
    """Return the position of the setting that serves best by cross-validation inside `train`.

    Those whose demographic parity difference is within `bound` come into question, and of them
    the fairest whose accuracy is within a standard error of the best: what accuracy tells apart
    less than that is chance (the rule of Breiman et al., *Classification and Regression Trees*,
    1984). Where none is within the bound, it is the least unfair one. Both are taken over all rows
    of `train`, each predicted by a model that did not see it.
    """
    if len(settings) == 1:
        return 0
    folds = StratifiedKFold(_INNER_FOLDS, shuffle=True, random_state=0)
    labels = np.empty((len(settings), len(train)), dtype=np.int64)
    for kept, held_out in folds.split(train.X, train.strata):
        unseen = train.take(held_out)
        for k, fit in enumerate(_fits(method, settings, train.take(kept))):
            labels[k, held_out] = fit.contender.predict(unseen.X, unseen.s)
    found = [_accuracy_and_parity(train, of_setting) for of_setting in labels]
    within = [k for k, (_, parity) in enumerate(found) if parity <= bound]
    if not within:
        return min(range(len(found)), key=lambda k: found[k][1])
    best = max(found[k][0] for k in within)
    error = (best * (1 - best) / len(train)) ** 0.5
    return min((k for k in within if found[k][0] >= best - error), key=lambda k: found[k][1])


def unbettered(points: Sequence[tuple[float, float]]) -> list[int]:
    """Positions of the points (accuracy, unfairness) that no other point betters in both."""
    return [
        k
        for k, (accuracy, unfairness) in enumerate(points)
        if not any(
            other[0] >= accuracy and other[1] <= unfairness and other != points[k]
            for other in points
        )
    ]


def run_jobs(jobs: Iterable[tuple[Callable[..., Any], tuple[Any, ...]]], n_jobs: int) -> list[Any]:
    """Run (function, arguments) jobs side by side, one thread each, and show their progress."""
    jobs = list(jobs)
    results: list[Any] = [None] * len(jobs)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    tasks = (joblib.delayed(_numbered)(k, *job) for k, job in enumerate(jobs))
    for k, result in tqdm(parallel(tasks), total=len(jobs), desc="fits", unit="job"):
        results[k] = result
    return results


def _numbered(
    number: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[int, Any]:
    with threadpool_limits(1):
        return number, function(*arguments)


@dataclass(frozen=True)
class _Fit:
    contender: Contender
    seconds: float
    notes: tuple[str, ...]


def _fits(method: Method, settings: Sequence[Setting], train: LabelledRows) -> Iterator[_Fit]:
    """Fit a method at each setting; what they share is fitted once, and its time counts in all."""
    rows = (train.X, train.y, train.s)
    shared, shared_seconds = None, 0.0
    for k, setting in enumerate(settings):
        contender = method.build(**setting)
        with _recorded_warnings() as caught:
            start = perf_counter()
            if k == 0:
                shared = contender.share(*rows, settings)
                shared_seconds = perf_counter() - start
                start = perf_counter()
            contender.finish(*rows, shared)
            seconds = shared_seconds + perf_counter() - start
        noted = {str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)}
        yield _Fit(contender, seconds, tuple(sorted(noted)))


def _measured(fit: _Fit, train: LabelledRows, test: LabelledRows, n_draws: int) -> Result:
    contender = fit.contender
    with _recorded_warnings():
        labels, scores = contender.predict(test.X, test.s), contender.scores(test.X, test.s)
        Z, Z_test = (contender.represent(sample.X, sample.s) for sample in (train, test))
    told = float("nan")
    if Z is not None and Z_test is not None:
        told = probe_auc(Z, train.s, Z_test, test.s)
    weights = bootstrap_weights(len(test), n_draws)
    metrics = weighted_metrics(test.y, labels, scores, test.codes, weights)
    return Result(metrics, told, fit.seconds, fit.notes)


def _recorded_warnings() -> warnings.catch_warnings[list[warnings.WarningMessage]]:
    return warnings.catch_warnings(record=True, action="always")


def _accuracy_and_parity(sample: LabelledRows, labels: np.ndarray) -> tuple[float, float]:
    weights = bootstrap_weights(len(sample), 0)
    metrics = weighted_metrics(sample.y, labels, None, sample.codes, weights)
    return float(metrics["accuracy"][0]), float(metrics["demographic_parity_difference"][0])
