"""λ, or another method's setting, chosen on rows of the training part that were held out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from common.data import Part, folds
from common.measures import measured
from common.methods import Method


def held_out(
    method: Method,
    train: Part,
    constraint: str,
    settings: Sequence[float],
    seed: int,
    n_folds: int,
) -> pd.DataFrame:
    """Return what each setting reaches where each row is predicted by a fold without it."""
    predicted = np.zeros((len(settings), len(train.y)), dtype=int)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a search has candidates that collapse
        for fold, (split, other) in enumerate(folds(train, n_folds, seed)):
            start = n_folds * seed + fold
            for point in method.run(split, constraint, settings, [start]):
                predicted[list(settings).index(point.setting), other] = point.predicted
    found = [measured(train.y, of_setting, train.c) for of_setting in predicted]
    return pd.DataFrame(found).assign(setting=list(settings), seed=seed)


def choose(rows: pd.DataFrame, unfairness: str, enough: float) -> float:
    """Return the fairest setting, by its mean over seeds, of those that are accurate enough."""
    means = rows.groupby("setting")[["accuracy", unfairness]].mean()
    able = means[means.accuracy >= enough]
    return float((able if len(able) else means)[unfairness].idxmin())
