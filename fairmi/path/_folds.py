"""A path in each fold: fit on the one part of the rows, predict and score the other.

Unfairness is measured on the held-out predictions of all folds together: the mean of a difference
over folds is above 0 by chance for a fair classifier, the more the fewer rows a fold has.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from fairmi._sklearn_compat import safe_indexing
from fairmi._threads import one_thread_if_few
from fairmi.path._path import fit_models, last_step

_N_BLOCKS = 20  # of rows, each left out in turn for a standard error
_N_SHUFFLES = 20  # of the groups, to see what a fair classifier shows
_FAR, _LEAST = 3.0, 0.01  # standard errors, and a difference that is none


@dataclass(frozen=True)
class FitRows:
    """What `fit` is given, n rows of each; `codes` are those of groups, -1 where none is known."""

    X: Any
    y: Any
    sensitive: Any
    weights: Any
    codes: np.ndarray

    def take(self, index: np.ndarray) -> FitRows:
        """Return the rows of `index`."""
        X, y, sensitive, weights = (
            None if part is None else safe_indexing(part, index)
            for part in (self.X, self.y, self.sensitive, self.weights)
        )
        return FitRows(X, y, sensitive, weights, self.codes[index])


@dataclass(frozen=True)
class Predictions:
    """Labels in the shape of an estimator, for a scorer of fairness."""

    labels: np.ndarray
    classes_: np.ndarray

    def predict(self, X: Any) -> np.ndarray:
        """Return the labels."""
        return self.labels


@dataclass(frozen=True)
class Judged:
    """What the models of all λ make of some rows.

    Parameters
    ----------
    scores : ndarray of shape (n_lams,)
        NaN where a fit diverged.
    labels : ndarray of shape (n_lams, n_rows)
    """

    scores: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Pooled:
    """The measure of unfairness on labels of many rows, each λ's by itself.

    Parameters
    ----------
    measure : FairnessScorer
    known : ndarray of shape (n_all_rows,)
        Rows whose group is known; all that follows, and all labels, are of these alone.
    y, codes, weights : ndarray of shape (n_rows,)
        Weights may be None.
    classes : ndarray
    """

    measure: Any
    known: np.ndarray
    y: np.ndarray
    codes: np.ndarray
    weights: np.ndarray | None
    classes: np.ndarray

    def value(self, labels: np.ndarray, rows: Any = slice(None), codes: Any = None) -> float:
        """Return the unfairness of labels (n_rows,) of some rows, or with the groups `codes`."""
        weights = {} if self.weights is None else {"sample_weight": self.weights[rows]}
        groups = (self.codes if codes is None else codes)[rows]
        said = Predictions(labels[rows], self.classes)
        return abs(self.measure(said, None, self.y[rows], sensitive_features=groups, **weights))

    def without_blocks(self, labels: np.ndarray) -> np.ndarray:
        """Return the values with each of 20 blocks of rows left out in turn."""
        block = np.random.default_rng(0).permutation(len(self.y)) % _N_BLOCKS
        return np.array([self.value(labels, block != k) for k in range(_N_BLOCKS)])

    def floor(self, labels: np.ndarray) -> float:
        """Return what a fair classifier of as many labels exceeds in one draw of ten."""
        rng = np.random.default_rng(0)
        shuffled = [
            self.value(labels, codes=rng.permutation(self.codes)) for _ in range(_N_SHUFFLES)
        ]
        return float(np.quantile(shuffled, 0.9))


def jackknife_error(values: np.ndarray) -> float:
    """Return the standard error of a measure from its values with each block left out."""
    n = len(values)
    return float(np.sqrt((n - 1) / n * ((values - values.mean()) ** 2).sum()))


def judge(models: Sequence[Any], rows: FitRows, score: Any) -> Judged:
    """Return scores and labels that fitted models have on rows."""
    weights = {} if rows.weights is None else {"sample_weight": rows.weights}
    scores = [
        np.nan
        if last_step(model).stopped_ == "diverged"
        else score(model, rows.X, rows.y, **weights)
        for model in models
    ]
    return Judged(np.array(scores), np.stack([model.predict(rows.X) for model in models]))


def fit_and_judge(
    estimator: Any, lams: Sequence[float], rows: FitRows, score: Any
) -> tuple[list[Any], Judged]:
    """Return the models of all λ, and what they make of the rows of the fit."""
    with one_thread_if_few(len(rows.codes)):
        models = _fitted(estimator, lams, rows)
        return models, judge(models, rows, score)


def judge_fold(
    estimator: Any,
    lams: Sequence[float],
    rows: FitRows,
    score: Any,
    split: tuple[np.ndarray, np.ndarray],
) -> Judged:
    """Return what models fitted to the first part of a split make of the second, on one thread."""
    fitted, held_out = (rows.take(part) for part in split)
    with threadpool_limits(1):
        return judge(_fitted(estimator, lams, fitted), held_out, score)


def check_folds(
    splits: Sequence[tuple[np.ndarray, np.ndarray]], y: np.ndarray, codes: np.ndarray
) -> None:
    """Raise ValueError where the training rows of a fold lack a class, or have one group alone."""
    classes = np.unique(y)
    for k, (train, _) in enumerate(splits):
        lacking = np.setdiff1d(classes, y[train]).tolist()
        groups = np.unique(codes[train][codes[train] >= 0])
        what = f"no row of class {lacking[0]!r}" if lacking else "rows of one group alone"
        if lacking or len(groups) < 2:
            raise ValueError(
                f"The training rows of fold {k} of cv have {what}, so that it can't be trained; "
                "give fewer folds, or folds that are even in it, such as "
                "StratifiedKFold(shuffle=True)."
            )


def far_from_folds(
    refit: Judged, held_out: Judged, index: np.ndarray, pooled: Pooled, right: np.ndarray
) -> np.ndarray:
    """Return whether each λ's refit is far from what its folds promised, (n_lams,).

    Both are compared on the same rows: the held-out labels, and those of the refit. Far is one
    class where folds predicted several; or fewer right, or more unfairness, by more than three
    standard errors of the difference and 0.01. Rows that a model was fitted to flatter it, so that
    a fault seen on them is one.

    Parameters
    ----------
    refit, held_out : Judged
        On all n rows, and on the held-out ones.
    index : ndarray of shape (n_held_out,)
        Where these lie.
    pooled : Pooled
        Of the held-out rows whose group is known.
    right : ndarray of shape (n,)
        The true labels.
    """
    y = right[index]
    far = ~np.isfinite(refit.scores)
    for k, (of_fold, of_refit) in enumerate(
        zip(held_out.labels, refit.labels[:, index], strict=True)
    ):
        gain = (of_refit == y).astype(float) - (of_fold == y)
        few = gain.mean() < -(_FAR * gain.std() / np.sqrt(len(gain)) + _LEAST)
        promised = of_fold[pooled.known]
        more = pooled.value(of_refit[pooled.known]) - pooled.value(promised)
        # Labels that fit y better on these rows show more of what y tells of the group.
        error = jackknife_error(pooled.without_blocks(promised))
        unfair = more > _FAR * error + _LEAST
        collapsed = len(np.unique(refit.labels[k])) == 1 < len(np.unique(of_fold))
        far[k] |= few or unfair or collapsed
    return far


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


def _fitted(estimator: Any, lams: Sequence[float], rows: FitRows) -> list[Any]:
    """Return the models of all λ.

    Raises
    ------
    KeyboardInterrupt
        If the fit was interrupted: what is stopped is never scored.
    """
    models = fit_models(estimator, lams, rows.X, rows.y, rows.sensitive, rows.weights)
    if any(last_step(model).stopped_ == "interrupted" for model in models):
        raise KeyboardInterrupt
    return models
