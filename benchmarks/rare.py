"""A rare positive class: how well scores rank rows, beside logistic regression.

20,000 rows to fit and 40,000 to test; ten normal columns, log odds linear in them, 0.55 %
positives, and a group that one column tells of.

Run: OMP_NUM_THREADS=1 python benchmarks/rare.py [--lams 0 4] [--seeds 3]
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from scipy.optimize import brentq
from scipy.special import expit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score

from common.machine import parser, print_machine
from fairmi import MIBoostingClassifier, MIDebiasedClassifier

N_FIT, N_TEST, N_COLUMNS = 20_000, 40_000, 10
SHARE, SPREAD = 0.0055, 2.6  # of positives, and of the log odds


def rows(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return X, y and groups of all rows, those to fit first."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(N_FIT + N_TEST, N_COLUMNS))
    groups = (x[:, 0] + rng.normal(size=len(x)) > 0).astype(int)
    slopes = rng.normal(size=N_COLUMNS)
    odds = x @ (slopes * SPREAD / np.linalg.norm(slopes))
    shift = brentq(lambda c: expit(odds + c).mean() - SHARE, -30, 10)
    return x, (rng.random(len(x)) < expit(odds + shift)).astype(int), groups


def models(lams: list[float], seed: int) -> Iterator[tuple[str, float, Any]]:
    """Yield name, λ and classifier."""
    yield "logistic regression", 0.0, LogisticRegression()
    for lam in lams:
        yield "network", lam, MIDebiasedClassifier(lam=lam, random_state=seed)
        yield "trees", lam, MIBoostingClassifier(lam=lam, random_state=seed)


def measured(seed: int, lams: list[float]) -> Iterator[dict[str, Any]]:
    """Yield what each classifier reaches on the test rows."""
    x, y, groups = rows(seed)
    test = slice(N_FIT, None)
    for name, lam, model in models(lams, seed):
        given = {} if name == "logistic regression" else {"sensitive_features": groups[:N_FIT]}
        with warnings.catch_warnings(action="ignore"):
            model.fit(x[:N_FIT], y[:N_FIT], **given)
        scores = model.predict_proba(x[test])[:, 1]
        yield {
            "model": name,
            "lam": lam,
            "auc": roc_auc_score(y[test], scores),
            "log_loss": log_loss(y[test], scores),
            "distinct_scores": len(np.unique(scores)),
            "group_auc": 0.5 + abs(roc_auc_score(groups[test], scores) - 0.5),
        }


def main() -> None:
    """Print the means over seeds, and their standard errors."""
    options = parser(__doc__, output=False)
    options.add_argument("--lams", type=float, nargs="+", default=[0.0, 4.0])
    options.add_argument("--seeds", type=int, default=3)
    given = options.parse_args()
    print_machine()
    found = pd.DataFrame([row for s in range(given.seeds) for row in measured(s, given.lams)])
    table = found.groupby(["lam", "model"]).agg(["mean", "sem"])
    print(table.to_string(float_format=lambda value: f"{value:.4f}"))


if __name__ == "__main__":
    main()
