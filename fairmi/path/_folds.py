"""A path in each fold: fit on the one part of the rows, predict and score the other.

Unfairness is measured on the held-out predictions of all folds together: the mean of a difference
over folds is above 0 by chance for a fair model, the more the fewer rows a fold has.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from numbers import Integral
from pathlib import Path
from typing import Any

import joblib
import numpy as np
from joblib import Memory
from sklearn.base import BaseEstimator
from sklearn.utils.validation import check_memory
from threadpoolctl import threadpool_limits

from fairmi._data.values import is_dict, n_rows
from fairmi._sklearn_compat import safe_indexing
from fairmi._threads import one_thread_if_few
from fairmi.metrics.scorers import FairnessScorer, Predictions
from fairmi.path._path import fit_models, last_step

Splits = Sequence[tuple[np.ndarray, np.ndarray]]
# X, y, sensitive_features and sample_weight as `fit` is given them.
FitRows = tuple[Any, ...]
# The score and the predictions of each λ's model on some rows; NaN where a fit diverged.
Judged = list[tuple[float, np.ndarray]]

_N_BLOCKS = 20  # of rows, each left out in turn for a standard error
_N_SHUFFLES = 20  # of the groups, to see what a fair model shows
_FAR, _LEAST = 3.0, 0.01  # standard errors, and a difference that is none
_IN_UNITS_OF_Y = ("mean_difference", "wasserstein")
_PACKAGES = ("fairmi", "numpy", "scikit-learn", "torch")


@dataclass(frozen=True)
class Candidate:
    """A λ, its model fitted to all n rows, and what it and the models of folds make of rows.

    `refit` (n,) are its predictions for all rows and `refit_score` is their score; `scores`
    (n_folds,) and `held_out` (n_held_out,) are those of the models of folds.
    """

    lam: float
    model: Any
    refit_score: float
    refit: np.ndarray
    scores: np.ndarray
    held_out: np.ndarray


@dataclass(frozen=True)
class HeldOut:
    """The n rows that folds held out, and the measure of unfairness of predictions for them.

    `index` (n,) says where they lie among the rows of the fit. `codes` (n,) of groups are -1 where
    none is known, `weights` may be None, and `classes` are None where y (n,) are numbers.
    """

    measure: FairnessScorer
    index: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None
    classes: np.ndarray | None

    @property
    def known(self) -> np.ndarray:
        """The rows whose group is known."""
        return np.flatnonzero(self.codes >= 0)

    def value(
        self,
        predicted: np.ndarray,
        rows: np.ndarray | None = None,
        codes: np.ndarray | None = None,
    ) -> float:
        """Return the unfairness of predictions (n,), of some rows, or with the groups `codes`."""
        rows = self.known if rows is None else rows
        groups = (self.codes if codes is None else codes)[rows]
        weights = {} if self.weights is None else {"sample_weight": self.weights[rows]}
        numbers = self.classes is None
        said = Predictions(predicted[rows], classes=self.classes, numbers=numbers)
        return abs(self.measure(said, None, self.y[rows], sensitive_features=groups, **weights))

    def error(self, predicted: np.ndarray) -> float:
        """Return the standard error of `value`, by a jackknife over 20 blocks of rows."""
        known = np.random.default_rng(0).permutation(self.known)
        known = known[np.argsort(self.codes[known], kind="stable")]  # small groups in many blocks
        block = np.arange(len(known)) % _N_BLOCKS
        rests = [known[block != k] for k in range(_N_BLOCKS)]
        comparable = [rest for rest in rests if len(np.unique(self.codes[rest])) > 1]
        values = np.array([self.value(predicted, rest) for rest in comparable])
        return float(np.sqrt((len(values) - 1) * values.var()))

    def floor(self, predicted: np.ndarray) -> float:
        """Return what a fair model with these predictions exceeds in one draw of ten."""
        rng, known, codes = np.random.default_rng(0), self.known, self.codes.copy()
        shuffled = []
        for _ in range(_N_SHUFFLES):
            codes[known] = rng.permutation(self.codes[known])
            shuffled.append(self.value(predicted, codes=codes))
        return float(np.quantile(shuffled, 0.9))

    def losses(self, predicted: np.ndarray) -> np.ndarray:
        """Return whether each prediction (n,) is wrong, or its share of the variance of y."""
        if self.classes is None:
            return (predicted - self.y) ** 2 / self.y.var()
        return (predicted != self.y).astype(np.float64)

    def is_far(self, candidate: Candidate, value: float, error: float) -> bool:
        """Whether a refit is far from what its folds promised, a `value` with an `error`.

        Both are compared on the same rows. Far is one prediction for all rows where folds had
        several; or larger losses, or more unfairness, by more than three standard errors of the
        difference and 0.01. Rows that a model was fitted to flatter it, so that a fault seen on
        them is one.
        """
        promised, refit = candidate.held_out, candidate.refit[self.index]
        if not np.isfinite(candidate.refit_score):
            return True
        if len(np.unique(candidate.refit)) == 1 < len(np.unique(promised)):
            return True
        loss = self.losses(refit) - self.losses(promised)
        if loss.mean() > _FAR * loss.std() / np.sqrt(len(loss)) + _LEAST:
            return True
        unit = self.y.std() if self.measure.name in _IN_UNITS_OF_Y else 1.0
        # The two models learned from different rows: each has an error of its own. And predictions
        # that fit y better on these rows show more of what y tells of the group.
        return self.value(refit) - value > _FAR * np.sqrt(2) * error + _LEAST * unit


def fit_and_judge(
    estimator: BaseEstimator,
    lams: Sequence[float],
    rows: FitRows,
    score: Callable[..., float],
    split: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[list[Any], Judged]:
    """Return the models of all λ and what they make of the rows that they were fitted to.

    Of a fold, models fitted to the first part of `split` on one thread stay where they are, and
    what they make of the second is returned. What is interrupted raises KeyboardInterrupt: it is
    never scored.
    """
    if split is None:
        fitted, held_out, threads = rows, rows, one_thread_if_few(n_rows(rows[0]))
    else:
        fitted, held_out = (tuple(_take(part, index) for part in rows) for index in split)
        threads = threadpool_limits(1)
    X, y, _, weights = held_out
    keywords = {} if weights is None else {"sample_weight": weights}
    with threads:
        models = fit_models(estimator, lams, *fitted)
        if any(last_step(model).stopped_ == "interrupted" for model in models):
            raise KeyboardInterrupt
        judged = []
        for model in models:
            diverged = last_step(model).stopped_ == "diverged"
            value = np.nan if diverged else score(model, X, y, **keywords)
            judged.append((value, model.predict(X)))
    return (models if split is None else []), judged


def _take(part: Any, index: np.ndarray) -> Any:
    """Return some rows of what `fit` is given, a dict of columns too."""
    if is_dict(part):
        return {name: _take(column, index) for name, column in part.items()}
    return None if part is None else safe_indexing(part, index)


def remembering(
    memory: str | Path | Memory | None, estimator: BaseEstimator, shared: object
) -> Callable[..., Any]:
    """Return what makes a job for joblib.Parallel, whose result `memory` keeps, if it is one.

    A result is kept under all that it hangs on: `shared`, data and settings that the jobs have in
    common, hashed once, versions of packages, and the job's own `part`. ValueError is raised where
    another fit would give other results, or something has no hash.
    """
    if memory is None:
        return lambda job, *arguments, part=None: joblib.delayed(_run)(None, job, arguments)
    last = last_step(estimator)
    if not isinstance(last.random_state, Integral):
        raise ValueError(
            f"memory={memory!r} keeps finished folds, which only a fit that can be repeated "
            f"may take up again, but the estimator has random_state="
            f"{last.random_state!r}; set it to an int."
        )
    encoder = getattr(last, "encoder", None)
    if hasattr(encoder, "state_dict") and not isinstance(encoder, type):
        raise ValueError(
            f"memory={memory!r} needs to tell by a hash whether a fold is the same, and the "
            "torch module encoder has none; give its class, or a function of a module that "
            "makes it, or set memory=None."
        )
    place = os.fspath(memory) if isinstance(memory, os.PathLike) else memory
    run = check_memory(place).cache(_run, ignore=["job", "arguments"])
    try:
        key = joblib.hash((shared, [version(name) for name in _PACKAGES]))
    except Exception as error:  # whatever pickling an object of the user's raises
        raise ValueError(
            f"memory={place!r} needs to tell by a hash whether a fold is the same, and an "
            f"argument has none ({error}). A lambda has none: give a function of a module; "
            "or set memory=None."
        ) from error
    return lambda job, *arguments, part=None: joblib.delayed(run)(
        (key, joblib.hash(part)), job, arguments
    )


def _run(key: object, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Do a job; `key` is what its result is kept under."""
    return job(*arguments)


def check_folds(splits: Splits, labels: np.ndarray, codes: np.ndarray) -> None:
    """Raise ValueError where the training rows of a fold lack a class, or have one group alone.

    `labels` (n,) are all alike where y has no classes. All held-out rows need two groups, too.
    """
    n, classes = len(labels), np.unique(labels)
    named = np.concatenate([rows for split in splits for rows in split])
    if named.max(initial=0) >= n or named.min(initial=0) < -n:
        raise ValueError(f"cv names row {named.max()}, but X has {n} rows; make folds of these.")
    for k, (train, _) in enumerate(splits):
        lacking = np.setdiff1d(classes, labels[train]).tolist()
        groups = np.unique(codes[train][codes[train] >= 0])
        what = f"no row of class {lacking[0]!r}" if lacking else "rows of one group alone"
        if lacking or len(groups) < 2:
            raise ValueError(
                f"The training rows of fold {k} of cv have {what}, so that it can't be trained; "
                "give fewer folds, or folds that are even in it, such as "
                "StratifiedKFold(shuffle=True)."
            )
    held_out = codes[np.concatenate([rows for _, rows in splits])]
    if len(np.unique(held_out[held_out >= 0])) < 2:
        raise ValueError(
            "The rows that cv holds out are of one group alone, so that unfairness can't be "
            "measured on them; give folds that hold out rows of each group."
        )


def finer_lams(lams: np.ndarray, unfairness: np.ndarray, n_more: int) -> np.ndarray:
    """Return values of λ between those whose unfairness differs most, (n_more,)."""
    at, values, added = lams.tolist(), unfairness.tolist(), []
    for _ in range(n_more):
        k = int(np.argmax(np.nan_to_num(np.abs(np.diff(values)))))
        low, high = at[k], at[k + 1]
        middle = float(np.sqrt(low * high)) if low else high / 2
        added.append(middle)
        at.insert(k + 1, middle)
        values.insert(k + 1, (values[k] + values[k + 1]) / 2)
    return np.array(added)
