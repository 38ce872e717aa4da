"""The table of methods: a new one is one more entry of METHODS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.preprocessing import CorrelationRemover
from fairlearn.reductions import DemographicParity, ExponentiatedGradient, GridSearch
from sklearn.base import BaseEstimator
from sklearn.compose import make_column_selector, make_column_transformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterGrid
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from fairmi._backprop_classifier import MIBackpropClassifier
from fairmi._boosting_classifier import MIBoostingClassifier
from fairmi._network_classifier import MIDebiasedClassifier
from fairmi.compare._cross_fitted import GroupPredicted, Thresholded, Transported
from fairmi.compare._peers import (
    Adversarial,
    Contender,
    Debiased,
    Decorrelated,
    OnPath,
    Randomised,
    WithSensitive,
)
from fairmi.preprocessing import TableEncoder

PLAIN = ", plain encoding"
_TOLERANCES = (0.001, 0.01, 0.02, 0.05, 0.1)


@dataclass(frozen=True)
class Method:
    """A line of the picture: what `build` makes of each of its settings.

    `grid` has the values of each of `build`'s arguments, and `fast_grid` those of the small
    comparison, which leaves the method out where it is None. The settings of a `screened` method
    do not trace a frontier by themselves: of these candidates only those count that no other one
    betters on validation rows. Where cross-validation compares many folds, `folds_grid` takes the
    place of `grid` if given, and a method that is too slow is left out by `in_folds`.
    `reads_group` says that it needs the sensitive feature at prediction, and `shares` that its
    settings have costly parts in common.
    """

    name: str
    build: Callable[..., Contender]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fast_grid: Mapping[str, Sequence[Any]] | None = field(default_factory=dict)
    folds_grid: Mapping[str, Sequence[Any]] | None = None
    in_folds: bool = True
    screened: bool = False
    reads_group: bool = False
    shares: bool = False

    def settings(self, *, fast: bool, folds: bool = False) -> list[dict[str, Any]]:
        """The arguments of `build`, one dictionary for each point of the line."""
        grid = self.fast_grid if fast else self.grid
        if folds and not fast:
            grid = (self.folds_grid or self.grid) if self.in_folds else None
        return [] if grid is None else list(ParameterGrid(dict(grid)))


def plain_encoder() -> BaseEstimator:
    """Standardised numbers and one-hot categories, a missing value being one of them."""
    numeric = make_column_selector(dtype_include="number")
    return make_column_transformer(
        (StandardScaler(), numeric),
        (
            OneHotEncoder(handle_unknown="ignore", sparse_output=False, dtype=np.float32),
            make_column_selector(dtype_exclude="number"),
        ),
    )


def _logistic() -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky")


def _boosting() -> HistGradientBoostingClassifier:
    return HistGradientBoostingClassifier(random_state=0)


def _reduction(bound: float, model: BaseEstimator) -> ExponentiatedGradient:
    return ExponentiatedGradient(model, DemographicParity(difference_bound=bound), eps=bound)


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


def _trees(lam: float) -> OnPath:
    return OnPath(MIBoostingClassifier(lam=lam, random_state=0))


def _networks(lam: float, **parameters: Any) -> OnPath:
    return OnPath(MIDebiasedClassifier(lam=lam, random_state=0, **parameters))


def _published(lam: float) -> Debiased:
    # K is 40 there; half of it already sees all that the critic sees.
    return Debiased(
        MIBackpropClassifier(lam=lam, hidden_layer_sizes=(128,), n_critic_steps=20, random_state=0)
    )


def _thresholds(
    name: str,
    model: Callable[[], BaseEstimator],
    encoder: Callable[[], BaseEstimator | None] = lambda: None,
) -> Method:
    return Method(
        name,
        lambda tol: Thresholded(model(), encoder(), tol=tol),
        {"tol": _TOLERANCES},
        {"tol": (0.02,)},
        reads_group=True,
        shares=True,
    )


def _on_encoding(suffix: str, encoder: Callable[[], BaseEstimator]) -> tuple[Method, ...]:
    """The peers that need their columns encoded, all on one encoding."""
    peers = (
        Method("Logistic regression", lambda: Contender(_logistic(), encoder())),
        Method(
            "ExponentiatedGradient",
            lambda bound: Randomised(_reduction(bound, _logistic()), encoder()),
            {"bound": (0.005, 0.02, 0.05, 0.1)},
            {"bound": (0.02,)},
            {"bound": (0.02, 0.1)},
        ),
        Method(
            "GridSearch",
            lambda weight: WithSensitive(_grid_search(weight), encoder()),
            {"weight": (0.1, 0.15, 0.3)},
            {"weight": (0.3,)},
        ),
        _thresholds("ThresholdOptimizer", _logistic, encoder),
        Method(
            "CorrelationRemover",
            lambda alpha: Decorrelated(CorrelationRemover(alpha=alpha), _logistic(), encoder()),
            {"alpha": (0.5, 0.9, 1.0)},
            {"alpha": (1.0,)},
            reads_group=True,
        ),
        Method(
            "Adversarial",
            lambda **setting: Adversarial(_adversarial(**setting), encoder()),
            {"alpha": (0.3, 1.0, 3.0), "rate": (1e-3, 3e-3), "width": (0, 64)},
            {"alpha": (1.0,), "rate": (1e-3,), "width": (64,)},
            {"alpha": (0.3, 3.0), "rate": (1e-3,), "width": (64,), "epochs": (50,)},
            screened=True,
        ),
    )
    in_folds = suffix != PLAIN
    return tuple(
        replace(peer, name=peer.name + suffix, in_folds=in_folds or not peer.grid)
        for peer in peers
    )


METHODS: tuple[Method, ...] = (
    Method("Majority class", lambda: Contender(DummyClassifier())),
    *_on_encoding(PLAIN, plain_encoder),
    *_on_encoding("", TableEncoder),
    Method("Gradient boosting", lambda: Contender(_boosting())),
    _thresholds("ThresholdOptimizer, boosting", _boosting),
    Method(
        "Quantile transport, boosting",
        lambda strength: Transported(_boosting(), strength=strength),
        {"strength": (0.5, 0.7, 0.8, 0.9, 1.0)},
        {"strength": (1.0,)},
        {"strength": (1.0,)},
        reads_group=True,
        shares=True,
    ),
    Method(
        "ExponentiatedGradient, boosting",
        lambda bound: Randomised(_reduction(bound, _boosting())),
        {"bound": (0.005, 0.02, 0.05)},
        None,
        in_folds=False,
    ),
    Method("MI backpropagation as published", _published, {"lam": (2.0,)}, None, in_folds=False),
    Method(
        "fairmi, trees",
        _trees,
        {"lam": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)},
        {"lam": (0.0, 8.0)},
        {"lam": (2.0, 8.0, 32.0)},
    ),
    Method(
        "fairmi, network",
        _networks,
        {"lam": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)},
        {"lam": (0.0, 4.0)},
        in_folds=False,
    ),
    Method(
        "fairmi, 4 networks",
        lambda lam: _networks(lam, n_estimators=4),
        {"lam": (4.0, 6.0, 8.0, 11.0)},
        None,
        {"lam": (8.0,)},
    ),
)

# Where the sensitive feature is not among the features, a rule can go by its probability.
PREDICTED_GROUP = (
    Method(
        "Predicted group, logistic",
        lambda tol: GroupPredicted(_logistic(), TableEncoder(), tol=tol),
        {"tol": _TOLERANCES},
        {"tol": (0.02,)},
        shares=True,
    ),
    Method(
        "Predicted group, boosting",
        lambda tol: GroupPredicted(_boosting(), tol=tol),
        {"tol": _TOLERANCES},
        {"tol": (0.02,)},
        shares=True,
    ),
)
