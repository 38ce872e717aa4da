"""Rules over a model's scores, learned from scores of rows that the model did not learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import StratifiedKFold, cross_val_predict

from fairmi.compare._peers import Contender, Settings

_N_FOLDS = 5
_PULLS = np.linspace(-0.5, 0.5, 501)
_SHARES = np.linspace(0, 1, 1_001)
_N_BINS = 16


@dataclass(frozen=True)
class Scored:
    """A fitted model, and its scores of the training rows, each by a model of other rows."""

    model: BaseEstimator
    scores: np.ndarray


class CrossFitted(Contender):
    """A model whose scores a rule turns to labels; subclasses learn and apply the rule.

    The model, its encoder and the scores are the same at each setting of the rule.
    """

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return the fitted encoder and the model with its scores of rows it did not learn."""
        if self.encoder is not None:
            self.encoder.fit(X, y)
        return self.encoder, cross_fitted(self.model, self._encode(X), y)

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        """Learn the rule."""
        self.encoder, scored = shared
        self.model = scored.model
        self.learn_rule(scored.scores, y, s)
        return self

    def _probabilities(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self._encode(X))[:, 1]

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Learn from scores, labels and groups of the training rows."""
        raise NotImplementedError


class Thresholded(CrossFitted):
    """fairlearn's ThresholdOptimizer: needs the sensitive features at prediction too."""

    def __init__(
        self, model: BaseEstimator, encoder: BaseEstimator | None = None, *, tol: float
    ) -> None:
        super().__init__(model, encoder)
        self.rule = ThresholdOptimizer(
            estimator=GivenScores(), prefit=True, predict_method="predict_proba", tol=tol
        )

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels by a threshold for each group, ties broken from a fixed seed."""
        p = self._probabilities(X)[:, None]
        labels = self.rule.predict(p, sensitive_features=s, random_state=0)
        return np.asarray(labels).ravel().astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> None:
        """None: a threshold for each group leaves no score that ranks rows across groups."""
        return

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Learn the thresholds."""
        self.rule.fit(p[:, None], y, sensitive_features=s)


class GivenScores(ClassifierMixin, BaseEstimator):
    """A classifier whose only column is the probability of class 1 already."""

    def fit(self, X: Any, y: Any) -> Self:
        """Do nothing."""
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities of both classes, in double precision."""
        # With pandas 3, fairlearn 0.15 can't predict from probabilities of single precision.
        p = np.asarray(X, dtype=np.float64)[:, 0]
        return np.column_stack([1 - p, p])

    def __sklearn_is_fitted__(self) -> bool:
        return True


class GroupPredicted(CrossFitted):
    """The most accurate rule within a bound that knows a row's group by its probability alone.

    A row is selected where 2 p - 1 > pull * (q / share_1 - (1 - q) / share_0), p being the
    probability of class 1, q that of group 1, and the shares those of the two groups: the
    Lagrangian of accuracy under a bound on the demographic parity difference (A. Menon and
    R. Williamson, The cost of fairness in binary classification, FAT* 2018).
    """

    def __init__(
        self, model: BaseEstimator, encoder: BaseEstimator | None = None, *, tol: float
    ) -> None:
        super().__init__(model, encoder)
        self.tol = tol

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return the scores of class 1 and, by the same model, those of group 1."""
        encoder, scored = super().share(X, y, s, settings)
        return encoder, scored, cross_fitted(self.model, self._encode(X), s == s.max())

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        """Choose the pull: the most accurate within the bound, or else the least unfair."""
        *shared, group = shared
        self.group_model, self._share = group.model, (s == s.max()).mean()
        self._side = self._lean(group.scores)
        return super().finish(X, y, s, shared)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """What is gained by selecting a row, less what that costs of parity."""
        q = self.group_model.predict_proba(self._encode(X))[:, 1]
        return 2 * self._probabilities(X) - 1 - self.pull * self._lean(q)

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels, without a look at `s`."""
        return (self.scores(X, s) > 0).astype(int)

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Try all pulls on the scores of the training rows."""
        first = s == s.max()
        labels = [2 * p - 1 > pull * self._side for pull in _PULLS]
        right = np.array([(of == y).mean() for of in labels])
        unfair = np.array([abs(of[first].mean() - of[~first].mean()) for of in labels])
        within = unfair <= max(self.tol, unfair.min())
        self.pull = _PULLS[np.where(within, right, -1).argmax()]

    def _lean(self, q: np.ndarray) -> np.ndarray:
        return q / self._share - (1 - q) / (1 - self._share)


class Transported(CrossFitted):
    """Each group's scores moved to the groups' average distribution, then put into few bins.

    `strength` is how far they go: 1 leaves the same distribution in every group. Needs the
    sensitive features at prediction. The bins are of equal width, with one more edge where
    labels are most accurate.
    """

    def __init__(
        self, model: BaseEstimator, encoder: BaseEstimator | None = None, *, strength: float
    ) -> None:
        super().__init__(model, encoder)
        self.strength = strength

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Learn each group's quantiles, the common ones, and the bins."""
        groups, counts = np.unique(s, return_counts=True)
        self.quantiles = {g: np.quantile(p[s == g], _SHARES) for g in groups}
        every = np.stack([self.quantiles[g] for g in groups])
        self.common = np.average(every, axis=0, weights=counts)
        moved = self.transport(p, s)
        cuts = np.unique(np.quantile(moved, _SHARES))
        cut = max(cuts, key=lambda at: ((moved > at) == y).mean())
        inner = np.linspace(0, 1, _N_BINS + 1)[1:-1]
        self.edges = np.unique(np.append(inner, cut))
        self.first_selected = int(np.searchsorted(self.edges, cut)) + 1

    def transport(self, p: np.ndarray, s: np.ndarray) -> np.ndarray:
        """Scores on their way to the common distribution."""
        moved = np.empty(len(p))
        for group, quantiles in self.quantiles.items():
            rows = s == group
            moved[rows] = np.interp(np.interp(p[rows], quantiles, _SHARES), _SHARES, self.common)
        return (1 - self.strength) * p + self.strength * moved

    def predict(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """Labels by bin."""
        return (self.scores(X, s) >= self.first_selected).astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The bin of each row, counted from 0."""
        moved = self.transport(self._probabilities(X), s)
        return np.searchsorted(self.edges, moved, side="left")

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The bin of each row as the only column."""
        return self.scores(X, s)[:, None].astype(np.float64)


def cross_fitted(model: BaseEstimator, X: Any, y: np.ndarray) -> Scored:
    """Fit a model on all rows, and score each by a model of the four other fifths."""
    folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=0)
    p = cross_val_predict(clone(model), X, y, cv=folds, method="predict_proba")
    return Scored(clone(model).fit(X, y), p[:, 1].astype(np.float64))
