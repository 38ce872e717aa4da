"""A path in each fold: fit on the one part of the rows, measure on the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fairmi._sklearn_compat import safe_indexing
from fairmi._threads import one_thread_if_few


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
class Measures:
    """The scorers of a search by name: of what is maximised, and of what is bounded."""

    score_name: str
    score: Any
    unfairness_name: str
    unfairness: Any

    @property
    def names(self) -> tuple[str, str]:
        """Names of the two, in the order of `of`."""
        return self.score_name, self.unfairness_name

    def of(self, model: Any, rows: FitRows) -> tuple[float, float, float]:
        """Return score, unfairness where the group is known, and number of classes predicted.

        All are NaN where the model's fit diverged.
        """
        if model.stopped_ == "diverged":
            return np.nan, np.nan, np.nan
        known = rows.take(np.flatnonzero(rows.codes >= 0))
        weights = [
            {} if r.weights is None else {"sample_weight": r.weights} for r in (rows, known)
        ]
        unfairness = self.unfairness(
            model, known.X, known.y, sensitive_features=known.codes, **weights[1]
        )
        n_classes = len(np.unique(model.predict(rows.X)))
        return self.score(model, rows.X, rows.y, **weights[0]), abs(unfairness), n_classes


def fit_models(estimator: Any, lams: Sequence[float], rows: FitRows) -> list[Any]:
    """Return the models of all λ, fitted to the rows.

    Raises
    ------
    KeyboardInterrupt
        If the fit was interrupted: what is stopped is never scored.
    """
    models = estimator.fit_path(
        rows.X, rows.y, lams=lams, sensitive_features=rows.sensitive, sample_weight=rows.weights
    )
    if any(model.stopped_ == "interrupted" for model in models):
        raise KeyboardInterrupt
    return models


def fit_and_score(
    estimator: Any, lams: Sequence[float], rows: FitRows, measures: Measures
) -> tuple[list[Any], list[tuple[float, float, float]]]:
    """Return the models of all λ, and the measures of each on the rows of the fit."""
    with one_thread_if_few(len(rows.codes)):
        models = fit_models(estimator, lams, rows)
        return models, [measures.of(model, rows) for model in models]


def score_fold(
    estimator: Any,
    lams: Sequence[float],
    rows: FitRows,
    measures: Measures,
    split: tuple[np.ndarray, np.ndarray],
) -> list[tuple[float, float, float]]:
    """Return the measures of each λ on the second part of a split, fitted to the first.

    On one thread, as folds run side by side.
    """
    fitted, held_out = (rows.take(part) for part in split)
    with threadpool_limits(1):
        models = fit_models(estimator, lams, fitted)
        return [measures.of(model, held_out) for model in models]


def results_of(lams: np.ndarray, values: np.ndarray, names: tuple[str, str]) -> dict[str, Any]:
    """Return the values (n_folds, n_lams, 3) of the measures as GridSearchCV names them."""
    results: dict[str, Any] = {
        "param_lam": lams,
        "params": [{"lam": float(lam)} for lam in lams],
    }
    for k, name in enumerate(names):
        for fold, of_fold in enumerate(values[..., k]):
            results[f"split{fold}_test_{name}"] = of_fold
        results[f"mean_test_{name}"] = values[..., k].mean(axis=0)
        results[f"std_test_{name}"] = values[..., k].std(axis=0)
    return results


def frontier_of(lams: np.ndarray, results: dict[str, Any], names: tuple[str, str]) -> pd.DataFrame:
    """Return mean and standard error over folds of the measures of `results_of`."""
    frame = pd.DataFrame({"lam": lams})
    for name in names:
        values = np.array([results[k] for k in results if _is_split(k, name)])
        n_folds = len(values)
        frame[f"mean_{name}"] = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if n_folds > 1 else np.full(len(lams), np.nan)
        frame[f"se_{name}"] = spread / np.sqrt(n_folds)
    return frame


def broken_promises(values: np.ndarray, refit: np.ndarray, n_held_out: int) -> np.ndarray:
    """Return whether each λ's refit is far from what its folds promised, (n_lams,).

    Far is one class where folds predicted several; or a score below that of the worst fold, or an
    unfairness above that of the worst one, by more than the folds' spread and a margin for chance.
    Rows that a model was fitted to flatter it, so that a fault seen on them is one.

    Parameters
    ----------
    values : ndarray of shape (n_folds, n_lams, 3)
        Score, unfairness and number of classes predicted on held-out rows.
    refit : ndarray of shape (n_lams, 3)
        The same on the rows of the refit.
    n_held_out : int
        Rows of the smallest fold: two standard errors of a rate, and of a difference of rates of
        two groups of one size, are the margins.
    """
    margins = np.array([1.0, 2.0, 0.0]) / np.sqrt(n_held_out)
    spread = np.maximum(values.max(axis=0) - values.min(axis=0), margins)
    low = refit[:, 0] < values[..., 0].min(axis=0) - spread[:, 0]
    unfair = refit[:, 1] > values[..., 1].max(axis=0) + spread[:, 1]
    one_class = (refit[:, 2] == 1) & (np.median(values[..., 2], axis=0) > 1)
    return low | unfair | one_class | ~np.isfinite(refit).all(axis=1)


def _is_split(key: str, name: str) -> bool:
    return key.startswith("split") and key.endswith(f"_test_{name}")
