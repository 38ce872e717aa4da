"""The methods of the frontier: a further one is one more entry of METHODS."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from fairlearn.postprocessing import ThresholdOptimizer
from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient
from sklearn.base import clone
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from common.data import Split
from common.machine import processor_seconds_of
from common.thresholds import predictions
from fairmi import MIBackpropClassifier, MIBoostingClassifier, MIDebiasedClassifier
from fairmi.path import fairness_path
from fairmi.preprocessing import TableEncoder

LAMS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
TREE_LAMS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)
FAIR_LAMS = (4.0, 8.0, 16.0, 32.0)
FEW_LAMS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0)
ODDS_LAMS = (0.0, 4.0, 12.0, 24.0, 40.0, 70.0, 120.0, 200.0)
TOLERANCES = tuple(k / 100 for k in range(21))
BOUNDS = (0.002, 0.01, 0.02, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.16)


@dataclass(frozen=True)
class Point:
    """What a method with one setting and seed made of the test rows.

    `predicted` are 0 or 1; `model` is a classifier of fairmi, None of other methods. `seconds` of
    the processor are those of the training, which several points may have in common.
    """

    setting: float
    seed: int
    seconds: float
    predicted: np.ndarray
    model: Any = None


Run = Callable[[Split, str, Sequence[float], Sequence[int]], Iterator[Point]]


@dataclass(frozen=True)
class Method:
    """A line of the frontier.

    `run` takes a split, a constraint, settings and seeds. Where one training serves all settings
    (`shares` is "settings") it is a job for each seed, where one serves all seeds a job for each
    setting, else one for each pair.
    """

    title: str
    run: Run
    settings: tuple[float, ...]
    shares: Literal["settings", "seeds", "nothing"] = "nothing"
    knob: str = "lam"

    def jobs(
        self, settings: Sequence[float], seeds: Sequence[int]
    ) -> list[tuple[Sequence[float], Sequence[int]]]:
        """Return the arguments of `run` that can go side by side."""
        if self.shares == "settings":
            return [(settings, [seed]) for seed in seeds]
        if self.shares == "seeds":
            return [([setting], seeds) for setting in settings]
        return [([setting], [seed]) for setting in settings for seed in seeds]


def path(title: str, estimator: Any, lams: tuple[float, ...] = LAMS) -> Method:
    """Return the path of an estimator of fairmi that has `fit_path`."""

    def run(
        split: Split, constraint: str, settings: Sequence[float], seeds: Sequence[int]
    ) -> Iterator[Point]:
        train = split.train
        for seed in seeds:
            chosen = clone(estimator).set_params(constraint=constraint, random_state=seed)
            seconds, (values, models) = processor_seconds_of(
                lambda e=chosen: fairness_path(
                    train.x, train.y, sensitive_features=train.c, estimator=e, lams=settings
                )
            )
            for lam, model in zip(values, models, strict=True):
                yield Point(float(lam), seed, seconds, model.predict(split.test.x), model)

    return Method(title, run, lams, "settings")


def single_fits(title: str, estimator: Any, lams: tuple[float, ...]) -> Method:
    """Return fits of an estimator of fairmi, one for each λ."""

    def run(
        split: Split, constraint: str, settings: Sequence[float], seeds: Sequence[int]
    ) -> Iterator[Point]:
        train = split.train
        for lam in settings:
            for seed in seeds:
                model = clone(estimator).set_params(
                    lam=lam, constraint=constraint, random_state=seed
                )
                seconds, _ = processor_seconds_of(
                    lambda m=model: m.fit(train.x, train.y, sensitive_features=train.c)
                )
                yield Point(lam, seed, seconds, model.predict(split.test.x), model)

    return Method(title, run, lams)


def reduction(title: str, model: Any, bounds: tuple[float, ...], *, encoded: bool) -> Method:
    """Return ExponentiatedGradient over a model; its seeds are draws of its lottery."""
    moments = {"demographic_parity": DemographicParity, "equalized_odds": EqualizedOdds}

    def run(
        split: Split, constraint: str, settings: Sequence[float], seeds: Sequence[int]
    ) -> Iterator[Point]:
        x, x_test, train = split.train.x, split.test.x, split.train
        if encoded:
            encoder = TableEncoder().fit(x, train.y)
            x, x_test = (encoder.transform(part).astype(np.float64) for part in (x, x_test))
        for bound in settings:
            moment = moments[constraint](difference_bound=bound)
            lottery = ExponentiatedGradient(clone(model), moment, eps=bound)
            seconds, _ = processor_seconds_of(
                lambda m=lottery: m.fit(x, train.y, sensitive_features=train.c)
            )
            for seed in seeds:
                drawn = np.asarray(lottery.predict(x_test, random_state=seed)).ravel()
                yield Point(bound, seed, seconds, drawn)

    return Method(title, run, bounds, "seeds", "eps")


def thresholds(title: str, model: Any, bounds: tuple[float, ...]) -> Method:
    """Return one threshold a group on a model's scores, which needs the group at prediction."""

    def run(
        split: Split, constraint: str, settings: Sequence[float], seeds: Sequence[int]
    ) -> Iterator[Point]:
        train, test = split.train, split.test
        for tolerance in settings:
            rule = ThresholdOptimizer(
                estimator=clone(model),
                constraints=constraint,
                predict_method="predict_proba",
                tol=tolerance or None,
            )
            seconds, _ = processor_seconds_of(
                lambda m=rule: m.fit(train.x, train.y, sensitive_features=train.c)
            )
            for seed in seeds:
                drawn = rule.predict(test.x, sensitive_features=test.c, random_state=seed)
                yield Point(tolerance, seed, seconds, np.asarray(drawn).ravel())

    return Method(title, run, bounds, "seeds", "tol")


def cross_fitted_thresholds(title: str, bounds: tuple[float, ...]) -> Method:
    """Return boosting with one threshold a group, chosen on rows that the boosting did not see."""

    def run(
        split: Split, constraint: str, settings: Sequence[float], seeds: Sequence[int]
    ) -> Iterator[Point]:
        for seed in seeds:
            seconds, made = processor_seconds_of(
                lambda s=seed: list(predictions(split.train, split.test, constraint, settings, s))
            )
            for bound, predicted in zip(settings, made, strict=True):
                yield Point(bound, seed, seconds, predicted)

    return Method(title, run, bounds, "settings", "tol")


_BOOSTING = HistGradientBoostingClassifier(random_state=0)
_LOGISTIC = LogisticRegression(solver="newton-cholesky")
# For equalized odds. Three levels of Z keep the penalty to what a decision is made of; a wide
# network learns the few rows of a small cell by heart, so that several narrow ones are averaged.
_ODDS = MIDebiasedClassifier(
    group_weight="balanced", hidden_layer_sizes=(32,), n_levels=3, n_estimators=8
)
# K is 40 as published; half of it already sees all that the critic sees.
_PUBLISHED = MIBackpropClassifier(n_critic_steps=20, hidden_layer_sizes=(128,))

METHODS: dict[str, Method] = {
    "trees": path("fairmi, trees", MIBoostingClassifier(), TREE_LAMS),
    "trees_9_levels": path("fairmi, trees, 9 levels", MIBoostingClassifier(n_levels=9), FAIR_LAMS),
    "network": path("fairmi", MIDebiasedClassifier()),
    "four_networks": path("fairmi, 4 networks", MIDebiasedClassifier(n_estimators=4)),
    "one_fit": single_fits("fairmi, one fit", MIDebiasedClassifier(), FEW_LAMS),
    "one_fit_9_levels": single_fits(
        "fairmi, one fit, 9 levels", MIDebiasedClassifier(n_levels=9), (8.0,)
    ),
    "odds_networks": path("fairmi, 8 small networks", _ODDS, ODDS_LAMS),
    "published": single_fits("MI backpropagation as published", _PUBLISHED, (1.0, 10.0)),
    "reduction": reduction("ExponentiatedGradient", _LOGISTIC, BOUNDS, encoded=True),
    "reduction_boosting": reduction(
        "ExponentiatedGradient, boosting",
        _BOOSTING,
        (0.003, 0.01, 0.02, 0.035, 0.05, 0.08),
        encoded=False,
    ),
    "thresholds_boosting": thresholds(
        "ThresholdOptimizer, boosting", _BOOSTING, (0.0, 0.02, 0.05, 0.1)
    ),
    "thresholds": cross_fitted_thresholds("Boosting, a threshold for each group", TOLERANCES),
    # fairlearn relaxes demographic parity alone.
    "strict_thresholds_boosting": thresholds("ThresholdOptimizer, strict", _BOOSTING, (0.0,)),
}
