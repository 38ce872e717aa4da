"""Probabilities of rows by models that did not learn them, and the draw of a row by its values."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv

from fairmi._data.fit_input import FitInput
from fairmi._data.tables import Table
from fairmi._data.values import read_columns
from fairmi._sklearn_compat import safe_indexing
from fairmi._typing import TableLike
from fairmi.boosting.base import FEW_ROWS, fitted_copy
from fairmi.decisions.boosting import AveragedBoosting
from fairmi.exceptions import SensitiveFeaturesError

Splits = Sequence[tuple[np.ndarray, np.ndarray]]

_N_FOLDS = 5


def group_codes(inputs: FitInput) -> np.ndarray:
    """Return the code of each row's group, (n,), -1 where it is unknown."""
    (attribute,) = inputs.members
    if not attribute.n_groups:
        raise SensitiveFeaturesError(
            "The sensitive features are continuous, and a bound on decisions compares groups; cut "
            "them into groups, as by pandas.cut, or take MIDebiasedClassifier."
        )
    return np.where(attribute.known, attribute.codes, -1)


def one_hot(codes: np.ndarray, n_groups: int) -> np.ndarray:
    """Return who is in which group, (n, n_groups); NaN where the code is -1."""
    membership = np.eye(n_groups)[codes]
    membership[codes < 0] = np.nan
    return membership


def read_splits(cv: Any, inputs: FitInput, n: int) -> Splits | None:
    """Return the folds (train, test) that a user's `cv` makes of n rows, of those that count.

    None where it is "auto". Each row must be held out once.
    """
    if isinstance(cv, str):
        return None
    codes, place = np.zeros(n, dtype=np.int64), np.full(n, -1)
    codes[inputs.positions] = inputs.codes
    place[inputs.positions] = np.arange(len(inputs.positions))
    splits = list(check_cv(cv, codes, classifier=True).split(np.zeros(n), codes))
    if not np.array_equal(np.sort(np.concatenate([test for _, test in splits])), np.arange(n)):
        raise ValueError(
            f"cv={cv!r} does not hold out each row once; give folds such as "
            "StratifiedKFold(5), or an int."
        )
    counting = [[place[part][place[part] >= 0] for part in split] for split in splits]
    return [(train, test) for train, test in counting if len(test)]


def cross_fit(
    X: TableLike,
    weights: np.ndarray,
    groups: np.ndarray,
    y: np.ndarray,
    estimator: BaseEstimator,
    argument: str,
    *,
    splits: Splits | None,
    seed: int,
    own_rows: bool = False,
) -> tuple[Any, np.ndarray]:
    """Return a classifier fitted to all rows, and the probabilities of each (n, n_classes).

    These are of models of other folds; of a frozen classifier, and of the own boosting on many
    rows where `own_rows` allows it, they are its own. Where y are the codes of groups, nothing is
    fitted to the rows whose code is -1.
    """
    known = np.flatnonzero(y >= 0) if argument == "group_estimator" else np.arange(len(y))
    classes = np.unique(y[known])
    if isinstance(estimator, FrozenEstimator):
        fitted_to = np.asarray(getattr(estimator, "classes_", ())).tolist()
        if len(fitted_to) != len(classes) or (y is not groups and fitted_to != classes.tolist()):
            raise ValueError(
                f"{argument}={estimator!r} was fitted to the classes {fitted_to}, but here are "
                f"{classes.tolist()}; give one that was fitted to the same."
            )
        return estimator, np.asarray(estimator.predict_proba(X), dtype=np.float64)
    if estimator is None and splits is None:
        own = AveragedBoosting(random_state=seed)
        rows = (X if len(known) == len(y) else safe_indexing(X, known), y[known], weights[known])
        if own_rows and len(y) >= FEW_ROWS:
            return own.fit(*rows), own.predict_proba(X)
        out_of_fold = own.fit_out_of_fold(*rows)
        probabilities = out_of_fold if len(known) == len(y) else own.predict_proba(X)
        probabilities[known] = out_of_fold
        return own, probabilities
    if estimator is None:
        estimator = AveragedBoosting(random_state=seed)
    probabilities = np.zeros((len(y), len(classes)))
    for train, test in splits or even_folds(y, groups, seed):
        part = fitted_copy(estimator, argument, X, y, weights, seed, np.intersect1d(train, known))
        columns = np.searchsorted(classes, part.classes_)
        probabilities[np.ix_(test, columns)] = part.predict_proba(safe_indexing(X, test))
    return fitted_copy(estimator, argument, X, y, weights, seed, known), probabilities


def even_folds(y: np.ndarray, groups: np.ndarray, seed: int) -> Splits:
    """Return folds (train, test) in which each class of each group has its share."""
    order = np.lexsort((np.random.default_rng(seed).permutation(len(y)), groups, y))
    fold = np.empty(len(y), dtype=np.int64)
    fold[order] = np.arange(len(y)) % _N_FOLDS
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in range(_N_FOLDS)]


def row_draws(X: Table, salt: int) -> np.ndarray:
    """Return a number of [0, 1) for each row of a table, (n,), that its values alone set."""
    mixed = np.full(X.shape[0], np.uint64(salt))
    for column in read_columns(X):
        values = column.values
        if values.dtype == object:
            values = np.where(pd.isna(values), "", values).astype(str).astype(object)
        else:
            values = values + 0.0  # so that -0.0 is 0.0
        mixed = mixed * np.uint64(6364136223846793005) + pd.util.hash_array(values)
    return pd.util.hash_array(mixed) / 2.0**64
