"""The tables of methods, of labels and of numbers: a new one is one more entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import (
    DemographicParity,
    EqualizedOdds,
    ExponentiatedGradient,
    GridSearch,
)
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.model_selection import ParameterGrid
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairmi._backprop_classifier import MIBackpropClassifier
from fairmi._boosting_classifier import MIBoostingClassifier
from fairmi._boosting_regressor import MIBoostingRegressor
from fairmi._fair_threshold import FairThresholdClassifier
from fairmi._network_classifier import MIDebiasedClassifier
from fairmi._network_regressor import MIDebiasedRegressor
from fairmi._network_transformer import MIDebiasedTransformer
from fairmi._reweighing import FairReweighingClassifier
from fairmi.compare._contenders import (
    Adversarial,
    Barycentre,
    Contender,
    Debiased,
    Decorrelated,
    GridThresholds,
    GroupAveraged,
    LossBounded,
    MeansShifted,
    NumberEncoder,
    OnBound,
    OnPath,
    Randomised,
    Represented,
    Thresholded,
    Transported,
    WithSensitive,
)
from fairmi.preprocessing import TableEncoder

_WEIGHING_LAMS = (1.0, 4.0, 16.0)
_TOLERANCES = (0.001, 0.01, 0.02, 0.05, 0.1)
_STRENGTHS = (0.25, 0.5, 0.75, 0.9, 1.0)
_NUMBER_LAMS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)


@dataclass(frozen=True)
class Trial:
    """What a fit is asked for beside its setting: constraint, seed, and the loss of numbers."""

    constraint: str = "demographic_parity"
    seed: int = 0
    loss: str | None = None


PARITY = Trial()


@dataclass(frozen=True)
class Method:
    """A line of the picture: what `build` makes of a Trial and of each of its settings.

    Attributes
    ----------
    name : str
        What the table calls it. What begins with "fairmi" is ours.
    build : callable
        `build(trial, **setting)` returns an unfitted Contender. Not every peer can do equalized
        odds, or has a seed: what a trial asks for and a method can't do is left out of it.
    grid, fast_grid, folds_grid : dict of str to sequence
        Values of each of `build`'s arguments: of Adult, of the small comparison, which leaves the
        method out where it is None, and in place of `grid` where many folds are fitted.
    in_folds : bool
        False leaves a method that is too slow out of the comparison on German.
    screened : bool
        Whether the settings trace no frontier by themselves: of these candidates only those count
        that no other one betters on validation rows.
    reads_group : bool
        Whether it needs the sensitive feature at prediction.
    draws : bool
        Whether labels are drawn at random, so that equal rows may get unlike ones.
    shares : bool
        Whether settings have costly parts in common.
    two_groups : bool
        Whether it is for two groups alone.
    cost : float
        Seconds of all its settings on one thread for 10,000 rows of Adult, by which a budget of
        time is planned.
    """

    name: str
    build: Callable[..., Contender]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fast_grid: Mapping[str, Sequence[Any]] | None = field(default_factory=dict)
    folds_grid: Mapping[str, Sequence[Any]] | None = None
    in_folds: bool = True
    screened: bool = False
    reads_group: bool = False
    draws: bool = False
    shares: bool = False
    two_groups: bool = False
    cost: float = 1.0

    @property
    def ours(self) -> bool:
        """Whether it is of this package."""
        return self.name.partition(", ")[0] == "fairmi"

    def settings(self, *, fast: bool, folds: bool = False) -> list[dict[str, Any]]:
        """The arguments of `build`, one dictionary for each point of the line."""
        grid = self.fast_grid if fast else self.grid
        if folds and not fast:
            grid = (self.folds_grid or self.grid) if self.in_folds else None
        return [] if grid is None else list(ParameterGrid(dict(grid)))


def plain_encoder() -> BaseEstimator:
    """Standardised numbers and one-hot categories, a missing value being one of these."""
    numeric = make_column_selector(dtype_include="number")
    return make_column_transformer(
        (make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numeric),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def _logistic() -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky")


def _boosting(seed: int = 0) -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(random_state=seed)


def _base(seed: int) -> HistGradientBoostingClassifier:
    """Boosting like the base of our trees, with as many rounds as 32,000 rows of Adult want."""
    return HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=200,
        max_leaf_nodes=16,
        early_stopping=False,
        categorical_features="from_dtype",
        random_state=seed,
    )


def _reduction(trial: Trial, bound: float, model: BaseEstimator) -> ExponentiatedGradient:
    moment = DemographicParity if trial.constraint == "demographic_parity" else EqualizedOdds
    return ExponentiatedGradient(model, moment(difference_bound=bound), eps=bound)


def _weighed(model: BaseEstimator, lam: float, seed: int) -> FairReweighingClassifier:
    return FairReweighingClassifier(model, method="adversarial", lam=lam, random_state=seed)


def _grid_search(weight: float) -> GridSearch:
    return GridSearch(
        _logistic(), DemographicParity(), constraint_weight=weight, grid_size=11, grid_limit=0.6
    )


def _adversarial(
    alpha: float, rate: float, width: int, epochs: int = 10
) -> AdversarialFairnessClassifier:
    return AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[width, "leaky_relu"] if width else [],
        adversary_model=[32, "leaky_relu"],
        alpha=alpha,
        learning_rate=rate,
        epochs=epochs,
        batch_size=256,
        shuffle=True,
        random_state=0,
    )


def ours(estimator: Callable[..., BaseEstimator], trial: Trial, **parameters: Any) -> OnPath:
    """An estimator of ours that trains many λ at once, as a contender."""
    of_task = {"constraint": trial.constraint} if trial.loss is None else {"loss": trial.loss}
    return OnPath(estimator(random_state=trial.seed, **of_task, **parameters))


trees = partial(ours, MIBoostingClassifier)
networks = partial(ours, MIDebiasedClassifier)
_number_trees = partial(ours, MIBoostingRegressor)


def decisions(trial: Trial, bound: float, **parameters: Any) -> OnBound:
    """Our decisions under a bound as a contender."""
    model = FairThresholdClassifier(
        bound=bound, constraint=trial.constraint, random_state=trial.seed, **parameters
    )
    return OnBound(model)


def published(trial: Trial, lam: float) -> Debiased:
    """The published procedure as a contender."""
    # K is 40 there; half of it already sees all that the critic sees.
    model = MIBackpropClassifier(lam=lam, hidden_layer_sizes=(128,), n_critic_steps=20)
    return Debiased(model.set_params(random_state=trial.seed))


def _boosting_of_numbers(trial: Trial) -> HistGradientBoostingRegressor:
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


def _thresholds(
    name: str,
    model: Callable[[], BaseEstimator],
    encoder: Callable[[], BaseEstimator | None] = lambda: None,
    cost: float = 1.0,
) -> Method:
    return Method(
        name,
        lambda trial, tol: Thresholded(model(), encoder(), tol=tol, constraint=trial.constraint),
        {"tol": _TOLERANCES},
        {"tol": (0.02,)},
        reads_group=True,
        draws=True,
        shares=True,
        cost=cost,
    )


METHODS: tuple[Method, ...] = (
    Method("Majority class", lambda trial: Contender(DummyClassifier()), cost=0),
    Method(
        "Logistic regression, plain encoding",
        lambda trial: Contender(_logistic(), plain_encoder()),
        cost=0.2,
    ),
    Method("Logistic regression", lambda trial: Contender(_logistic(), TableEncoder()), cost=0.2),
    Method(
        "ExponentiatedGradient",
        lambda trial, bound: Randomised(_reduction(trial, bound, _logistic()), TableEncoder()),
        {"bound": (0.005, 0.02, 0.05, 0.1)},
        {"bound": (0.02,)},
        {"bound": (0.02, 0.1)},
        draws=True,
        cost=6.4,
    ),
    Method(
        "GridSearch",
        lambda trial, weight: WithSensitive(_grid_search(weight), TableEncoder()),
        {"weight": (0.1, 0.15, 0.3)},
        {"weight": (0.3,)},
        two_groups=True,
        cost=4.3,
    ),
    _thresholds("ThresholdOptimizer", _logistic, TableEncoder, cost=1.4),
    Method(
        "Reweighing",
        lambda trial: WithSensitive(FairReweighingClassifier(_logistic()), TableEncoder()),
        cost=0.3,
    ),
    Method(
        "Reweighing, adversarial",
        lambda trial, lam: WithSensitive(
            _weighed(make_pipeline(TableEncoder(), _logistic()), lam, trial.seed)
        ),
        {"lam": _WEIGHING_LAMS},
        {"lam": (4.0,)},
        cost=20.0,
    ),
    Method(
        "CorrelationRemover",
        lambda trial, alpha: Decorrelated(
            CorrelationRemover(alpha=alpha), _logistic(), TableEncoder()
        ),
        {"alpha": (0.5, 0.9, 1.0)},
        {"alpha": (1.0,)},
        reads_group=True,
        cost=0.7,
    ),
    Method(
        "Adversarial",
        lambda trial, **setting: Adversarial(_adversarial(**setting), TableEncoder()),
        {"alpha": (0.3, 1.0, 3.0), "rate": (1e-3, 3e-3), "width": (0, 64)},
        {"alpha": (1.0,), "rate": (1e-3,), "width": (64,)},
        {"alpha": (0.3, 3.0), "rate": (1e-3,), "width": (64,), "epochs": (50,)},
        screened=True,
        cost=12.9,
    ),
    Method("Gradient boosting", lambda trial: Contender(_boosting(trial.seed)), cost=0.3),
    _thresholds("ThresholdOptimizer, boosting", _boosting, cost=2.6),
    Method(
        "Boosting, a threshold for each group",
        lambda trial, tol: GridThresholds(_base(trial.seed), tol=tol, constraint=trial.constraint),
        {"tol": _TOLERANCES},
        {"tol": (0.02,)},
        reads_group=True,
        shares=True,
        two_groups=True,
        cost=2.3,
    ),
    Method(
        "Reweighing, boosting",
        lambda trial: WithSensitive(FairReweighingClassifier(_boosting(trial.seed))),
        cost=0.4,
    ),
    Method(
        "Reweighing, adversarial, boosting",
        lambda trial, lam: WithSensitive(_weighed(_boosting(trial.seed), lam, trial.seed)),
        {"lam": _WEIGHING_LAMS},
        None,
        cost=20.0,
    ),
    Method(
        "Quantile transport, boosting",
        lambda trial, strength: Transported(_boosting(trial.seed), strength=strength),
        {"strength": (0.5, 0.7, 0.8, 0.9, 1.0)},
        {"strength": (1.0,)},
        {"strength": (1.0,)},
        reads_group=True,
        shares=True,
        cost=1.8,
    ),
    Method(
        "ExponentiatedGradient, boosting",
        lambda trial, bound: Randomised(_reduction(trial, bound, _boosting())),
        {"bound": (0.005, 0.02, 0.05)},
        None,
        in_folds=False,
        draws=True,
        cost=36.8,
    ),
    Method(
        "MI backpropagation as published",
        published,
        {"lam": (2.0,)},
        None,
        in_folds=False,
        cost=65.4,
    ),
    Method(
        "fairmi, decisions",
        decisions,
        {"bound": (0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.15)},
        {"bound": (0.02, 0.1)},
        {"bound": (0.02, 0.05, 0.1)},
        shares=True,
        cost=2.0,
    ),
    Method(
        "fairmi, trees",
        trees,
        {"lam": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)},
        {"lam": (0.0, 8.0)},
        {"lam": (2.0, 8.0, 32.0)},
        cost=4.2,
    ),
    Method(
        "fairmi, network",
        networks,
        {"lam": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)},
        {"lam": (0.0, 4.0)},
        in_folds=False,
        cost=3.6,
    ),
    Method(
        "fairmi, 4 networks",
        lambda trial, lam: networks(trial, lam=lam, n_estimators=4),
        {"lam": (4.0, 6.0, 8.0, 11.0)},
        None,
        {"lam": (8.0,)},
        cost=5.0,
    ),
    Method(
        "fairmi, representation, boosting",
        lambda trial, lam: Represented(
            _boosting(trial.seed), MIDebiasedTransformer(lam=lam, random_state=trial.seed)
        ),
        {"lam": (0.2, 2.0)},
        {"lam": (2.0,)},
        {"lam": (0.2,)},
        shares=True,
        cost=14.0,
    ),
)


def _decorrelated(
    model: Callable[[Trial], BaseEstimator], trial: Trial, alpha: float
) -> Decorrelated:
    return Decorrelated(CorrelationRemover(alpha=alpha), model(trial), NumberEncoder())


NUMBER_METHODS: tuple[Method, ...] = (
    Method("Mean for all", lambda trial: Contender(DummyRegressor()), cost=0),
    Method("Linear model", lambda trial: Contender(_linear(trial), NumberEncoder()), cost=0.2),
    Method("Gradient boosting", lambda trial: Contender(_boosting_of_numbers(trial)), cost=0.3),
    *(
        Method(
            f"CorrelationRemover, {name}",
            partial(_decorrelated, model),
            {"alpha": (0.5, 0.75, 0.9, 1.0)},
            {"alpha": (1.0,)},
            reads_group=True,
            cost=cost,
        )
        for name, model, cost in (
            ("linear model", _linear, 0.5),
            ("boosting", _boosting_of_numbers, 4.0),
        )
    ),
    Method(
        "Means of groups shifted, boosting",
        lambda trial, strength: MeansShifted(
            _boosting_of_numbers(trial), strength, counts=trial.loss == "poisson"
        ),
        {"strength": (0.5, 1.0)},
        {"strength": (1.0,)},
        reads_group=True,
        cost=0.6,
    ),
    Method(
        "Barycentre, our base",
        lambda trial, strength: Barycentre(_number_trees(trial, lam=0.0).model, strength),
        {"strength": _STRENGTHS},
        {"strength": (1.0,)},
        reads_group=True,
        shares=True,
        cost=9.0,
    ),
    Method(
        "Discrimination-free price",
        lambda trial: GroupAveraged(_boosting_of_numbers(trial)),
        cost=0.3,
    ),
    Method(
        "ExponentiatedGradient, group loss",
        lambda trial, share: LossBounded(_boosting_of_numbers(trial), share),
        {"share": (0.5,)},
        None,
        cost=8.0,
    ),
    Method(
        "fairmi, networks",
        partial(ours, MIDebiasedRegressor),
        {"lam": _NUMBER_LAMS},
        None,
        shares=True,
        cost=6.0,
    ),
    Method(
        "fairmi, trees",
        _number_trees,
        {"lam": _NUMBER_LAMS},
        {"lam": (0.0, 8.0)},
        shares=True,
        cost=4.0,
    ),
    *(
        Method(
            f"fairmi, trees, {words}",
            partial(_number_trees, n_predictions=n_predictions),
            {"lam": _NUMBER_LAMS[2:]},
            None,
            shares=True,
            cost=4.0,
        )
        for words, n_predictions in (("17 values", 17), ("not rounded", None))
    ),
)
