"""All penalties on Adult and German: accuracy, unfairness, leakage, time.

λ of each penalty and attribute is chosen on validation rows inside the training part: of the
accurate ones, see `choose`. The test part is read once, by the model of that λ.

Run: OMP_NUM_THREADS=1 python benchmarks/penalties.py --output benchmarks/results/penalties.csv
"""

from __future__ import annotations

import argparse
import warnings
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.spatial.distance import pdist, squareform
from shared import measured, parser, print_machine, seconds_of, write
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier
from fairmi.compare._measures import probe_auc
from fairmi.compare._rows import LabelledRows, adult_rows, german_rows
from fairmi.dependence import PENALTIES
from fairmi.path import fairness_path

ATTRIBUTES = ("sex", "race", "age", "sex x race")
LAMS = (0.0, 1.0, 2.0, 4.0, 8.0, 12.0)
SEARCH_ROWS = 8_000
# What a candidate may leak on validation rows: less than the bound, for the noise of both parts.
LEAK = {"categorical": 0.54, "continuous": 0.04}
WITHOUT = "donsker_varadhan"  # with λ = 0, any is none


def fit(part: LabelledRows, penalty: str, lam: float, seed: int) -> tuple[Any, float]:
    """Return a model and the seconds of its fit."""
    model = MIDebiasedClassifier(penalty=penalty, lam=lam, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in `search`
        seconds, _ = seconds_of(lambda: model.fit(part.X, part.y, sensitive_features=part.s))
    return model, seconds


def measure(model: Any, train: LabelledRows, test: LabelledRows) -> dict[str, float]:
    """Return accuracy, unfairness, and what a fresh probe recovers of C from Z."""
    row = measured(test.y, model.predict(test.X), test.s)
    z, z_test = model.transform(train.X), model.transform(test.X)
    if not is_quantity(test):
        return row | {"leakage": probe_auc(z, train.s, z_test, test.s)}
    probe = HistGradientBoostingRegressor(random_state=0).fit(z, train.s)
    return {
        "accuracy": row["accuracy"],
        "distance_correlation": distance_correlation(model.decision_function(test.X), test.s),
        "leakage": float(r2_score(test.s, probe.predict(z_test))),
    }


def is_quantity(rows: LabelledRows) -> bool:
    """Whether the sensitive attribute is a quantity."""
    return np.issubdtype(rows.s.dtype, np.number)


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


def search(part: LabelledRows, penalty: str, seed: int = 0) -> float:
    """Return λ that validation rows inside `part` choose."""
    index = np.arange(len(part.y))
    taken, held_out = train_test_split(index, test_size=0.3, stratify=part.y, random_state=seed)
    train, test = part.take(taken[:SEARCH_ROWS]), part.take(held_out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a search has candidates that collapse
        lams, models = fairness_path(
            train.X,
            train.y,
            sensitive_features=train.s,
            estimator=MIDebiasedClassifier(penalty=penalty, random_state=seed),
            lams=LAMS,
        )
    rows = [
        {"lam": lam, **measure(model, part.take(taken), test)}
        for lam, model in zip(lams, models, strict=True)
    ]
    return choose(pd.DataFrame(rows), "continuous" if is_quantity(part) else "categorical")


def rows_of_adult(attribute: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    """Return a row for each penalty and seed, and for no penalty."""
    train, test = adult_rows("train", attribute).first(options.rows), adult_rows("test", attribute)
    rows = []
    for penalty in ["none", *options.penalties]:
        name = WITHOUT if penalty == "none" else penalty
        lam = 0.0 if penalty == "none" else search(train, penalty)
        for seed in range(options.seeds):
            model, seconds = fit(train, name, lam, seed)
            found = {"seed": seed, **measure(model, train, test), "seconds": seconds}
            rows.append(
                show({"data": f"Adult, {attribute}", "penalty": penalty, "lam": lam} | found)
            )
    return rows


def rows_of_german(penalties: list[str]) -> list[dict[str, Any]]:
    """Return a row of each penalty: means over 5 folds, λ chosen within each."""
    part = german_rows()
    rows = []
    for penalty in ["none", *penalties]:
        name = WITHOUT if penalty == "none" else penalty
        folds = []
        split = StratifiedKFold(5, shuffle=True, random_state=0).split(part.X, part.y)
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


@threadpool_limits.wrap(limits=1)
def main() -> None:
    """Print the tables, and save their rows."""
    made = parser(__doc__)
    made.add_argument("--penalties", nargs="+", default=list(PENALTIES), choices=list(PENALTIES))
    made.add_argument("--attributes", nargs="*", default=ATTRIBUTES, choices=ATTRIBUTES)
    made.add_argument("--seeds", type=int, default=1, help="of the table on Adult")
    made.add_argument("--rows", type=int, help="learn from so few of Adult: to see that it runs")
    options = made.parse_args()
    torch.set_num_threads(1)
    print_machine()
    rows = rows_of_german(options.penalties)
    for attribute in options.attributes:
        rows += rows_of_adult(attribute, options)
    table = pd.DataFrame(rows)
    means = table.drop(columns="seed", errors="ignore").groupby(["data", "penalty"], sort=False)
    print(means.mean().round(4).to_string(na_rep=""))
    write(table, options.output)


if __name__ == "__main__":
    main()
