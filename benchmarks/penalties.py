"""All penalties on Adult and German: accuracy, unfairness, leakage, time.

λ of each penalty and attribute is chosen on validation rows inside the training part: of the
accurate ones, see `choose`. The test part is read once, by the model of that λ.

Run: OMP_NUM_THREADS=1 python benchmarks/penalties.py --output benchmarks/results/penalties.csv
"""

from __future__ import annotations

import argparse
import platform
import time
import warnings
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fairlearn.metrics import demographic_parity_difference
from scipy.spatial.distance import pdist, squareform
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier
from fairmi.datasets import load_adult, load_german
from fairmi.dependence import PENALTIES
from fairmi.path import fairness_path

LAMS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0)
SEARCH_ROWS = 8_000
# What a candidate may leak on validation rows: less than the bound, for the noise of both parts.
LEAK = {"categorical": 0.54, "continuous": 0.04}
CONTINUOUS = {"age"}
WITHOUT = "donsker_varadhan"  # with λ = 0, any is none


@dataclass(frozen=True)
class Part:
    """Rows of a table: features, labels 0 or 1, sensitive attribute."""

    x: pd.DataFrame
    y: np.ndarray
    c: pd.Series

    def take(self, index: np.ndarray) -> Part:
        """Return the rows of `index`."""
        return Part(self.x.iloc[index], self.y[index], self.c.iloc[index])


def adult(subset: str, attribute: str) -> Part:
    """Return a part of Adult with "sex", "race", "age" or "sex x race"."""
    bunch = load_adult(subset=subset)
    frame = bunch.data.assign(**{k: bunch.sensitive_features[k] for k in ("sex", "race")})
    names = attribute.split(" x ")
    c = frame[names[0]]
    if len(names) > 1:
        c = frame[names].astype(str).agg(", ".join, axis=1)
    return Part(bunch.data, (bunch.target == ">50K").to_numpy().astype(int), c)


def german() -> Part:
    """Return German with age over 25."""
    bunch = load_german()
    c = bunch.sensitive_features["age_over_25"].astype(str)
    return Part(bunch.data, (bunch.target == "good").to_numpy().astype(int), c)


def fit(part: Part, penalty: str, lam: float, seed: int) -> Any:
    """Return a model and the seconds of its fit."""
    model = MIDebiasedClassifier(penalty=penalty, lam=lam, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `search`
        start = time.perf_counter()
        model.fit(part.x, part.y, sensitive_features=part.c)
    return model, time.perf_counter() - start


def measure(model: Any, train: Part, test: Part) -> dict[str, float]:
    """Return accuracy, unfairness, and what a fresh probe recovers of C from Z."""
    predicted, continuous = model.predict(test.x), test.c.name in CONTINUOUS
    row = {"accuracy": float((predicted == test.y).mean())}
    z, z_test = model.transform(train.x), model.transform(test.x)
    if continuous:
        scores = model.decision_function(test.x)
        row["distance_correlation"] = distance_correlation(scores, test.c.to_numpy(float))
        probe = HistGradientBoostingRegressor(random_state=0).fit(z, train.c)
        row["leakage"] = float(r2_score(test.c, probe.predict(z_test)))
    else:
        row["dp"] = demographic_parity_difference(
            test.y, predicted, sensitive_features=test.c.astype(str)
        )
        probe = HistGradientBoostingClassifier(max_iter=50, random_state=0)
        told = probe.fit(z, train.c.astype(str)).predict_proba(z_test)
        groups = test.c.astype(str)
        told = told[:, 1] if told.shape[1] == 2 else told
        row["leakage"] = float(roc_auc_score(groups, told, multi_class="ovr", average="macro"))
    return row


def distance_correlation(first: np.ndarray, second: np.ndarray, most: int = 3000) -> float:
    """Return the distance correlation of two columns (Székely, doi 10.1214/009053607000000505)."""
    rows = np.random.default_rng(0).permutation(len(first))[:most]
    parts = [squareform(pdist(column[rows, None])) for column in (first, second)]
    a, b = (p - p.mean(0) - p.mean(1, keepdims=True) + p.mean() for p in parts)
    scale = np.sqrt((a * a).mean() * (b * b).mean())
    return float(np.sqrt((a * b).mean() / scale)) if scale > 0 else 0.0


def choose(rows: pd.DataFrame, kind: str) -> float:
    """Return λ of the most accurate row that leaks little, or of the one that leaks least."""
    fair = rows[rows.leakage <= LEAK[kind]]
    row = fair.loc[fair.accuracy.idxmax()] if len(fair) else rows.loc[rows.leakage.idxmin()]
    return float(row.lam)


def search(part: Part, penalty: str, seed: int = 0) -> float:
    """Return λ that validation rows inside `part` choose."""
    index = np.arange(len(part.y))
    taken, held_out = train_test_split(index, test_size=0.3, stratify=part.y, random_state=seed)
    train, test = part.take(taken[:SEARCH_ROWS]), part.take(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a search has candidates that collapse
        lams, models = fairness_path(
            train.x,
            train.y,
            sensitive_features=train.c,
            penalty=penalty,
            lams=LAMS,
            random_state=seed,
        )
    rows = [
        {"lam": lam, **measure(model, part.take(taken), test)}
        for lam, model in zip(lams, models, strict=True)
    ]
    return choose(pd.DataFrame(rows), "continuous" if part.c.name in CONTINUOUS else "categorical")


def adult_rows(attribute: str, penalties: list[str], n_seeds: int) -> list[dict[str, Any]]:
    """Return a row for each penalty and seed, and for no penalty."""
    train, test = adult("train", attribute), adult("test", attribute)
    rows = []
    for penalty in ["none", *penalties]:
        name = WITHOUT if penalty == "none" else penalty
        lam = 0.0 if penalty == "none" else search(train, penalty)
        for seed in range(n_seeds):
            model, seconds = fit(train, name, lam, seed)
            found = {"seed": seed, **measure(model, train, test), "seconds": seconds}
            rows.append(
                show({"data": f"Adult, {attribute}", "penalty": penalty, "lam": lam} | found)
            )
    return rows


def german_rows(penalties: list[str]) -> list[dict[str, Any]]:
    """Return a row of each penalty: means over 5 folds, λ chosen within each."""
    part = german()
    rows = []
    for penalty in ["none", *penalties]:
        name = WITHOUT if penalty == "none" else penalty
        folds = []
        split = StratifiedKFold(5, shuffle=True, random_state=0).split(part.x, part.y)
        for seed, (taken, held_out) in enumerate(split):
            train = part.take(taken)
            lam = 0.0 if penalty == "none" else search(train, penalty, seed)
            model, seconds = fit(train, name, lam, seed)
            row = measure(model, train, part.take(held_out))
            folds.append({"lam": lam, **row, "seconds": seconds})
        means = pd.DataFrame(folds).mean().to_dict()
        rows.append(show({"data": "German, age over 25", "penalty": penalty} | means))
    return rows


def show(row: dict[str, Any]) -> dict[str, Any]:
    """Print a row as it comes, and return it."""
    print({k: round(v, 4) if isinstance(v, float) else v for k, v in row.items()}, flush=True)
    return row


def main() -> None:
    """Print the tables, and save their rows."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--penalties", nargs="+", default=list(PENALTIES), choices=list(PENALTIES))
    parser.add_argument("--seeds", type=int, default=1, help="of the table on Adult")
    parser.add_argument("--output", type=Path, help="write the rows to this CSV file")
    options = parser.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}"
    versions = ", ".join(f"{p} {version(p)}" for p in ("torch", "scikit-learn", "fairlearn"))
    print(f"{machine}; {versions}; one thread")
    rows = german_rows(options.penalties)
    for attribute in ("sex", "race", "age", "sex x race"):
        rows += adult_rows(attribute, options.penalties, options.seeds)
    table = pd.DataFrame(rows)
    means = table.drop(columns="seed").groupby(["data", "penalty"], sort=False).mean()
    print(means.round(4).to_string(na_rep=""))
    if options.output is not None:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        table = table.assign(machine=machine, versions=versions)
        table.round(5).to_csv(options.output, index=False)


if __name__ == "__main__":
    torch.set_num_threads(1)
    with threadpool_limits(1):
        main()
