"""The methods compared, behind one face: fit, predict, scores, represent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import BoundedGroupLoss, ExponentiatedGradient, SquareLoss
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.model_selection import KFold, StratifiedKFold, cross_val_predict

from fairmi._boosting_regressor import MIBoostingRegressor
from fairmi._typing import ColumnLike, TableLike
from fairmi.core.membership import quantile_bins
from fairmi.preprocessing import TableEncoder

Settings = Sequence[Mapping[str, Any]]

_N_FOLDS = 5
_CUTS = np.linspace(0.05, 0.95, 91)
_SHARES = np.linspace(0, 1, 1_001)
_N_BINS = 16
_BINS_OF_Y = 8
_GROUP = "group of the row"


class Contender:
    """A method as the comparison sees it: an encoder (or none) before a model.

    The plain case: the model never sees the sensitive features `s`, other than as columns of X.
    """

    # Seconds of the processor that its fit took, and warnings that it gave.
    seconds: float = 0.0
    notes: tuple[str, ...] = ()

    def __init__(self, model: BaseEstimator, encoder: BaseEstimator | None = None) -> None:
        self.model = model
        self.encoder: Any = encoder

    def fit(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray) -> Self:
        """Fit the encoder and the model on the rows of a training sample."""
        return self.finish(X, y, s, self.share(X, y, s, ()))

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return what is learned once for all settings of the method, if anything is."""
        return None

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        """Learn the rest of `fit`."""
        if self.encoder is not None:
            self.encoder.fit(X, y)
        self._fit_model(self._encode(X), y, s)
        return self

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        """Labels, 0 or 1, or numbers; only some methods look at `s`, and lotteries at `draw`."""
        return np.asarray(self.model.predict(self._encode(X))).ravel()

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray | None:
        """Scores of class 1 that rank the rows, or None where the method has none."""
        return self.model.predict_proba(self._encode(X))[:, 1]

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray | None:
        """The representation that predictions are made from, or None where there is none."""
        return None

    def _fit_model(self, X: TableLike, y: np.ndarray, s: np.ndarray) -> None:
        self.model.fit(X, y)

    def _encode(self, X: pd.DataFrame) -> Any:
        return X if self.encoder is None else np.asarray(self.encoder.transform(X))


class WithSensitive(Contender):
    """A model that takes `sensitive_features` at fit: fairlearn's GridSearch."""

    def _fit_model(self, X: TableLike, y: np.ndarray, s: np.ndarray) -> None:
        self.model.fit(X, y, sensitive_features=s)


class Debiased(WithSensitive):
    """fairmi's own estimator: its representation is what `transform` gives."""

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        return np.asarray(self.model.transform(X))


class OnPath(Debiased):
    """fairmi's estimators that train many λ at once."""

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        return models_by_lam(self.model, (X, y), s, settings)

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        self.model = shared[self.model.lam]
        return self


class Represented(Contender):
    """fairmi's transformer, which trains many λ at once, before a model that reads Z alone."""

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        return models_by_lam(self.encoder, (X,), s, settings)

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        self.encoder = shared[self.encoder.lam]
        self.model.fit(self._encode(X), y)
        return self

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        return self._encode(X)


class OnBound(WithSensitive):
    """fairmi's decisions under a bound: all bounds share one fit.

    Where a column of X tells the sensitive feature the group is read there, else it is estimated.
    """

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return the model of one bound, which has those of all."""
        columns = columns_of_group(X, s)
        if not columns:
            return self.model.fit(X, y, sensitive_features=s)
        return self.model.set_params(sensitive_columns=columns[:1]).fit(X, y)

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        self.model = shared.with_bound(self.model.bound)
        return self

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> None:
        """None: its scores are not fair, and the comparison is of what is."""
        return


class Randomised(WithSensitive):
    """fairlearn's ExponentiatedGradient: a lottery over classifiers, drawn anew for each row."""

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        labels = self.model.predict(self._encode(X), random_state=draw)
        return np.asarray(labels).ravel().astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The classifiers' probabilities of class 1, averaged with the lottery's weights."""
        encoded = self._encode(X)
        lottery = zip(self.model.weights_, self.model.predictors_, strict=True)
        return sum(w * m.predict_proba(encoded)[:, 1] for w, m in lottery if w > 0)


class Adversarial(WithSensitive):
    """fairlearn's AdversarialFairnessClassifier, which has no predict_proba."""

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The output of the trained predictor network."""
        return np.asarray(self.model.backendEngine_.evaluate(self._encode(X))).ravel()


class Decorrelated(Contender):
    """fairlearn's CorrelationRemover before a model; it reads `s` as further columns of X."""

    def __init__(
        self, remover: BaseEstimator, model: BaseEstimator, encoder: BaseEstimator
    ) -> None:
        super().__init__(model, encoder)
        self.remover = remover

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        return self.model.predict(self.represent(X, s))

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        return self.model.predict_proba(self.represent(X, s))[:, 1]

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        return self.remover.transform(self._with_indicators(self._encode(X), s))

    def _fit_model(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray) -> None:
        self._groups = np.unique(s)[1:]
        table = self._with_indicators(X, s)
        self.remover.set_params(sensitive_feature_ids=list(range(X.shape[1], table.shape[1])))
        self.model.fit(self.remover.fit_transform(table), y)

    def _with_indicators(self, X: np.ndarray, s: np.ndarray) -> np.ndarray:
        return np.column_stack([X, s[:, None] == self._groups])


class CrossFitted(Contender):
    """A model whose scores a rule turns to labels; subclasses learn and apply the rule.

    The model, its encoder and the scores are the same at each setting of the rule.
    """

    def share(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, settings: Settings) -> Any:
        """Return the fitted encoder, and the model with its scores of rows it did not learn."""
        if self.encoder is not None:
            self.encoder.fit(X, y)
        return self.encoder, *self.cross_fit(self._encode(X), y, s)

    def cross_fit(
        self, X: TableLike, y: np.ndarray, s: np.ndarray
    ) -> tuple[BaseEstimator, np.ndarray]:
        """Return a model of all rows, and a score of each by a model of the four other fifths.

        Fifths are drawn from the model's own seed, so that seeds of a benchmark differ in both.
        """
        folds = StratifiedKFold(_N_FOLDS, shuffle=True, random_state=self.model.random_state or 0)
        p = cross_val_predict(clone(self.model), X, y, cv=folds, method="predict_proba")
        return clone(self.model).fit(X, y), p[:, 1].astype(np.float64)

    def finish(self, X: pd.DataFrame, y: np.ndarray, s: np.ndarray, shared: Any) -> Self:
        self.encoder, self.model, scores = shared
        self.learn_rule(scores, y, s)
        return self

    def _probabilities(self, X: pd.DataFrame) -> np.ndarray:
        return self.model.predict_proba(self._encode(X))[:, 1]

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Learn from scores, labels and groups of the training rows."""
        raise NotImplementedError


class Thresholded(CrossFitted):
    """fairlearn's ThresholdOptimizer: needs the sensitive features at prediction too."""

    def __init__(
        self,
        model: BaseEstimator,
        encoder: BaseEstimator | None = None,
        *,
        tol: float,
        constraint: str = "demographic_parity",
    ) -> None:
        super().__init__(model, encoder)
        # fairlearn relaxes demographic parity alone.
        self.rule = ThresholdOptimizer(
            estimator=GivenScores(),
            prefit=True,
            predict_method="predict_proba",
            constraints=constraint,
            tol=tol if constraint == "demographic_parity" else None,
        )

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        """Labels by thresholds for each group, of which some rows draw one."""
        p = self._probabilities(X)[:, None]
        labels = self.rule.predict(p, sensitive_features=s, random_state=draw)
        return np.asarray(labels).ravel().astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> None:
        """None: a threshold for each group leaves no score that ranks rows across groups."""
        return

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        self.rule.fit(p[:, None], y, sensitive_features=s)


class GridThresholds(CrossFitted):
    """One threshold for each of two groups, the most accurate pair of a grid within a bound.

    Where no pair is within it, the least unfair one. Needs the sensitive features at prediction.
    """

    def __init__(
        self, model: BaseEstimator, *, tol: float, constraint: str = "demographic_parity"
    ) -> None:
        super().__init__(model)
        self.tol = tol
        self.constraint = constraint

    def learn_rule(self, p: np.ndarray, y: np.ndarray, s: np.ndarray) -> None:
        """Try all pairs on the scores of the training rows."""
        self.groups = np.unique(s)
        of_group = [s == group for group in self.groups]
        above = p > _CUTS[:, None]
        right = np.stack([(above[:, rows] == y[rows]).sum(axis=1) for rows in of_group])
        parity = self.constraint == "demographic_parity"
        strata = [np.ones(len(y), dtype=bool)] if parity else [y == 0, y == 1]
        rates = np.stack(
            [[above[:, rows & of].mean(axis=1) for rows in of_group] for of in strata]
        )
        unfair = np.abs(rates[:, 0, :, None] - rates[:, 1, None, :]).max(axis=0)
        total = right[0][:, None] + right[1]
        best = np.where(unfair <= max(self.tol, unfair.min()), total, -1).argmax()
        self.cuts = _CUTS[list(np.unravel_index(best, total.shape))]

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        cuts = self.cuts[np.searchsorted(self.groups, s)]
        return (self._probabilities(X) > cuts).astype(int)

    scores = Thresholded.scores


class GivenScores(ClassifierMixin, BaseEstimator):
    """A classifier whose only column is the probability of class 1 already."""

    def fit(self, X: TableLike, y: ColumnLike) -> Self:
        return self

    def predict_proba(self, X: TableLike) -> np.ndarray:
        """Probabilities of both classes, in double precision."""
        # With pandas 3, fairlearn 0.15 can't predict from probabilities of single precision.
        p = np.asarray(X, dtype=np.float64)[:, 0]
        return np.column_stack([1 - p, p])

    def __sklearn_is_fitted__(self) -> bool:
        return True


class Transport:
    """The Wasserstein barycentre of the groups' distributions, and each group's way to it.

    A row of group c moves from v to the sum over groups d of share_d * Q_d(F_c(v)): one
    distribution is left, and no other is reached by less squared change (Chzhen, Denis, Hebiri,
    Oneto, Pontil, *Fair Regression with Wasserstein Barycenters*, arXiv 2006.07286).
    """

    def __init__(self, values: np.ndarray, s: np.ndarray) -> None:
        groups, counts = np.unique(s, return_counts=True)
        self.quantiles = {g: np.quantile(values[s == g], _SHARES) for g in groups}
        self.common = np.average([self.quantiles[g] for g in groups], axis=0, weights=counts)

    def __call__(self, values: np.ndarray, s: np.ndarray, strength: float = 1.0) -> np.ndarray:
        """Return values on their way there: a strength of 1 arrives."""
        moved = np.empty(len(values))
        for group, own in self.quantiles.items():
            rows = s == group
            moved[rows] = np.interp(np.interp(values[rows], own, _SHARES), _SHARES, self.common)
        return (1 - strength) * values + strength * moved


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
        self.transport = Transport(p, s)
        moved = self.transport(p, s, self.strength)
        cuts = np.unique(np.quantile(moved, _SHARES))
        cut = max(cuts, key=lambda at: ((moved > at) == y).mean())
        inner = np.linspace(0, 1, _N_BINS + 1)[1:-1]
        self.edges = np.unique(np.append(inner, cut))
        self.first_selected = int(np.searchsorted(self.edges, cut)) + 1

    def predict(self, X: pd.DataFrame, s: np.ndarray, draw: int = 0) -> np.ndarray:
        return (self.scores(X, s) >= self.first_selected).astype(int)

    def scores(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The bin of each row, counted from 0."""
        moved = self.transport(self._probabilities(X), s, self.strength)
        return np.searchsorted(self.edges, moved, side="left")

    def represent(self, X: pd.DataFrame, s: np.ndarray) -> np.ndarray:
        """The bin of each row as the only column."""
        return self.scores(X, s)[:, None].astype(np.float64)


def models_by_lam(
    estimator: Any, rows: tuple[Any, ...], s: np.ndarray, settings: Settings
) -> dict[float, Any]:
    """Return the fitted model of the λ of each setting, or of the estimator's own."""
    lams = [setting["lam"] for setting in settings] or [estimator.lam]
    models = estimator.fit_path(*rows, lams=lams, sensitive_features=s)
    return dict(zip(lams, models, strict=True))


def columns_of_group(X: pd.DataFrame, s: np.ndarray) -> list[str]:
    """Return the columns of which each value is one group, and each group one value."""
    return [k for k in X if len(set(zip(X[k], s, strict=True))) == X[k].nunique() == len(set(s))]


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
