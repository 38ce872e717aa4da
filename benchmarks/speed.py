"""How fast a path, a search and an epoch are, beside what else would do the same work.

Run: OMP_NUM_THREADS=1 python benchmarks/speed.py --output benchmarks/results/speed.csv
"""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
import sklearn
from fairlearn.adversarial import AdversarialFairnessClassifier
from fairlearn.reductions import DemographicParity, ExponentiatedGradient, GridSearch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from threadpoolctl import threadpool_limits

from common.data import adult, first_rows
from common.machine import parser, print_machine, processor_seconds_of, seconds_of, write
from common.measures import measured
from fairmi import (
    MIBackpropClassifier,
    MIBoostingClassifier,
    MIDebiasedClassifier,
    MIDebiasedClassifierCV,
)
from fairmi.metrics import make_fairness_scorer
from fairmi.model_selection import best_under_bound
from fairmi.path import fairness_path
from fairmi.preprocessing import TableEncoder

LAM = 4.0
TABLES = ("trees", "fits", "epochs", "peers", "search")
METRIC = "demographic_parity_difference"


class Adult:
    """Adult's official parts, sex sensitive; `encoded` for the peers that need numbers."""

    def __init__(self, rows: int | None) -> None:
        train, self.test = first_rows(adult("train"), rows), adult("test")
        self.X, self.y, self.s = train.x, train.y, train.c
        encoder = TableEncoder().fit(self.X, self.y)
        self.encoded = encoder.transform(self.X).astype(np.float64)
        self.encoded_test = encoder.transform(self.test.x).astype(np.float64)

    def reached(self, predicted: np.ndarray) -> dict[str, float]:
        """Accuracy and demographic parity difference on the test part."""
        found = measured(self.test.y, predicted, self.test.c)
        return {name: found[name] for name in ("accuracy", "dp")}


def with_ratios(table: str, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Name the table of the rows, and how many times as long as the first each takes."""
    first = rows[0]["seconds"]
    return [{"table": table} | row | {"ratio": row["seconds"] / first} for row in rows]


def trees(data: Adult) -> list[dict[str, Any]]:
    """Trees beside networks and plain boosting in turn, seconds of one thread's processor."""
    given = {"sensitive_features": data.s}
    model = MIBoostingClassifier(lam=8.0, random_state=0)
    odds = MIBoostingClassifier(lam=8.0, constraint="equalized_odds", random_state=0)
    network = MIDebiasedClassifier(lam=8.0, random_state=0)
    plain = HistGradientBoostingClassifier(
        max_iter=200, early_stopping=False, categorical_features="from_dtype", random_state=0
    )
    jobs = {
        "fairmi, trees, one fit, λ = 8": lambda: model.fit(data.X, data.y, **given),
        "fairmi, trees, path of 10 λ": lambda: fairness_path(
            data.X, data.y, estimator=model, **given
        ),
        "fairmi, trees, one fit, equalized odds": lambda: odds.fit(data.X, data.y, **given),
        "fairmi, network, one fit, λ = 8": lambda: network.fit(data.X, data.y, **given),
        "HistGradientBoosting, 200 rounds": lambda: plain.fit(data.X, data.y),
    }
    spent: dict[str, list[float]] = {what: [] for what in jobs}
    with threadpool_limits(1):
        for _ in range(2):
            for what, job in jobs.items():
                spent[what].append(processor_seconds_of(job)[0])
    return with_ratios("trees", [{"what": k, "seconds": min(v)} for k, v in spent.items()])


def fits(data: Adult) -> list[dict[str, Any]]:
    """One fit, a path of ten λ, and the published procedure, on one thread."""
    given = {"sensitive_features": data.s}
    models = [MIDebiasedClassifier(lam=LAM, random_state=seed) for seed in range(2)]
    published = MIBackpropClassifier(
        lam=LAM, n_critic_steps=20, hidden_layer_sizes=(128,), random_state=0
    )
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the published procedure warns of its blind critic
        ones = [seconds_of(lambda m=m: m.fit(data.X, data.y, **given))[0] for m in models]
        path, _ = seconds_of(lambda: fairness_path(data.X, data.y, estimator=models[0], **given))
        spent, _ = seconds_of(lambda: published.fit(data.X, data.y, **given))
    rows = [
        {"what": f"fairmi, one fit, λ = {LAM:g}", "seconds": min(ones)},
        {"what": "fairmi, path of 10 λ", "seconds": path},
        {"what": "MI backpropagation as published, K = 20", "seconds": spent},
    ]
    return with_ratios("fits", rows)


def peers(data: Adult) -> list[dict[str, Any]]:
    """One fit of each method, with what it reaches on the test part, on one thread."""
    rows = []
    with threadpool_limits(1):
        for name, model, encoded, drawn in contenders():
            X, X_test = data.X, data.test.x
            if encoded:
                X, X_test = data.encoded, data.encoded_test
            spent, _ = seconds_of(lambda m=model, X=X: m.fit(X, data.y, sensitive_features=data.s))
            predicted = np.asarray(model.predict(X_test, **drawn)).ravel()
            rows.append({"what": name, "seconds": spent} | data.reached(predicted))
    return with_ratios("peers", rows)


def contenders() -> list[tuple[str, Any, bool, dict[str, int]]]:
    """Return name, model, whether it reads our encoding, and what `predict` is given."""
    boosting = HistGradientBoostingClassifier(random_state=0)
    drawn = {"random_state": 0}
    grid = GridSearch(
        _logistic(), DemographicParity(), constraint_weight=0.3, grid_size=11, grid_limit=0.6
    )
    return [
        ("fairmi, λ = 4", MIDebiasedClassifier(lam=LAM, random_state=0), False, {}),
        ("fairmi, λ = 8", MIDebiasedClassifier(lam=8.0, random_state=0), False, {}),
        ("ExponentiatedGradient, logistic regression", _reduction(_logistic()), True, drawn),
        ("GridSearch, logistic regression", grid, True, {}),
        ("ExponentiatedGradient, boosting", _reduction(boosting), False, drawn),
    ]


def _logistic() -> LogisticRegression:
    return LogisticRegression(solver="newton-cholesky")


def _reduction(model: Any) -> ExponentiatedGradient:
    return ExponentiatedGradient(model, DemographicParity(difference_bound=0.02), eps=0.02)


def search(data: Adult, n_jobs: int) -> list[dict[str, Any]]:
    """MIDebiasedClassifierCV beside GridSearchCV over the same λ and folds."""
    given = {"sensitive_features": data.s}
    model = MIDebiasedClassifier(random_state=0)
    ours = MIDebiasedClassifierCV(model, bound=0.05, n_jobs=n_jobs)
    spent, _ = seconds_of(lambda: ours.fit(data.X, data.y, **given))
    rows = [_searched("MIDebiasedClassifierCV", n_jobs, spent, ours.lam_, ours, data)]
    for processes in sorted({1, n_jobs}, reverse=True):
        with sklearn.config_context(enable_metadata_routing=True):
            grid = GridSearchCV(
                model,
                {"lam": ours.lams_},
                cv=5,
                scoring={"accuracy": "accuracy", "dp": make_fairness_scorer(METRIC)},
                refit=best_under_bound("dp", 0.05, maximize="accuracy"),
                n_jobs=processes,
            )
            spent, _ = seconds_of(lambda g=grid: g.fit(data.X, data.y, **given))
        lam = grid.best_params_["lam"]
        rows.append(_searched("GridSearchCV", processes, spent, lam, grid, data))
    return with_ratios("search", rows)


def _searched(
    what: str, processes: int, seconds: float, lam: float, model: Any, data: Adult
) -> dict[str, Any]:
    row = {"what": what, "processes": processes, "seconds": seconds, "lam": lam}
    return row | data.reached(model.predict(data.test.x))


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
    made = parser(__doc__)
    made.add_argument("--jobs", type=int, default=2, help="processes of the searches")
    made.add_argument("--tables", nargs="+", default=TABLES, choices=TABLES)
    made.add_argument("--rows", type=int, help="learn from so few rows: to see that it runs")
    options = made.parse_args()
    print_machine()
    data = Adult(options.rows)
    tables = {
        "trees": lambda: trees(data),
        "fits": lambda: fits(data),
        "epochs": lambda: epochs(data),
        "peers": lambda: peers(data),
        "search": lambda: search(data, options.jobs),
    }
    rows = []
    for name in options.tables:
        part = pd.DataFrame(tables[name]())
        print(f"\n{part.round(4).to_string(index=False)}", flush=True)
        rows.append(part)
    write(pd.concat(rows), options.output)


if __name__ == "__main__":
    main()
