"""The jobs of a comparison: fit a method at a setting, measure it on rows it never saw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Sequence
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
from fairmi.compare._samples import Sample

Setting = dict[str, Any]
_VALIDATION_SHARE = 0.2
_INNER_FOLDS = 3


@dataclass(frozen=True)
class Outcome:
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

    outcomes: tuple[Outcome, ...]
    chosen: int


def run_split(
    method: Method, setting: Setting, train: Sample, test: Sample, n_draws: int
) -> Outcome:
    """Fit a method on `train`, measure it on `test`.

    A screened method learns from `train` less the validation rows that it is screened by, and is
    not fitted again: a new fit would be another model than the one that was looked at.
    """
    contender = method.build(**setting)
    if not method.screened:
        return _fit_and_measure(contender, train, test, n_draws)
    kept, held_out = train_test_split(
        np.arange(len(train)), test_size=_VALIDATION_SHARE, stratify=train.strata, random_state=0
    )
    outcome = _fit_and_measure(contender, train.take(kept), test, n_draws)
    validation = train.take(held_out)
    labels = contender.predict(validation.X, validation.s)
    return replace(outcome, validation=_accuracy_and_parity(validation, labels))


def run_fold(
    method: Method, settings: Sequence[Setting], train: Sample, test: Sample, bound: float
) -> FoldOutcome:
    """Fit a method at every setting on `train` and measure on `test`; choose inside `train`."""
    outcomes = tuple(_fit_and_measure(method.build(**s), train, test, 0) for s in settings)
    return FoldOutcome(outcomes, choose_setting(method, settings, train, bound))


def choose_setting(
    method: Method, settings: Sequence[Setting], train: Sample, bound: float
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
    splits = [
        (train.take(kept), held_out) for kept, held_out in folds.split(train.X, train.strata)
    ]
    found = []
    for setting in settings:
        labels = np.empty(len(train), dtype=np.int64)
        for kept, held_out in splits:
            contender, unseen = method.build(**setting), train.take(held_out)
            with _recorded_warnings():
                contender.fit(kept.X, kept.y, kept.s)
                labels[held_out] = contender.predict(unseen.X, unseen.s)
        found.append(_accuracy_and_parity(train, labels))
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


def _fit_and_measure(contender: Contender, train: Sample, test: Sample, n_draws: int) -> Outcome:
    with _recorded_warnings() as caught:
        start = perf_counter()
        contender.fit(train.X, train.y, train.s)
        seconds = perf_counter() - start
        labels, scores = contender.predict(test.X, test.s), contender.scores(test.X, test.s)
        Z, Z_test = (contender.represent(sample.X, sample.s) for sample in (train, test))
    weights = bootstrap_weights(len(test), n_draws)
    told = float("nan")
    if Z is not None and Z_test is not None:
        told = probe_auc(Z, train.s, Z_test, test.s)
    return Outcome(
        weighted_metrics(test.y, labels, scores, test.codes, weights),
        told,
        seconds,
        tuple(
            sorted({str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)})
        ),
    )


def _recorded_warnings() -> warnings.catch_warnings[list[warnings.WarningMessage]]:
    return warnings.catch_warnings(record=True, action="always")


def _accuracy_and_parity(sample: Sample, labels: np.ndarray) -> tuple[float, float]:
    weights = bootstrap_weights(len(sample), 0)
    metrics = weighted_metrics(sample.y, labels, None, sample.codes, weights)
    return float(metrics["accuracy"][0]), float(metrics["demographic_parity_difference"][0])
