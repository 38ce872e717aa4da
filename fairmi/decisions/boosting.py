"""Plain boosting for probabilities: averaged over codes of categories, rounds by held-out rows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import BaseEstimator, ClassifierMixin

from fairmi._data.saved_format import check_trees
from fairmi._threads import threads_for
from fairmi.boosting.base import boost, cross_fit
from fairmi.boosting.trees import TreeConfig, Trees, bin_rows
from fairmi.core.task import Classes
from fairmi.preprocessing.encoded_columns import column_codes, learn_columns

FEW_ROWS = 10_000
_MAX_BINS = 255
_N_FOLDS, _N_FOLDS_OF_MANY = 5, 3  # the latter for probabilities of FEW_ROWS and more
_RATE, _MAX_ITER, _IN_LEAF = 0.06, 400, 20
_LEAVES = (8, 16)  # below FEW_ROWS, and from there on


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

    def fit(self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None) -> Self:
        """Fit to a checked table; a fifth of it, held out from a first model, sets the rounds."""
        self._fit(X, y, sample_weight, out_of_fold=False)
        return self

    def fit_out_of_fold(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None = None
    ) -> np.ndarray:
        """Fit, and return probabilities of the rows by trees that did not see them."""
        return self._fit(X, y, sample_weight, out_of_fold=True)

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return probabilities of the classes, (n, n_classes)."""
        x = column_codes(X, self.columns_)
        pairs = zip(self.trees_, self.category_values_, strict=True)
        return _mean([Trees(**trees).scores(_coded(x, values)) for trees, values in pairs])

    def predict(self, X: Any) -> np.ndarray:
        """Return the class of each row, (n,)."""
        return self.classes_[self.predict_proba(X).argmax(axis=1)]

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over saved data, whose trees go to compiled code.

        Raises
        ------
        ValueError
            If something in it doesn't fit.
        """
        if "trees_" in state:
            columns = state["columns_"]
            for trees, values in zip(state["trees_"], state["category_values_"], strict=True):
                sized = zip(values, columns["n_categories"], strict=True)
                if any(of is not None and len(of) != size for of, size in sized):
                    raise ValueError("category_values_ doesn't go with columns_['n_categories'].")
                pairs = zip(columns["categories"], values, strict=True)
                codes = [known if of is None else None for known, of in pairs]
                sizes = np.where([of is None for of in values], columns["n_categories"], 0)
                as_read = {**columns, "categories": codes, "n_categories": sizes}
                open_channel = {"channel_": {"n_levels": None}}
                kept = range(state["n_features_in_"])
                check_trees(
                    {**state, **open_channel, "columns_": as_read, "trees_": trees, "_kept": kept}
                )
        super().__setstate__(state)

    def _fit(
        self, X: Any, y: np.ndarray, sample_weight: np.ndarray | None, *, out_of_fold: bool
    ) -> np.ndarray:
        self.classes_, codes = np.unique(y, return_inverse=True)
        weights = np.ones(len(y)) if sample_weight is None else sample_weight
        weights = weights / weights.mean()
        self.columns_, x = learn_columns(X, _MAX_BINS)
        self.n_features_in_ = int(X.shape[1])
        n_categories = self.columns_["n_categories"]
        many = len(y) >= FEW_ROWS
        n_folds = _N_FOLDS_OF_MANY if out_of_fold and many else _N_FOLDS
        n_folds = min(n_folds, int(np.bincount(codes).min()))
        config = TreeConfig(
            learning_rate=_RATE,
            max_iter=_MAX_ITER,
            max_leaf_nodes=_LEAVES[many],
            min_samples_leaf=min(_IN_LEAF, max(len(y) // 20, 1)),
            l2_regularization=0.0,
            max_features=1.0,
            n_threads=threads_for(len(y)),
        )
        rng = np.random.default_rng(self.random_state)
        self.category_values_ = [
            _values_of_categories(kind, n_categories, rng)
            for kind in range(self.n_encodings if n_categories.any() else 1)
        ]
        self.trees_: list[dict[str, np.ndarray]] = []
        scores: list[np.ndarray] = []
        for values in self.category_values_:
            is_code = np.array([of_column is None for of_column in values])
            rows = bin_rows(
                _coded(x, values), np.where(is_code, n_categories, 0), weights, _MAX_BINS, rng
            )
            draws = np.random.default_rng([self.random_state, 1])
            given = (rows, codes, weights, Classes(len(self.classes_)), config, draws)
            if n_folds < 2 or (scores and not out_of_fold):
                base = boost(*given)
            else:
                base = cross_fit(
                    *given,
                    n_folds=n_folds,
                    n_held_out=n_folds if out_of_fold or not many else 1,
                    out_of_fold=out_of_fold,
                )
                config = (
                    replace(config, max_iter=base.trees.n_rounds) if not out_of_fold else config
                )
            self.trees_.append(base.trees.arrays())
            scores.append(base.scores)
        return _mean(scores)


def _values_of_categories(
    kind: int, n_categories: np.ndarray, rng: np.random.Generator
) -> list[np.ndarray | None]:
    """Return the number of each category of each column; None where trees read codes as such."""
    if kind == 0:
        return [None] * len(n_categories)
    order = rng.permutation if kind > 1 else np.arange
    return [order(n).astype(np.float64) if n else None for n in n_categories]


def _coded(x: np.ndarray, values: list[np.ndarray | None]) -> np.ndarray:
    """Return columns of codes as numbers; a missing value stays NaN."""
    coded = x.copy()
    for j, of_column in enumerate(values):
        if of_column is not None:
            known = ~np.isnan(x[:, j])
            coded[known, j] = of_column[x[known, j].astype(np.int64)]
    return coded


def _mean(scores: list[np.ndarray]) -> np.ndarray:
    """Return the probabilities of the mean score."""
    mean = np.mean(scores, axis=0)
    if mean.shape[1] == 1:
        p = expit(mean[:, 0])
        return np.column_stack([1 - p, p])
    return softmax(mean, axis=1)
