"""Plain boosting for probabilities: averaged over codes of categories, rounds by held-out rows."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from fairmi._data.saved_format import check_trees
from fairmi._data.tables import Table
from fairmi._threads import threads_for
from fairmi._typing import TableLike
from fairmi.boosting.base import FEW_ROWS, TreeRows, averaged, base_config
from fairmi.boosting.trees import Trees, bin_rows
from fairmi.core.task import Classes
from fairmi.preprocessing.encoded_columns import column_codes, encodings_of, learn_columns

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
