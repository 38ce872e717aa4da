"""Fresh models that try to recover the sensitive attribute: the panel, its folds, and a fit."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn import config_context
from sklearn.base import BaseEstimator, clone
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler
from sklearn.utils.validation import has_fit_parameter

from fairmi._threads import one_thread_if_few
from fairmi._typing import Predictor
from fairmi.exceptions import SensitiveFeaturesError
from fairmi.metrics._probe_features import DigitSelector, WaveSelector
from fairmi.metrics._rows import Target

NEIGHBOURS = 25
MIN_TO_HOLD_BACK = 20  # rows of each group from which a part is held back for early stopping

Split = tuple[np.ndarray, np.ndarray]  # rows to train on, rows to predict


@dataclass(frozen=True)
class Probe:
    """How to build a model to fit afresh, and the most rows it is trained on, for its speed.

    `build` takes whether the target is continuous, a seed, the number of rows it will be trained
    on, and whether each group has rows enough for a part to be held back, by which training is
    stopped early.
    """

    name: str
    build: Callable[[bool, int, int, bool], Any]
    max_rows: int


def _linear(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    return make_pipeline(StandardScaler(), Ridge() if continuous else LogisticRegression())


def _boosting(
    continuous: bool, seed: int, n_rows: int, hold_back: bool, learning_rate: float = 0.1
) -> Any:
    return (HistGradientBoostingRegressor if continuous else HistGradientBoostingClassifier)(
        learning_rate=learning_rate,
        max_iter=round((10 if hold_back else 3) / learning_rate),
        early_stopping=hold_back,
        random_state=seed,
    )


def _neighbours(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    model = (KNeighborsRegressor if continuous else KNeighborsClassifier)(
        n_neighbors=min(NEIGHBOURS, n_rows), algorithm="brute"
    )
    return make_pipeline(StandardScaler(), model)


def _network(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    model = (MLPRegressor if continuous else MLPClassifier)(
        hidden_layer_sizes=(64,),
        learning_rate_init=3e-3,
        max_iter=40,
        early_stopping=hold_back,
        n_iter_no_change=5,
        random_state=seed,
    )
    return make_pipeline(StandardScaler(), model)


def _digits(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    boosting = _boosting(continuous, seed, n_rows, hold_back, 0.2)
    return make_pipeline(DigitSelector(continuous), boosting)


def _waves(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    boosting = _boosting(continuous, seed, n_rows, hold_back, 0.2)
    return make_pipeline(WaveSelector(continuous, seed), boosting)


def _values(continuous: bool, seed: int, n_rows: int, hold_back: bool) -> Any:
    indicators = OneHotEncoder(min_frequency=3, handle_unknown="infrequent_if_exist")
    return make_pipeline(indicators, Ridge() if continuous else LogisticRegression())


PANEL = {
    probe.name: probe
    for probe in (
        Probe("linear", _linear, 100_000),
        Probe("boosting", _boosting, 20_000),
        Probe("neighbours", _neighbours, 5_000),
        Probe("network", _network, 10_000),
        Probe("digits", _digits, 20_000),
        Probe("waves", _waves, 20_000),
        Probe("values", _values, 100_000),
    )
}


def choose_probes(probe: str | BaseEstimator, target: Target) -> tuple[Probe, ...]:
    """Return the panel, one of its probes by name, or the caller's own estimator as a probe."""
    if isinstance(probe, str):
        if probe != "panel" and probe not in PANEL:
            raise ValueError(
                f'probe is {probe!r}; give "panel", one of {sorted(PANEL)}, or an estimator.'
            )
        return tuple(PANEL.values()) if probe == "panel" else (PANEL[probe],)
    wanted = "predict" if target.continuous else "predict_proba"
    if not hasattr(probe, wanted):
        raise ValueError(
            f"probe {probe!r} has no {wanted}, which a {target.kind} target needs; give a "
            f"scikit-learn {'regressor' if target.continuous else 'classifier'} that has it."
        )
    return (Probe(type(probe).__name__, lambda *_: clone(probe), sys.maxsize),)


def split_rows(
    target: Target, cv: int, seed: int, clusters: np.ndarray | None = None
) -> list[np.ndarray]:
    """Return the rows of each fold, each group spread evenly over the folds, no cluster split."""
    rows = np.arange(len(target.values))
    owners = rows if clusters is None else clusters
    n_owners = len(np.unique(owners))
    if n_owners < cv:
        raise ValueError(
            f"there are {n_owners} clusters, fewer than cv={cv} folds; take fewer folds."
        )
    if target.continuous:
        splits = KFold(cv, shuffle=True, random_state=seed).split(np.arange(n_owners))
        codes = np.unique(owners, return_inverse=True)[1].reshape(-1)
        return [np.flatnonzero(np.isin(codes, chosen)) for _, chosen in splits]
    pairs = np.unique(np.column_stack([target.values, owners]), axis=0)
    counts = np.bincount(pairs[:, 0])
    if counts.min() < cv:
        unit = "rows" if clusters is None else "clusters"
        raise SensitiveFeaturesError(
            f"group {target.labels[int(counts.argmin())]!r} has {counts.min()} {unit}, fewer than "
            f"cv={cv} folds; drop the group, merge it with another, or take fewer folds."
        )
    if clusters is None:
        stratified = StratifiedKFold(cv, shuffle=True, random_state=seed)
        return [test for _, test in stratified.split(rows, target.values)]
    by_cluster = StratifiedGroupKFold(cv, shuffle=True, random_state=seed)
    folds = [test for _, test in by_cluster.split(rows, target.values, clusters)]
    if any(len(np.unique(target.values[fold])) < len(counts) for fold in folds):
        raise SensitiveFeaturesError(
            f"the clusters can't be dealt out so that each of cv={cv} folds has all groups; merge "
            "small groups, or take fewer folds."
        )
    return folds


# A user's set_config(transform_output=...) is not for the pipelines of probes.
@config_context(transform_output="default")
def fit_predict(
    probe: Probe,
    Z: np.ndarray,
    target: Target,
    split: Split,
    sample_weight: np.ndarray | None,
    seed: int,
) -> np.ndarray:
    """Return the predictions of a fresh probe for the rows of a split that it isn't trained on.

    Shape (n_predicted, n_outputs): the probability of each group (of the second group alone
    where there are two), or the predicted number.
    """
    train, test = split
    rng = np.random.default_rng(seed)
    weight_name = _weight_argument(probe.build(target.continuous, seed, len(train), False))
    weights: dict[str, np.ndarray] = {}
    if sample_weight is None or weight_name is not None:
        train = _at_most(train, probe.max_rows, target, rng)
        if sample_weight is not None:
            weights = {str(weight_name): sample_weight[train]}
    else:  # a model that takes no weights learns from rows drawn by weight
        share = sample_weight[train] / sample_weight[train].sum()
        train = rng.choice(train, min(len(train), probe.max_rows), p=share)
    hold_back = _smallest(target, train) >= MIN_TO_HOLD_BACK
    model = probe.build(target.continuous, seed, len(train), hold_back)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # an early stop is meant
        with one_thread_if_few(len(train)):
            model.fit(Z[train], target.values[train], **weights)
    with one_thread_if_few(len(test)):
        return _prediction(model, Z[test], target)


def _prediction(model: BaseEstimator, Z: np.ndarray, target: Target) -> np.ndarray:
    if target.continuous:
        return np.asarray(model.predict(Z), dtype=np.float64).reshape(-1, 1)
    probability = np.zeros((len(Z), len(target.labels)))
    probability[:, model.classes_] = model.predict_proba(Z)
    return probability[:, 1:] if len(target.labels) == 2 else probability


def _smallest(target: Target, rows: np.ndarray) -> int:
    """Return the rows of the smallest group present, or all where the target is continuous."""
    if target.continuous:
        return len(rows)
    counts = np.bincount(target.values[rows])
    return int(counts[counts > 0].min())


def _at_most(rows: np.ndarray, most: int, target: Target, rng: np.random.Generator) -> np.ndarray:
    """Return a random part of the rows where there are more than `most`, no group left out."""
    if len(rows) <= most:
        return rows
    rows = rng.permutation(rows)
    if target.continuous:
        return rows[:most]
    first = np.unique(target.values[rows], return_index=True)[1]
    return np.concatenate([rows[first], np.delete(rows, first)[: most - len(first)]])


def _weight_argument(model: Predictor) -> str | None:
    if isinstance(model, Pipeline):
        name, last = model.steps[-1]
        return f"{name}__sample_weight" if has_fit_parameter(last, "sample_weight") else None
    return "sample_weight" if has_fit_parameter(model, "sample_weight") else None
