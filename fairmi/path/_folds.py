"""A path in each fold: fit on the one part of the rows, measure on the other."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from fairmi._classifier import MIDebiasedClassifier
from fairmi._compat import safe_indexing


@dataclass(frozen=True)
class Rows:
    """What `fit` is given, n rows of each; `codes` are those of groups, -1 where none is known."""

    X: Any
    y: Any
    sensitive: Any
    weights: Any
    codes: np.ndarray

    def take(self, index: np.ndarray) -> Rows:
        """Return the rows of `index`."""
        X, y, sensitive, weights = (
            None if part is None else safe_indexing(part, index)
            for part in (self.X, self.y, self.sensitive, self.weights)
        )
        return Rows(X, y, sensitive, weights, self.codes[index])


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

    def of(self, model: MIDebiasedClassifier, rows: Rows) -> tuple[float, float]:
        """Return score and unfairness of a model on rows, the latter where the group is known."""
        known = rows.take(np.flatnonzero(rows.codes >= 0))
        weights = [
            {} if r.weights is None else {"sample_weight": r.weights} for r in (rows, known)
        ]
        unfairness = self.unfairness(
            model, known.X, known.y, sensitive_features=known.codes, **weights[1]
        )
        return self.score(model, rows.X, rows.y, **weights[0]), abs(unfairness)


def fit_models(
    base: MIDebiasedClassifier, lams: Sequence[float], rows: Rows
) -> tuple[list[MIDebiasedClassifier], list[list[Warning]]]:
    """Return the models of all λ, fitted to the rows, and what each of them warns of."""
    models, trained = base._fit_path(lams, rows.X, rows.y, rows.sensitive, rows.weights)
    told: list[list[Warning]] = []
    for place, model in enumerate(models):
        with warnings.catch_warnings(record=True, action="always") as caught:
            model._warn(trained, place)
        told.append([w.message for w in caught if isinstance(w.message, Warning)])
    return models, told


def score_fold(
    base: MIDebiasedClassifier,
    lams: Sequence[float],
    rows: Rows,
    split: tuple[np.ndarray, np.ndarray],
    measures: Measures,
) -> list[tuple[float, float]]:
    """Return score and unfairness of each λ on the second part of a split, fitted to the first."""
    fitted, held_out = (rows.take(part) for part in split)
    with threadpool_limits(1):
        models, _ = base._fit_path(lams, fitted.X, fitted.y, fitted.sensitive, fitted.weights)
        return [measures.of(model, held_out) for model in models]


def results_of(lams: np.ndarray, values: np.ndarray, names: tuple[str, str]) -> dict[str, Any]:
    """Return the values (n_folds, n_lams, 2) of the measures as GridSearchCV names them."""
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


def frontier_of(lams: np.ndarray, values: np.ndarray, names: tuple[str, str]) -> pd.DataFrame:
    """Return mean and standard error over folds of the values (n_folds, n_lams, 2)."""
    frame = pd.DataFrame({"lam": lams})
    n_folds = len(values)
    for k, name in enumerate(names):
        frame[f"mean_{name}"] = values[..., k].mean(axis=0)
        spread = values[..., k].std(axis=0, ddof=1) if n_folds > 1 else np.full(len(lams), np.nan)
        frame[f"se_{name}"] = spread / np.sqrt(n_folds)
    return frame
