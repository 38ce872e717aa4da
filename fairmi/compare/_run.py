"""The jobs of a comparison: fit a method at its settings, predict rows it never saw, measure."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from time import process_time
from typing import Any

import joblib
import numpy as np
import pandas as pd
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GroupKFold, train_test_split
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from fairmi.compare._contenders import Contender
from fairmi.compare._measures import (
    CHOSEN,
    bootstrap_weights,
    losses,
    number_metrics,
    probe_auc,
    weighted_metrics,
)
from fairmi.compare._methods import PARITY, Method, Trial
from fairmi.compare._rows import LabelledRows

Setting = dict[str, Any]
_VALIDATION_SHARE = 0.2
_MAX_DRAWS, _CELLS_OF_DRAWS = 1_000, 30_000_000


Point = tuple[float, float, float]
"""Score and unfairness of predictions, and the standard error of the score."""


@dataclass(frozen=True)
class Split:
    """Rows to learn from and rows to measure on, which lie at `place` of all that are measured.

    A repeat of cross-validation has a split for each fold, and measures every row once.
    """

    train: LabelledRows
    test: LabelledRows
    place: np.ndarray
    repeat: int = 0


@dataclass(frozen=True)
class Predicted:
    """What a fit made of the test rows, and what was measured beside.

    `labels` are numbers where a number is predicted; `validation` is what `read_point` says of
    validation rows, where the method is screened by them.
    """

    labels: np.ndarray
    scores: np.ndarray | None
    probe_auc: float
    seconds: float
    notes: tuple[str, ...]
    validation: Point | None = None


def fits(
    method: Method, settings: Sequence[Setting], train: LabelledRows, trial: Trial = PARITY
) -> Iterator[Contender]:
    """Fit a method at each setting; what they share is fitted once, and its time counts in all."""
    rows = (train.X, train.y, train.s)
    trial = replace(trial, loss=train.loss)
    shared, shared_seconds = None, 0.0
    for k, setting in enumerate(settings):
        contender = method.build(trial, **setting)
        with _recorded_warnings() as caught:
            start = process_time()
            if k == 0:
                shared = contender.share(*rows, settings)
                shared_seconds = process_time() - start
                start = process_time()
            contender.finish(*rows, shared)
            contender.seconds = shared_seconds + process_time() - start
        noted = {str(w.message) for w in caught if issubclass(w.category, ConvergenceWarning)}
        contender.notes = tuple(sorted(noted))
        yield contender


def predict_split(
    method: Method, settings: Sequence[Setting], split: Split, validate: bool
) -> list[Predicted]:
    """Fit a method at some settings on the training rows of a split, predict its test rows.

    With `validate` it learns from the training rows less the validation rows that it is screened
    by, and is not fitted again: a new fit would be another model than the one looked at.
    """
    train, test, validation = split.train, split.test, None
    if validate:
        learned, held_out = train_test_split(
            np.arange(len(train)),
            test_size=_VALIDATION_SHARE,
            stratify=train.strata,
            random_state=0,
        )
        train, validation = train.take(learned), train.take(held_out)
    outcomes = []
    for contender in fits(method, settings, train):
        recovered, scores = float("nan"), None
        with _recorded_warnings():
            labels = contender.predict(test.X, test.s)
            if test.loss is None:
                scores = contender.scores(test.X, test.s)
                Z, Z_test = (contender.represent(part.X, part.s) for part in (train, test))
                if Z is not None and Z_test is not None:
                    recovered = probe_auc(Z, train.s, Z_test, test.s)
            else:
                recovered = _probe_of_numbers(labels, test)
            outcome = Predicted(labels, scores, recovered, contender.seconds, contender.notes)
            if validation is not None:
                seen = contender.predict(validation.X, validation.s)
                outcome = replace(outcome, validation=read_point(validation, seen))
        outcomes.append(outcome)
    return outcomes


def _probe_of_numbers(predicted: np.ndarray, rows: LabelledRows) -> float:
    """What a probe makes of predictions: each half's by one of the other, for they are new there.

    Predictions of training rows lie further apart, and a probe of these would not fit the others.
    """
    owners = np.arange(len(rows)) if rows.clusters is None else rows.clusters
    halves = GroupKFold(2, shuffle=True, random_state=0).split(predicted, groups=owners)
    Z = predicted[:, None]
    return float(np.mean([probe_auc(Z[a], rows.s[a], Z[b], rows.s[b]) for a, b in halves]))


def compared(
    splits: Sequence[Split],
    rows: LabelledRows,
    lines: Sequence[tuple[Method, list[Setting]]],
    *,
    bound: float,
    n_jobs: int,
) -> tuple[pd.DataFrame, np.ndarray]:
    """Fit all methods on all splits, and measure them on `rows`, each predicted once a repeat.

    Unfairness is that of all out-of-fold predictions together: the mean over folds of a
    difference's size calls a fair classifier unfair, since chance has no sign. The table has a row
    for each method and setting; where there are several splits, also one with the setting that the
    other folds choose. Scores (n_rows_of_table, 1 + n_draws) are those in the sample and in each
    bootstrap draw, which all rows of the table share.
    """
    crossed = len(splits) > 1
    jobs: list[tuple[str, Callable[..., Any], tuple[Any, ...]]] = []
    for method, settings in lines:
        parts = [settings] if method.shares or crossed else [[setting] for setting in settings]
        validate = method.screened and not crossed and len(settings) > 1
        for split in splits:
            jobs += [(method.name, predict_split, (method, p, split, validate)) for p in parts]
    # The slowest come last in the table: they start first, so that no process waits for one.
    outcomes = chain.from_iterable(run_jobs(jobs[::-1], n_jobs, "fits")[::-1])
    described, to_measure = [], []
    for method, settings in lines:
        of_splits = [list(islice(outcomes, len(settings))) for _ in splits]
        for words, of_setting in _points(method, settings, splits, of_splits, rows, bound):
            described.append((method, words, of_setting))
            labels, scores = _put_together(splits, of_setting, rows)
            measured_rows = replace(rows, X=rows.X[[]])
            to_measure.append((method.name, _measure, (measured_rows, labels, scores)))
    metrics = run_jobs(to_measure, n_jobs, "intervals")
    table = [_row(*what, values) for what, values in zip(described, metrics, strict=True)]
    return pd.DataFrame(table), np.array([values[rows.reading.score] for values in metrics])


def choose_setting(points: Sequence[Point], bound: float) -> int:
    """Return the position of the point that serves best.

    Those within `bound` come into question, and of them the fairest whose score is within a
    standard error of the best: what scores tell apart less than that is chance (the rule of
    Breiman et al., *Classification and Regression Trees*, 1984). Where none is within the bound,
    it is the least unfair one.
    """
    within = [k for k, (_, unfairness, _) in enumerate(points) if unfairness <= bound]
    if not within:
        return min(range(len(points)), key=lambda k: points[k][1])
    best, _, error = max(points[k] for k in within)
    return min((k for k in within if points[k][0] >= best - error), key=lambda k: points[k][1])


def unbettered(points: Sequence[tuple[float, ...]]) -> list[int]:
    """Positions of the points (score, unfairness) that no other point betters in both."""
    return [
        k
        for k, (score, unfairness, *_) in enumerate(points)
        if not any(
            other[0] >= score and other[1] <= unfairness and other[:2] != points[k][:2]
            for other in points
        )
    ]


def read_point(rows: LabelledRows, predicted: np.ndarray) -> Point:
    """Return score and unfairness of predictions of the rows, and the score's standard error."""
    metrics = measured(rows, predicted, None, bootstrap_weights(len(rows), 0))
    reading = rows.reading
    score, unfairness = (float(metrics[k][0]) for k in (reading.score, reading.unfairness))
    if rows.loss is None:
        return score, unfairness, (score * (1 - score) / len(rows)) ** 0.5
    # Of the mean loss, as a share of a constant's: the score's own but for the latter's error.
    lost = losses(rows.y, predicted, rows.loss)
    return score, unfairness, float((1 - score) * lost.std() / lost.mean() / len(rows) ** 0.5)


def measured(
    rows: LabelledRows, predicted: np.ndarray, scores: np.ndarray | None, weights: np.ndarray
) -> dict[str, np.ndarray]:
    """Return all that is measured of predictions of the rows, under each row of `weights`."""
    if rows.loss is not None:
        return number_metrics(rows.y, predicted, rows.codes, weights, rows.loss)
    return weighted_metrics(rows.y, predicted.astype(int), scores, rows.codes, weights)


def run_jobs(
    jobs: Iterable[tuple[str, Callable[..., Any], tuple[Any, ...]]], n_jobs: int, what: str
) -> list[Any]:
    """Run (name, function, arguments) side by side, one thread each, and show their progress."""
    jobs = list(jobs)
    results: list[Any] = [None] * len(jobs)
    parallel = joblib.Parallel(n_jobs=n_jobs, return_as="generator_unordered")
    tasks = (joblib.delayed(_numbered)(k, *job[1:]) for k, job in enumerate(jobs))
    with tqdm(total=len(jobs), desc=what, unit="job") as bar:
        for k, result in parallel(tasks):
            results[k] = result
            bar.set_postfix_str(jobs[k][0], refresh=False)
            bar.update()
    return results


def _numbered(
    number: int, function: Callable[..., Any], arguments: tuple[Any, ...]
) -> tuple[int, Any]:
    with threadpool_limits(1):
        return number, function(*arguments)


def _recorded_warnings() -> warnings.catch_warnings[list[warnings.WarningMessage]]:
    return warnings.catch_warnings(record=True, action="always")


def _points(
    method: Method,
    settings: Sequence[Setting],
    splits: Sequence[Split],
    of_splits: Sequence[Sequence[Predicted]],
    rows: LabelledRows,
    bound: float,
) -> Iterator[tuple[str, list[Predicted]]]:
    """Yield the words of each point of a method's line, and its predictions on each split."""
    shown = list(range(len(settings)))
    if method.screened and len(settings) > 1:
        seen = [outcome.validation for outcome in of_splits[0]]
        shown = unbettered([point for point in seen if point is not None])
    for k in shown:
        words = ", ".join(f"{name}={value:g}" for name, value in settings[k].items())
        yield words, [outcomes[k] for outcomes in of_splits]
    if len(splits) > 1 and len(settings) > 1:
        yield (
            CHOSEN,
            [
                outcomes[_chosen_by_others(number, splits, of_splits, rows, bound)]
                for number, outcomes in enumerate(of_splits)
            ],
        )


def _chosen_by_others(
    number: int,
    splits: Sequence[Split],
    of_splits: Sequence[Sequence[Predicted]],
    rows: LabelledRows,
    bound: float,
) -> int:
    """Return the setting that serves best on the other folds of the same repeat."""
    others = [
        (split, outcomes)
        for k, (split, outcomes) in enumerate(zip(splits, of_splits, strict=True))
        if k != number and split.repeat == splits[number].repeat
    ]
    seen = rows.take(np.concatenate([split.place for split, _ in others]))
    points = [
        read_point(seen, np.concatenate([outcomes[k].labels for _, outcomes in others]))
        for k in range(len(of_splits[0]))
    ]
    return choose_setting(points, bound)


def _put_together(
    splits: Sequence[Split], outcomes: Sequence[Predicted], rows: LabelledRows
) -> tuple[np.ndarray, np.ndarray | None]:
    """Predictions and scores of all rows, (n_repeats, n_rows)."""
    shape = (max(split.repeat for split in splits) + 1, len(rows))
    labels, scores = np.empty(shape, dtype=rows.y.dtype), np.empty(shape)
    for split, outcome in zip(splits, outcomes, strict=True):
        labels[split.repeat, split.place] = outcome.labels
        if outcome.scores is not None:
            scores[split.repeat, split.place] = outcome.scores
    return labels, None if outcomes[0].scores is None else scores


def _measure(
    rows: LabelledRows, labels: np.ndarray, scores: np.ndarray | None
) -> dict[str, np.ndarray]:
    """Each metric in the sample and in each draw, its mean over repeats."""
    n_draws = max(100, min(_MAX_DRAWS, _CELLS_OF_DRAWS // len(rows)))
    if rows.clusters is None:
        weights = bootstrap_weights(len(rows), n_draws)
    else:
        weights = bootstrap_weights(int(rows.clusters.max()) + 1, n_draws)[:, rows.clusters]
    repeats = [
        measured(rows, labels[k], None if scores is None else scores[k], weights)
        for k in range(len(labels))
    ]
    return {name: np.mean([repeat[name] for repeat in repeats], axis=0) for name in repeats[0]}


def _row(
    method: Method, words: str, outcomes: Sequence[Predicted], metrics: dict[str, np.ndarray]
) -> dict[str, Any]:
    row: dict[str, Any] = {"method": method.name, "setting": words}
    row |= {"reads_group": method.reads_group, "draws": method.draws}
    for name, values in metrics.items():
        row[name] = float(values[0])
        low, high = np.quantile(values[1:], [0.025, 0.975]).tolist()
        # The draws of a difference's size lie above it where it is nearly 0.
        row[f"{name}_low"], row[f"{name}_high"] = min(low, row[name]), max(high, row[name])
    row["probe_auc"] = float(np.mean([outcome.probe_auc for outcome in outcomes]))
    row["fit_seconds"] = float(np.mean([outcome.seconds for outcome in outcomes]))
    row["notes"] = "; ".join(sorted({note for outcome in outcomes for note in outcome.notes}))
    return row
