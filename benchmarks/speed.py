"""How fast a path, a search and an epoch are, beside what else would do the same work.

Run: OMP_NUM_THREADS=1 python benchmarks/speed.py --output benchmarks/results/speed.csv
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.metrics import demographic_parity_difference
from fairlearn.reductions import DemographicParity, ExponentiatedGradient, GridSearch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier, MIDebiasedClassifierCV
from fairmi.preprocessing import TableEncoder
from fairmi.datasets import load_adult
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.path import fairness_path

LAM = 4.0
METRIC = "demographic_parity_difference"


class Adult:
    """Adult's official parts, sex sensitive; `encoded` for the peers that need numbers."""

    def __init__(self) -> None:
        train, test = load_adult(subset="train"), load_adult(subset="test")
        self.X, self.X_test = train.data, test.data
        self.y = (train.target == ">50K").astype(int).to_numpy()
        self.y_test = (test.target == ">50K").astype(int).to_numpy()
        self.s = train.sensitive_features["sex"].astype(str)
        self.s_test = test.sensitive_features["sex"].astype(str)
        encoder = TableEncoder().fit(self.X, self.y)
        self.encoded = encoder.transform(self.X).astype(np.float64)
        self.encoded_test = encoder.transform(self.X_test).astype(np.float64)

    def measured(self, predicted: np.ndarray) -> dict[str, float]:
        """Accuracy and demographic parity difference on the test part."""
        groups = {"sensitive_features": self.s_test}
        return {
            "accuracy": accuracy_score(self.y_test, predicted),
            "dp": demographic_parity_difference(self.y_test, predicted, **groups),
        }


def seconds_of(call: Callable[[], Any]) -> tuple[float, Any]:
    """Return the seconds of a call, and what it returned."""
    start = time.perf_counter()
    result = call()
    return time.perf_counter() - start, result


def with_ratios(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the table of the rows, and how many times as long as the first each takes."""
    first = rows[0]["seconds"]
    return [{"table": table} | row | {"ratio": row["seconds"] / first} for row in rows]


def fits(data: Adult) -> list[dict[str, Any]]:
    """One fit, a path of ten λ, and the paper's schedule, on one thread."""
    given = {"sensitive_features": data.s}
    rows = []
    with threadpool_limits(1):
        one = min(
            seconds_of(
                lambda seed=k: MIDebiasedClassifier(lam=LAM, random_state=seed).fit(
                    data.X, data.y, **given
                )
            )[0]
            for k in range(2)
        )
        rows.append({"what": f"fairmi, one fit, λ = {LAM:g}", "seconds": one})
        path, _ = seconds_of(lambda: fairness_path(data.X, data.y, random_state=0, **given))
        rows.append({"what": "fairmi, path of 10 λ", "seconds": path})
        paper = MIDebiasedClassifier(lam=LAM, schedule="paper", random_state=0)
        spent, _ = seconds_of(lambda: paper.fit(data.X, data.y, **given))
        rows.append({"what": "fairmi, the paper's schedule, K = 20", "seconds": spent})
    return with_ratios("fits", rows)


def peers(data: Adult) -> list[dict[str, Any]]:
    """One fit of each method, with what it reaches on the test part, on one thread."""

    def logistic() -> LogisticRegression:
        return LogisticRegression(solver="newton-cholesky")

    def reduction(model: Any, bound: float) -> ExponentiatedGradient:
        return ExponentiatedGradient(model, DemographicParity(difference_bound=bound), eps=bound)

    given = {"sensitive_features": data.s}
    boosting = HistGradientBoostingClassifier(random_state=0)
    grid = GridSearch(
        logistic(), DemographicParity(), constraint_weight=0.3, grid_size=11, grid_limit=0.6
    )
    jobs = [
        ("fairmi, λ = 4", MIDebiasedClassifier(lam=LAM, random_state=0), False, {}),
        ("fairmi, λ = 8", MIDebiasedClassifier(lam=8.0, random_state=0), False, {}),
        (
            "ExponentiatedGradient, logistic regression",
            reduction(logistic(), 0.02),
            True,
            {"random_state": 0},
        ),
        ("GridSearch, logistic regression", grid, True, {}),
        ("ExponentiatedGradient, boosting", reduction(boosting, 0.02), False, {"random_state": 0}),
    ]
    rows = []
    with threadpool_limits(1):
        for name, model, encoded, drawn in jobs:
            X, X_test = data.X, data.X_test
            if encoded:
                X, X_test = data.encoded, data.encoded_test
            spent, _ = seconds_of(lambda m=model, X=X: m.fit(X, data.y, **given))
            predicted = np.asarray(model.predict(X_test, **drawn)).ravel()
            rows.append({"what": name, "seconds": spent} | data.measured(predicted))
    return with_ratios("peers", rows)


def search(data: Adult, n_jobs: int) -> list[dict[str, Any]]:
    """MIDebiasedClassifierCV beside GridSearchCV over the same λ and folds."""
    given = {"sensitive_features": data.s}
    ours = MIDebiasedClassifierCV(bound=0.05, n_jobs=n_jobs, random_state=0)
    rows = []
    spent, _ = seconds_of(lambda: ours.fit(data.X, data.y, **given))
    rows.append(
        {"what": "MIDebiasedClassifierCV", "processes": n_jobs, "seconds": spent, "lam": ours.lam_}
        | data.measured(ours.predict(data.X_test))
    )
    scoring = {"accuracy": "accuracy", "dp": make_fairness_scorer(METRIC)}
    for processes in sorted({1, n_jobs}, reverse=True):
        with sklearn.config_context(enable_metadata_routing=True):
            grid = GridSearchCV(
                MIDebiasedClassifier(random_state=0),
                {"lam": ours.lams_},
                cv=5,
                scoring=scoring,
                refit=best_under_bound("dp", 0.05, maximize="accuracy"),
                n_jobs=processes,
            )
            spent, _ = seconds_of(lambda g=grid: g.fit(data.X, data.y, **given))
        rows.append(
            {
                "what": "GridSearchCV",
                "processes": processes,
                "seconds": spent,
                "lam": grid.best_params_["lam"],
            }
            | data.measured(grid.predict(data.X_test))
        )
    return with_ratios("search", rows)


def epochs(data: Adult) -> list[dict[str, Any]]:
    """One epoch at the same network, batch and one critic step, beside fairlearn's, one thread.

    The time of an epoch is the difference of a fit of five and one of two, over three.
    """
    rows = []
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few epochs do not converge
        for name, fit in (
            ("fairmi", _fit_ours),
            ("AdversarialFairnessClassifier", _fit_adversarial),
        ):
            fit(data, 1)
            spent = [
                min(seconds_of(lambda f=fit, n=n: f(data, n))[0] for _ in range(2)) for n in (2, 5)
            ]
            rows.append({"what": name, "seconds": (spent[1] - spent[0]) / 3})
    return with_ratios("epoch", rows)


def _fit_ours(data: Adult, n_epochs: int) -> None:
    model = MIDebiasedClassifier(lam=LAM, max_iter=n_epochs, n_critic_steps=1, random_state=0)
    model.fit(data.X, data.y, sensitive_features=data.s)


def _fit_adversarial(data: Adult, n_epochs: int) -> None:
    model = AdversarialFairnessClassifier(
        backend="torch",
        predictor_model=[128, "relu"],
        adversary_model=[64, "leaky_relu", 64, "leaky_relu"],
        epochs=n_epochs,
        batch_size=256,
        shuffle=True,
        random_state=0,
    )
    model.fit(data.encoded.astype(np.float32), data.y, sensitive_features=data.s)


def main() -> None:
    """Print all tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=2, help="processes of the searches")
    parser.add_argument("--tables", nargs="+", default=["fits", "epochs", "peers", "search"])
    parser.add_argument("--output", type=Path, help="write all rows to this CSV file")
    options = parser.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "scikit-learn", "fairlearn"))
    print(f"{machine}; {versions}; one thread a process")
    data = Adult()
    made = {
        "fits": lambda: fits(data),
        "epochs": lambda: epochs(data),
        "peers": lambda: peers(data),
        "search": lambda: search(data, options.jobs),
    }
    rows = []
    for name in options.tables:
        part = pd.DataFrame(made[name]())
        print(f"\n{part.round(4).to_string(index=False)}", flush=True)
        rows.append(part)
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table = pd.concat(rows).assign(machine=machine, versions=versions)
        table.round(5).to_csv(options.output, index=False)


if __name__ == "__main__":
    main()
