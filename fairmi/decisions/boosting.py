"""Probabilities of rows by models that did not learn them: boosting of our own, or a user's model.

Our own is averaged over codes of categories, and has as many rounds as held-out rows ask for.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import check_cv

from fairmi._data.fit_input import FitInput
from fairmi._data.saved_format import check_trees
from fairmi._data.tables import Table
from fairmi._data.values import read_columns
from fairmi._sklearn_compat import safe_indexing
from fairmi._threads import threads_for
from fairmi._typing import TableLike
from fairmi.boosting.base import FEW_ROWS, TreeRows, averaged, base_config, fitted_copy
from fairmi.boosting.trees import Trees, bin_rows
from fairmi.core.task import Classes
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.preprocessing.encoded_columns import column_codes, encodings_of, learn_columns

Splits = Sequence[tuple[np.ndarray, np.ndarray]]

_MAX_BINS = 255
_N_FOLDS, _N_FOLDS_OF_MANY = 5, 3  # the latter for probabilities of FEW_ROWS and more


class AveragedBoosting(ClassifierMixin, BaseEstimator):
    """Boosted trees on a table, the mean of models that differ in the codes of categories.

    One model takes categories as such, one as numbers by frequency, others as numbers in random
    order; their mean has a lower log loss than each. A table of numbers has one model. All have as
    many rounds as are best on held-out rows. It is a part of a FairThresholdClassifier, and its
    fit takes what that has checked.

    Parameters
    ----------
    n_encodings : int, default=3
        Models, where there are categories.
    random_state : int, default=0
    """

    def __init__(self, n_encodings: int = 3, random_state: int = 0) -> None:
        self.n_encodings = n_encodings
        self.random_state = random_state

    def fit(self, X: TableLike, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit to a checked table; a fifth of it, held out from a first model, sets the rounds."""
        self._fit(X, y, sample_weight, out_of_fold=False)
        return self

    def fit_out_of_fold(
        self, X: TableLike, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> np.ndarray:
        """Fit, and return probabilities of the rows by trees that did not see them."""
        return self._fit(X, y, sample_weight, out_of_fold=True)

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Return probabilities of the classes, (n, n_classes)."""
        return _probabilities(Trees(**self.trees_).scores(column_codes(X, self.columns_)))

    def predict(self, X: TableLike) -> np.ndarray:
        """Return the class of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data, which is checked: its trees go to compiled code."""
        if "trees_" in state:
            kept = range(state["n_features_in_"])
            check_trees({**state, "channel_": {"n_levels": None}, "_kept": kept})
        super().__setstate__(state)

    def _fit(
        self, X: Table, y: np.ndarray, sample_weight: np.ndarray | None, *, out_of_fold: bool
    ) -> np.ndarray:
        self.classes_, codes = np.unique(y, return_inverse=True)
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        weights = weights / weights.mean()
        self.n_features_in_ = int(X.shape[1])
        self.columns_, x = learn_columns(X, _MAX_BINS, self.n_encodings, self.random_state)
        encodings, n_categories = encodings_of(self.columns_)
        rng = np.random.default_rng(self.random_state)
        many = len(y) >= FEW_ROWS
        n_folds = _N_FOLDS_OF_MANY if out_of_fold and many else _N_FOLDS
        config = base_config(
            len(y),
            n_threads=threads_for(len(y)),
            n_folds=n_folds,
            n_held_out=n_folds if out_of_fold or not many else 1,
            out_of_fold=out_of_fold,
        )
        binned = bin_rows(x, n_categories, weights, _MAX_BINS, rng)
        rows = TreeRows(binned, codes, Classes(len(self.classes_)), weights, encodings)
        trees, scores = averaged(rows, config, [self.random_state, 1])
        self.trees_ = trees.arrays()
        return _probabilities(scores)


def _probabilities(scores: np.ndarray) -> np.ndarray:
    """Return the probabilities of all classes, (n, n_classes), of scores (n, K)."""
    if scores.shape[1] == 1:
        p = expit(scores[:, 0])
        return np.column_stack([1 - p, p])
    return softmax(scores, axis=1)


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
