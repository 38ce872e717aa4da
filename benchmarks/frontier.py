"""Accuracy over unfairness on Adult's test part, ours beside ExponentiatedGradient's.

Run: OMP_NUM_THREADS=1 python benchmarks/frontier.py --output benchmarks/results/frontier.csv
"""

from __future__ import annotations

import argparse
import platform
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from fairlearn.metrics import demographic_parity_difference
from fairlearn.reductions import DemographicParity, ExponentiatedGradient
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from threadpoolctl import threadpool_limits

from fairmi.preprocessing import TableEncoder
from fairmi.datasets import load_adult
from fairmi.path import fairness_path

LAMS = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0, 12.0, 16.0, 24.0)
BOUNDS = (0.002, 0.01, 0.02, 0.03, 0.05, 0.07, 0.09, 0.11, 0.13, 0.16)
BOOSTING_BOUNDS = (0.02, 0.05)
AT = (0.01, 0.02, 0.028, 0.04, 0.06, 0.08, 0.1, 0.12, 0.15)


def parts() -> tuple[Any, ...]:
    """Adult's official parts: X, y, sex of the training and of the test rows."""
    train, test = load_adult(subset="train"), load_adult(subset="test")
    made: list[Any] = []
    for part in (train, test):
        y = (part.target == ">50K").to_numpy().astype(int)
        made += [part.data, y, part.sensitive_features["sex"].astype(str)]
    return tuple(made)


def row(method: str, setting: float, seed: int, seconds: float, y: Any, p: Any, s: Any) -> dict:
    """One line of the table, measured on the test part."""
    dp = demographic_parity_difference(y, p, sensitive_features=s)
    return {
        "method": method,
        "setting": setting,
        "seed": seed,
        "accuracy": accuracy_score(y, p),
        "dp": dp,
        "seconds": seconds,
    }


def ours(n_estimators: int, seed: int) -> list[dict]:
    """One path; its seconds are those of all λ together."""
    X, y, s, X_test, y_test, s_test = parts()
    with threadpool_limits(1):
        start = time.perf_counter()
        lams, models = fairness_path(
            X, y, sensitive_features=s, lams=LAMS, n_estimators=n_estimators, random_state=seed
        )
        seconds = time.perf_counter() - start
        name = "fairmi" + (f", {n_estimators} networks" if n_estimators > 1 else "")
        return [
            row(name, lam, seed, seconds, y_test, model.predict(X_test), s_test)
            for lam, model in zip(lams, models, strict=True)
        ]


def reduction(bound: float, boosting: bool, n_seeds: int) -> list[dict]:
    """One fit of ExponentiatedGradient; its seeds are draws of its lottery."""
    X, y, s, X_test, y_test, s_test = parts()
    model: Any = HistGradientBoostingClassifier(random_state=0)
    name = "ExponentiatedGradient, boosting"
    if not boosting:
        encoder = TableEncoder().fit(X, y)
        X, X_test = (encoder.transform(part).astype(np.float64) for part in (X, X_test))
        model, name = LogisticRegression(solver="newton-cholesky"), "ExponentiatedGradient"
    with threadpool_limits(1):
        start = time.perf_counter()
        lottery = ExponentiatedGradient(
            model, DemographicParity(difference_bound=bound), eps=bound
        )
        lottery.fit(X, y, sensitive_features=s)
        seconds = time.perf_counter() - start
        return [
            row(name, bound, k, seconds, y_test, lottery.predict(X_test, random_state=k), s_test)
            for k in range(n_seeds)
        ]


def at_unfairness(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy read off the line through each method's means over seeds; NaN outside of it."""
    lines = {}
    for name, part in rows.groupby("method", sort=False):
        means = part.groupby("setting")[["dp", "accuracy"]].mean().sort_values("dp")
        lines[name] = np.interp(AT, means.dp, means.accuracy, left=np.nan, right=np.nan)
    return pd.DataFrame(lines, index=pd.Index(AT, name="dp"))


def main() -> None:
    """Print the points of each method, and their lines at the same unfairness."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--networks", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--jobs", type=int, default=1, help="fits side by side, a thread each")
    parser.add_argument("--output", type=Path, help="write all rows to this CSV file")
    options = parser.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "scikit-learn", "fairlearn"))
    print(f"{machine}; {versions}; one thread a fit, {options.jobs} side by side")
    jobs = [delayed(reduction)(bound, True, options.seeds) for bound in BOOSTING_BOUNDS]
    jobs += [delayed(ours)(n, seed) for n in options.networks for seed in range(options.seeds)]
    jobs += [delayed(reduction)(bound, False, options.seeds) for bound in BOUNDS]
    found = Parallel(n_jobs=options.jobs, verbose=5)(jobs)
    rows = pd.DataFrame([line for part in found for line in part])
    means = rows.groupby(["method", "setting"], sort=False)[["accuracy", "dp", "seconds"]].mean()
    print(f"\n{means.round(4).to_string()}\n\n{at_unfairness(rows).round(4).to_string()}")
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        made: dict[str, Any] = {"machine": machine, "versions": versions}
        rows.assign(**made).round(5).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
