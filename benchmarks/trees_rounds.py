"""Trees on validation rows: what the rounds under the penalty give up, at each λ and constraint.

    python benchmarks/trees_rounds.py --task adult_4000 --data ../shared/data

The official test part of Adult is not read: its training part is split. Rows of one split share a
seed, so that two versions of the package can be compared split by split (`--output`).
"""

from __future__ import annotations

import argparse
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
from shared import parser, print_machine, rows_named, write
from sklearn.metrics import log_loss, roc_auc_score
from sklearn.model_selection import train_test_split

from fairmi import MIBoostingClassifier
from fairmi.compare._rows import LabelledRows, adult_rows

LAMS = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
# Rows to learn from (None: two thirds), and splits: more where chance is larger.
TASKS: dict[str, tuple[int | None, int]] = {
    "adult": (None, 3),
    "adult_4000": (4000, 8),
    "adult_300": (300, 24),
    "adult_rare": (8000, 6),
    "credit": (None, 3),
    "german": (None, 24),
}


def part_of(task: str, data: Path | None) -> LabelledRows:
    """Return all rows of a task; of "adult_rare" 1 in 100 is positive."""
    if task in ("german", "credit"):
        return rows_named(task, data)
    part = adult_rows("train")
    if task != "adult_rare":
        return part
    positive = np.flatnonzero(part.y == 1)
    few = np.random.default_rng(0).choice(positive, len(part.y) // 130, replace=False)
    return part.take(np.sort(np.concatenate([np.flatnonzero(part.y == 0), few])))


def measured(model: MIBoostingClassifier, test: LabelledRows) -> dict[str, float]:
    """Return scores of test rows, and signed differences of rates between the two groups."""
    predicted, p = model.predict(test.X), model.predict_proba(test.X)[:, 1]
    first = test.s == np.unique(test.s)[0]

    def difference(rows: np.ndarray) -> float:
        return float(predicted[rows & first].mean() - predicted[rows & ~first].mean())

    return {
        "accuracy": float((predicted == test.y).mean()),
        "log_loss": float(log_loss(test.y, p)),
        "auc": float(roc_auc_score(test.y, p)),
        "dp": difference(np.ones(len(first), dtype=bool)),
        "tpr": difference(test.y == 1),
        "fpr": difference(test.y == 0),
    }


def rows_of(task: str, constraint: str, data: Path | None, **parameters: object) -> pd.DataFrame:
    """Return a row for each split and λ."""
    part = part_of(task, data)
    n_rows, n_splits = TASKS[task]
    rows = []
    for seed in range(n_splits):
        train, test = train_test_split(
            np.arange(len(part.y)), test_size=1 / 3, random_state=seed, stratify=part.strata
        )
        if n_rows is not None:
            train, _ = train_test_split(
                train, train_size=n_rows, random_state=seed, stratify=part.strata[train]
            )
        learn, held_out = part.take(train), part.take(test)
        model = MIBoostingClassifier(constraint=constraint, random_state=0, **parameters)
        start = time.perf_counter()
        models = model.fit_path(learn.X, learn.y, lams=LAMS, sensitive_features=learn.s)
        seconds = time.perf_counter() - start
        for lam, fitted in zip(LAMS, models, strict=True):
            row = {"task": task, "constraint": constraint, "split": seed, "lam": lam}
            rows.append({**row, **measured(fitted, held_out), "seconds": seconds})
    return pd.DataFrame(rows)


def main() -> None:
    """Measure the tasks that are asked for."""
    options = _options().parse_args()
    warnings.simplefilter("ignore")  # the largest λ are above their ceiling on some tables
    print_machine()
    names = TASKS if options.task == "all" else [options.task]
    constraints = options.constraint.split(",")
    rows = pd.concat([rows_of(name, c, options.data) for name in names for c in constraints])
    means = rows.drop(columns="split").groupby(["task", "constraint", "lam"], sort=False)
    print(means.mean().round(4).to_string())
    write(rows, options.output)


def _options() -> argparse.ArgumentParser:
    arguments = parser(__doc__)
    arguments.add_argument("--task", choices=[*TASKS, "all"], default="all")
    arguments.add_argument("--constraint", default="demographic_parity,equalized_odds")
    arguments.add_argument("--data", type=Path, help="folder of credit_default.csv.gz")
    return arguments


if __name__ == "__main__":
    main()
