"""The table of methods: a new one is one more entry of METHODS."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.postprocessing import ThresholdOptimizer
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
from fairmi._network_classifier import MIDebiasedClassifier
from fairmi.compare._peers import (
    Adversarial,
    Contender,
    Debiased,
    Decorrelated,
    Randomised,
    Thresholded,
    WithSensitive,
)
from fairmi.preprocessing import TableEncoder

PLAIN = ", plain encoding"


@dataclass(frozen=True)
class Method:
    """A line of the picture: what `build` makes of each of its settings.

    `grid` has the values of each of `build`'s arguments, and `fast_grid` those of the small
    comparison, which leaves the method out where it is None. The settings of a `screened` method
    do not trace a frontier by themselves: of these candidates only those count that no other one
    betters on validation rows.
    """

    name: str
    build: Callable[..., Contender]
    grid: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    fast_grid: Mapping[str, Sequence[Any]] | None = field(default_factory=dict)
    screened: bool = False

    def settings(self, *, fast: bool) -> list[dict[str, Any]]:
        """The arguments of `build`, one dictionary for each point of the line."""
        grid = self.fast_grid if fast else self.grid
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


def _threshold(model: BaseEstimator) -> ThresholdOptimizer:
    return ThresholdOptimizer(estimator=model, predict_method="predict_proba")


def _adversarial(alpha: float, learning_rate: float, width: int) -> AdversarialFairnessClassifier:
    return AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[width, "leaky_relu"] if width else [],
        adversary_model=[32, "leaky_relu"],
        alpha=alpha,
        learning_rate=learning_rate,
        epochs=10,
        batch_size=256,
        shuffle=True,
        random_state=0,
    )


def _ours(lam: float, **parameters: Any) -> Debiased:
    return Debiased(MIDebiasedClassifier(lam=lam, random_state=0, **parameters))


def _published(lam: float) -> Debiased:
    # K is 40 there; half of it already sees all that the critic sees.
    return Debiased(
        MIBackpropClassifier(lam=lam, hidden_layer_sizes=(128,), n_critic_steps=20, random_state=0)
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
        ),
        Method(
            "GridSearch",
            lambda weight: WithSensitive(_grid_search(weight), encoder()),
            {"weight": (0.1, 0.15, 0.3)},
            {"weight": (0.3,)},
        ),
        Method("ThresholdOptimizer", lambda: Thresholded(_threshold(_logistic()), encoder())),
        Method(
            "CorrelationRemover",
            lambda alpha: Decorrelated(CorrelationRemover(alpha=alpha), _logistic(), encoder()),
            {"alpha": (0.5, 0.9, 1.0)},
            {"alpha": (1.0,)},
        ),
        Method(
            "Adversarial",
            lambda **setting: Adversarial(_adversarial(**setting), encoder()),
            {"alpha": (0.3, 1.0, 3.0), "learning_rate": (1e-3, 3e-3), "width": (0, 64)},
            {"alpha": (1.0,), "learning_rate": (1e-3,), "width": (64,)},
            screened=True,
        ),
    )
    return tuple(replace(peer, name=peer.name + suffix) for peer in peers)


METHODS: tuple[Method, ...] = (
    Method("Majority class", lambda: Contender(DummyClassifier())),
    *_on_encoding(PLAIN, plain_encoder),
    *_on_encoding("", TableEncoder),
    Method("Gradient boosting", lambda: Contender(_boosting())),
    Method("ThresholdOptimizer, boosting", lambda: Thresholded(_threshold(_boosting()))),
    Method(
        "ExponentiatedGradient, boosting",
        lambda bound: Randomised(_reduction(bound, _boosting())),
        {"bound": (0.02, 0.05)},
        None,
    ),
    Method(
        "MI backpropagation as published",
        _published,
        {"lam": (2.0,)},
        None,
    ),
    Method(
        "fairmi",
        _ours,
        {"lam": (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)},
        {"lam": (0.0, 4.0)},
    ),
    Method(
        "fairmi, 4 networks",
        lambda lam: _ours(lam, n_estimators=4),
        {"lam": (4.0, 6.0, 8.0, 11.0)},
        None,
    ),
)
