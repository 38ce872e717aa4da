"""A classifier that a user gives as the base of trees: fitted, and the scores that it gives."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import StratifiedKFold
from sklearn.utils.validation import has_fit_parameter

from fairmi._sklearn_compat import safe_indexing

_N_FOLDS = 5
_MIN_PROBABILITY = 1e-6


def check_base(base: Any) -> None:
    """Raise ValueError where a base is no classifier that gives scores."""
    if base is None:
        return
    if not any(hasattr(base, name) for name in ("predict_proba", "decision_function")):
        raise ValueError(
            f"base={base!r} has neither predict_proba nor decision_function; give a classifier "
            "that has one of them, or None."
        )


def fitted_base(
    base: Any, X: Any, y: np.ndarray, weights: np.ndarray, seed: int
) -> tuple[Any, np.ndarray]:
    """Return a base that is fitted, and its scores of the rows, (n, K).

    A frozen base is taken as it is. Any other is fitted to X, y, and the scores are those of five
    copies, each of which did not see the rows that it scores.

    Parameters
    ----------
    base : classifier
    X : DataFrame, ndarray or csr_array of n rows
    y : ndarray of shape (n,)
        Labels.
    weights : ndarray of shape (n,)
    seed : int
        Takes the place of each `random_state` of the base that is None.

    Raises
    ------
    ValueError
        If a frozen base has other classes than y, or weights are given to one that takes none.
    """
    classes, counts = np.unique(y, return_counts=True)
    if isinstance(base, FrozenEstimator):
        if not np.array_equal(base.classes_, classes):
            raise ValueError(
                f"base={base!r} was fitted to the classes {list(base.classes_)}, but y has "
                f"{list(classes)}; give a base of the same classes."
            )
        return base, scores_of_base(base, X)
    n_folds = min(_N_FOLDS, int(counts.min()))
    fitted = _fitted(base, X, y, weights, seed)
    if n_folds < 2:
        return fitted, scores_of_base(fitted, X)
    scores = np.empty((len(y), 1 if len(classes) == 2 else len(classes)))
    for seen, held in StratifiedKFold(n_folds, shuffle=True, random_state=seed).split(y, y):
        part = _fitted(base, safe_indexing(X, seen), y[seen], weights[seen], seed)
        scores[held] = scores_of_base(part, safe_indexing(X, held))
    return fitted, scores


def scores_of_base(base: Any, X: Any) -> np.ndarray:
    """Return log odds (n, 1) for two classes, else a score for each class, (n, K)."""
    if hasattr(base, "predict_proba"):
        logs = np.log(np.maximum(base.predict_proba(X), _MIN_PROBABILITY))
        return logs[:, 1:] - logs[:, :1] if logs.shape[1] == 2 else logs
    scores = np.asarray(base.decision_function(X), dtype=np.float64)
    return scores[:, None] if scores.ndim == 1 else scores


def _fitted(base: Any, X: Any, y: np.ndarray, weights: np.ndarray, seed: int) -> Any:
    fresh = clone(base)
    states = fresh.get_params(deep=True)
    unset = [k for k in states if k.split("__")[-1] == "random_state" and states[k] is None]
    fresh.set_params(**dict.fromkeys(unset, seed))
    if (weights == weights[0]).all():
        return fresh.fit(X, y)
    if not has_fit_parameter(fresh, "sample_weight"):
        raise ValueError(
            f"base={base!r} takes no sample_weight in fit; give it fitted, as "
            "sklearn.frozen.FrozenEstimator(base), or fit without sample_weight."
        )
    return fresh.fit(X, y, sample_weight=weights)
