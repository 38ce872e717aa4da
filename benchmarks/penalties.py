"""All penalties on validation rows of Adult: accuracy, unfairness, leakage, time.

The training part is cut into rows to fit on, rows that choose λ (of those that leak little the
most accurate, see `choose`) and rows to measure on; the test part is not read. A probe is trained
on rows that the model did not see. Seconds are those of this process's processor for a path of
three λ. Rows that the output file has already are not run again.

Run: OMP_NUM_THREADS=1 python benchmarks/penalties.py --attributes sex --seeds 0
     --output benchmarks/results/penalties_validation.csv
"""

from __future__ import annotations

import warnings
from itertools import product
from typing import Any

import numpy as np
import torch
from shared import Table, measured, parser, print_machine, print_means, seconds_of
from sklearn.ensemble import HistGradientBoostingRegressor
from sklearn.metrics import r2_score
from threadpoolctl import threadpool_limits

from fairmi import MIDebiasedClassifier
from fairmi.compare._measures import probe_auc
from fairmi.compare._rows import LabelledRows, adult_rows
from fairmi.dependence import PENALTIES
from fairmi.path import fairness_path

ATTRIBUTES = ("sex", "age", "sex x race")
KEYS = ["data", "penalty", "seed"]
LAMS = (2.0, 4.0, 8.0)
N_REPORT = 8_000
# What a candidate may leak on the rows that choose: ROC AUC of groups, R² of a quantity.
LEAK = {"AUC": 0.55, "R²": 0.05}


def probe_of(rows: LabelledRows) -> str:
    """Return the score of a probe of C: AUC of groups, R² of a quantity."""
    return "R²" if np.issubdtype(rows.s.dtype, np.number) else "AUC"


def measure(model: Any, learn: LabelledRows, test: LabelledRows) -> dict[str, float]:
    """Return accuracy, unfairness, and what a probe trained on `learn` recovers of C from Z."""
    z, z_test = model.transform(learn.X), model.transform(test.X)
    if probe_of(test) == "AUC":
        leakage = probe_auc(z, learn.s, z_test, test.s)
        return measured(test.y, model.predict(test.X), test.s) | {"leakage": leakage}
    probe = HistGradientBoostingRegressor(random_state=0).fit(z, learn.s)
    leakage = float(r2_score(test.s, probe.predict(z_test)))
    return {"accuracy": float(model.score(test.X, test.y)), "leakage": leakage}


def choose(rows: list[dict[str, float]], leak: float) -> int:
    """Return which is the most accurate of those that leak little, or else leaks least."""
    leakage = np.array([row["leakage"] for row in rows])
    accuracy = np.array([row["accuracy"] for row in rows])
    fair = leakage <= leak
    return int(np.where(fair, accuracy, -1).argmax() if fair.any() else leakage.argmin())


def row_of(rows: LabelledRows, penalty: str, seed: int, n_rows: int) -> dict[str, Any]:
    """Return what a penalty reaches at the λ that it chooses; of "none", λ is 0."""
    order = np.random.default_rng(seed).permutation(len(rows))
    ends = np.cumsum([n_rows, n_rows, N_REPORT])
    fit, choice, report, _ = map(rows.take, np.split(order, ends))
    none = penalty == "none"
    model = MIDebiasedClassifier(
        penalty="donsker_varadhan" if none else penalty, random_state=seed
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of strong λ some collapse
        seconds, (lams, models) = seconds_of(
            lambda: fairness_path(
                fit.X,
                fit.y,
                sensitive_features=fit.s,
                estimator=model,
                lams=[0.0] if none else LAMS,
            )
        )
    best = choose([measure(m, fit, choice) for m in models], LEAK[probe_of(rows)])
    reached = measure(models[best], choice, report)
    return {"lam": float(lams[best]), **reached, "seconds": seconds}


@threadpool_limits.wrap(limits=1)
def main() -> None:
    """Print the tables, and save their rows as they come."""
    made = parser(__doc__)
    names = ["none", *PENALTIES]
    made.add_argument("--penalties", nargs="+", default=names, choices=names)
    made.add_argument("--attributes", nargs="+", default=ATTRIBUTES, choices=ATTRIBUTES)
    made.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    made.add_argument("--rows", type=int, default=3_000, help="to fit on")
    options = made.parse_args()
    torch.set_num_threads(1)
    print_machine()
    table = Table(options.output, KEYS)
    for attribute, seed in product(options.attributes, options.seeds):
        adult = adult_rows("train", attribute)
        for penalty in options.penalties:
            keys = (f"Adult, {attribute}", penalty, seed)
            if table.find(*keys) is None:
                row = row_of(adult, penalty, seed, options.rows)
                table.add(dict(zip(KEYS, keys, strict=True)) | row)
    figures = ["lam", "accuracy", "dp", "leakage", "seconds"]
    print_means(table.frame, ["data", "penalty"], figures)


if __name__ == "__main__":
    main()
