"""Trees against their peers on Adult's test part: accuracy at equal unfairness, paired by row.

Each method's line runs through the means of its settings over seeds. Between two settings a row's
correctness is that of their mixture, so that two methods are compared row by row at equal
unfairness. `thresholds` is plain boosting with a threshold for each group, which it needs to know
at prediction.

Run: OMP_NUM_THREADS=1 python benchmarks/trees.py --output benchmarks/results/trees.csv
"""

from __future__ import annotations

import argparse
import platform
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.reductions import DemographicParity, EqualizedOdds, ExponentiatedGradient
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from fairmi import MIBoostingClassifier
from fairmi.datasets import load_adult
from fairmi.preprocessing import TableEncoder

LAMS = (0.0, 0.25, 0.5, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 32.0)
BOUNDS = {
    "demographic_parity": (0.01, 0.02, 0.03, 0.05, 0.1),
    "equalized_odds": (0.01, 0.03, 0.06),
}
BOOSTING_BOUNDS = {"demographic_parity": (0.02, 0.05), "equalized_odds": (0.03,)}
AT = {
    "demographic_parity": (0.01, 0.02, 0.03, 0.05, 0.10),
    "equalized_odds": (0.025, 0.03, 0.04, 0.05),
}
Predictions = dict[float, list[np.ndarray]]
"""Predicted classes of the test rows for each setting and seed."""


class Data:
    """Adult's official parts, with sex sensitive; it is a feature too."""

    def __init__(self) -> None:
        train, test = load_adult(subset="train"), load_adult(subset="test")
        self.X, self.X_test = train.data, test.data
        self.y, self.y_test = (
            (part.target == ">50K").to_numpy().astype(int) for part in (train, test)
        )
        self.s, self.s_test = (
            (part.sensitive_features["sex"] == "Male").to_numpy().astype(int)
            for part in (train, test)
        )


def trees(data: Data, constraint: str, seeds: range) -> Predictions:
    """Ours: a path for each seed."""
    found: Predictions = {lam: [] for lam in LAMS}
    for seed in seeds:
        model = MIBoostingClassifier(constraint=constraint, random_state=seed)
        models = model.fit_path(data.X, data.y, lams=LAMS, sensitive_features=data.s)
        for lam, fitted in zip(LAMS, models, strict=True):
            found[lam].append(fitted.predict(data.X_test))
    return found


def thresholds(data: Data, constraint: str, seeds: range) -> Predictions:
    """Boosting, and a threshold for each group that is best on rows of the fit, out of fold."""
    grid = np.linspace(0.05, 0.95, 91)
    found: Predictions = {bound: [] for bound in np.linspace(0, 0.2, 21)}
    for seed in seeds:
        fold = np.random.default_rng(seed).permutation(len(data.y)) % 5
        p = np.empty(len(data.y))
        for k in range(5):
            part = boosting(seed).fit(data.X[fold != k], data.y[fold != k])
            p[fold == k] = part.predict_proba(data.X[fold == k])[:, 1]
        p_test = boosting(seed).fit(data.X, data.y).predict_proba(data.X_test)[:, 1]
        for bound, cuts in group_thresholds(p, data.y, data.s, grid, constraint, list(found)):
            found[bound].append((p_test > np.take(cuts, data.s_test)).astype(int))
    return found


def group_thresholds(
    p: np.ndarray, y: np.ndarray, s: np.ndarray, grid: np.ndarray, constraint: str, bounds: Any
) -> list[tuple[float, np.ndarray]]:
    """The pair of thresholds of the highest accuracy within each bound."""
    within = [np.ones(len(y), bool)] if constraint == "demographic_parity" else [y == 0, y == 1]
    hits = np.stack([[((p > t) == y)[s == g].sum() for t in grid] for g in (0, 1)])
    rates = np.stack(
        [[[(p > t)[(s == g) & rows].mean() for t in grid] for g in (0, 1)] for rows in within]
    )
    unfair = np.abs(rates[:, 0, :, None] - rates[:, 1, None, :]).max(0)
    total = hits[0][:, None] + hits[1][None, :]
    best = [np.where(unfair <= max(bound, unfair.min()), total, -1).argmax() for bound in bounds]
    return [
        (bound, grid[list(np.unravel_index(place, total.shape))])
        for bound, place in zip(bounds, best, strict=True)
    ]


def boosting(seed: int) -> HistGradientBoostingClassifier:
    """Plain boosting, as the base of ours."""
    return HistGradientBoostingClassifier(
        learning_rate=0.06,
        max_iter=200,
        max_leaf_nodes=16,
        early_stopping=False,
        random_state=seed,
        categorical_features="from_dtype",
    )


def reduction(model: str) -> Callable[[Data, str, range], Predictions]:
    """ExponentiatedGradient over a model; its seeds are draws of its lottery."""

    def run(data: Data, constraint: str, seeds: range) -> Predictions:
        over: Any = HistGradientBoostingClassifier(random_state=0)
        X, X_test, bounds = data.X, data.X_test, BOOSTING_BOUNDS[constraint]
        if model == "logistic regression":
            encoder = TableEncoder().fit(X, data.y)
            X, X_test = (encoder.transform(part).astype(np.float64) for part in (X, X_test))
            over, bounds = LogisticRegression(solver="newton-cholesky"), BOUNDS[constraint]
        kind = DemographicParity if constraint == "demographic_parity" else EqualizedOdds
        found: Predictions = {}
        for bound in bounds:
            lottery = ExponentiatedGradient(over, kind(difference_bound=bound), eps=bound)
            lottery.fit(X, data.y, sensitive_features=data.s)
            found[bound] = [lottery.predict(X_test, random_state=seed) for seed in seeds]
        return found

    return run


METHODS: dict[str, Callable[[Data, str, range], Predictions]] = {
    "trees": trees,
    "thresholds": thresholds,
    "ExponentiatedGradient, logistic regression": reduction("logistic regression"),
    "ExponentiatedGradient, boosting": reduction("boosting"),
}


def unfairness(predicted: np.ndarray, data: Data, constraint: str) -> float:
    """Demographic parity difference, or equalized odds difference, on the test rows."""
    within = [slice(None)]
    if constraint == "equalized_odds":
        within = [data.y_test == 0, data.y_test == 1]
    rates = [[predicted[rows][data.s_test[rows] == g].mean() for g in (0, 1)] for rows in within]
    return float(np.abs(np.diff(rates, axis=1)).max())


def correct_at(found: Predictions, data: Data, constraint: str, at: float) -> np.ndarray | None:
    """How often each test row is right at that unfairness, over seeds; None outside the line."""
    unfair = {
        setting: float(np.mean([unfairness(p, data, constraint) for p in of_seeds]))
        for setting, of_seeds in found.items()
    }
    order = sorted(unfair, key=lambda setting: unfair[setting])
    where = np.array([unfair[setting] for setting in order])
    if not where[0] <= at <= where[-1]:
        return None
    right = max(int(np.searchsorted(where, at)), 1)
    share = (at - where[right - 1]) / max(where[right] - where[right - 1], 1e-12)
    low, high = (
        np.mean([p == data.y_test for p in found[order[k]]], axis=0) for k in (right - 1, right)
    )
    return (1 - share) * low + share * high


def points(
    name: str, found: Predictions, data: Data, constraint: str, seconds: float
) -> list[dict]:
    """A line of the table for each setting and seed."""
    return [
        {
            "method": name,
            "constraint": constraint,
            "setting": setting,
            "seed": seed,
            "accuracy": float(np.mean(predicted == data.y_test)),
            "unfairness": unfairness(predicted, data, constraint),
            "seconds of all": seconds,
        }
        for setting, of_seeds in found.items()
        for seed, predicted in enumerate(of_seeds)
    ]


def compared(made: dict[str, Predictions], data: Data, constraint: str) -> pd.DataFrame:
    """Accuracy of each at equal unfairness, and how far trees are ahead, with standard errors."""
    lines = []
    for at in AT[constraint]:
        line: dict[str, Any] = {"at": at}
        ours = correct_at(made["trees"], data, constraint, at)
        for name, found in made.items():
            right = correct_at(found, data, constraint, at)
            line[name] = "-" if right is None else f"{right.mean():.4f}"
            if name != "trees" and right is not None and ours is not None:
                ahead = ours - right
                error = ahead.std() / np.sqrt(len(ahead))
                line[name] += f" ({ahead.mean():+.4f} +- {error:.4f})"
        lines.append(line)
    return pd.DataFrame(lines).set_index("at")


def main() -> None:
    """Print the settings of each method, and their lines at the same unfairness."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--constraints", nargs="+", default=list(AT), choices=AT)
    parser.add_argument("--output", type=Path, help="write all points to this CSV file")
    options = parser.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{p} {version(p)}" for p in ("scikit-learn", "fairlearn"))
    print(f"{machine}; {versions}; one thread, seconds of processor time")
    data, rows = Data(), []
    for constraint in options.constraints:
        made = {}
        for name in options.methods:
            with threadpool_limits(1):
                start = time.process_time()
                made[name] = METHODS[name](data, constraint, range(options.seeds))
                seconds = time.process_time() - start
            rows += points(name, made[name], data, constraint, seconds)
        table = pd.DataFrame(rows).query("constraint == @constraint")
        means = table.groupby(["method", "setting"], sort=False)[["accuracy", "unfairness"]].mean()
        print(f"\n{constraint}\n{means.round(4).to_string()}")
        print(f"\n{compared(made, data, constraint).to_string()}", flush=True)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        found: dict[str, Any] = {"machine": machine, "versions": versions}
        pd.DataFrame(rows).assign(**found).round(5).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
