"""Regression: what is compared where a number is predicted, a table of methods of its own."""

from __future__ import annotations

from functools import partial
from typing import Any, Self

import numpy as np
import pandas as pd
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import BoundedGroupLoss, ExponentiatedGradient, SquareLoss
from sklearn.base import BaseEstimator, clone
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, PoissonRegressor
from sklearn.model_selection import KFold

from fairmi._boosting_regressor import MIBoostingRegressor
from fairmi._network_regressor import MIDebiasedRegressor
from fairmi.compare._contenders import (
    Contender,
    CrossFitted,
    Decorrelated,
    Transport,
    columns_of_group,
)
from fairmi.compare._methods import Method, Trial, ours
from fairmi.core.membership import quantile_bins
from fairmi.preprocessing import TableEncoder

_N_FOLDS = 5
_BINS_OF_Y = 8
_GROUP = "group of the row"
_STRENGTHS = (0.25, 0.5, 0.75, 0.9, 1.0)
_LAMS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


class NumberEncoder(TableEncoder):
    """fairmi's encoder of tables, which reads classes: bins of y are these."""

    def fit(self, X: Any, y: Any = None, sample_weight: np.ndarray | None = None) -> Self:
        """Choose the knots of columns by eight quantile bins of y."""
        bins, _ = quantile_bins(y, np.ones(len(y)), _BINS_OF_Y)
        return super().fit(X, bins, sample_weight)


class Barycentre(CrossFitted):
    """A model whose predictions move to the barycentre of the groups' distributions.

    The rule is learned from predictions of rows that the model did not learn. Needs the group at
    prediction.
    """

    def __init__(self, model: MIBoostingRegressor, strength: float) -> None:
        super().__init__(model)
        self.strength = strength

    def cross_fit(self, X: Any, y: np.ndarray, s: np.ndarray) -> tuple[BaseEstimator, np.ndarray]:
        """Return a model of all rows, and a prediction of each by one of the four other fifths."""
        seen = np.empty(len(y))
        for first, second in KFold(_N_FOLDS, shuffle=True, random_state=0).split(X):
            model = clone(self.model).fit(X.iloc[first], y[first], sensitive_features=s[first])
            seen[second] = model.predict(X.iloc[second])
        return self.model.fit(X, y, sensitive_features=s), seen

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        self.transport = Transport(p, s)

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        return self.transport(self.model.predict(X), s, self.strength)


class MeansShifted(Contender):
    """A model whose predictions are shifted, so that the groups' means meet; scaled for counts."""

    def __init__(self, model: BaseEstimator, strength: float, *, counts: bool) -> None:
        super().__init__(model)
        self.strength = strength
        self.counts = counts

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        """Predictions less what the mean of the row's group is off by."""
        predicted, own = self.model.predict(X), np.array([self.means[group] for group in s])
        if self.counts:
            return predicted * (self.mean / own) ** self.strength
        return predicted + self.strength * (self.mean - own)

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        predicted = self.model.fit(X, y).predict(X)
        self.mean = predicted.mean()
        self.means = {group: predicted[s == group].mean() for group in np.unique(s)}


class GroupAveraged(Contender):
    """The discrimination-free price: the mean over groups of what the model says of each.

    The model learns with the group as a column; a row is predicted as each group, and these are
    averaged by the groups' shares. No group is needed at prediction. Source: Lindholm, Richman,
    Tsanakas, Wüthrich, *Discrimination-free Insurance Pricing*, ASTIN Bulletin 2022,
    doi 10.1017/asb.2021.23. What X tells of the group remains, by design.
    """

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        of_groups = [self.model.predict(self._as_group(X, group)) for group in self.groups]
        return np.average(of_groups, axis=0, weights=self.shares)

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        self.groups, counts = np.unique(s, return_counts=True)
        self.shares, self.columns = counts / len(s), columns_of_group(X, s)
        self.model.fit(self._as_group(X, s), y)

    def _as_group(self, X: pd.DataFrame, s: Any) -> pd.DataFrame:
        groups = pd.Categorical(np.broadcast_to(s, len(X)), categories=self.groups)
        return X.drop(columns=self.columns).assign(**{_GROUP: groups})


class LossBounded(Contender):
    """fairlearn's ExponentiatedGradient under BoundedGroupLoss: a most that any group may lose.

    Its lottery over models is averaged, which loses less than a draw of it.
    """

    def __init__(self, model: BaseEstimator, share: float) -> None:
        super().__init__(model)
        self.bound = share

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        lottery = zip(self.model.weights_, self.model.predictors_, strict=True)
        return sum(w * model.predict(X) for w, model in lottery if w > 0)

    def _fit_model(self, X: Any, y: np.ndarray, s: np.ndarray) -> None:
        loss = SquareLoss(y.min(), y.max())
        moment = BoundedGroupLoss(loss, upper_bound=self.bound * y.var())
        self.model = ExponentiatedGradient(self.model, moment, max_iter=20)
        self.model.fit(X, y, sensitive_features=s)


def _boosting(trial: Trial) -> HistGradientBoostingRegressor:
    """Boosting that stops early: on few rows and noisy counts the default learns the noise."""
    return HistGradientBoostingRegressor(
        loss=trial.loss,
        learning_rate=0.05,
        max_iter=500,
        max_leaf_nodes=8,
        early_stopping=True,
        categorical_features="from_dtype",
        random_state=trial.seed,
    )


def _linear(trial: Trial) -> BaseEstimator:
    if trial.loss == "poisson":
        return PoissonRegressor(alpha=1e-4, solver="newton-cholesky")
    return LinearRegression()


_trees = partial(ours, MIBoostingRegressor)


def _removed(model: Any) -> Any:
    return lambda trial, alpha: Decorrelated(
        CorrelationRemover(alpha=alpha), model(trial), NumberEncoder()
    )


NUMBER_METHODS: tuple[Method, ...] = (
    Method("Mean for all", lambda trial: Contender(DummyRegressor()), cost=0),
    Method("Linear model", lambda trial: Contender(_linear(trial), NumberEncoder()), cost=0.2),
    Method("Gradient boosting", lambda trial: Contender(_boosting(trial)), cost=0.3),
    Method(
        "CorrelationRemover, linear model",
        _removed(_linear),
        {"alpha": (0.5, 0.75, 0.9, 1.0)},
        {"alpha": (1.0,)},
        reads_group=True,
        cost=0.5,
    ),
    Method(
        "CorrelationRemover, boosting",
        _removed(_boosting),
        {"alpha": (0.5, 0.75, 0.9, 1.0)},
        {"alpha": (1.0,)},
        reads_group=True,
        cost=4.0,
    ),
    Method(
        "Means of groups shifted, boosting",
        lambda trial, strength: MeansShifted(
            _boosting(trial), strength, counts=trial.loss == "poisson"
        ),
        {"strength": (0.5, 1.0)},
        {"strength": (1.0,)},
        reads_group=True,
        cost=0.6,
    ),
    Method(
        "Barycentre, our base",
        lambda trial, strength: Barycentre(_trees(trial, lam=0.0).model, strength),
        {"strength": _STRENGTHS},
        {"strength": (1.0,)},
        reads_group=True,
        shares=True,
        cost=9.0,
    ),
    Method(
        "Discrimination-free price",
        lambda trial: GroupAveraged(_boosting(trial)),
        cost=0.3,
    ),
    Method(
        "ExponentiatedGradient, group loss",
        lambda trial, share: LossBounded(_boosting(trial), share),
        {"share": (0.5,)},
        None,
        cost=8.0,
    ),
    Method(
        "fairmi, networks",
        partial(ours, MIDebiasedRegressor),
        {"lam": _LAMS},
        None,
        shares=True,
        cost=6.0,
    ),
    Method("fairmi, trees", _trees, {"lam": _LAMS}, {"lam": (0.0, 8.0)}, shares=True, cost=4.0),
    Method(
        "fairmi, trees, 17 values",
        lambda trial, lam: _trees(trial, lam=lam, n_predictions=17),
        {"lam": _LAMS[2:]},
        None,
        shares=True,
        cost=4.0,
    ),
    Method(
        "fairmi, trees, not rounded",
        lambda trial, lam: _trees(trial, lam=lam, n_predictions=None),
        {"lam": _LAMS[2:]},
        None,
        shares=True,
        cost=4.0,
    ),
)
